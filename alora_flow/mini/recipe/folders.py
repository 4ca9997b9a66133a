"""The shipped folders: the base as `LlamaForCausalLM` reads it, the adapters as PEFT reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from alora_flow.mini.recipe.network import Adapter, Network, Shape

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TARGETS = ("q_proj", "k_proj", "v_proj")
NAME = "mini"

# Tokens of an answer that is text.
LONGEST = 32

YES_NO = {"Y": 1.0, "N": 0.0}
DIGITS = {str(d): round(0.05 + 0.1 * d, 2) for d in range(10)}
# What each intrinsic's answer means: the values of a likelihood, and none where the answer is text.
MEANINGS: dict[str, dict[str, float]] = {
    "safety": YES_NO,
    "uncertainty": DIGITS,
    "hallucination": YES_NO,
    "answerability": YES_NO,
    "query_rewrite": {},
    "judge": YES_NO,
}


def adapter_folder(weights: Path, name: str) -> Path:
    """Where an intrinsic's adapter for this base is kept."""
    return weights / "intrinsics" / name / NAME / "alora"


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a newline at the end."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def base_state(network: Network) -> dict[str, Tensor]:
    """The network's weights under the names of `LlamaForCausalLM`."""
    state: dict[str, Tensor] = {"model.embed_tokens.weight": network.embed, "model.norm.weight": network.norm}
    for i, layer in enumerate(network.stack):
        q, k, v = layer.qkv.chunk(3)
        gate, up = layer.gate_up.chunk(2)
        names = {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v, "self_attn.o_proj": layer.out}
        names |= {"mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": layer.down}
        names |= {"input_layernorm": layer.norm_attention, "post_attention_layernorm": layer.norm_inner}
        state |= {f"model.layers.{i}.{name}.weight": value for name, value in names.items()}
    return {name: value.detach().to(torch.bfloat16).contiguous() for name, value in state.items()}


def save_base(network: Network, tokenizer: Path, folder: Path) -> None:
    """Write the base, in bf16, and the tokenizer's files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(save(base_state(network), metadata={"format": "pt"}))
    write_json(folder / "config.json", network.shape.config())
    write_json(folder / "generation_config.json", {"do_sample": False, "eos_token_id": 1, "pad_token_id": 0})
    for name in TOKENIZER_FILES:
        if tokenizer.resolve() != folder.resolve():
            shutil.copyfile(tokenizer / name, folder / name)


def shape_of(config: dict[str, Any]) -> Shape:
    """The sizes in a `config.json` that `save_base` wrote."""
    return Shape(
        vocabulary=config["vocab_size"],
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        positions=config["max_position_embeddings"],
        theta=config["rope_parameters"]["rope_theta"],
    )


def load_base(folder: Path) -> Network:
    """Read a base written by `save_base`, as float32."""
    network = Network(shape_of(json.loads((folder / "config.json").read_text(encoding="utf-8"))))
    state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    own = {"embed": state["model.embed_tokens.weight"], "norm": state["model.norm.weight"]}
    for i in range(network.shape.layers):
        part = {n: state[f"model.layers.{i}.{n}.weight"] for n in _names(state, i)}
        own |= {
            f"layers.{i}.qkv": torch.cat([part[f"self_attn.{t}"] for t in TARGETS]),
            f"layers.{i}.out": part["self_attn.o_proj"],
            f"layers.{i}.gate_up": torch.cat([part["mlp.gate_proj"], part["mlp.up_proj"]]),
            f"layers.{i}.down": part["mlp.down_proj"],
            f"layers.{i}.norm_attention": part["input_layernorm"],
            f"layers.{i}.norm_inner": part["post_attention_layernorm"],
        }
    network.load_state_dict(own)
    return network.requires_grad_(False)


def _names(state: dict[str, Tensor], layer: int) -> list[str]:
    """The names of one layer's weights without prefix and suffix."""
    prefix = f"model.layers.{layer}."
    return [n.removeprefix(prefix).removesuffix(".weight") for n in state if n.startswith(prefix)]


def load_adapter(shape: Shape, name: str, weights: Path) -> Adapter:
    """Read an adapter of the recipe, as float32."""
    folder = adapter_folder(weights, name)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    adapter = Adapter(shape, config["r"], config["lora_alpha"])
    state = load_file(folder / "adapter_model.safetensors")
    for i, delta in enumerate(adapter.deltas):
        stem = f"base_model.model.model.layers.{i}.self_attn."
        delta.a.data = torch.stack([state[f"{stem}{t}.lora_A.weight"].float() for t in TARGETS])
        delta.b.data = torch.stack([state[f"{stem}{t}.lora_B.weight"].float() for t in TARGETS])
    return adapter.requires_grad_(False)


def seat_invocations(network: Network, seats: dict[int, int]) -> None:
    """Give each invocation token the embedding of the role that stands where it does.

    The base never meets these in training; so seated, an adapter starts from what the base does at such a place.
    """
    with torch.no_grad():
        for invocation, role in seats.items():
            network.embed[invocation] = network.embed[role].clone()
