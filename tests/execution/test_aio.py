"""Flows for asyncio: side by side on one engine, as streams of events, and cancelled with their tasks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import BadInput, Result, RunFailed
from alora_flow.backends.base import ModelCall, OpenBackend
from alora_flow.backends.echo import open_echo
from alora_flow.backends.torch_engine import TorchEngine, open_engine
from alora_flow.execution import conductor
from alora_flow.execution.events import CallCompleted, NodeEnded, NodeStarted, RunEnded, RunStarted, TextWritten
from alora_flow.module import Module
from alora_flow.planning.compilation import Compilation
from alora_flow.planning.setup import Setup
from alora_flow.values.plain import plain

FLOWS = Path(__file__).parents[2] / "flows"
QUESTIONS = [f"Who is the mayor of {town}?" for town in ("Tarnok", "Morlun", "Kelmar", "Nimtor", "Galdun", "Tarnok")]

FLOW = """
model base = "mini"
enum Colour { red, blue }
record Town { colour: Colour, houses: int[10..99] }
tool gate(n: int) -> int = python "gates:gate"
flow told(n: int) -> str {
  let r = generate(max_tokens: 12) on user("Who is the mayor of Tarnok? {n}")
  return r.text
}
flow typed() -> Town { return generate(max_tokens: 40) as Town on user("a town") }
flow chosen() -> Colour { return generate() as Colour on user("a colour") }
flow waits(n: int) -> int {
  let g = gate(n)
  let r = generate(max_tokens: 2) on user("{g}")
  return g + 0 * len(r.text)
}
flow fails() -> int {
  let r = generate(max_tokens: 4) on user("hello")
  require r.text == "x" else "never"
  return 1
}
"""
GATES = """
import asyncio
box = {}
async def gate(n):
    box.setdefault("loops", set()).add(asyncio.get_running_loop())
    if n < 0:
        box["entered"].set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            box["cancelled"] = True
            raise
    return n
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gates.py").write_text(GATES)
    (tmp_path / "f.flow").write_text(FLOW)
    return tmp_path


def opened(folder: Path, open_backend: OpenBackend = open_engine) -> Module:
    return Module(Compilation(folder / "f.flow"), open_backend)


def box_of(module: Module) -> dict[str, Any]:
    tool = next(iter(module.compilation.program.tools.values()))
    box: dict[str, Any] = module.find_tool(tool).__globals__["box"]
    return box


def engine_of(module: Module) -> Any:
    assert isinstance(module.backend, TorchEngine)
    return module.backend.engine


