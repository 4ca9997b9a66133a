"""Folders that came from anywhere: only safetensors are read, and whatever is wrong has a file and a field."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoModel

from alora_runtime import Engine, Request, Run
from alora_runtime.adapters import config
from alora_runtime.adapters.config import read_adapter_config
from alora_runtime.compute.weights import INDEX, WEIGHTS
from alora_runtime.errors import AdapterError, CapacityError, ModelError

ASKED = [Request([Run((1, 2, 3))], max_tokens=4, ignore_eos=True)]
DEEP = '{"a":' * 5000 + "1" + "}" * 5000


class Trap:
    """A pickle that runs code when it is loaded."""

    sprung = False

    def __reduce__(self) -> tuple[object, ...]:
        return setattr, (Trap, "sprung", True)


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of the model."""
    return shutil.copytree(base, tmp_path / "model")


def changed(folder: Path, name: str, text: str | None = None, **fields: object) -> None:
    """Put other fields, or another text, into a JSON file."""
    path = folder / name
    path.write_text(text or json.dumps(json.loads(path.read_text()) | fields))


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "stray.safetensors")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor"):
        Engine.load(folder)
    for name in ("pytorch_model.bin", "../stray.safetensors", "/etc/stray.safetensors", 7, "missing.safetensors"):
        (folder / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
        with pytest.raises(ModelError, match=r"index\.json: weight_map names"):
            Engine.load(folder)
    assert not Trap.sprung


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("values", [[NAN], [INF], [-INF], [INF, -INF]], ids=str)
def test_weights_that_are_not_finite(folder: Path, values: list[float]) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][: len(values)] = torch.tensor(values)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"not finite, in model\.norm\.weight"):
        Engine.load(folder)


def test_weights_whose_sum_is_not_finite(folder: Path) -> None:
    """They are large, and numbers all the same."""
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][:] = torch.finfo(torch.float32).max
    save_file(tensors, folder / WEIGHTS)
    Engine.load(folder)


