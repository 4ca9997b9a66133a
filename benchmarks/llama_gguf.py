"""Checkpoints and adapters as GGUF in float32, for the peer that reads nothing else: llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file


def rotary(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a q or k projection, or of the half of an adapter that writes to it, in llama.cpp's order: it rotates
    neighbours where transformers rotates the halves of a head."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


class Layout:
    """Where a checkpoint's tensors go, by its config."""

    def __init__(self, model: Path) -> None:
        self.config: dict[str, Any] = json.loads((model / "config.json").read_text())
        self.heads = {"q_proj": self.config["num_attention_heads"], "k_proj": self.config["num_key_value_heads"]}
        self.names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, self.config["num_hidden_layers"])

    def name(self, name: str) -> str:
        """Of the weight `name` of transformers."""
        found: str | None = self.names.get_name(name, try_suffixes=(".weight",))
        if found is None:
            raise ValueError(f"no GGUF name for {name}")
        return found

    def order(self, name: str, weight: np.ndarray) -> np.ndarray:
        """`weight` with its rows, the outputs of the layer `name`, as llama.cpp wants them."""
        heads = self.heads.get(name.split(".")[-2])
        return weight if heads is None else rotary(weight, heads)


def write(path: Path, writer: gguf.GGUFWriter, tensors: Mapping[str, np.ndarray]) -> Path:
    """The file with all its parts."""
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_model(path: Path, model: Path) -> Path:
    """A Llama checkpoint of one safetensors file. Its tokenizer is left out: prompts are token ids, and the tokens in
    the file are names of a kind ("rwkv") that has no end-of-sequence token, as these checkpoints have none."""
    layout = Layout(model)
    config = layout.config
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(["\\n", *(f"<{number}>" for number in range(1, config["vocab_size"]))])
    weights = load_file(model / "model.safetensors")
    return write(path, writer, {layout.name(name): layout.order(name, weight) for name, weight in weights.items()})


def write_adapter(path: Path, adapter: Path, model: Path) -> Path:
    """A LoRA as PEFT saves it; activated if it has invocation tokens. llama.cpp switches an adapter on one token before
    the sequence it looks for, so that the sequence goes without its first token."""
    layout = Layout(model)
    config = json.loads((adapter / "adapter_config.json").read_text())
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, config["lora_alpha"])
    if invocation := config["alora_invocation_tokens"]:
        writer.add_key_value(
            gguf.Keys.Adapter.ALORA_INVOCATION_TOKENS,
            invocation[1:],
            gguf.GGUFValueType.ARRAY,
            gguf.GGUFValueType.UINT32,
        )
    tensors = {}
    for name, weight in load_file(adapter / "adapter_model.safetensors").items():
        layer, half = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        name = layout.name(f"{layer}.weight")
        if half == "lora_A":
            tensors[f"{name}.lora_a"] = weight
        else:
            tensors[f"{name}.lora_b"] = layout.order(f"{layer}.weight", weight)
    return write(path, writer, tensors)


def written_out(file: Path, target: Path) -> Path:
    """A GGUF file once more, its metadata untouched, with all tensors in float32."""
    reader = gguf.GGUFReader(file)
    writer = gguf.GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
