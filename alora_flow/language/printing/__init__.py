"""Trees and programs as text again."""
