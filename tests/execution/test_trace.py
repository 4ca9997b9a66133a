"""The log of a run: written as it happens, read back whole, also of a run that fails or stops in the middle."""

from __future__ import annotations

import json
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import alora_flow
from alora_flow.backends.echo import open_echo
from alora_flow.errors import BadInput, FlowError, RunFailed
from alora_flow.execution.events import CallCompleted, CallSubmitted, Event, NodeEnded, RunEnded, RunStarted, Tokens
from alora_flow.execution.trace import Trace
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.views.result import show_stats
from tests.planning.programs import flow_text

ROOT = Path(__file__).parents[2]
FAILING = """
model base = "mini"
enum Colour { red, green }
record Found { text: str, colour: Colour = red }
flow main(n: int) -> str {
  let found = Found(text: "é")
  let r = generate(max_tokens: 3) on user(found.text)
  require n > 0 else "too small"
  return r.text
}
"""


def module(folder: Path, text: str) -> Module:
    (folder / "case.flow").write_text(text)
    return Module(Compilation(folder / "case.flow"), open_echo)


def assert_read_back(trace: Trace) -> None:
    again = Trace.from_json(trace.to_json())
    assert again == trace
    assert again.to_json() == trace.to_json()
    assert (again.nodes, again.stats, again.kept_promise) == (trace.nodes, trace.stats, trace.kept_promise)


