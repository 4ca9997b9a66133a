"""Data only: `flow.lark`, the grammar of flow files."""
