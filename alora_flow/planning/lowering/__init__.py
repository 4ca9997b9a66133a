"""From the checked program to the graph."""
