"""Pieces of an answer: text, and how much it weighs in training."""

from __future__ import annotations

Piece = tuple[str, float]

# What is copied has a weight of its own, by which the encoding finds it.
PLAIN, VALUE, VERDICT = 1.0, 2.0, 3.0
# A guess is noise to the one who learns to read: its shape matters, its value hardly.
GUESSED_CHOICE, GUESSED_NAME = 0.5, 0.05
