"""A flow as a graph: its nodes, and what they read."""
