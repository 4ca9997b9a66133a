"""The intrinsics library of SmolLM2-135M-Instruct."""