def test_weights_in_several_files(folder: Path, base: Path) -> None:
    tensors = sorted(load_file(folder / WEIGHTS).items())
    (folder / WEIGHTS).unlink()
    for index, part in enumerate((tensors[:9], tensors[9:])):
        save_file(dict(part), folder / f"{index}.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "0.safetensors", "b": "1.safetensors"}}))
    expected = Engine.load(base, cache_tokens=64).generate(ASKED)[0]
    assert Engine.load(folder, cache_tokens=64).generate(ASKED)[0].tokens == expected.tokens
    shutil.copy(folder / "0.safetensors", folder / "1.safetensors")
    with pytest.raises(ModelError, match=r"1\.safetensors holds .* and so does .*0\.safetensors"):
        Engine.load(folder)


def test_weights_are_those_of_the_configuration(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    for layers in (2, 4, 10**9):
        changed(folder, "config.json", num_hidden_layers=layers)
        with pytest.raises(ModelError, match=rf"config\.json: num_hidden_layers is {layers}, and 3 layers are stored"):
            Engine.load(folder)
    changed(folder, "config.json", num_hidden_layers=3)
    name = "model.layers.1.mlp.up_proj.weight"
    for other in ({"model.layers.1.extra": torch.ones(2)}, {"lm_head.weight": torch.ones(272, 32)}):
        save_file(tensors | other, folder / WEIGHTS)
        with pytest.raises(ModelError, match=next(iter(other))):
            Engine.load(folder)
    for dtype in (torch.int8, torch.uint8, torch.float8_e4m3fn):
        save_file(tensors | {name: tensors[name].to(dtype)}, folder / WEIGHTS)
        with pytest.raises(ModelError, match=rf"{name} is stored as "):
            Engine.load(folder)
    harmless = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file(tensors | harmless | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, folder / WEIGHTS)
    assert len(Engine.load(folder, cache_tokens=64).generate(ASKED)[0].tokens) == 4


NO_SENSE = {
    **dict.fromkeys(
        (
            *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
            *("head_dim", "vocab_size", "max_position_embeddings"),
        ),
        (0, -1, 10**30, "8", 1.5, [1], {}, True),
    ),
    "rms_norm_eps": (0, -1, "x", [], False, 10**30),
    "rope_scaling": (
        *({"rope_type": "llama3", "factor": "x"}, {"type": "default", "rope_theta": -1}),
        *({"rope_type": "yarn", "factor": 2.0, "attention_factor": value} for value in ("x", [1.0], {}, 0)),
        *(True, 3, "x", [1], [[]]),
    ),
    "tie_word_embeddings": (0, "true", []),
    "hidden_act": ("x", 1, ["silu"], {}),
    "model_type": (1, [], {}),
    "rope_parameters": tuple({"rope_type": "longrope", "short_factor": value} for value in (1.0, ["a"], [0])),
    "eos_token_id": (-1, "x", 1.5, [1, "x"], {}, True),
}


def test_every_field_has_to_make_sense(folder: Path) -> None:
    kept = json.loads((folder / "config.json").read_text()) | {"rope_parameters": None}
    for field, values in NO_SENSE.items():
        for value in values:
            changed(folder, "config.json", json.dumps(kept | {field: value}))
            word = "rope_parameters|short_factor" if field == "rope_parameters" else field
            word = "factor|rope_theta|attention_factor|rope_scaling" if field == "rope_scaling" else word
            with pytest.raises(ModelError, match=rf"config\.json: ({word}) must be "):
                Engine.load(folder)
    changed(folder, "config.json", json.dumps(kept | {"num_key_value_heads": 3}))
    with pytest.raises(ModelError, match="not a multiple of num_key_value_heads"):
        Engine.load(folder)
    for text, message in (
        (DEEP, "nested too deeply"),
        ('{"rms_norm_eps": 1e400}', "rms_norm_eps is not a finite number"),
        ('{"a": {"b": [1, NaN]}}', r"a\.b\.1 is not a finite number"),
        ("[]", "is not a JSON object"),
        ("\x00", "cannot be read"),
    ):
        changed(folder, "config.json", text)
        with pytest.raises(ModelError, match=rf"config\.json.*{message}"):
            Engine.load(folder)


def test_the_end_of_an_answer_may_be_token_0(folder: Path) -> None:
    changed(folder, "generation_config.json", eos_token_id=0)
    assert Engine.load(folder, cache_tokens=64).model.source.eos == (0,)
    changed(folder, "generation_config.json", eos_token_id=-1)
    with pytest.raises(ModelError, match=r"generation_config\.json: eos_token_id must be a token id"):
        Engine.load(folder)


@pytest.mark.parametrize(
    ("settings", "expected"), [({"eos_token": "<eos>"}, (256,)), ({"eos_token": {"content": "b"}}, (98,)), ({}, ())]
)
def test_without_an_end_in_the_configuration_the_tokenizers_own_ends(
    folder: Path, settings: dict[str, object], expected: tuple[int, ...]
) -> None:
    changed(folder, "config.json", eos_token_id=None)
    (folder / "generation_config.json").unlink(missing_ok=True)
    made = Tokenizer(models.BPE({chr(number): number for number in range(256)}, []))
    made.add_special_tokens(["<eos>"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Engine.load(folder, cache_tokens=64).model.source.eos == expected


@pytest.fixture
def adapter(adapters: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Copies of an adapter with other fields."""
    numbers: Iterator[int] = iter(range(1000))

    def make(**fields: object) -> Path:
        copy = shutil.copytree(adapters["one"], tmp_path / f"adapter{next(numbers)}")
        changed(copy, "adapter_config.json", **fields)
        return copy

    return make


WRONG_FIELDS = {
    "r": (0, -1, 1.5, "4", True, None, 10**30, [4]),
    "lora_alpha": ("much", True, None, [1], 10**30),
    "use_rslora": ("yes", 1, [1], 0, "", []),
    "target_modules": ("(", [1], {"a": 1}, 7, ["q_proj", None]),
    "exclude_modules": ("(", [1]),
    "layers_to_transform": (-1, "1", [0, "x"], [1.5], 10**30),
    "layers_pattern": (7, [1], ["("]),
    "rank_pattern": ({"(": 1}, {"q_proj": 0}, {"q_proj": "x"}, ["q_proj"], 3, 0, False, "", []),
    "alpha_pattern": ({"(": 1}, {"q_proj": "x"}, ["q_proj"], 0, False, "", []),
    "invocation_string": (7, ["x"], 0, False, []),
    "alora_invocation_tokens": (0.0, False, {}, "", ["x"], [-1], [1.5], "ab", [10**30], [True]),
}


def test_every_field_of_an_adapter_has_to_make_sense(adapter: Callable[..., Path]) -> None:
    folder = adapter()
    kept = (folder / "adapter_config.json").read_text()
    for field, values in WRONG_FIELDS.items():
        for value in values:
            changed(folder, "adapter_config.json", json.dumps(json.loads(kept) | {field: value}))
            with pytest.raises(AdapterError, match=rf"adapter_config\.json: {field}[^ ]* must be "):
                read_adapter_config(folder)
    for text, message in (
        (DEEP, "nested too deeply"),
        ('{"r": 1e400}', "r is not a finite"),
        ("3", "not a JSON object"),
    ):
        changed(folder, "adapter_config.json", text)
        with pytest.raises(AdapterError, match=rf"adapter_config\.json.*{message}"):
            read_adapter_config(folder)
    for field in ("r", "lora_alpha", "target_modules"):
        changed(folder, "adapter_config.json", json.dumps({k: v for k, v in json.loads(kept).items() if k != field}))
        with pytest.raises(AdapterError, match=rf"the field '{field}' is missing"):
            read_adapter_config(folder)


@pytest.mark.parametrize("field", ["target_modules", "exclude_modules", "rank_pattern", "layers_pattern"])
def test_a_pattern_that_takes_for_ever_is_stopped(
    engine: Engine, adapter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(config, "PATIENCE", 0.05)
    pattern = r"(?:(?P<x>\w|\.|[a-z])+)+(?P=x)(?P=x)[A-Z]"
    value = {pattern: 3} if field == "rank_pattern" else pattern
    extra = {"layers_to_transform": [1]} if field == "layers_pattern" else {}
    folder = adapter(**{field: value}, **extra)
    began = monotonic()
    with pytest.raises(AdapterError, match=rf"adapter_config\.json: {field} has the pattern .* takes for ever on"):
        engine.add_adapter("slow", folder)
    assert monotonic() - began < 30  # at once, and on the busiest machine not never


def test_adapters_that_do_not_fit(engine: Engine, adapter: Callable[..., Path]) -> None:
    with pytest.raises(AdapterError, match=r"no adapter 'on'.*did you mean 'one'"):
        engine.remove_adapter("on")
    with pytest.raises(AdapterError, match="invoked by token 5000"):
        engine.add_adapter("new", adapter(alora_invocation_tokens=[5000]))
    for dtype in (torch.int8, torch.float8_e4m3fn):
        folder = adapter()
        path = folder / "adapter_model.safetensors"
        tensors = load_file(path)
        os.unlink(path)
        save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, path)
        with pytest.raises(AdapterError, match=rf"lora_A of .* as {dtype}"):
            engine.add_adapter("new", folder)
    assert "new" not in engine.adapters


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("attention", ["fast", "reference"])
def test_a_body_without_its_output_matrix(folder: Path, base: Path, attention: str, several: bool) -> None:
    """As transformers saves a LlamaModel; with tied embeddings nothing is missing."""
    AutoModel.from_pretrained(base).save_pretrained(folder, max_shard_size="40KB" if several else "1GB")
    names = [name for file in folder.glob("*.safetensors") for name in load_file(file)]
    if several:
        (folder / WEIGHTS).unlink()
    assert several == (folder / INDEX).is_file()
    assert several or not any(name.startswith("model.") for name in names)
    whole, body = (Engine.load(place, attention=attention).generate(ASKED)[0] for place in (base, folder))
    assert body.tokens == whole.tokens


def test_a_body_of_untied_embeddings_lacks_its_output_matrix(folder: Path, base: Path) -> None:
    AutoModel.from_pretrained(base).save_pretrained(folder)
    changed(folder, "config.json", tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"means lm_head\.weight to be \[272, 32\], and what is stored is nothing"):
        Engine.load(folder)


ARGUMENTS = {
    "model_dir": [3, None, b"model", ["model"], "a\0b"],
    "dtype": [3, None, ["float32"], torch.float32],
    "attention": [1, None, ["fast"]],
    "device": [3, None, torch.device("cpu"), "nothing", ""],
    "processor": [3, ["cpu"], ""],
    "progress": [3, "tell"],
    "adapters": [3, "one", ["one"], {3: "one"}, {"": "one"}, {"one": None}, {"one": 3}, {"one": "a\0b"}],
    "cache_tokens": [1.5, "8", True, float("nan"), 0, -1, 10**18, 10**400],
    "cache_bytes": [1.5, "8", True, 0, -1],
    "chunk_tokens": [1.5, "8", None, True, 0],
    "step_seconds": ["1", None, True, float("nan"), 0, -1, 1j],
    "reuse": [torch.tensor([1, 2])],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, own in ARGUMENTS.items() for value in own],
    ids=lambda value: repr(value)[:20],
)
def test_every_argument_has_a_type(base: Path, field: str, value: object) -> None:
    given = {"model_dir": base, field: value}
    with pytest.raises((ModelError, AdapterError, CapacityError)) as caught:
        Engine.load(**given)  # type: ignore[arg-type]
    assert field.rstrip("s") in str(caught.value)


def test_integers_of_others_are_welcome(base: Path) -> None:
    engine = Engine.load(base, cache_tokens=np.int64(64), chunk_tokens=torch.tensor(8), step_seconds=np.float32(1))  # type: ignore[arg-type]
    assert engine.cache_tokens == 64
    assert engine.generate(ASKED)[0].tokens == Engine.load(base).generate(ASKED)[0].tokens
    with pytest.raises(ModelError, match=r"Engine\.load takes a folder"):
        Engine("model")  # type: ignore[arg-type]
