"""Graph to graph, one pass a file, in the order of one table."""