class Slow(TorchEngine):
    """Once text was written, it computes on only when it may."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(open_engine(setup).engine)
        self.may, self.told = threading.Event(), False

    def submit(self, call: ModelCall) -> int:
        def write(text: str) -> None:
            self.told = True
            assert call.write is not None
            call.write(text)

        return super().submit(replace(call, write=write) if call.write else call)

    def step(self) -> Any:
        if self.told:
            assert self.may.wait(60)
        return super().step()


def test_tasks_share_batches_and_answer_as_alone() -> None:
    together, alone = (Module(Compilation(FLOWS / "safety_rag.flow")) for _ in range(2))
    engine_of(together)

    async def main() -> list[Result[Any]]:
        return await asyncio.gather(*(together.safety_rag.arun(question=question) for question in QUESTIONS))

    results = asyncio.run(main())
    singles = [alone.safety_rag(question=question) for question in QUESTIONS]
    for result, single in zip(results, singles, strict=True):
        assert plain(result.value) == pytest.approx(plain(single.value), abs=1e-4)
        assert result.trace.kept_promise
    assert engine_of(together).stats.steps < engine_of(alone).stats.steps


def test_loops_of_several_threads_and_plain_calls_run_side_by_side(folder: Path) -> None:
    module = opened(folder)

    def in_a_loop(n: int) -> Any:
        async def main() -> list[Result[Any]]:
            return await asyncio.gather(*(module.told.arun(n=n) for _ in range(3)))

        return [result.value for result in asyncio.run(main())]

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(in_a_loop, n) for n in range(3)]
        plainly = pool.submit(lambda: module.told(n=0).value)
    for n, values in enumerate(loops):
        assert values.result() == [module.told(n=n).value] * 3
    assert plainly.result() == loops[0].result()[0]


def test_what_is_wrong_is_raised_where_it_is_awaited(folder: Path) -> None:
    module = opened(folder, open_echo)
    with pytest.raises(BadInput, match="'n'"):
        asyncio.run(module.told.arun(n="one"))
    with pytest.raises(RunFailed, match="never") as failed:
        asyncio.run(module.fails.arun())
    assert failed.value.trace.calls


@pytest.mark.parametrize("open_backend", [open_engine, open_echo])
@pytest.mark.parametrize("flow", ["told", "typed", "chosen"])
def test_a_stream_tells_the_text_as_it_grows_and_the_result_last(
    folder: Path, open_backend: OpenBackend, flow: str
) -> None:
    module = opened(folder, open_backend)
    inputs = {"n": 1} if flow == "told" else {}

    async def main() -> list[Any]:
        return [event async for event in module.flow(flow).stream(**inputs)]

    for events in (asyncio.run(main()), list(module.flow(flow).stream(**inputs))):
        kinds = [type(event) for event in events]
        assert kinds[0] is RunStarted
        assert kinds[-2:] == [RunEnded, Result]
        written = [event for event in events if isinstance(event, TextWritten)]
        node = written[0].node
        calls = [event for event in events if getattr(event, "node", None) == node]
        assert isinstance(calls[0], NodeStarted)
        assert [type(event) for event in calls[-2:]] == [CallCompleted, NodeEnded]
        result = events[-1]
        text = "".join(event.text for event in written)
        if flow == "told":
            assert text == result.value
            assert len(written) > 1 or open_backend is open_echo
        elif flow == "chosen":
            assert text == result.value.value
        else:
            assert type(result.value).model_validate_json(text) == result.value
        assert all(not isinstance(event, TextWritten) for event in result.trace.events)


def test_a_stream_raises_the_error_after_the_end_of_the_run(folder: Path) -> None:
    module = opened(folder, open_echo)
    events: list[Any] = []
    with pytest.raises(RunFailed, match="never"):
        events.extend(module.fails.stream())
    assert isinstance(events[-1], RunEnded)
    assert "never" in str(events[-1].error)


def test_a_task_that_is_cancelled_cancels_its_run_alone(folder: Path) -> None:
    module = opened(folder)
    engine = engine_of(module)
    box = box_of(module)

    async def main() -> Result[Any]:
        box["entered"] = asyncio.Event()
        lost = asyncio.create_task(module.waits.arun(n=-1))
        kept = asyncio.create_task(module.waits.arun(n=2))
        await box["entered"].wait()
        lost.cancel()
        with pytest.raises(asyncio.CancelledError):
            await lost
        return await kept

    assert asyncio.run(main()).value == 2
    again = module.told(n=3)
    assert again.trace.kept_promise
    assert box["cancelled"]
    assert not engine.busy
    engine.check()


def test_calls_of_a_cancelled_run_leave_the_engine(folder: Path) -> None:
    module = opened(folder, Slow)
    slow = module.backend
    assert isinstance(slow, Slow)

    async def main() -> Result[Any]:
        other = asyncio.create_task(module.told.arun(n=7))
        events = module.told.stream(n=1).__aiter__()
        while not isinstance(event := await anext(events), TextWritten):
            pass
        assert event.text
        await events.aclose()  # type: ignore[attr-defined] # as leaving an `async for` does
        slow.may.set()
        return await other

    assert asyncio.run(main()).value == module.told(n=7).value
    assert module.told(n=8).trace.kept_promise
    assert not slow.engine.busy
    assert slow.engine.inspect().running == ()
    slow.engine.check()


def test_a_time_out_ends_the_wait_and_the_run(folder: Path) -> None:
    module = opened(folder, open_echo)
    box = box_of(module)

    async def main() -> Any:
        box["entered"] = asyncio.Event()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(module.waits.arun(n=-1), 0.3)
        return (await module.waits.arun(n=4)).value

    assert asyncio.run(main()) == 4


def test_async_tools_run_in_the_loop_that_waits_for_them(folder: Path) -> None:
    module = opened(folder, open_echo)
    box = box_of(module)

    async def main() -> asyncio.AbstractEventLoop:
        await module.waits.arun(n=1)
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert box["loops"] == {loop}
    box["loops"].clear()
    module.waits(n=1)
    module.waits.map([{"n": n} for n in range(5)])
    assert len(box["loops"]) == 1


def test_a_stream_that_is_left_by_a_thread_cancels_its_run(folder: Path) -> None:
    module = opened(folder, Slow)
    slow = module.backend
    assert isinstance(slow, Slow)
    events = iter(module.told.stream(n=1))
    while not isinstance(next(events), TextWritten):
        pass
    del events
    slow.may.set()
    assert module.told(n=1).trace.kept_promise
    assert not slow.engine.busy
    slow.engine.check()


LEFT = """
import alora_flow
module = alora_flow.load("f.flow")
events = iter(module.told.stream(n=1))
while type(next(events)).__name__ != "TextWritten":
    pass
