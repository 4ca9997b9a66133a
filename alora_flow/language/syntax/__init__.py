"""From text to the syntax tree, or every syntax error of the text."""
