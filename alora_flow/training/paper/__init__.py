"""The tables of the Activated LoRA paper, and what it left open, on a base of one's own: `alora-flow paper`."""