def test_every_flow_there_is() -> None:
    for path in sorted((ROOT / "flows").glob("*.flow")):
        loaded = Module(Compilation(path), open_echo)
        flow = loaded.flow(None)
        if all(parameter.default is not None for parameter in flow.declaration.parameters):
            try:
                assert_read_back(flow().trace)
            except RunFailed as error:  # on echo, which answers nothing sensible
                assert_read_back(error.trace)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_flows_made_at_random(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("made")
    (folder / "nowhere.py").write_text(
        "def look(q, k): return [{'text': q}] * (len(q) % 3)\ndef maybe(q): return q if len(q) % 2 else None\n"
    )
    try:
        trace = module(folder, flow_text(random.Random(seed))).flows["main"](question="What?").trace
    except FlowError as error:  # a value that the flow has no case for
        trace = error.trace
    assert trace.kept_promise
    assert_read_back(trace)


def test_a_run_that_fails_has_its_trace(tmp_path: Path) -> None:
    heard: list[Event] = []
    with pytest.raises(RunFailed, match="too small") as failed:
        module(tmp_path, FAILING).flows["main"].run({"n": 0}, heard.append)
    trace = failed.value.trace
    assert tuple(heard) == trace.events
    assert isinstance(heard[0], RunStarted)
    place = f"{failed.value.places[0].path}:8:3"
    assert heard[-1] == trace.end == RunEnded(heard[-1].at, "line 8: too small", (place,))
    assert (trace["require"].status, trace["require"].error) == ("failed", "line 8: too small")
    assert (trace["return"].status, trace["return"].value) == (None, None)
    assert trace["found"].value.text == "é"
    assert_read_back(trace)


def test_values_are_plain_data_when_read_back(tmp_path: Path) -> None:
    trace = Trace.from_json(module(tmp_path, FAILING).flows["main"](n=1).trace.to_json())
    assert trace["found"].value == {"text": "é", "colour": "red"}
    assert trace.flow == "main"


def test_the_file_is_there_up_to_where_a_run_was_killed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef wait(): time.sleep(60)\n")
    (tmp_path / "f.flow").write_text(
        'model base = "mini"\ntool wait() -> none = python "slow:wait"\n'
        "flow f() -> int { let one = 1  let two = one + 1  let w = wait()  return two }"
    )
    log = tmp_path / "log.jsonl"
    command = [Path(sys.executable).parent / "alora-flow", "run", "f.flow", "--echo", "--trace", str(log)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (log.exists() and '"node": "w"' in log.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    trace = Trace.from_json(log.read_text())
    assert (trace["w"].status, trace["w"].calls) == (None, ())
    assert trace["one"].status == "done"


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    text = module(tmp_path, FAILING).flows["main"](n=1).trace.to_json()
    cut = Trace.from_json(text[:-20])
    assert len(cut.events) == text.count("\n") - 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with RunStarted"),
        ("{}\n", "not a log"),
        ("[1]\n", "not a log"),
        ('{"event": "NodeStarted", "at": 0.0, "node": "a"}\n', "does not begin with RunStarted"),
        ('{"event": "RunStarted", "at": 0.0, "flow": "f", "nodes": [], "version": 99}\n', "version 99"),
        ("not json\n", "not a log"),
    ],
)
def test_what_is_not_a_log_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Trace.from_json(text)


def log_of(*events: Event) -> Trace:
    return Trace((RunStarted(0.0, "f", (("a", "generate"),)), *events))


def test_a_node_may_make_several_calls() -> None:
    first, second = Tokens(0, 5), Tokens(5, 1)
    trace = log_of(
        CallSubmitted(0.1, "a", 0, None, first),
        CallCompleted(0.2, "a", 0, first, 3, 0, "stop"),
        CallSubmitted(0.2, "a", 1, "safety", second),
        CallCompleted(0.3, "a", 1, Tokens(4, 2), 1, 0, "choice"),
        CallSubmitted(0.3, "a", 2, None, Tokens(6, 1)),
        NodeEnded(0.4, "a", "done", "x"),
    )
    assert [call.id for call in trace.calls] == ["a", "a#2"]
    assert [call.adapter for call in trace["a"].calls] == [None, "safety", None]
    assert (trace.stats.reused, trace.stats.prefilled, trace.stats.generated) == (4, 7, 4)
    assert trace.kept_promise is False
    assert_read_back(trace)


def test_a_broken_promise_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    trace = log_of(
        CallSubmitted(0.1, "a", 0, None, Tokens(3, 5)), CallCompleted(0.2, "a", 0, Tokens(0, 8), 3, 0, "stop")
    )
    show_stats(Console(width=80), trace)
    assert "said 3 reused, 5 prefilled" in capsys.readouterr().out


def test_without_a_prediction_nothing_is_called_kept(capsys: pytest.CaptureFixture[str]) -> None:
    trace = log_of(CallSubmitted(0.1, "a", 0, None, None), CallCompleted(0.2, "a", 0, Tokens(0, 8), 3, 0, "stop"))
    assert trace.kept_promise is None
    show_stats(Console(width=80), trace)
    shown = capsys.readouterr().out
    assert "kept" not in shown
    assert "?" in shown


def test_results_and_modules_survive_pickling_into_another_process(tmp_path: Path) -> None:
    (tmp_path / "p.flow").write_text(
        'model base = "mini"\nenum Colour { red, green }\nrecord Found { text: str, colour: Colour = red }\n'
        'intrinsic safety() -> prob[bool] from "safety"\n'
        'flow p(q: str = "x") -> Found { let s = safety() on user(q)  return Found(text: "p") }'
    )
    (tmp_path / "q.flow").write_text(
        'model base = "mini"\nrecord Found { other: int }\nflow q() -> Found { return Found(other: 1) }'
    )
    first, second = (alora_flow.load(tmp_path / name, backend="echo") for name in ("p.flow", "q.flow"))
    results = first.p(), second.q()
    (tmp_path / "all.pickle").write_bytes(pickle.dumps((first, first.p, *results)))
    code = (
        "import pickle, sys\n"
        "module, flow, one, two = pickle.load(open('all.pickle', 'rb'))\n"
        "print(one.value.colour.name, one.value.text, two.value.other, type(one.value) is type(module.p().value))\n"
        "print(flow(q='y').trace.kept_promise, one.trace['s'].value.p(True) <= 1, one.trace.kept_promise)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "red p 1 True\nTrue True True\n", done.stderr


def test_json_is_one_event_a_line(tmp_path: Path) -> None:
    lines = module(tmp_path, FAILING).flows["main"](n=1).trace.to_json().splitlines()
    assert [json.loads(line)["event"] for line in lines][:2] == ["RunStarted", "NodeStarted"]
