"""How the bundled model is made: tokenizer, base, adapters, figures, card, manifest."""
