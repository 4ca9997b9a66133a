"""Adapters: their configuration, their weights, and which rows carry them."""
