"""What is refused says what to do, for people and as `help` of the error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Mxfp4Config

from alora_runtime import Engine, Request, Run
from alora_runtime.adapters.config import CONFIG, PICKLE, read_adapter_config
from alora_runtime.adapters.config import WEIGHTS as LORA
from alora_runtime.adapters.header import check_weights
from alora_runtime.compute.weights import WEIGHTS
from alora_runtime.errors import AdapterError, ModelError
from tests.runtime.checkpoints import make_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"
PAGE = b"<!doctype html><title>Sign in</title>"
INSTEAD = {
    POINTER: ("it is a pointer of Git LFS", "`git lfs pull` fetches the file itself"),
    PAGE: ("it is a web page, perhaps of a download that failed", "fetch it again"),
    b"": ("it is empty", "fetch it again"),
}


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(base, tmp_path / "model")


@pytest.fixture
def adapter(adapters: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(adapters["one"], tmp_path / "adapter")


def changed(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as told:
        Engine.load(folder)
    return told.value


@pytest.mark.parametrize("content", INSTEAD)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", WEIGHTS])
def test_a_models_file_that_is_something_else(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    error, (told, help) = refused(folder), INSTEAD[content]
    assert (error.message, error.help) == (f"{folder / name} cannot be read: {told}", help)
    assert str(error) == f"{error.message}; {help}"


@pytest.mark.parametrize("content", INSTEAD)
@pytest.mark.parametrize("name", [CONFIG, LORA])
def test_an_adapters_file_that_is_something_else(adapter: Path, name: str, content: bytes) -> None:
    (adapter / name).write_bytes(content)
    with pytest.raises(AdapterError) as told:
        check_weights(read_adapter_config(adapter))
    assert told.value.message == f"{adapter / name} cannot be read: {INSTEAD[content][0]}"
    assert told.value.help == INSTEAD[content][1]


@pytest.mark.parametrize("left", [-8, 40, 4])
def test_weights_that_are_cut_short(folder: Path, adapter: Path, left: int) -> None:
    for file in (folder / WEIGHTS, adapter / LORA):
        file.write_bytes(file.read_bytes()[:left])
    assert refused(folder).message.endswith("cannot be read: it is cut short")
    with pytest.raises(AdapterError, match="cannot be read: it is cut short; fetch it again"):
        check_weights(read_adapter_config(adapter))


def test_quantized_weights_are_called_so(folder: Path) -> None:
    for method, help in (
        ("mxfp4", "Mxfp4Config(dequantize=True)).save_pretrained(OTHER, save_original_format=False)"),
        ("gptq", "use the checkpoint that it was made from"),
    ):
        changed(folder / "config.json", quantization_config={"quant_method": method})
        error = refused(folder)
        assert error.message.endswith(f"its weights are quantized (quantization_config: {method})")
        assert help in (error.help or "")
    changed(folder / "config.json", quantization_config=None)
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "model.norm.weight": tensors["model.norm.weight"].to(torch.float8_e4m3fn)}, folder / WEIGHTS)
    assert refused(folder).help == "use a checkpoint that is not quantized"


def test_what_is_said_of_mxfp4_works(tmp_path: Path) -> None:
    """As gpt-oss is published: the experts' weights in blocks of four bits, and a scale for each."""
    folder, whole = make_checkpoint(tmp_path / "model", "gpt_oss", hidden_size=64, intermediate_size=64), tmp_path / "w"
    tensors = load_file(folder / WEIGHTS)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.full((experts, outputs, inputs // 32), 124, dtype=torch.uint8)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    changed(folder / "config.json", quantization_config={"quant_method": "mxfp4"})
    assert "Mxfp4Config(dequantize=True)" in (refused(folder).help or "")
    theirs = AutoModelForCausalLM.from_pretrained(folder, quantization_config=Mxfp4Config(dequantize=True)).float()
    theirs.save_pretrained(whole, save_original_format=False)
    prompt = tuple(range(40))
    expected = theirs.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=None)[0, 40:]
    answer = Engine.load(whole).generate([Request([Run(prompt)], max_tokens=8, ignore_eos=True)])[0]
    assert list(answer.tokens) == expected.tolist()


def test_pickles(folder: Path, adapter: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    error = refused(folder)
    assert error.message.endswith("but pytorch_model.bin, which may run code when it is read")
    assert "save_pretrained" in (error.help or "")
    (adapter / LORA).rename(adapter / PICKLE)
    with pytest.raises(AdapterError, match=r"adapter_model.bin may run code.*; PEFT's save_pretrained"):
        read_adapter_config(adapter)


def test_a_language_model_inside_another_one(folder: Path) -> None:
    changed(folder / "config.json", model_type="gemma3", text_config={"model_type": "gemma3_text"})
    assert "as model_type 'gemma3_text'" in (refused(folder).help or "")


@pytest.mark.parametrize(
    ("rope", "lacks"),
    [
        ({"rope_type": "longrope", "long_factor": [1.0]}, "short_factor"),
        ({"rope_type": "linear"}, "factor"),
        ({"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0}, "high_freq_factor, original_max"),
    ],
)
def test_a_rope_that_lacks_a_number(folder: Path, rope: dict[str, object], lacks: str) -> None:
    changed(folder / "config.json", rope_parameters=rope)
    assert f"and rope_parameters lacks {lacks}" in refused(folder).message


@pytest.mark.parametrize(
    ("field", "value", "help"),
    [
        ("use_dora", True, "train the adapter without it"),
        ("modules_to_save", ["lm_head"], "train the adapter without it"),
        ("init_lora_weights", "pissa", "path_initial_model_for_weight_conversion"),
        ("init_lora_weights", "loftq", "train the adapter without it"),
    ],
)
def test_an_adapter_that_changes_more(adapter: Path, field: str, value: object, help: str) -> None:
    changed(adapter / CONFIG, **{field: value})
    with pytest.raises(AdapterError, match=rf"{CONFIG}: {field} = .* is not supported") as told:
        read_adapter_config(adapter)
    assert help in (told.value.help or "")
