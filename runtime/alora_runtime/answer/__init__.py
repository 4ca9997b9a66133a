"""How an answer is chosen, limited and told: choices, grammars, sampling, text."""
