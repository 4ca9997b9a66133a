"""The bundled model: its closed world, its recipe, its weights.

`world` and `corpus` write documents and chats about invented entities; `vocabulary` makes the tokenizer; `base` trains
a small Llama on the chats; `adapters` trains five activated LoRAs on top; `evaluation` measures both on held-out names;
`card` prints what was measured. `recipe` runs all of it. Importing this package imports no torch.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
INTRINSICS = ("safety", "uncertainty", "hallucination", "answerability", "query_rewrite")

__all__ = ["INTRINSICS", "WEIGHTS"]
