"""Which invocation a growing answer has written: in token ids and in text, across steps, forced tokens and calls."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from alora_runtime import Completion, Constraint, Delta, Engine, Request, Run, TextTrigger, Trigger
from alora_runtime.answer.automaton import Automaton, Found, Search
from alora_runtime.errors import ConstraintError, RequestError
from tests.runtime.scripts import LETTERS, script
from tests.runtime.serving import serve

WORDS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


def leftmost_longest(words: list[str], text: str) -> Found | None:
    """What stands first, and of what begins there the longest, by looking everywhere."""
    every = [
        Found(index, start, start + len(word))
        for index, word in enumerate(words)
        for start in range(len(text))
        if text.startswith(word, start)
    ]
    return min(every, key=lambda found: (found.start, -found.end), default=None)


@given(WORDS, st.text("abc", max_size=12))
def test_the_first_and_of_these_the_longest_is_found(words: list[str], text: str) -> None:
    search = Search(Automaton(words))
    for length in range(1, len(text) + 1):
        decided = search.push(text[length - 1])
        assert search.found == leftmost_longest(words, text[:length])
        later = {leftmost_longest(words, text[:length] + more) for more in CONTINUATIONS}
        assert decided == (later == {search.found} and search.found is not None)
        begun = [
            length - size for size in range(1, 5) if any(w.startswith(text[length - size : length]) for w in words)
        ]
        first = search.found.start if search.found else length
        assert search.clear == min([first, *(start for start in begun if start >= 0)])
        if decided:
            return


CONTINUATIONS = ["", *(a + b + c + d for a in "abc" for b in "abc" for c in "abc" for d in "abc")]


def test_what_was_there_before_does_not_count() -> None:
    search = Search(Automaton([(1, 2), (1, 2, 3)]), length=10)
    assert [search.push(token) for token in (2, 1, 2)] == [False] * 3
    assert (search.found, search.clear) == (Found(0, 11, 13), 11)
    assert search.push(3)
    assert search.found == Found(1, 11, 14)


CONTEXT = tuple(13 * index % 256 for index in range(20))
SHORT, LONG, OTHER, WORD = (257, 40), (257, 40, 258), (257, 41), (259,)
TRIGGERS = [Trigger("short", SHORT), Trigger("long", LONG), Trigger("other", OTHER), Trigger("word", WORD)]
CALLING = Request([Run(CONTEXT)], max_tokens=12, triggers=TRIGGERS, logprobs=2)


def written(engine: Engine, *parts: str | Sequence[int] | int, forced: bool = False, **fields: Any) -> Completion:
    """What comes of a request whose answer is this script."""
    request = replace(CALLING, constraint=script(*parts, forced=forced), **fields)
    answer = serve(engine, [request])[0]
    heard: list[Delta] = []
    ticket = engine.submit(request, heard.append)
    while engine.busy:
        told = dict(engine.step())
    assert told[ticket].tokens == answer.tokens
    assert told[ticket].text == answer.text
    reply = tuple(token for delta in heard for token in delta.tokens)
    text = "".join(delta.text for delta in heard)
    held = answer.finish == "invoked" and request.stop_strings
    assert held or (reply, text) == (answer.tokens, answer.text)
    assert answer.tokens[: len(reply)] == reply
    assert answer.text.startswith(text)
    assert len(answer.logprobs) == len(answer.tokens)
    return answer


def text_of(tokens: Sequence[int]) -> str:
    return LETTERS.decode(list(tokens))


FORCED = pytest.mark.parametrize("forced", [False, True], ids=["sampled", "forced"])


@FORCED
@pytest.mark.parametrize(
    ("parts", "name", "reply"),
    [
        (["ab", WORD], "word", "ab"),
        ([WORD, "ab"], "word", ""),
        (["ab", SHORT, "cd"], "short", "ab"),
        (["ab", LONG, "cd"], "long", "ab"),
        (["ab", OTHER, "cd"], "other", "ab"),
        (["ab", (257,), OTHER], "other", "ab"),
        (["ab", (257,), WORD], "word", "ab"),
        (["ab", SHORT, WORD], "short", "ab"),
        (["ab", SHORT, (256,)], "short", "ab"),
        (["0123456789", SHORT], "short", "0123456789"),
        (["01234567890", WORD], "word", "01234567890"),
    ],
)
def test_an_invocation_ends_the_answer(
    engine: Engine, parts: list[str | tuple[int, ...]], name: str, reply: str, forced: bool
) -> None:
    """Of one token or several, of equal beginnings, one the beginning of another, as the first and the last thing."""
    answer = written(engine, *parts, forced=forced)
    assert answer.suspended is not None
    assert (answer.finish, answer.suspended.trigger, answer.text) == ("invoked", name, reply)
    invocation = next(trigger.tokens for trigger in TRIGGERS if trigger.name == name)
    assert answer.suspended.invocation == invocation
    assert answer.suspended.reply == answer.tokens
    assert answer.suspended.written == (*answer.tokens, *invocation)
    assert answer.generated + answer.forced == len(answer.suspended.written)


def test_what_is_written_stays_in_the_cache_but_for_the_last_token(make_engine: Callable[..., Engine]) -> None:
    for parts, forced in itertools.product(([WORD], ["ab", SHORT, "c"], ["abc", LONG]), (False, True)):
        engine = make_engine()
        suspended = written(engine, *parts, forced=forced).suspended
        assert suspended is not None
        kept = sum(len(run.tokens) for run in engine.inspect().runs)
        assert kept == len(CONTEXT) + len(suspended.written) - 1
        probe = Request([Run((*CONTEXT, *suspended.written))], max_tokens=1)
        assert engine.generate([probe])[0].prefilled == 1


def finish(answer: Completion) -> tuple[str, str, str | None]:
    return answer.finish, answer.text, answer.suspended and answer.suspended.trigger


@FORCED
def test_an_invocation_that_is_cut_off_is_none(engine: Engine, forced: bool) -> None:
    by_length = written(engine, "0123456789", (257, 41), max_tokens=11, forced=forced)
    assert finish(by_length) == ("length", "0123456789", None)
    assert by_length.tokens[-1] == 257
    by_stop = written(engine, "ab", (257, 256), forced=forced)
    assert finish(by_stop) == ("stop", "ab", None)
    letters = [Trigger("letters", LETTERS.encode("xyz").ids)]
    by_string = written(engine, "ab", "xyz", stop_strings=["y"], triggers=letters, forced=forced)
    assert finish(by_string) == ("stop_string", "abx", None)
    by_grammar = engine.generate([replace(CALLING, constraint=Constraint.regex("ab"))])[0]
    assert finish(by_grammar) == ("stop", "ab", None)


@FORCED
def test_a_stop_string_with_the_same_token(engine: Engine, forced: bool) -> None:
    letters = [Trigger("letters", LETTERS.encode("xyz").ids)]
    for stop, expected in {
        "xyz": ("invoked", "ab", "letters"),
        "yz": ("invoked", "ab", "letters"),
        "bxyz": ("stop_string", "a", None),
        "xy": ("stop_string", "ab", None),
    }.items():
        answer = written(engine, "ab", "xyz", stop_strings=[stop], triggers=letters, forced=forced)
        assert finish(answer) == expected
    longer = [*letters, Trigger("longer", LETTERS.encode("xyzzz").ids)]
    answer = written(engine, "ab", "xyzz", "end", stop_strings=["zz"], triggers=longer, forced=forced)
    assert finish(answer) == ("invoked", "ab", "letters")


def test_a_grammar_decides_whether_an_invocation_may_come(engine: Engine) -> None:
    """A regular expression can't write one; one that holds it can, and ends with it or goes on."""
    assert written(engine, 12, temperature=5.0, triggers=[]).finish == "length"
    for seed in range(20):
        request = replace(CALLING, constraint=Constraint.regex("[a-z]+"), temperature=5.0, seed=seed)
        assert engine.generate([request])[0].suspended is None
    request = replace(CALLING, constraint=Constraint.lark('start: "ab" <|pad|> "cd"'))
    assert finish(engine.generate([request])[0]) == ("invoked", "ab", "word")


