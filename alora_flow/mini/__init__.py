"""The bundled model: its closed world, its recipe, its weights.

`world` writes documents and chats about invented entities. `recipe` makes the tokenizer, trains a small Llama on the
chats and six activated LoRAs on top (by `alora_flow.training`), measures all on held-out names, and prints the card.
Importing this package imports no torch.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
INTRINSICS = ("safety", "uncertainty", "hallucination", "answerability", "query_rewrite", "judge")

__all__ = ["INTRINSICS", "WEIGHTS"]
