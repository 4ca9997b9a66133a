"""Which templates write turn by turn, and that a thread then is what it is as a whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_flow.prompts.jinja import environment
from alora_flow.prompts.locality import writes_by_turn
from alora_flow.prompts.template import ChatTemplate
from alora_flow.prompts.thread import Hole, KnownText, Prompter, Thread, Turn
from tests.prompts import oracle
from tests.prompts.oracle import Model

LOOP = "{% for m in messages %}BODY{% endfor %}"

BY_TURN = {
    "the first": "{% if loop.first and messages[0].role != 'system' %}{{ 'hello' }}{% endif %}{{ m.content }}",
    "its place": "{% if loop.index0 == 0 %}{{ bos_token }}{% endif %}{{ m.content }}",
    "a set": "{% set text = m.content | trim %}{% if m.role == 'user' %}{{ text }}{% else %}{{ m.role }}{% endif %}",
    "its calls": "{{ m.content }}{% for c in m.tool_calls %}{% if not loop.last %}{{ c.name }}{% endif %}{% endfor %}",
    "a skip": "{% if m.role == 'tool' %}{% continue %}{% endif %}{{ m.content }}",
}
AS_A_WHOLE = {
    "the last": "{{ m.content }}{% if loop.last %}{{ eos_token }}{% endif %}",
    "by turns": "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no') }}{% endif %}",
    "the one before": "{% if loop.previtem and loop.previtem.role == m.role %}{{ 'again' }}{% endif %}{{ m.content }}",
    "another": "{{ m.content }}{{ messages[-1].role }}",
    "how many": "{{ m.content }}{{ messages | length }}",
    "a count": "{{ m.content }}{{ loop.length }}",
    "a cycle": "{{ loop.cycle('a', 'b') }}{{ m.content }}",
    "an end": "{% if m.role == 'tool' %}{% break %}{% endif %}{{ m.content }}",
    "inside": "{% for c in m.tool_calls if loop.last %}{{ c }}{% endfor %}",
}


def by_turn(source: str) -> bool:
    return writes_by_turn(environment(datetime.now).parse(source))


@pytest.mark.parametrize("name", BY_TURN)
def test_a_body_that_looks_at_its_own_turn_and_the_first(name: str) -> None:
    source = LOOP.replace("BODY", BY_TURN[name])
    assert by_turn(source)
    assert by_turn("{% set turns = messages %}" + source.replace("in messages", "in turns") + "{{ messages[0].role }}")


@pytest.mark.parametrize("name", AS_A_WHOLE)
def test_a_body_that_looks_at_others(name: str) -> None:
    assert not by_turn(LOOP.replace("BODY", AS_A_WHOLE[name]))


@pytest.mark.parametrize(
    "source",
    [
        LOOP + LOOP,
        "{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
        "{% if messages %}" + LOOP + "{% endif %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% endfor %}",
        "{% set messages = messages[1:] %}" + LOOP,
        "{% macro say(m) %}{{ m.content }}{% endmacro %}{% for m in messages %}{{ say(m) }}{% endfor %}",
        "{% set c = cycler('a', 'b') %}{% for m in messages %}{{ c.next() }}{% endfor %}",
    ],
)
def test_what_may_carry_something_from_turn_to_turn(source: str) -> None:
    assert not by_turn(source)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    return {name: Model(tmp_path_factory.mktemp("model"), source) for name, source in oracle.TAKE_ALL.items()}


roles = st.sampled_from(["user", "assistant", "system", "tool_result", "documents", ""])
texts = st.sampled_from(["a", " b ", "", "\n", "/no_think c", "é{", "<|im_end|>"])
turns = st.builds(lambda r, t, c: Turn(r, (KnownText(t, c),) if r else (Hole(t),)), roles, texts, st.booleans())


@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize("name", oracle.TAKE_ALL)
@given(said=st.lists(turns, min_size=1, max_size=6))
def test_a_thread_turn_by_turn_is_what_it_is_as_a_whole(models: dict[str, Model], name: str, said: list[Turn]) -> None:
    model = models[name]
    whole = Prompter(model.tokenizer, ChatTemplate(model.prompter.template.folder, model.tokenizer.control))
    whole.template.by_turn = False
    thread = Thread.of(said)
    for beginning in reversed(list(thread.beginnings())):
        assert model.prompter.thread_symbols(beginning) == whole.thread_symbols(beginning)
        assert model.prompter.turn_ends(beginning) == whole.turn_ends(beginning)
        assert model.prompter.closing_tokens(beginning) == whole.closing_tokens(beginning)
        assert model.prompter.generation_tokens(beginning) == whole.generation_tokens(beginning)
    asked = sorted({1, len(said) // 2 + 1, len(said)})
    ends = whole.turn_ends(thread)
    assert model.prompter.ends_of(thread, asked) == [ends[turn - 1] for turn in asked]


def test_public_looking_templates_write_turn_by_turn(models: dict[str, Model]) -> None:
    assert {name for name, model in models.items() if model.prompter.template.by_turn} == {
        "chatml", "dated", "documents", "ended", "generation", "ipython", "switched", "tools",
    }  # fmt: skip


def test_an_unknown_chat_is_a_thread(models: dict[str, Model]) -> None:
    for model in models.values():
        chat, user = Hole("history"), Turn("user", (Hole("q"),))
        thread = Thread.of((Turn("", (chat,)),))
        assert model.prompter.thread_symbols(thread) == (chat,)
        assert model.prompter.generation_tokens(thread) == model.prompter.generation_tokens((user,))


def test_a_thread_of_a_thousand_turns_is_written_once(tmp_path: Path) -> None:
    model = Model(tmp_path, oracle.CHATML)
    thread = Thread.of(Turn(("user", "assistant")[n % 2], (KnownText(f"turn {n}"),)) for n in range(1000))
    writing = model.prompter.writing(thread)
    assert len(list(writing.parts())) == 1000
    longer = model.prompter.writing(thread.then(Turn("user", (KnownText("x"),))))
    assert longer.before is writing


def test_what_turns_have_in_common_is_found_out_once(tmp_path: Path) -> None:
    model = Model(tmp_path, oracle.CHATML)
    system = Turn("system", (KnownText("You answer."),))
    asked = [Thread.of((system, Turn("user", (KnownText(f"question {n}"),)))) for n in range(100)]
    writings = [model.prompter.writing(thread) for thread in asked]
    assert len({writing.before for writing in writings}) == 1
    longer = [thread.then(Turn("assistant", (KnownText("yes"),))) for thread in asked]
    assert all(model.prompter.writing(thread) for thread in longer)
    assert model.prompter._framing.cache_info().misses == 2
