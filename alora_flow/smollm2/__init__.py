"""Intrinsics for SmolLM2-135M-Instruct, made by `recipes/smollm2`."""
