"""Answers that are known already: what a call would give is asked of each link of a chain before it is made."""
