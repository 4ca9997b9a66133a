"""Whatever is framed is what transformers renders of the same messages, to the token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_flow.errors import BadModel
from alora_flow.prompts.thread import Generated, Hole, KnownText, Passages, RequestedCall, Thread, Turn
from tests.prompts import oracle
from tests.prompts.oracle import Model
from tests.prompts.tool_templates import COMMAND_R, HARMONY, KIMI


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    templates = {**oracle.TAKE_ALL, **oracle.ALTERNATING}
    return {name: Model(tmp_path_factory.mktemp("model"), source) for name, source in templates.items()}


def turn(role: str, text: str) -> Turn:
    return Turn(role, (KnownText(text),))


def messages(thread: Thread) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": "".join(part.text for part in turn.content)} for turn in thread]  # type: ignore[union-attr]


said = st.lists(st.sampled_from(["a", " ", "\n", "é", "the user", "/no_think", "{", '"', "\\", "'"]), max_size=5)
plain = said.map("".join)
answer = st.tuples(st.sampled_from(["", "<think>\nhm\n</think>\n\n", "x</think>", "<think>y</think>"]), plain).map(
    "".join
)
turns = st.one_of(st.tuples(st.sampled_from(["user", "system"]), plain), st.tuples(st.just("assistant"), answer)).map(
    lambda pair: turn(*pair)
)


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", oracle.TAKE_ALL)
@given(thread=st.lists(turns, min_size=1, max_size=5).map(tuple))
def test_any_thread(models: dict[str, Model], name: str, thread: Thread) -> None:
    model = models[name]
    rendered = model.rendered(messages(thread))
    assert model.tokenizer.spell(model.prompt(thread)) == rendered  # type: ignore[arg-type]
    if "think>" not in str(thread):  # data never make the tokens of thoughts
        assert list(model.prompt(thread)) == model.tokens(rendered)


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", oracle.ALTERNATING)
@given(
    system=st.none() | plain,
    texts=st.integers(0, 2).flatmap(lambda n: st.lists(plain, min_size=2 * n + 1, max_size=2 * n + 1)),
)
def test_a_system_turn_inside_a_user_turn(
    models: dict[str, Model], name: str, system: str | None, texts: list[str]
) -> None:
    model, first = models[name], () if system is None else (turn("system", system),)
    thread = (*first, *(turn(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)))
    rendered = model.rendered(messages(thread))
    assert list(model.prompt(thread)) == model.tokens(rendered)
    ends = model.prompter.turn_ends(thread)
    assert ends == sorted(ends)
    assert ends[-1] == len(model.prompter.thread_symbols(thread))


@pytest.mark.parametrize("name", oracle.ALTERNATING)
def test_a_thread_goes_on_from_the_prompt_of_its_last_answer(models: dict[str, Model], name: str) -> None:
    model, thread = models[name], Thread.of((turn("system", "s"),))
    for number in range(3):
        thread = thread.then(turn("user", f"question {number}"))
        asked = model.prompt(thread)
        thread = thread.then(turn("assistant", f"answer {number}"))
        assert model.prompter.thread_symbols(thread)[: len(asked)] == asked
        assert "s" in model.tokenizer.spell(asked)  # type: ignore[arg-type]


THOUGHT, ANSWER = "<think>\nhm\n</think>\n\n", "Four."


def written(model: Model, text: str) -> Turn:
    """An answer of the model, thoughts as the control tokens that they are."""
    return Turn("assistant", (Generated(model.tokenizer.encode_control(text), text),))


@pytest.mark.parametrize("name", ["thoughts", "opens thinking"])
def test_thoughts_of_earlier_answers_are_cut_and_the_answers_tokens_kept(models: dict[str, Model], name: str) -> None:
    model = models[name]
    thread = (turn("user", "2+2?"), written(model, THOUGHT + ANSWER), turn("user", "Sure?"))
    rendered = model.rendered([*messages(thread)])
    assert THOUGHT not in rendered.removesuffix("<think>\n")
    assert list(model.prompt(thread)) == model.tokens(rendered)


def test_thoughts_of_the_last_answer_stay_the_tokens_that_they_are(models: dict[str, Model]) -> None:
    model = models["thoughts"]
    thread = (turn("user", "2+2?"), written(model, THOUGHT + ANSWER))
    closed = model.rendered(messages(thread), opened=False)
    assert list(model.prompter.thread_symbols(thread)) == model.tokens(closed)


def test_data_never_make_thoughts(models: dict[str, Model]) -> None:
    model, marks = models["thoughts"], {models["thoughts"].tokenizer.control_token(t) for t in ("<think>", "</think>")}
    for text in ("<think>", "</think>", " <think> ", "<think>a", "a</think>", "<think>\na\n</think>\n\nb"):
        for thread in ((turn("user", text),), (turn("user", "q"), turn("assistant", text), turn("user", "r"))):
            assert marks.isdisjoint(model.prompt(thread))
        last = model.prompter.thread_symbols((turn("user", "q"), turn("assistant", text)))
        assert sum(token in marks for token in last) <= 2  # the template's own


def test_a_closed_thread_goes_on(models: dict[str, Model]) -> None:
    """A text's own end, which some templates write, is none of the thread's."""
    model = models["ended"]
    first = (turn("user", "a"), turn("assistant", "b"))
    longer = model.prompter.thread_symbols((*first, turn("user", "c")))
    assert longer[: len(model.prompter.thread_symbols(first))] == model.prompter.thread_symbols(first)
    assert model.prompter.rewriting(Thread.of((*first, turn("user", "c"))), answered=True) is None


DOCUMENTS = Passages((("Tarnok", 'A "small" town.\nIt has a mayor.'), ("", "Its mayor is Ada.")))


def test_documents_are_handed_to_a_template_that_takes_them(tmp_path: Path) -> None:
    thread = (turn("user", "Who?"), Turn("documents", (DOCUMENTS,)))
    given = [{"title": title, "text": text} for title, text in DOCUMENTS.items]
    model = Model(tmp_path / "frames", oracle.TAKES_DOCUMENTS)
    numbered = [{"doc_id": number, **document} for number, document in enumerate(given, start=1)]
    assert list(model.prompt(thread)) == model.tokens(model.rendered(messages(thread[:1]), numbered))
    model = Model(tmp_path / "json", oracle.DOCUMENTS_AS_JSON)
    untitled = [{name: value for name, value in document.items() if value} for document in given]
    assert list(model.prompt(thread)) == model.tokens(model.rendered(messages(thread[:1]), untitled))


def test_documents_that_are_not_known_yet_are_planned_as_one(tmp_path: Path) -> None:
    model = Model(tmp_path, oracle.TAKES_DOCUMENTS)
    symbols = model.prompt((turn("user", "Who?"), Turn("documents", (Hole("search"),))))
    assert symbols.count(Hole("search")) == 1


def test_without_a_form_for_them_documents_are_said_by_the_user(tmp_path: Path) -> None:
    text = 'Documents:\n\n[1] Tarnok\nA "small" town.\nIt has a mayor.\n\n[2] Its mayor is Ada.'
    documents = Turn("documents", (DOCUMENTS,))
    model = Model(tmp_path / "any", oracle.CHATML)
    expected = [{"role": "user", "content": "Who?"}, {"role": "user", "content": text}]
    thread = Thread.of((turn("user", "Who?"), documents))
    assert list(model.prompt(thread)) == model.tokens(model.rendered(expected))
    assert model.prompter.notes(thread) == ("has no form for documents: a user's turn says them",)
    model = Model(tmp_path / "strict", oracle.NO_SYSTEM)
    expected = [{"role": "user", "content": f"Be brief.\n\nWho?\n\n{text}"}]
    thread = Thread.of((turn("system", "Be brief."), turn("user", "Who?"), documents))
    assert list(model.prompt(thread)) == model.tokens(model.rendered(expected))
    assert model.prompter.notes(thread)[1] == "has no place for the system's turn: the user's says it"
    assert model.prompter.turn_ends(thread)[2] == len(model.prompter.thread_symbols(thread))


@pytest.mark.parametrize("by_turn", [True, False])
def test_what_is_said_otherwise_is_told_behind_turns_of_the_same_shape(tmp_path: Path, by_turn: bool) -> None:
    model = Model(tmp_path, oracle.CHATML)
    model.prompter.template.by_turn = by_turn
    asked = Thread.of((turn("system", "s"), turn("user", "q")))
    assert model.prompter.notes(asked.then(turn("user", "r"))) == ()
    assert model.prompter.notes(asked.then(Turn("documents", (DOCUMENTS,)))) == (
        "has no form for documents: a user's turn says them",
    )


def test_results_of_tools(tmp_path: Path) -> None:
    result = turn("tool_result", '{"mayor": "Ada"}')
    roles = {"tool": oracle.TOOLS, "ipython": oracle.IPYTHON}
    for role, source in roles.items():
        model = Model(tmp_path / role, source)
        expected = [{"role": "user", "content": "Who?"}, {"role": role, "content": '{"mayor": "Ada"}'}]
        assert list(model.prompt((turn("user", "Who?"), result))) == model.tokens(model.rendered(expected))
    model = Model(tmp_path / "none", oracle.CHATML)
    expected = [{"role": "user", "content": "Who?"}, {"role": "user", "content": 'Tool result:\n\n{"mayor": "Ada"}'}]
    assert list(model.prompt((turn("user", "Who?"), result))) == model.tokens(model.rendered(expected))


def test_calls_of_tools(tmp_path: Path) -> None:
    model = Model(tmp_path / "knows", oracle.TOOLS)
    arguments = {"city": 'Tarnok "old" <|im_end|>', "most": 3}
    calling = Turn("assistant", (), (RequestedCall("mayor", json.dumps(arguments), "call_1"),))
    thread = (turn("user", "Who?"), calling, Turn("tool_result", (KnownText("Ada"),), call_id="call_1"))
    function = {"name": "mayor", "arguments": arguments}
    expected = [
        {"role": "user", "content": "Who?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "Ada", "tool_call_id": "call_1"},
    ]
    rendered = model.rendered(expected)
    assert model.tokenizer.spell(model.prompt(thread)) == rendered  # type: ignore[arg-type]
    end = model.tokenizer.control_token("<|im_end|>")
    assert model.prompt(thread).count(end) == 3  # type: ignore[arg-type]
    with pytest.raises(BadModel, match="has no form for calls of tools, which turn 2 asks for"):
        Model(tmp_path / "none", oracle.CHATML).prompt(thread)


@pytest.mark.parametrize("source", [oracle.TOOLS, HARMONY, KIMI, COMMAND_R])
def test_a_call_without_any_text(tmp_path: Path, source: str) -> None:
    """Its arguments are numbers, and its turn says nothing else: nothing of it is left out, wherever it stands."""
    model = Model(tmp_path, source)
    thread = [turn("user", "Who?"), Turn("assistant", (), (RequestedCall("count", '{"n": 7}', "calltool1"),))]
    thread += [Turn("tool_result", (KnownText("8"),), call_id="calltool1", name="count"), turn("user", "And?")]
    call = {"id": "calltool1", "type": "function", "function": {"name": "count", "arguments": {"n": 7}}}
    told: list[dict[str, object]] = [{"role": "user", "content": "Who?"}]
    told += [{"role": "assistant", "content": None, "tool_calls": [call]}]
    told += [{"role": "tool", "content": "8", "tool_call_id": "calltool1", "name": "count"}]
    told += [{"role": "user", "content": "And?"}]
    for length in range(1, 5):
        rendered = model.rendered(told[:length])
        assert model.tokenizer.spell(model.prompt(tuple(thread[:length]))) == rendered  # type: ignore[arg-type]


def test_calls_of_tools_whose_arguments_a_template_takes_as_text(tmp_path: Path) -> None:
    model = Model(tmp_path, oracle.TOOLS.replace("(c.function.arguments | tojson)", "c.function.arguments"))
    arguments = '{"city": "Tarnok \\"old\\" <|im_end|>", "most": 3}'
    thread = (turn("user", "Who?"), Turn("assistant", (), (RequestedCall("mayor", arguments),)))
    asked = [{"type": "function", "function": {"name": "mayor", "arguments": arguments}}]
    calling = {"role": "assistant", "content": None, "tool_calls": asked}
    rendered = model.rendered([{"role": "user", "content": "Who?"}, calling])
    assert model.tokenizer.spell(model.prompt(thread)) == rendered  # type: ignore[arg-type]
    assert model.prompt(thread).count(model.tokenizer.control_token("<|im_end|>")) == 2  # type: ignore[arg-type]


NULL_CONTENT = {  # beside calls: as GLM writes contents, as Mistral's and DeepSeek's templates ask for them
    "written": oracle.TOOLS.replace("(m.content or '')", "m.content | string"),
    "told from none": oracle.TOOLS.replace(
        "(m.content or '')", "('' if m.content is none else raise_exception('not null'))"
    ),
}


@pytest.mark.parametrize("source", NULL_CONTENT.values(), ids=NULL_CONTENT)
def test_nothing_is_said_for_the_content_of_a_turn_that_only_asks_for_tools(tmp_path: Path, source: str) -> None:
    model = Model(tmp_path, source)
    thread = (turn("user", "Who?"), Turn("assistant", (), (RequestedCall("mayor", '{"city": "Tarnok"}'),)))
    said = '<|im_start|>assistant\n[mayor {"city": "Tarnok"}]<|im_end|>'
    assert said in model.tokenizer.spell(model.prompt(thread))  # type: ignore[arg-type]


def test_an_empty_answer_is_written_though_a_template_refuses_empty_texts(tmp_path: Path) -> None:
    refusal = "{% for m in messages %}{% if not m.content %}{{ raise_exception('no content') }}{% endif %}{% endfor %}"
    model = Model(tmp_path, refusal + oracle.CHATML)
    thread = (turn("user", "  Who? "), Turn("assistant", (Generated((), ""),)), turn("user", "Ada?"))
    expected = [{"role": role, "content": text} for role, text in (("user", "  Who? "), ("assistant", ""))]
    plain = Model(tmp_path / "plain", oracle.CHATML)
    rendered = plain.rendered([*expected, {"role": "user", "content": "Ada?"}])
    assert list(model.prompt(thread)) == model.tokens(rendered)
    assert list(model.prompt(thread[:2])) == model.tokens(plain.rendered(expected))


THINKS_BESIDE = (  # as Qwen3: thoughts before the last question are left out
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.reasoning_content and loop.index0 > ns.last %}"
    "{{ '<think>\n' + m.reasoning_content.strip('\n') + '\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
THINKS_ALWAYS = THINKS_BESIDE.replace(" and loop.index0 > ns.last", "")
NAMES_THOUGHTS_TWICE = "{% if messages[0].reasoning_content %}{% endif %}" + THINKS_ALWAYS.replace(
    "m.reasoning_content", "m.thinking"
)


@pytest.mark.parametrize("source", [THINKS_BESIDE, THINKS_ALWAYS, NAMES_THOUGHTS_TWICE, oracle.CHATML])
def test_thoughts_beside_answers(tmp_path: Path, source: str) -> None:
    model = Model(tmp_path, source)
    thread = Thread.of(())
    said: list[dict[str, str]] = []
    for role, text, thoughts in (
        ("user", "2+2?", ""),
        ("assistant", "Four.", "hm <|im_end|>"),
        ("user", "Sure?", ""),
        ("assistant", "Yes.", '\nof "course"\n'),
    ):
        thread = thread.then(Turn(role, (KnownText(text),), thoughts=thoughts))
        said.append({"role": role, "content": text} | ({"reasoning_content": thoughts} if thoughts else {}))
        for opened in (True, False):
            own = model.prompt(thread) if opened else model.prompter.thread_symbols(thread)
            assert model.tokenizer.spell(own) == model.rendered(said, opened=opened)  # type: ignore[arg-type]
            assert own.count(model.tokenizer.control_token("<|im_end|>")) == len(thread)  # type: ignore[arg-type]
    note = "has no form for thoughts beside an answer: they are left out"
    assert model.prompter.notes(thread) == ((note,) if source == oracle.CHATML else ())


def test_contents_as_parts(tmp_path: Path) -> None:
    model = Model(tmp_path, oracle.PARTS)
    expected = [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}]
    assert list(model.prompt((turn("user", "Who?"),))) == model.tokens(model.rendered(expected))


def test_turns_that_are_not_known_yet_keep_their_place(models: dict[str, Model]) -> None:
    history = Turn("", (Hole("history"),))
    for name, model in models.items():
        thread = (turn("system", "s"), history, turn("user", "q"))
        symbols = model.prompter.thread_symbols(thread)
        known = tuple(symbol for symbol in symbols if symbol != Hole("history"))
        assert known == model.prompter.thread_symbols((thread[0], thread[2])), name


def test_what_ends_a_turn(models: dict[str, Model], tmp_path: Path) -> None:
    ends = {"merged": "</s>", "last user": "</s>"}
    for name, model in models.items():
        assert model.prompter.turn_end == model.tokenizer.control_token(ends.get(name, "<|im_end|>")), name
    assert (
        Model(tmp_path, "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}").prompter.turn_end
        is None
    )


RETURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% if m.role == 'assistant' and loop.last and not add_generation_prompt %}{{ '</s>' }}{% else %}{{ '<|im_end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize("answer", ["b", "b\n", " \nb \n\n"])
def test_an_answer_that_ends_otherwise_where_nothing_follows(tmp_path: Path, answer: str) -> None:
    model = Model(tmp_path, RETURNS)
    thread = (turn("user", "a"), turn("assistant", answer))
    assert list(model.prompt(thread)) == model.tokens(model.rendered(messages(thread)))
    closed = model.prompter.thread_symbols(thread) + model.prompter.closing_tokens(thread)
    assert list(closed) == model.tokens(model.rendered(messages(thread), opened=False))
    assert model.prompter.turn_end == model.tokenizer.control_token("</s>")
    assert model.prompter.closing_tokens(thread[:1]) == ()


def test_a_long_thread_of_a_template_that_rewrites_is_rendered_a_few_times(models: dict[str, Model]) -> None:
    model = models["thoughts"]
    thread = tuple(turn(("user", "assistant")[at % 2], f"{at}") for at in range(301))
    before = model.prompter.template._render.cache_info().misses
    assert list(model.prompt(thread)) == model.tokens(model.rendered(messages(thread)))
    assert model.prompter.template._render.cache_info().misses - before < 50
