"""From the syntax tree to the checked program, or everything that is wrong with it."""
