"""Which tokens are computed in which step. Integers only."""