print("left")
"""


def test_the_process_may_end_while_a_run_is_under_way(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT], cwd=folder, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


def test_the_thread_of_a_module_ends_when_it_is_closed(folder: Path) -> None:
    module = opened(folder, open_echo)
    before = {*threading.enumerate()}
    asyncio.run(module.told.arun(n=1))
    ours = [each for each in threading.enumerate() if each not in before and each.name == "alora-flow runs"]
    assert len(ours) == 1
    module.close()
    ours[0].join(60)
    assert not ours[0].is_alive()


NESTED = """
model base = "mini"
tool ask(n: int) -> str = python "nowhere:ask"
flow outer(n: int) -> str {
  let r = generate(max_tokens: 2) on user("outer {n}")
  let deeper = ask(n)
  return "{deeper} {len(r.text) > 99}"
}
flow inner(n: int) -> str {
  let r = generate(max_tokens: 3) on user("inner {n}")
  return r.text
}
"""


@pytest.mark.parametrize("cache_tokens", [None, 80])
def test_any_number_of_runs_may_wait_for_tools_that_run_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_tokens: int | None
) -> None:
    """Also where the cache is full and has to be emptied before another run can begin."""
    monkeypatch.setattr(conductor, "UNDER_WAY", 10)
    (tmp_path / "nested.flow").write_text(NESTED)
    path, count = tmp_path / "nested.flow", 16
    alone = [alora_flow.load(path, share=False).inner(n=n).value for n in range(3)]

    async def ask(n: int) -> str:
        return str((await module.inner.arun(n=n)).value)

    async def main() -> list[Result[Any]]:
        return await asyncio.gather(*(module.outer.arun(n=n) for n in range(count)))

    with alora_flow.load(path, tools={"ask": ask}, share=False, cache_tokens=cache_tokens) as module:
        results = asyncio.run(main())
    tools = {"ask": lambda n: module.inner(n=n).value}
    with alora_flow.load(path, tools=tools, share=False, cache_tokens=cache_tokens) as module:
        rows = module.outer.map({"n": n} for n in range(count))
    for result in (*results, *rows):
        assert result.trace.kept_promise
    assert [result.value for result in results] == [row.value for row in rows]
    assert [row.value.removesuffix(" false") for row in rows[:3]] == alone


def test_text_grows_by_whole_characters(tmp_path: Path) -> None:
    (tmp_path / "u.flow").write_text(
        'model base = "mini"\nenum E { a = "Größe 🎉 ✓" }\nrecord R { e: E, n: int[0..9] }\n'
        'flow f() -> R { return generate() as R on user("x") }\nflow g() -> E { return generate() as E on user("x") }\n'
    )
    module = alora_flow.load(tmp_path / "u.flow")
    for flow in (module.f, module.g):
        written = [event.text for event in flow.stream() if isinstance(event, TextWritten)]
        assert "Größe 🎉 ✓" in "".join(written)
        assert "\ufffd" not in "".join(written)
