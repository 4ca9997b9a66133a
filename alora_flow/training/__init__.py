"""Training on kept keys and values, and measuring what came of it: nothing here knows what is learnt."""
