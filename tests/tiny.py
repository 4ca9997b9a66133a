"""A tokenizer, a chat template and adapter folders so small that tests make them on the spot. No weights here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
THINKS_LAST = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think></think>' }}{% endif %}"
    "{{ m['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Only the last answer keeps its thoughts, as in Qwen3's template."""
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|documents|>", "<|tool_result|>"]
INVOCATIONS = ["<|safety|>", "<|certainty|>", "<|rewrite|>"]


def tokenizer(*merges: tuple[str, str]) -> Tokenizer:
    """Byte level: a character is a token but for the merges, control tokens are one each."""
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    made = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL + INVOCATIONS])
    return made


def write_model_folder(
    folder: Path, template: str = TEMPLATE, merges: Sequence[tuple[str, str]] = (), **settings: Any
) -> Path:
    """What planning reads of a model: no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(*merges).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_adapter_folder(folder: Path, invocation: list[int] | None, **fields: Any) -> Path:
    """What planning reads of an adapter; the weights file holds nothing that could be applied."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "v_proj"],
        "alora_invocation_tokens": invocation,
        **fields,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"{}" + json.dumps(config).encode())
    return folder
