"""`… else { … }`: what fails in a value is handled in the flow, told in the trace, and paid for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import BadInput, RunFailed
from alora_flow.backends.base import ModelCall
from alora_flow.backends.echo import Echo, open_echo
from alora_flow.execution.trace import Trace
from alora_flow.module import Result
from alora_flow.planning.prefix.ledger import Entered
from alora_flow.planning.setup import Setup
from alora_runtime.errors import ConstraintError
from alora_runtime.requests import Completion

TOOLS = """
def search(q):
    if "bad" in q:
        raise LookupError("no " + q)
    return [q]

SEEN = []

def note(text):
    SEEN.append(text)

def slow(q):
    import time
    time.sleep(30)
"""

HEAD = """
model base = "mini"
record Fact { text: str, year: int[1400..1899] }
tool search(q: str) -> list[str] = python "failing:search"
tool note(text: str) = python "failing:note"
tool slow(q: str) -> str = python "failing:slow" with (timeout: 10ms)
flow long_enough(q: str) -> str {
  require len(q) > 3 else "'{q}' is too short"
  return upper(q)
}
"""


@pytest.fixture
def flow(tmp_path: Path) -> Any:
    """From a body of `flow main(q: str) -> str` to a function that runs it on the echo."""
    (tmp_path / "failing.py").write_text(TOOLS)

    def made(body: str, result: str = "str", more: str = "") -> Any:
        path = tmp_path / "main.flow"
        path.write_text(f"{HEAD}{more}flow main(q: str) -> {result} {{\n{body}\n}}\n")
        return alora_flow.load(path, backend="echo").main

    return made


def statuses(result: Result) -> dict[str, str | None]:
    return {node.id: node.status for node in result.trace.nodes}


def test_a_failing_tool_gives_way_to_another_value(flow: Any) -> None:
    main = flow('let xs = search(q) else { ["none"] }\nreturn xs[0]')
    assert main(q="good").value == "good"
    assert main(q="bad").value == "none"


def test_a_time_out_is_a_failure(flow: Any) -> None:
    said = flow("let x = slow(q) else as why { return why }\nreturn x")(q="x").value
    assert said == "tool 'slow' took longer than its timeout of 0.01 s"


def test_the_trace_tells_of_the_failure_and_the_run_has_none(flow: Any) -> None:
    result = flow("let xs = search(q) else as why { return why }\nreturn xs[0]")(q="bad")
    assert result.value == "tool 'search' raised LookupError: no bad"
    assert result.trace["xs"].status == "failed"
    assert result.trace["xs"].error == result.value
    assert result.trace["return_2"].status == "skipped"
    assert result.trace.events[-1].error is None
    assert [node.id for node in result.trace.handled] == ["xs"]
    again = Trace.from_json(result.trace.to_json())
    assert again["xs"] == result.trace["xs"]


def test_a_generation_that_is_cut_is_handled_and_counted(flow: Any) -> None:
    main = flow(
        "let fact = generate(max_tokens: 3) as Fact on user(q) else as why { return why }\nreturn fact.text",
    )
    result = main(q="x")
    assert result.value.startswith("3 tokens were not enough for a Fact")
    assert result.trace["fact"].calls[0].generated == 3
    assert result.stats.generated == 3
    assert result.trace.kept_promise


def test_a_budget_counts_what_failed(flow: Any) -> None:
    body = """
    let fact = generate(max_tokens: 4) as Fact on user(q) else { Fact(text: "", year: 1500) }
    let other = generate(max_tokens: 4) on user("again")
    return "{fact.year}{other.text}"
    """
    with pytest.raises(BadInput, match="8 generated in its worst case"):
        flow(body, "str budget { generated <= 7 }")(q="x")
    assert flow(body, "str budget { generated <= 8 }")(q="x").stats.generated == 8


def test_only_one_side_counts_in_the_worst_case(flow: Any) -> None:
    body = """
    let xs = search(q) else { return (generate(max_tokens: 9) on user(q)).text }
    return (generate(max_tokens: 5) on user(xs[0])).text
    """
    assert flow(body, "str budget { generated <= 9 }")(q="good").value == "good"
    with pytest.raises(BadInput, match="9 generated in its worst case"):
        flow(body, "str budget { generated <= 8 }")(q="good")


def test_a_requirement_of_a_called_flow_says_its_own_message(flow: Any) -> None:
    main = flow("let s = long_enough(q) else as why { accept why }\nreturn s")
    assert main(q="long").value == "LONG"
    assert main(q="x").value == "'x' is too short"


def test_arithmetic_and_places_fail_too(flow: Any) -> None:
    main = flow("let a = 10 % len(q) else { -1 }\nlet b = [1, 2][len(q)] else { -2 }\nreturn [a, b]", "list[int]")
    assert main(q="").value == [-1, 1]
    assert main(q="xxx").value == [1, -2]


def test_what_is_written_before_the_attempt_still_fails(flow: Any) -> None:
    main = flow('let xs = search(q)\nlet s = long_enough(xs[0]) else { "short" }\nreturn s')
    with pytest.raises(RunFailed, match="no bad"):
        main(q="bad")


def test_a_failing_element_keeps_the_others(flow: Any) -> None:
    main = flow(
        """
        let found = for x in split(q, ",") limit 4 {
          let ys = search(x) else { [] }
          keep ys[0] when len(ys) > 0
        }
        return join(found, "+")
        """
    )
    assert main(q="a,bad,c").value == "a+c"


def test_what_is_kept_may_be_another_value(flow: Any) -> None:
    main = flow(
        """
        let found = for x in split(q, ",") limit 4 { keep search(x) else as why { [why] } when x != "" }
        return "{found[0][0]}+{found[1][0]}"
        """
    )
    assert main(q="a,,bad").value == "a+tool 'search' raised LookupError: no bad"


def test_a_thread_that_fails_gives_way_to_another(flow: Any) -> None:
    more = 'flow asked(q: str) -> thread {\n  require len(q) > 3\n  return system("Long.") + user(q)\n}\n'
    main = flow(
        """
        thread t = asked(q) else { user("short") + user(q) }
        thread u = asked(q) else { return "too short" }
        let r = generate(max_tokens: 9) on t
        let s = generate(max_tokens: 9) on u
        return "{r.text} {s.text}"
        """,
        more=more,
    )
    assert main(q="x").value == "too short"
    result = main(q="long")
    assert result.value == "long long"
    assert result.trace.kept_promise


def test_a_repeat_goes_on_after_a_failing_round(flow: Any) -> None:
    main = flow(
        """
        let found = repeat (word = q) up to 3 {
          let s = long_enough(word) else { "" }
          accept s when s != ""
          next word = "{word}!"
        } else { return "never" }
        return found
        """
    )
    assert main(q="xx").value == "XX!!"
    assert main(q="x").value == "never"


def test_an_inner_attempt_handles_its_own_failure(flow: Any) -> None:
    more = """
    flow inner(q: str) -> str {
      let xs = search(q) else as why { return "inner: {why}" }
      require xs[0] != "short" else "outer"
      return xs[0]
    }
    """
    main = flow("let s = inner(q) else as why { accept why }\nreturn s", more=more)
    assert main(q="good").value == "good"
    assert main(q="bad").value == "inner: tool 'search' raised LookupError: no bad"
    assert main(q="short").value == "outer"


def test_a_failure_in_an_else_is_the_outer_attempts(flow: Any) -> None:
    more = """
    flow inner(q: str) -> str {
      let xs = search(q) else as why { return search("worse, {why}")[0] }
      return xs[0]
    }
    """
    assert flow("return inner(q)", more=more)(q="good").value == "good"
    with pytest.raises(RunFailed, match="no worse, tool"):
        flow("return inner(q)", more=more)(q="bad")
    assert flow('let s = inner(q) else { accept "caught" }\nreturn s', more=more)(q="bad").value == "caught"


def test_what_belongs_to_a_failed_attempt_is_skipped(flow: Any) -> None:
    more = """
    flow both(q: str) -> str {
      let xs = search(q)
      let _ = note(xs[0])
      let r = generate(max_tokens: 4) on user(xs[0])
      return r.text
    }
    """
    result = flow('let s = both(q) else { "none" }\nreturn s', more=more)(q="bad")
    assert result.value == "none"
    assert statuses(result)["s.note"] == "skipped"
    assert statuses(result)["s.r"] == "skipped"
    assert result.trace.calls == ()


def test_an_effect_that_nothing_reads_belongs_to_the_attempt(flow: Any) -> None:
    more = 'flow told(q: str) -> str {\n  let _ = search(q)\n  return "told"\n}\n'
    main = flow('let s = told(q) else { "not told" }\nreturn s', more=more)
    assert (main(q="good").value, main(q="bad").value) == ("told", "not told")


def test_a_return_of_an_attempt_whose_else_returns(flow: Any) -> None:
    main = flow('return long_enough(q) else { if len(q) == 0 { return "empty" }  accept "short" }')
    assert [main(q=q).value for q in ("", "x", "long")] == ["empty", "short", "LONG"]


def test_a_return_of_a_loop_whose_else_returns(flow: Any) -> None:
    main = flow('return repeat up to 2 { accept "long" when len(q) > 3 } else { return "short" }')
    assert [main(q=q).value for q in ("x", "long")] == ["short", "long"]


def test_both_ways_of_an_else_go_where_they_say(flow: Any) -> None:
    main = flow(
        """
        let xs = search(q) else as why {
          if len(q) > 3 { return why }
          accept ["short"]
        }
        let s = long_enough(xs[0]) else { "too short" }
        return s
        """
    )
    assert main(q="bad").value == "SHORT"
    assert main(q="bad!").value.endswith("no bad!")
    assert main(q="abc").value == "too short"


def test_speculation_starts_no_else_early(flow: Any) -> None:
    body = """
    let xs = search(q) else { return (generate(max_tokens: 4) on user(q)).text }
    let r = generate(max_tokens: 4) on user(q)
    return r.text
    """
    assert len(flow(body, "str speculate")(q="good").trace.calls) == 1
    assert flow(body, "str speculate")(q="bad").value == "bad"


def test_budgets_that_are_spent_are_not_handled(flow: Any) -> None:
    more = """
    flow costly(q: str) -> str budget { wall <= 1ms } {
      let s = slow(q) else { "slow" }
      return s
    }
    """
    with pytest.raises(RunFailed, match="of its budget"):
        flow('let s = costly(q) else { "none" }\nreturn s', more=more)(q="x")


def test_what_is_missing_is_not_handled(flow: Any, tmp_path: Path) -> None:
    more = 'tool lost(q: str) -> str = python "nowhere:lost"\n'
    with pytest.raises(BadInput, match="no module 'nowhere'"):
        flow('let s = lost(q) else { "none" }\nreturn s', more=more)(q="x")


class DeadEnd(Echo):
    """Comes to a dead end under every grammar, after two tokens."""

    def _answer(self, call: ModelCall, entered: Entered) -> Completion:
        done = super()._answer(call, entered)
        if call.request.constraint is None:
            return done
        error = ConstraintError("no token may come next")
        return replace(done, tokens=done.tokens[:2], text="", finish="error", generated=2, error=error)


def test_a_dead_end_is_a_failure(tmp_path: Path) -> None:
    body = "let f = generate() as Fact on user(q) else as why { return why }\nreturn f.text"
    (tmp_path / "main.flow").write_text(f"{HEAD}flow main(q: str) -> str {{\n{body}\n}}\n")

    def opened(setup: Setup) -> DeadEnd:
        like = open_echo(setup)
        return DeadEnd(like._tokenizer, like._stop)

    result = alora_flow.load(tmp_path / "main.flow", backend=opened).main(q="x")
    assert "no token may come next" in result.value
    assert result.stats.generated == 2


def test_calls_of_a_failed_attempt_that_are_under_way_come_to_their_end(flow: Any) -> None:
    more = """
    flow both(q: str) -> str {
      let cut = generate(max_tokens: 3) as Fact on user(q)
      let other = generate(max_tokens: 9) on user(q)
      return "{cut.text}{other.text}"
    }
    """
    result = flow('let s = both(q) else { "none" }\nreturn s', more=more)(q="what is")
    assert result.value == "none"
    assert statuses(result)["s.other"] == "discarded"
    assert len(result.trace.calls) == 2
    assert result.trace.kept_promise


def test_a_reply_and_a_thread_can_be_tried(flow: Any) -> None:
    more = """
    flow asked(q: str) -> reply {
      require len(q) > 3
      return generate(max_tokens: 4) on user(q)
    }
    """
    main = flow(
        """
        let r = asked(q) else { generate(max_tokens: 2) on user("longer") }
        let again = generate(max_tokens: 4) on (r.thread + user("more"))
        return again.text
        """,
        more=more,
    )
    for q in ("x", "long"):
        result = main(q=q)
        assert result.trace.kept_promise
        assert len(result.trace.calls) == 2
