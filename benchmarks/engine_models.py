"""Random checkpoints and adapters of given shapes for the engine's benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

INVOCATION = (5, 6, 7)
"""What calls the adapters that are called by three tokens."""

SHAPES = {
    "1M": {"hidden": 128, "layers": 4, "heads": 4, "kv_heads": 2, "mlp": 352, "vocabulary": 2048},
    "10M": {"hidden": 320, "layers": 6, "heads": 5, "kv_heads": 5, "mlp": 864, "vocabulary": 4096},
    "27M": {"hidden": 512, "layers": 8, "heads": 8, "kv_heads": 4, "mlp": 1376, "vocabulary": 8192},
    "135M": {"hidden": 576, "layers": 30, "heads": 9, "kv_heads": 3, "mlp": 1536, "vocabulary": 49152},
}
"""Names say about how many parameters; embeddings are tied."""


def make_model(folder: Path, shape: str, positions: int = 16384) -> Path:
    """A Llama checkpoint with random weights."""
    size = SHAPES[shape]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size["vocabulary"],
        hidden_size=size["hidden"],
        intermediate_size=size["mlp"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["kv_heads"],
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(
    folder: Path,
    model: Path,
    seed: int,
    rank: int = 32,
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj"),
    activated: bool = True,
) -> Path:
    """A random adapter as PEFT saves it. `activated=False`: a plain LoRA, for peers that switch it on themselves."""
    config = json.loads((model / "config.json").read_text())
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    narrow = hidden // heads * config["num_key_value_heads"]
    outputs = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow, "o_proj": hidden}
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(config["num_hidden_layers"]):
        for name in targets:
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{key}.lora_A.weight"] = torch.randn(rank, hidden, generator=generator) * 0.05
            weights[f"{key}.lora_B.weight"] = torch.randn(outputs[name], rank, generator=generator) * 0.05
    folder.mkdir(parents=True)
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": list(targets),
        "alora_invocation_tokens": list(INVOCATION) if activated else None,
        "base_model_name_or_path": str(model),
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder
