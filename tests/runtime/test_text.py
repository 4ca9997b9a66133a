"""The text of answers: whole characters, stop strings, streams, time limits."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from alora_runtime import Constraint, Delta, Engine, Request, Run
from alora_runtime.answer.detokenizer import Detokenizer
from alora_runtime.errors import RequestError
from tests.runtime.checkpoints import make_tokenizer

TOKENIZER = make_tokenizer()
CONTEXT = [Run(tuple(13 * index % 256 for index in range(40)))]


def decode(tokens: list[int]) -> str:
    return TOKENIZER.decode(tokens, skip_special_tokens=True)


def pushed(tokens: list[int], *stops: str) -> Detokenizer:
    words = Detokenizer(TOKENIZER, stops)
    for token in tokens:
        words.push(token)
        if words.cut is not None:
            break
    return words


def encode(text: str) -> list[int]:
    return TOKENIZER.encode(text).ids


@given(st.lists(st.integers(0, 259)) | st.text().map(encode))
def test_text_grows_by_whole_characters_to_what_decoding_all_gives(tokens: list[int]) -> None:
    words = Detokenizer(TOKENIZER)
    for count, token in enumerate(tokens, 1):
        before = words.text
        words.push(token)
        assert words.text.startswith(before)
        assert words.whole == decode(tokens[:count])
        assert decode(tokens).startswith(words.text)


def test_decoders_that_trim_and_fall_back_to_bytes() -> None:
    vocabulary = {"▁a": 0, "▁b": 1, "<0xE2>": 2, "<0x82>": 3, "<0xAC>": 4, "<unk>": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    words = Detokenizer(tokenizer)
    seen = []
    for token in (0, 1, 2, 3, 4, 1, 0):
        words.push(token)
        seen.append(words.text)
    assert seen == ["a", "a b", "a b", "a b", "a b€", "a b€ b", "a b€ b a"]


@given(st.text("ab€", max_size=12), st.lists(st.text("ab€", min_size=1, max_size=3), min_size=1, max_size=3))
def test_the_text_ends_before_the_first_stop_string(text: str, stops: list[str]) -> None:
    words = pushed(encode(text), *stops)
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert (words.cut, words.whole) == (None, text)
        return
    done = [stop for stop in stops if text[: min(ends)].endswith(stop)]  # several may end with the same character
    assert words.whole == text[: min(ends) - max(map(len, done))]
    kept = words.tokens_of(len(words.whole))
    assert decode(encode(text)[:kept]) == words.whole


@given(st.text("ab€", max_size=12), st.lists(st.text("ab€", min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_is_safe_is_never_taken_back(text: str, stops: list[str]) -> None:
    final = pushed(encode(text), *stops).whole
    for count in range(len(encode(text))):
        words = pushed(encode(text)[:count], *stops)
        assert final.startswith(words.text[: words.safe])


def written(engine: Engine, **settings: object) -> Request:
    """A request whose text is known: 'the cat sat.' and an end."""
    return Request(CONTEXT, constraint=Constraint.regex("the cat sat€[.]"), max_tokens=40, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stop", "text"), [("cat", "the "), ("t s", "the ca"), ("the", ""), ("€", "the cat sat"), ("dog", "the cat sat€.")]
)
def test_stop_strings(engine: Engine, stop: str, text: str) -> None:
    completion = engine.generate([written(engine, stop_strings=("zebra", stop), logprobs=1)])[0]
    assert completion.text == text
    assert completion.finish == ("stop" if stop == "dog" else "stop_string")
    tokens = completion.tokens[: len(completion.tokens) - (stop == "dog")]
    assert decode(list(tokens)) == text
    assert len(completion.logprobs) == len(completion.tokens) == completion.generated + completion.forced
    engine.check()
    # The cache holds the prompt and the reported tokens but the last, and nothing of what was taken back.
    after = [*CONTEXT, Run((*completion.tokens, *encode("cat sat€.")))]
    again = engine.generate([Request(after, max_tokens=1)])[0]
    assert again.reused == 40 + max(0, len(completion.tokens) - 1)


@pytest.mark.parametrize("chunk", [1, 2048])
def test_stop_strings_in_free_text(make_engine: Callable[..., Engine], chunk: int) -> None:
    request = Request(CONTEXT, max_tokens=30, temperature=1.0, ignore_eos=True)
    whole = make_engine().generate([request])[0]
    at = next(at for at in range(5, len(whole.text)) if "\ufffd" not in whole.text[at : at + 2])
    stop = whole.text[at : at + 2]
    engine = make_engine(chunk_tokens=chunk)
    completion = engine.generate([replace(request, stop_strings=stop)])[0]
    assert completion.text == whole.text[: whole.text.index(stop)]
    assert completion.tokens == whole.tokens[: len(completion.tokens)]
    again = engine.generate([Request([*CONTEXT, Run(whole.tokens)], max_tokens=1)])[0]
    assert again.reused == 40 + len(completion.tokens) - 1


def streamed(engine: Engine, request: Request) -> tuple[list[Delta], int]:
    deltas: list[Delta] = []
    return deltas, engine.submit(request, deltas.append)


def test_streams_add_up_to_their_completions(engine: Engine) -> None:
    free = Request(CONTEXT, max_tokens=20, temperature=1.0, ignore_eos=True)
    requests = [
        *free.samples(4),
        written(engine, stop_strings=("sit", "t€?", "sat€!")),
        written(engine, stop_strings="sat"),
        Request(CONTEXT, choices=(encode("yes"), encode("no"))),
    ]
    streams = [streamed(engine, request) for request in requests]
    results = {}
    while engine.busy:
        results |= engine.step()
    for deltas, ticket in streams:
        completion = results[ticket]
        assert [delta.completion for delta in deltas] == [None] * (len(deltas) - 1) + [completion]
        assert "".join(delta.text for delta in deltas) == completion.text
        assert sum((delta.tokens for delta in deltas), ()) == completion.tokens
    assert len(streams[0][0]) == 20
    assert len({results[ticket].tokens for _, ticket in streams[:4]}) == 4
    assert results[streams[3][1]].prefilled == 0


def test_a_listener_may_cancel_and_may_fail(engine: Engine) -> None:
    request = Request(CONTEXT, max_tokens=9, ignore_eos=True)
    tickets: list[int] = []

    def failing(_: Delta) -> None:
        raise KeyError("of the listener")

    def cancelling(delta: Delta) -> None:
        if not delta.completion and len(tickets) == 5:
            for ticket in tickets[:4]:
                engine.cancel(ticket)

    tickets += [engine.submit(request, heard) for heard in (failing, None, cancelling, print, None)]
    results = {}
    while engine.busy:
        results |= engine.step()
        engine.check()
    assert [results[ticket].finish for ticket in tickets] == ["error", "cancelled", "cancelled", "cancelled", "length"]
    assert isinstance(results[tickets[0]].error, KeyError)
    with contextlib.suppress(KeyError):
        engine.generate([request])


@pytest.mark.parametrize("heard", [False, True])
def test_a_decoder_that_panics_ends_its_own_request_alone(
    base: Path, make_engine: Callable[..., Engine], tmp_path: Path, heard: bool
) -> None:
    request = Request(CONTEXT, max_tokens=4, ignore_eos=True)
    first, *_ = make_engine().generate([request])[0].tokens
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    tokenizer = make_tokenizer()
    empty = decoders.Replace(tokenizer.id_to_token(first), "")
    tokenizer.decoder = decoders.Sequence([empty, decoders.Strip(" ", 1, 1)])  # which can't strip what is empty
    tokenizer.save(str(folder / "tokenizer.json"))
    engine = Engine.load(folder, cache_tokens=200)
    ticket = engine.submit(request, print if heard else None)
    other = engine.submit(Request(CONTEXT, choices=[(1, 2), (3,)]))
    results = {}
    while engine.busy:
        results |= engine.step()
    assert results[other].finish == "choice"
    assert results[ticket].finish == "error"
    assert str(results[ticket].error).startswith("the tokenizer's decoder fails: ")
    engine.check()


def test_timeouts(engine: Engine) -> None:
    late = Request(CONTEXT, max_tokens=100, timeout=0.0, ignore_eos=True)
    completions = engine.generate([late, Request(CONTEXT, max_tokens=2, timeout=60.0, ignore_eos=True)])
    assert [completion.finish for completion in completions] == ["timeout", "length"]
    assert completions[0].tokens == ()
    engine.check()


def test_a_listener_may_cancel_what_is_just_ending(engine: Engine) -> None:
    tickets: list[int] = []

    def cancelling(_: Delta) -> None:
        for ticket in tickets:
            engine.cancel(ticket)

    request = Request(CONTEXT, max_tokens=1, ignore_eos=True)
    tickets += [engine.submit(request, heard) for heard in (cancelling, cancelling, None)]
    results = {}
    while engine.busy:
        results |= engine.step()
        engine.check()
    assert [results[ticket].finish for ticket in tickets] == ["length", "cancelled", "cancelled"]


def test_time_limits_of_requests_that_are_done_are_not_kept(engine: Engine) -> None:
    """Neither where they are next, nor behind that of one which takes long."""
    engine.generate([Request(CONTEXT, max_tokens=1, timeout=3600.0)] * 3)
    engine.submit(Request(CONTEXT, max_tokens=1))
    engine.step()
    assert engine.inspect().deadlines == 0
    slow = engine.submit(Request(CONTEXT, max_tokens=100, timeout=60.0, ignore_eos=True))
    for _ in range(1000):
        engine.cancel(engine.submit(Request(CONTEXT, timeout=3600.0)))
    assert engine.inspect().deadlines < 200
    assert dict(engine.step()).keys().isdisjoint({slow})
    engine._deadlines = [(min(engine._deadlines)[0] - 60.0, slow)]
    assert dict(engine.step())[slow].finish == "timeout"


def test_bad_settings(engine: Engine) -> None:
    for settings, message in (({"stop_strings": ("a", "")}, "stop string is empty"), ({"timeout": -1.0}, "timeout")):
        with pytest.raises(RequestError, match=message):
            engine.submit(Request(CONTEXT, **settings))  # type: ignore[arg-type]
