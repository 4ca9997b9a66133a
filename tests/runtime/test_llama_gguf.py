"""What the benchmark hands to llama.cpp reads back as the checkpoint and the adapters that the engine loads."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks.engine_models import INVOCATION, make_adapter, make_model
from benchmarks.llama_gguf import write_adapter, write_model

HEADS = {"q": 4, "k": 2}
"""Of the smallest shape."""
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest of the benchmark's."""
    return make_model(tmp_path_factory.mktemp("model"), "1M")


def halves(interleaved: np.ndarray, heads: int) -> np.ndarray:
    """Back to transformers' order of rows: of each head, the even ones before the odd ones."""
    parts = [np.concatenate([head[0::2], head[1::2]]) for head in np.split(interleaved, heads)]
    return np.concatenate(parts)


def tensors(reader: gguf.GGUFReader) -> dict[str, np.ndarray]:
    """By name."""
    assert all(tensor.tensor_type == gguf.GGMLQuantizationType.F32 for tensor in reader.tensors)
    return {tensor.name: tensor.data for tensor in reader.tensors}


def test_a_model_reads_back(model: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(write_model(tmp_path / "model.gguf", model))
    written, expected = tensors(reader), load_file(model / "model.safetensors")
    assert len(written) == len(expected) == 2 + 4 * len(NAMES)
    assert np.array_equal(written["token_embd.weight"], expected["model.embed_tokens.weight"])
    assert np.array_equal(written["output_norm.weight"], expected["model.norm.weight"])
    for layer in range(4):
        for theirs, name in NAMES.items():
            weight = written[f"blk.{layer}.{name}.weight"]
            if name[-1] in HEADS:
                weight = halves(weight, HEADS[name[-1]])
            assert np.array_equal(weight, expected[f"model.layers.{layer}.{theirs}.weight"]), (layer, theirs)
    assert len(reader.fields["tokenizer.ggml.tokens"].contents()) == 2048


def test_an_adapter_reads_back(model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", model, 1)
    reader = gguf.GGUFReader(write_adapter(tmp_path / "adapter.gguf", adapter, model))
    written, expected = tensors(reader), load_file(adapter / "adapter_model.safetensors")
    assert len(written) == len(expected)
    for layer in range(4):
        for part in "qkv":
            theirs, ours = f"base_model.model.model.layers.{layer}.self_attn.{part}_proj", f"blk.{layer}.attn_{part}"
            assert np.array_equal(written[f"{ours}.weight.lora_a"], expected[f"{theirs}.lora_A.weight"])
            up = written[f"{ours}.weight.lora_b"]
            up = halves(up, HEADS[part]) if part in HEADS else up
            assert np.array_equal(up, expected[f"{theirs}.lora_B.weight"])
    fields = {name: reader.fields[name].contents() for name in ("general.type", "adapter.type", "adapter.lora.alpha")}
    assert fields == {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 32.0}
    assert reader.fields["adapter.alora.invocation_tokens"].contents() == list(INVOCATION[1:])


def test_a_plain_adapter_is_never_looked_for(model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "plain", model, 1, activated=False)
    reader = gguf.GGUFReader(write_adapter(tmp_path / "plain.gguf", adapter, model))
    assert "adapter.alora.invocation_tokens" not in reader.fields
