"""The chat template's own text, turn by turn, and templates that cannot share a prefix."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from alora_flow.errors import BadModel
from alora_flow.prompts.template import ChatTemplate, TurnFrame, placeholder, written
from tests import tiny

GRANITE_LIKE = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}{{ '<|start|>system\nBe helpful.<|end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] | trim + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
LAST_ONLY = "{% for m in messages %}{% if loop.last %}{{ m['content'] }}{% endif %}{% endfor %}"
THINKING = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + ';' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>{% endif %}"
)


NUMBERED = "{% for m in messages %}{{ loop.index ~ '. ' + m['role'] + ': ' + m['content'] + ';' }}{% endfor %}"
TOLD_ONCE = (
    "{% set told = namespace(yet=false) %}{% for m in messages %}{% if m['role'] == 'user' and not told.yet %}"
    "{{ 'tools;' }}{% set told.yet = true %}{% endif %}{{ m['role'] + ': ' + m['content'] + ';' }}{% endfor %}"
)


def template(folder: Path, source: str, **settings: str) -> ChatTemplate:
    return ChatTemplate(tiny.write_model_folder(folder, source, **settings))


def test_frames_of_a_plain_template(tmp_path: Path) -> None:
    made = template(tmp_path, tiny.TEMPLATE)
    assert made.frames(("system", "user")) == (TurnFrame("<|system|>", "<|end|>"), TurnFrame("<|user|>", "<|end|>"))
    assert made.generation_prompt(("system", "user")) == "<|assistant|>"


def test_what_a_template_adds_at_the_front_belongs_to_the_first_turn(tmp_path: Path) -> None:
    made = template(tmp_path, GRANITE_LIKE, bos_token="<s>")
    assert made.frames(("user",)) == (
        TurnFrame("<s><|start|>system\nBe helpful.<|end|>\n<|start|>user\n", "<|end|>\n"),
    )
    assert made.frames(("system", "user"))[1] == TurnFrame("<|start|>user\n", "<|end|>\n")


def test_a_template_that_rewrites_earlier_turns_is_cut_as_a_whole(tmp_path: Path) -> None:
    made = template(tmp_path, tiny.THINKS_LAST)
    assert made.frames(("user", "assistant"))[1] == TurnFrame("<|assistant|><think></think>", "<|end|>")
    assert made.rewriting(("user", "assistant")) is None
    assert made.frames(("user", "assistant", "user")) == (
        TurnFrame("<|user|>", ""),
        TurnFrame("<|end|><|assistant|>", ""),
        TurnFrame("<|end|><|user|>", "<|end|>"),
    )
    assert made.rewriting(("user", "assistant", "user")) == "rewrites earlier turns when user follows user, assistant"


def test_a_template_that_leaves_a_turn_out_is_refused(tmp_path: Path) -> None:
    made = template(tmp_path, LAST_ONLY)
    with pytest.raises(BadModel, match="does not write what system says in the turns system, user"):
        made.frames(("system", "user"))


def test_a_template_that_opens_an_answer_otherwise_than_it_keeps_it_says_so(tmp_path: Path) -> None:
    made = template(tmp_path, THINKING)
    assert made.generation_prompt(("user",)) == "assistant: <think>"
    assert not made.keeps_opening(("user",))


def test_a_template_that_changes_turns_to_open_an_answer_is_refused(tmp_path: Path) -> None:
    made = template(tmp_path, "{% if add_generation_prompt %}!{% endif %}" + tiny.TEMPLATE)
    with pytest.raises(BadModel, match="changes earlier turns to open an answer"):
        made.generation_prompt(("user",))


def test_a_template_that_refuses_a_role_says_so(tmp_path: Path) -> None:
    made = template(tmp_path, "{{ raise_exception('no system turns') }}")
    with pytest.raises(BadModel, match=r"refuses turns system: no system turns"):
        made.frames(("system",))


@pytest.mark.parametrize("source", ["{% for %}", "{{ 1 | nofilter }}"])
def test_a_broken_template_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadModel, match="is broken"):
        template(tmp_path, source)


def framed(made: ChatTemplate, roles: tuple[str, ...]) -> list[TurnFrame]:
    """Turn by turn, from a rendering of every beginning."""
    ends = ["", *(made._render(roles[: count + 1], False) for count in range(len(roles)))]
    return [
        TurnFrame(*end[len(start) :].split(placeholder(index)))
        for index, (start, end) in enumerate(itertools.pairwise(ends))
    ]


@pytest.mark.parametrize(
    "source", [tiny.TEMPLATE, GRANITE_LIKE, NUMBERED, TOLD_ONCE], ids=["plain", "granite", "numbered", "once"]
)
def test_a_long_thread_is_framed_as_its_beginnings_are(tmp_path: Path, source: str) -> None:
    made = template(tmp_path, source, bos_token="<s>")
    chat = ("system", *(("user", "assistant", "user", "user", "assistant") * 8))
    assert list(made.frames(chat)) == framed(made, chat)
    assert made.rewriting(chat) is None


def test_a_chat_of_thousands_of_turns_is_framed_in_a_few_renderings(tmp_path: Path) -> None:
    made = template(tmp_path, tiny.TEMPLATE)
    chat = ("system", *(("user", "assistant") * 1500))
    assert len(made.frames(chat)) == 3001
    assert len(made.frames((*chat, "user"))) == 3002
    assert made._render.cache_info().misses < 40


def test_a_template_that_wants_roles_to_alternate_takes_long_threads(tmp_path: Path) -> None:
    strict = (
        "{% for m in messages %}{% if not loop.first and m['role'] == loop.previtem['role'] %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + tiny.TEMPLATE
    )
    made = template(tmp_path, strict)
    for chat in (("system", *(("user", "assistant") * 200)), ("user", "assistant") * 200):
        assert written(made.frames(chat)) == made._render(chat, False)
    assert made._render.cache_info().misses < 40


def test_a_long_thread_that_is_rewritten_is_cut_as_a_whole(tmp_path: Path) -> None:
    made = template(tmp_path, tiny.THINKS_LAST)
    chat = ("user", "assistant") * 300
    assert written(made.frames(chat)) == made._render(chat, False)
    assert made.rewriting(chat) == "rewrites earlier turns when user follows user, assistant"
