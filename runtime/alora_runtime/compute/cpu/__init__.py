"""The processor as it is fast: one thread for small work, shared prefixes read in place, weights in two layouts."""
