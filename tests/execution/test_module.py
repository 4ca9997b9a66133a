"""The Python face: flows as callables, pydantic values, signatures, and inputs that do not fit."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from pydantic import BaseModel

import alora_flow
from alora_flow import BadInput, FlowError, RunFailed
from alora_flow.backends.echo import open_echo
from alora_flow.backends.torch_engine import open_engine
from alora_flow.errors import BadUsage
from alora_flow.language import FlowErrors
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation

FLOWS = Path(__file__).parents[2] / "flows"


def echo(name: str) -> Module:
    return Module(Compilation(FLOWS / name), open_echo)


def test_a_result_is_a_pydantic_model_with_trace_and_stats() -> None:
    result = echo("safety_rag.flow").safety_rag(question="Who is the mayor of Tarnok?")
    assert isinstance(result.value, BaseModel)
    assert type(result.value).__name__ in ("Answer", "Refusal")
    assert result.stats.reused + result.stats.prefilled > 0
    assert result.trace["safety"].status == "done"
    assert result.trace.kept_promise


def test_flows_look_like_python_functions() -> None:
    module = echo("safety_rag.flow")
    flow = module.safety_rag
    assert flow.__doc__ == "Answer from the documents, or refuse and say at which stage."
    parameters = inspect.signature(flow).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "question": "Who is the mayor of Tarnok?",
        "history": [],
    }
    assert "safety_rag" in dir(module)
    assert "flow safety_rag(" in repr(flow)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"question": 3}, "input 'question' of flow 'safety_rag' wants str, got 3"),
        ({"qestion": "x"}, "has no input 'qestion'"),
        ({"history": [{"role": "user"}]}, r"input 'history'.*'content'.*Field required"),
    ],
)
def test_inputs_that_do_not_fit_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        echo("safety_rag.flow").safety_rag(**given)


HELPERS = """
model base = "mini"
record Weighed { mood: prob[bool] }
flow asked(q: str) -> thread { return user(q) }
flow said(q: str) -> reply { return generate(max_tokens: 3) on asked(q) }
flow both(q: str) -> list[reply] { return [said(q)] }
flow maybe(q: str) -> reply? { if len(q) > 2 { return none }  return said(q) }
flow taken(t: thread) -> str { return (generate(max_tokens: 3) on t).text }
flow weighed(q: str) -> Weighed { return Weighed(mood: generate() as prob[bool] on asked(q)) }
flow main(q: str) -> str {
  let first = maybe(q)
  if first is none { return "none" }
  return both(q)[0].text + taken(asked(q)) + "{weighed(q).mood.top}" + first.text
}
"""


def test_what_stays_in_a_run_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "helpers.flow").write_text(HELPERS)
    module = alora_flow.load(tmp_path / "helpers.flow", backend="echo")
    for name, gives in {"asked": "thread", "said": "reply", "both": r"list\[reply\]", "maybe": r"reply\?"}.items():
        with pytest.raises(BadUsage, match=f"flow '{name}' gives {gives}, which cannot leave a run"):
            module.flows[name](q="x")
        with pytest.raises(BadUsage, match="cannot leave a run"):
            module.flows[name].map([{"q": "x"}])
    with pytest.raises(BadUsage, match="flow 'taken' takes thread as 't', which cannot come from outside"):
        module.taken(t=())
    assert module.main(q="xy").value
    assert module.weighed(q="x").value.mood.top is True


def test_a_missing_input_is_named() -> None:
    with pytest.raises(BadInput, match=r"flow 'judge' needs input 'question' \(str\)"):
        echo("checks.flow").judge()


def test_a_flow_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"has no flow 'rag'; its flows: safety_rag"):
        echo("safety_rag.flow").rag  # noqa: B018


def test_a_wrong_file_carries_all_of_its_diagnostics(tmp_path: Path) -> None:
    (tmp_path / "wrong.flow").write_text("flow f(a: strr) -> int { return a.b }\nflow f() -> int { }\n")
    with pytest.raises(FlowErrors) as caught:
        alora_flow.load(tmp_path / "wrong.flow")
    assert [item.code for item in caught.value.diagnostics] == ["E0301", "E0201"]


def test_after_a_failed_run_the_next_one_starts_clean(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text(
        'model base = "mini"\nflow f(n: int) -> int {\n  let r = generate(max_tokens: 4) on user("hello")\n'
        '  require n > 0 and len(r.text) > 0 else "n is {n}"\n  return n\n}\n'
    )
    module = Module(Compilation(tmp_path / "f.flow"), open_echo)
    with pytest.raises(RunFailed, match="line 4: n is 0"):
        module.f(n=0)
    assert module.f(n=1).trace.kept_promise


def test_everything_public_is_there() -> None:
    for name in alora_flow.__all__:
        assert getattr(alora_flow, name) is not None
    assert issubclass(RunFailed, FlowError)
    with pytest.raises(AttributeError):
        alora_flow.nothing  # noqa: B018


def test_threads_take_turns() -> None:
    module = echo("safety_rag.flow")
    questions = [f"Who is the mayor of town {n}?" for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda question: module.safety_rag(question=question), questions))
    assert all(result.trace.kept_promise for result in results)
    for question, result in zip(questions, results, strict=True):
        assert question in str(result.trace["ask"].value)


def test_a_cache_that_fills_up_over_many_runs_is_emptied_before_it_must_forget() -> None:
    small = partial(open_engine, cache_tokens=400)
    module = Module(Compilation(FLOWS / "safety_rag.flow"), small)
    for n in range(12):
        assert module.safety_rag(question=f"Who is the mayor of town number {n}?").trace.kept_promise


STYLE = """
model base = "mini"
enum Tone { calm, loud }
record Style { tone: Tone = loud, words: int = 12, tags: list[str] = ["a"], note: str? = none, name: str }
record Page { style: Style = Style(name: "plain"), title: str }
flow main(page: Page) -> Page { return page }
flow own() -> Page { return Page(title: "t") }
"""


def test_fields_that_are_not_given_have_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "style.flow").write_text(STYLE)
    module = Module(Compilation(tmp_path / "style.flow"), open_echo)
    page = module.main(page={"title": "t", "style": {"name": "n"}}).value
    assert page.style.model_dump(mode="json") == {
        "tone": "loud",
        "words": 12,
        "tags": ["a"],
        "note": None,
        "name": "n",
    }
    assert module.main(page={"title": "t"}).value == module.own().value
    assert module.own().value.style.name == "plain"


def test_a_changed_default_counts_when_the_file_is_loaded_again(tmp_path: Path) -> None:
    for words in (12, 13):
        (tmp_path / "style.flow").write_text(STYLE.replace("words: int = 12", f"words: int = {words}"))
        module = Module(Compilation(tmp_path / "style.flow"), open_echo)
        assert module.main(page={"title": "t", "style": {"name": "n"}}).value.style.words == words
