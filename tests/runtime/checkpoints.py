"""Tiny random checkpoints and adapters, and the oracle that the engine is held against."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MinistralConfig,
    MinistralForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

VOCABULARY, PADDED, POSITIONS = 260, 272, 256
EOS = 256

WINDOW, ALTERNATING = 6, ["sliding_attention", "full_attention", "sliding_attention"]
"""Of those that look over so many tokens only."""

SHAPE = {
    "vocab_size": PADDED,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
    "eos_token_id": EOS,
    "bos_token_id": None,
    "pad_token_id": None,
}

ARCHITECTURES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "llama3-rope": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 1e4,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "granite": (
        GraniteForCausalLM,
        GraniteConfig,
        {
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.5,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.2,
            "tie_word_embeddings": True,
        },
    ),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "mistral-window": (MistralForCausalLM, MistralConfig, {"sliding_window": WINDOW}),
    "ministral": (
        MinistralForCausalLM,
        MinistralConfig,
        {"head_dim": 8, "sliding_window": WINDOW, "layer_types": ALTERNATING},
    ),
    "qwen2-window": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3-window": (
        Qwen3ForCausalLM,
        Qwen3Config,
        {"head_dim": 16, "use_sliding_window": True, "sliding_window": WINDOW, "layer_types": ALTERNATING},
    ),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config, {"no_rope_layers": [1, 0, 1]}),
    "smollm3-window": (
        SmolLM3ForCausalLM,
        SmolLM3Config,
        {"use_sliding_window": True, "sliding_window": WINDOW, "no_rope_layer_interval": 2},
    ),
    "gemma": (GemmaForCausalLM, GemmaConfig, {"head_dim": 16}),
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config,
        {
            "head_dim": 16,
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 24,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 5.0,
        },
    ),
    "gemma3": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {
            "head_dim": 16,
            "sliding_window": WINDOW,
            "sliding_window_pattern": 2,
            "query_pre_attn_scalar": 24,
            "final_logit_softcapping": 5.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 5e4, "factor": 2.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
            },
        },
    ),
    "phi3": (Phi3ForCausalLM, Phi3Config, {"sliding_window": WINDOW}),
    "phi3-longrope": (
        Phi3ForCausalLM,
        Phi3Config,
        {
            "original_max_position_embeddings": POSITIONS,
            "max_position_embeddings": 4 * POSITIONS,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.5,
                "short_factor": [1.0, 1.5],
                "long_factor": [2.0, 4.0],
            },
        },
    ),
    "gpt_oss": (
        GptOssForCausalLM,
        GptOssConfig,
        {
            "head_dim": 8,
            "sliding_window": WINDOW,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 1e4,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "truncate": False,
            },
        },
    ),
}


def make_checkpoint(folder: Path, architecture: str = "llama", **shape: object) -> Path:
    """A random model that is loud enough for its answers to depend on every token."""
    torch.manual_seed(5)
    cls, config, extra = ARCHITECTURES[architecture]
    model = cls(config(**{**SHAPE, **extra, **shape}))
    one = 0 if architecture.startswith("gemma") else 1  # whose norms are stored less one
    for parameter in model.parameters():
        noise = torch.randn_like(parameter)
        parameter.data = noise * 0.3 if parameter.dim() > 1 else noise * 0.1 + one
    model.save_pretrained(folder)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def make_tokenizer() -> Tokenizer:
    """One token a byte, and four special ones; ids 260 … 271 of the models are padding."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>", "<|call|>", "<|go|>", "<|pad|>"])
    return tokenizer


def make_adapter(folder: Path, base: Path, seed: int = 0, **settings: object) -> Path:
    """A random adapter as PEFT saves it."""
    model = ARCHITECTURES_BY_TYPE[json.loads((base / "config.json").read_text())["model_type"]].from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj"], **settings}
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    peft.save_pretrained(folder)
    return folder


ARCHITECTURES_BY_TYPE = {config.model_type: cls for cls, config, _ in ARCHITECTURES.values()}

Labelled = Sequence[tuple[int, str | None]]
"""A sequence of (token, adapter name)."""


def labelled(runs: Iterable[tuple[Sequence[int], str | None]]) -> list[tuple[int, str | None]]:
    """Runs as one list of (token, adapter)."""
    return [(token, adapter) for tokens, adapter in runs for token in tokens]


class Oracle:
    """One full float32 forward pass for each sequence, with adapters added row by row, written plainly."""

    def __init__(self, base: Path, adapters: dict[str, Path]) -> None:
        model_type = json.loads((base / "config.json").read_text())["model_type"]
        cls = ARCHITECTURES_BY_TYPE[model_type]
        self.model = cls.from_pretrained(base, attn_implementation="eager", dtype=torch.float32).eval()
        self.labels: list[str | None] = []
        files = {name: load_file(folder / "adapter_model.safetensors") for name, folder in adapters.items()}
        weights = {name: {key: own.float() for key, own in file.items()} for name, file in files.items()}
        configs = {name: json.loads((folder / "adapter_config.json").read_text()) for name, folder in adapters.items()}
        for module_name, module in self.model.named_modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(self._hook(module_name, weights, configs))

    def _hook(self, module: str, weights: dict, configs: dict):  # type: ignore[no-untyped-def, type-arg]
        def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
            output = output.clone()
            for row, name in enumerate(self.labels):
                down = weights[name].get(f"base_model.model.{module}.lora_A.weight") if name else None
                if down is not None:
                    up, config = weights[name][f"base_model.model.{module}.lora_B.weight"], configs[name]
                    rank = down.shape[0]
                    alpha = next(
                        (value for key, value in config.get("alpha_pattern", {}).items() if module.endswith(key)),
                        config["lora_alpha"],
                    )
                    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
                    output[0, row] += scale * (up @ (down @ inputs[0][0, row]))
            return output

        return hook

    @torch.inference_mode()
    def logits(self, sequence: Labelled) -> Tensor:
        """`[tokens, vocabulary]`, without padding ids."""
        self.labels = [adapter for _, adapter in sequence]
        ids = torch.tensor([[token for token, _ in sequence]])
        output: Tensor = self.model(input_ids=ids, use_cache=False).logits[0, :, :VOCABULARY]
        return output

    def greedy(self, sequence: Labelled, count: int, stops: frozenset[int] = frozenset()) -> list[int]:
        """Up to `count` tokens under the last token's adapter."""
        sequence, answer = list(sequence), []
        while len(answer) < count and not (answer and answer[-1] in stops):
            answer.append(int(self.logits(sequence)[-1].argmax()))
            sequence.append((answer[-1], sequence[-1][1]))
        return answer
