"""Which tokens every call finds in the cache, and which it computes."""
