"""The closed world that the bundled model knows: its names, facts, chats and tasks."""
