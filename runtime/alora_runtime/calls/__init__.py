"""Generations that call adapters by themselves: caller, answer, return."""
