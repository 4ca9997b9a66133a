"""Threads of chat turns, and how a model's tokenizer and chat template turn them into tokens."""
