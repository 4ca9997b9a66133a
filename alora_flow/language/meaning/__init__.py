"""What a checked program consists of: types, declarations, expressions, and the functions of the language."""