def test_a_request_without_triggers_does_not_notice(engine: Engine) -> None:
    plain = written(engine, "ab", LONG, triggers=[])
    assert (plain.finish, plain.tokens[2:5]) == ("length", LONG)


def test_what_is_masked_is_never_sampled(engine: Engine) -> None:
    every = range(5, 260)
    for fields in ({}, {"temperature": 3.0}, {"repetition_penalty": 1.3}, {"constraint": script(12)}):
        request = replace(CALLING, triggers=[], masked_tokens=every, **fields)
        answer = serve(engine, [request])[0]
        assert set(answer.tokens) <= set(range(5))
        assert len(answer.tokens) == 12
    row = engine.generate([replace(CALLING, max_tokens=1, triggers=[])])[0]
    masked = engine.generate([replace(CALLING, max_tokens=1, triggers=[], masked_tokens=row.tokens)])[0]
    assert masked.tokens != row.tokens
    assert masked.logprobs[0][row.tokens[0]] == row.logprobs[0][row.tokens[0]]


@FORCED
def test_a_grammar_that_leaves_only_what_is_masked(engine: Engine, forced: bool) -> None:
    request = replace(CALLING, triggers=[], masked_tokens=WORD, constraint=script("ab", WORD, forced=forced))
    answer = serve(engine, [request])[0]
    assert answer.finish == "error"
    assert isinstance(answer.error, ConstraintError)
    assert "masked" in str(answer.error)


