"""A GGUF file is the model that it was made of: its weights, its tokenizer, and refusals of what is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from alora_runtime import Engine, Request, Run
from alora_runtime.errors import ModelError
from alora_runtime.gguf import weights
from alora_runtime.gguf.opening import model_folder
from tests.runtime.checkpoints import PADDED, Oracle, make_checkpoint
from tests.runtime.gguf_files import STORED, byte_tokens, write_file

PROMPT = [72, 101, 108, 108, 111, 32, 119, 111]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder is the test's own."""
    monkeypatch.setenv("ALORA_FLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


def answers_as(engine: Engine, checkpoint: Path) -> None:
    """As transformers computes the checkpoint."""
    (found,) = engine.generate([Request([Run(PROMPT)], max_tokens=6, ignore_eos=True, logprobs=5)])
    oracle = Oracle(checkpoint, {})
    assert list(found.tokens) == oracle.greedy([(token, None) for token in PROMPT], 6)
    logits = oracle.logits([(token, None) for token in [*PROMPT, *found.tokens[:-1]]])
    for row, logprobs in zip(logits[len(PROMPT) - 1 :].log_softmax(-1), found.logprobs, strict=True):
        for token, value in logprobs.items():
            assert value == pytest.approx(float(row[token]), abs=2e-4)


@pytest.mark.parametrize("architecture", STORED)
def test_every_family_computes_what_transformers_does(architecture: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", architecture, **STORED[architecture])
    answers_as(Engine.load(write_file(tmp_path / "model.gguf", checkpoint), cache_tokens=64), checkpoint)


@pytest.mark.parametrize("rope", ["linear", "yarn"])
def test_a_scaled_rope_is_read(rope: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", "qwen3")
    config = json.loads((checkpoint / "config.json").read_text())
    config["rope_parameters"] = {
        "rope_type": rope,
        "rope_theta": 1e4,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    (checkpoint / "config.json").write_text(json.dumps(config))
    answers_as(Engine.load(write_file(tmp_path / "model.gguf", checkpoint), cache_tokens=64), checkpoint)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_weights_are_the_numbers_that_they_stand_for(kind: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    folder = model_folder(write_file(tmp_path / "model.gguf", checkpoint, Type[kind]))
    stored = load_file(folder / "model.safetensors")
    original = load_file(checkpoint / "model.safetensors")
    assert stored.keys() == original.keys()
    for name, tensor in original.items():
        array = tensor.numpy()
        fits = array.ndim > 1 and array.shape[-1] % gguf.GGML_QUANT_SIZES[Type[kind]][0] == 0
        held = gguf.dequantize(gguf.quantize(array, Type[kind]), Type[kind]) if fits else array
        assert torch.equal(stored[name].float(), torch.from_numpy(np.array(held, np.float32))), name
    assert stored["model.layers.0.self_attn.q_proj.weight"].dtype == {"F16": torch.float16, "BF16": torch.bfloat16}.get(
        kind, torch.float32
    )
    save_file({name: tensor.float() for name, tensor in stored.items()}, checkpoint / "model.safetensors")
    answers_as(Engine.load(folder, cache_tokens=64), checkpoint)


def test_the_folder_is_one_of_transformers(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    tokens = byte_tokens(checkpoint, PADDED)
    tokens |= {
        "chat_template": "{{ messages }}",
        "ggml.bos_token_id": 257,
        "ggml.add_bos_token": True,
        "ggml.eot_token_id": 258,
    }
    folder = model_folder(write_file(tmp_path / "model.gguf", checkpoint, tokens=tokens))
    found = AutoTokenizer.from_pretrained(folder)
    assert (found.chat_template, found.bos_token, found.eos_token) == ("{{ messages }}", "<|call|>", "<|end|>")
    assert found("a<|go|>").input_ids == [
        257,
        Tokenizer.from_file(str(checkpoint / "tokenizer.json")).encode("a").ids[0],
        258,
    ]
    assert len(found) == 260  # padding of the matrix is no token
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [256, 258]
    assert Engine.load(folder, cache_tokens=8).model.source.eos == (256, 258)


def test_a_file_is_converted_once_and_anew_when_it_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, told = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model")), []
    folder = model_folder(file, lambda done, total: told.append((done, total)))
    size = (folder / "model.safetensors").stat().st_size
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    assert 0 < size - told[-1][1] < 10_000  # the header
    monkeypatch.setattr(weights, "write_weights", None)
    assert model_folder(file) == folder
    monkeypatch.undo()
    os.environ["ALORA_FLOW_CACHE"] = str(cache.parent)
    os.utime(file, ns=(0, 0))
    assert model_folder(file) != folder


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_conversion_that_breaks_off_leaves_nothing(tmp_path: Path, cache: Path, error: BaseException) -> None:
    file = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model"))

    def stop(done: int, total: int) -> None:
        raise error

    with pytest.raises((KeyboardInterrupt, ModelError)) as caught:
        model_folder(file, stop)
    if isinstance(error, OSError):
        assert "No space left on device; the environment variable ALORA_FLOW_CACHE" in str(caught.value)
    assert list(cache.iterdir()) == []


def test_of_two_conversions_at_once_one_is_kept(tmp_path: Path, cache: Path) -> None:
    file, others = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model")), []
    folder = model_folder(file, lambda done, total: others or others.append(model_folder(file)))
    assert [folder] == others == list(cache.iterdir())


def test_what_a_killed_conversion_left_is_swept(tmp_path: Path, cache: Path) -> None:
    (old := cache / "x.part-abc").mkdir(parents=True)
    os.utime(old, (0, 0))
    folder = model_folder(write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model")))
    assert list(cache.iterdir()) == [folder]


def test_a_converted_file_needs_no_gguf_package(tmp_path: Path) -> None:
    file = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model"))
    code = (
        "import sys; sys.modules['gguf'] = None\n"
        "from alora_runtime.errors import ModelError\n"
        "from alora_runtime.gguf.opening import model_folder\n"
        "try: print(model_folder(sys.argv[1]))\n"
        "except ModelError as error: print(error)\n"
        "print('torch' in sys.modules)"
    )
    run = [sys.executable, "-c", code, str(file)]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert told == f"{file} needs the gguf package: pip install 'alora-flow[gguf]'\nFalse\n"
    folder = model_folder(file)
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"{folder}\nFalse\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"<!doctype html>", "web page"),
        (b"tjgg\x01\x00\x00\x00", "before GGUF"),
        (b"PK\x03\x04", r"it begins with b'PK"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_is(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        Engine.load(tmp_path / "model.gguf")


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model")).read_bytes()
    cut = tmp_path / "cut.gguf"
    for end in [*range(4, 200, 7), *range(200, len(whole), len(whole) // 40), len(whole) - 33]:
        cut.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=r"cut.gguf is cut short"):
            model_folder(cut)


def test_a_damaged_file_is_refused_or_read_and_never_breaks(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model")).read_bytes()
    generator, bad = np.random.default_rng(0), tmp_path / "bad.gguf"
    for _ in range(150):
        content = bytearray(whole)
        content[int(generator.integers(4, 1600))] = int(generator.integers(256))
        bad.write_bytes(content)
        with suppress(ModelError):
            model_folder(bad)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba' is not supported; supported are .* gemma3$"),
        (
            {"general.architecture": "gpt-oss"},
            "'gpt-oss' is not supported.*; the model's own checkpoint",
        ),
        ({"general.architecture": "phi3"}, "'phi3' is not supported.*; the model's own checkpoint"),
        ({"general.type": "adapter"}, "holds what GGUF calls 'adapter', not a model"),
        ({"split.count": 3, "split.no": 1}, "is part 2 of 3; join them: llama-gguf-split --merge"),
        (
            {"tokenizer.ggml.pre": "smollm3"},
            r"tokenizer.ggml.pre 'smollm3' is not supported; supported are .*smollm.* own checkpoint in safetensors",
        ),
        ({"tokenizer.ggml.pre": None}, "lacks tokenizer.ggml.pre"),
        ({"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model 't5' is not supported; supported are gpt2, llama"),
        ({"tokenizer.ggml.tokens": None}, "holds no tokenizer"),
        ({"tokenizer.ggml.token_type": [1]}, "token_type has 1 entries for 272 tokens"),
        ({"tokenizer.ggml.merges": ["a zz"]}, "merges do not fit the tokens"),
        ({"tokenizer.ggml.eos_token_id": 4711}, "eos_token_id is 4711, and there are 260 tokens"),
        ({"llama.expert_count": 8}, "mixtures of experts are not supported"),
        ({"llama.attention.sliding_window": 16}, "llama.attention.sliding_window, 16, is not supported; the model"),
        ({"llama.attn_logit_softcapping": 3.0}, "llama.attn_logit_softcapping is not supported"),
        ({"llama.rope.scaling.type": "longrope"}, "'longrope' is not supported"),
        ({"llama.rope.dimension_count": 4}, "rope.dimension_count must be the size of a head, 8"),
        ({"llama.block_count": "three"}, "llama.block_count must be a whole number, not 'three'"),
        ({"llama.block_count": 0}, "llama.block_count must be at least 1, not 0"),
        ({"llama.block_count": 4}, "says that it has 4 layers, and holds 3"),
        ({"llama.attention.head_count": 3}, "num_attention_heads .3. is not a multiple of num_key_value_heads"),
        ({"llama.attention.key_length": 7}, "a head must be of an even size, not of 7"),
        ({"llama.attention.layer_norm_rms_epsilon": float("inf")}, "rms_norm_eps is not a finite number"),
        ({"llama.context_length": None}, "lacks llama.context_length"),
    ],
)
def test_what_cannot_be_read_right_is_refused_by_its_key(other: dict[str, object], reason: str, tmp_path: Path) -> None:
    file = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model"), other=other)
    with pytest.raises(ModelError, match=reason):
        model_folder(file)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"gemma3.attention.sliding_window": None}, "lacks gemma3.attention.sliding_window"),
        ({"gemma3.attention.sliding_window": 0}, "sliding_window must be an integer from 1"),
        ({"gemma3.attention.sliding_window_pattern": 0}, "sliding_window_pattern must be at least 1, not 0"),
        ({"gemma3.attention.sliding_window_pattern": [True]}, "sliding_window_pattern must be a whole number"),
        ({"gemma3.attn_logit_softcapping": 3.0}, "gemma3.attn_logit_softcapping is not supported"),
    ],
)
def test_a_window_that_cannot_be_read_right_is_refused(other: dict[str, object], reason: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", "gemma3", **STORED["gemma3"])
    file = write_file(tmp_path / "model.gguf", checkpoint, other={"gemma3.attn_logit_softcapping": None, **other})
    with pytest.raises(ModelError, match=reason):
        model_folder(file)


def test_every_other_layer_of_a_gemma_looks_over_everything(tmp_path: Path) -> None:
    """By the architecture's own rhythm, or by what the file says."""
    shape = {**STORED["gemma3"], "sliding_window_pattern": 3}
    checkpoint = make_checkpoint(tmp_path / "model", "gemma3", **shape)
    rhythm = {"gemma3.attention.sliding_window_pattern": 3, "gemma3.rope.freq_base_swa": 1e4}
    answers_as(Engine.load(write_file(tmp_path / "model.gguf", checkpoint, other=rhythm), cache_tokens=64), checkpoint)


@pytest.mark.parametrize("count", [None, 0, 1])
def test_a_whole_file_may_have_the_name_of_a_part(count: int | None, tmp_path: Path) -> None:
    """What a file is stands in it; one that was joined may have kept the name of its first part."""
    checkpoint, name = make_checkpoint(tmp_path / "model"), "model-00001-of-00002.gguf"
    answers_as(
        Engine.load(write_file(tmp_path / name, checkpoint, other={"split.count": count}), cache_tokens=64), checkpoint
    )


def test_a_type_that_cannot_be_read_is_refused_before_any_weights(tmp_path: Path) -> None:
    checkpoint, told = make_checkpoint(tmp_path / "model", hidden_size=256), []
    name, (block, size) = "blk.2.ffn_up.weight", gguf.GGML_QUANT_SIZES[Type.Q8_K]
    raw = {name: (np.zeros((48, 256 // block * size), np.uint8), Type.Q8_K)}
    with pytest.raises(ModelError, match=rf"{name} is of a type that cannot be read: .*Q8_K"):
        model_folder(
            write_file(tmp_path / "model.gguf", checkpoint, raw=raw), lambda done, total: told.append((done, total))
        )
    assert told == []


def test_a_layer_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    stored = load_file(checkpoint / "model.safetensors")
    del stored["model.layers.1.self_attn.v_proj.weight"]
    save_file(stored, checkpoint / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks the tensor blk.1.attn_v.weight, which other layers have"):
        model_folder(write_file(tmp_path / "model.gguf", checkpoint))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("blk.0.ssm_in.weight", "no place for the tensor blk.0.ssm_in.weight"),
        ("rope_freqs.weight", "other values than Llama 3's rope"),
    ],
)
def test_a_tensor_without_a_place_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    extra = {name: np.array([3.0, 1.0, 7.0, 1.0], np.float32)}
    file = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model"), extra=extra)
    with pytest.raises(ModelError, match=reason):
        model_folder(file)


def test_a_missing_file_and_a_full_disk_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"GGUF file .* does not exist"):
        Engine.load(tmp_path / "none.gguf")
    file = write_file(tmp_path / "model.gguf", make_checkpoint(tmp_path / "model"))
    monkeypatch.setattr(weights, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(ModelError, match=r"has room for 0.0 GB; the environment variable ALORA_FLOW_CACHE"):
        Engine.load(file)
    monkeypatch.setenv("ALORA_FLOW_CACHE", str(file))
    with pytest.raises(ModelError, match=r"cannot be converted in .* ALORA_FLOW_CACHE"):
        Engine.load(file)
