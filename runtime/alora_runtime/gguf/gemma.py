"""Gemma 2 and 3: what a GGUF file says beside the usual, and what it leaves to its reader, as llama.cpp has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alora_runtime.errors import ModelError
from alora_runtime.gguf.file import GgufFile

MODULES = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
"""llama.cpp's names of modules → transformers', where they are not as in Llama."""

LOCAL_THETA = 10000.0
"""Base of the rope of Gemma 3's windowed layers, where the file names none."""


@dataclass(frozen=True)
class Gemma:
    """period: every such layer looks over everything. caps: keys that cap attention scores and logits → fields.
    largest: layers of the model whose queries are scaled by the width of a head's share, not by a head's.
    local: whether windowed layers have a rope of their own."""

    period: int
    caps: dict[str, str]
    largest: int
    local: bool

    @property
    def keys(self) -> set[str]:
        """Those that it understands beside the usual."""
        return {*self.caps, "attention.sliding_window_pattern", *(["rope.freq_base_swa"] if self.local else [])}


FINAL = {"final_logit_softcapping": "final_logit_softcapping"}
GEMMA2 = Gemma(2, {**FINAL, "attn_logit_softcapping": "attn_logit_softcapping"}, largest=46, local=False)
GEMMA3 = Gemma(6, FINAL, largest=62, local=True)


def gemma_config(file: GgufFile, prefix: str, kind: Gemma, usual: dict[str, Any]) -> dict[str, Any]:
    """The fields of config.json that are not as usual. Raises ModelError naming the key."""
    layers, heads = usual["num_hidden_layers"], usual["num_attention_heads"]
    rope: dict[str, Any] = usual["rope_parameters"]
    if kind.local:
        theta = file.get(f"{prefix}.rope.freq_base_swa", float) or LOCAL_THETA
        local = {"rope_type": "default", "rope_theta": theta}
        rope = {"full_attention": rope, "sliding_attention": local}
    return {
        "hidden_act": None,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": rope,
        "sliding_window": file.need(f"{prefix}.attention.sliding_window", int),
        "layer_types": _layer_types(file, prefix, kind, layers),
        "query_pre_attn_scalar": usual["hidden_size"] // heads if layers == kind.largest else usual["head_dim"],
        **{field: file.get(f"{prefix}.{key}", float) for key, field in kind.caps.items()},
    }


def _layer_types(file: GgufFile, prefix: str, kind: Gemma, layers: int) -> list[str]:
    key = f"{prefix}.attention.sliding_window_pattern"
    if key in file.keys:
        period = file.get(key, int)
        if not period or period < 1:
            raise ModelError(f"{file.path}: {key} must be at least 1, not {period}")
    else:
        period = kind.period
    return ["sliding_attention" if number % period else "full_attention" for number in range(1, layers + 1)]