MERGED = [(".", "Ġ"), (".Ġ", "C"), ("L", "L"), ("A", "LL"), ("Ã", "©"), ("LL", "!"), ("C", "ALL")]
"""What a tokenizer joins: ids 256 … 262 are `. `, `. C`, `LL`, `ALL`, `é`, `LL!` and `CALL`."""


@pytest.fixture(scope="module")
def merging(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("merging")
    shutil.copytree(base, folder, dirs_exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {spelled: index for index, spelled in enumerate([*alphabet, *(a + b for a, b in MERGED)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGED))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Engine.load(folder, cache_tokens=512)


def ids(*spelled: str) -> tuple[int, ...]:
    """Tokens by their text, bytes of characters that are not ASCII as `<0xC3>`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = [(left + right).replace("Ġ", " ").replace("Ã©", "é") for left, right in MERGED]
    letters = {chr(index): alphabet.index(chr(index)) for index in range(33, 127)} | {" ": alphabet.index("Ġ")}
    known = letters | {"<0xC3>": alphabet.index("Ã"), "<0xA9>": alphabet.index("©"), "<|end|>": 256 + len(MERGED)}
    return tuple((known | dict(zip(merged, itertools.count(256), strict=False)))[one] for one in spelled)


@FORCED
@pytest.mark.parametrize(
    ("spelled", "reply", "name"),
    [
        (("a", ". ", "CALL"), ("a", ". "), "call"),
        (("a", ". ", "C", "ALL"), ("a", ". "), "call"),
        (("a", ". C", "A", "LL"), ("a", ". "), "call"),
        (("a", ". C", "ALL", "b"), ("a", ". "), "call"),
        (("a", ". C", "A", "LL!"), ("a", ". "), "loud"),
        (("C", "A", "LL"), (), "call"),
        (("<|end|>", "CALL"), ("<|end|>",), "call"),
        (("a", "<0xC3>", "<0xA9>", "?"), ("a",), "accent"),
        (("a", "é", "?"), ("a",), "accent"),
        (("a", ". ", "C", "A", "b", "é", "?"), ("a", ". ", "C", "A", "b"), "accent"),
    ],
)
def test_a_text_however_it_is_spelled(
    merging: Engine, spelled: tuple[str, ...], reply: tuple[str, ...], name: str, forced: bool
) -> None:
    triggers = [TextTrigger("call", "CALL"), TextTrigger("loud", "CALL!"), TextTrigger("accent", "é?")]
    request = Request([Run(CONTEXT)], triggers=triggers, constraint=script(ids(*spelled), forced=forced))
    request = replace(request, ignore_eos=True, logprobs=1)
    answer = serve(merging, [request])[0]
    assert answer.suspended is not None
    assert (answer.suspended.trigger, answer.tokens) == (name, ids(*reply))
    written = answer.suspended.written
    assert written == ids(*spelled)[: len(written)]
    assert len(answer.logprobs) == len(answer.tokens)
    heard: list[Delta] = []
    merging.submit(request, heard.append)
    while merging.busy:
        merging.step()
    assert sum((delta.tokens for delta in heard), ()) == answer.tokens
    assert "".join(delta.text for delta in heard) == answer.text


@pytest.mark.parametrize(("spelled", "written"), [(("a", "C", "ALL"), "CALL"), (("a", "A", "LL!"), "ALL!")])
def test_several_texts_invoke_the_same(merging: Engine, spelled: tuple[str, ...], written: str) -> None:
    """What was written says which of them it was."""
    request = Request([Run(CONTEXT)], triggers=[TextTrigger("call", "CALL", also=["ALL!"])], ignore_eos=True)
    answer = serve(merging, [replace(request, constraint=script(ids(*spelled), forced=False))])[0]
    assert answer.suspended is not None
    assert (answer.suspended.trigger, answer.tokens) == ("call", ids("a"))
    assert merging.model.text(answer.suspended.invocation) == written


@pytest.mark.parametrize(
    ("also", "message"),
    [("ALL!", "also must be a list of texts"), (["LOUD"], "are the same"), ([""], "must have a text")],
)
def test_texts_that_are_none(merging: Engine, also: Any, message: str) -> None:
    triggers = [TextTrigger("loud", "LOUD"), TextTrigger("call", "CALL", also=also)]
    with pytest.raises(RequestError, match=message):
        merging.submit(Request([Run(CONTEXT)], triggers=triggers))


@FORCED
@pytest.mark.parametrize(
    ("spelled", "reply", "name"),
    [
        (("a", "<|end|>", "CALL", "."), ("a",), "call"),
        (("a", "<|end|>", "C", "ALL", "."), ("a",), "call"),
        (("a", "<|end|>", "C", "A", "LL!"), ("a",), "call"),
        (("<|end|>", "<|end|>", "CALL", "."), ("<|end|>",), "call"),
        (("CALL", "<|end|>", "C", "ALL", "<|end|>", "CALL", "."), ("CALL",), "ends"),
        (("CALL", "<|end|>", "C", "ALL", "."), ("CALL",), "call"),
        (("a", ". C", "<|end|>", "."), ("a", "."), "crossing"),
        (("a", ". ", "C", "<|end|>", "."), ("a", "."), "crossing"),
        (("<0xC3>", "<0xA9>", "<|end|>", "CALL", "."), ("<0xC3>", "<0xA9>"), "call"),
    ],
)
def test_a_text_between_control_tokens(
    merging: Engine, spelled: tuple[str, ...], reply: tuple[str, ...], name: str, forced: bool
) -> None:
    """A control token is itself, and no text; what is between may be spelled in any tokens."""
    texts = {"call": "<|end|>CALL", "ends": "<|end|>CALL<|end|>", "crossing": " C<|end|>"}
    triggers = [TextTrigger(name, text, control=True) for name, text in texts.items()]
    request = Request([Run(CONTEXT)], triggers=triggers, constraint=script(ids(*spelled), forced=forced))
    request = replace(request, ignore_eos=True, logprobs=1)
    heard: list[Delta] = []
    merging.submit(request, heard.append)
    answer = serve(merging, [request])[0]
    assert answer.suspended is not None
    assert (answer.suspended.trigger, answer.tokens) == (name, ids(*reply))
    assert answer.suspended.invocation == tuple(merging.model.tokenizer.encode(texts[name]).ids)  # type: ignore[union-attr]
    assert len(answer.logprobs) == len(answer.tokens)
    assert sum((delta.tokens for delta in heard), ()) == answer.tokens
    assert "".join(delta.text for delta in heard) == answer.text


def test_what_only_spells_a_control_token_is_none(merging: Engine) -> None:
    letters = ids(*"<|end|>", "CALL")
    triggers = [TextTrigger("call", "<|end|>CALL", control=True)]
    request = Request([Run(CONTEXT)], triggers=triggers, constraint=script(letters), ignore_eos=True, max_tokens=8)
    assert serve(merging, [request])[0].finish == "length"


def test_texts_need_a_tokenizer(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "mute")
    (tmp_path / "mute" / "tokenizer.json").unlink()
    mute = Engine.load(tmp_path / "mute", cache_tokens=64)
    with pytest.raises(RequestError, match="text triggers need a tokenizer"):
        mute.submit(Request([Run((1,))], triggers=[TextTrigger("a", "b")]))
    assert mute.generate([replace(CALLING, constraint=None, max_tokens=2)])[0].finish == "length"
