"""How the adapters that are shipped for other people's models were made."""
