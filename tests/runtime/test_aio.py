"""Several tasks on one engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alora_runtime import AsyncEngine, Delta, Engine, Request, Run
from alora_runtime.errors import BusyError, RequestError

CONTEXT = tuple(13 * index % 256 for index in range(40))
REQUEST = Request([Run(CONTEXT)], max_tokens=8, ignore_eos=True)


def test_flows_share_the_engine_and_its_cache(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()

    async def flow(number: int, served: AsyncEngine) -> list[tuple[int, ...]]:
        first = await served.complete(REQUEST)
        runs = [Run(CONTEXT), Run(first.tokens), Run((number,), "one")]
        checks = await served.generate([Request(runs, max_tokens=3, ignore_eos=True)] * 2)
        assert all(check.reused >= 47 for check in checks)
        return [first.tokens, *(check.tokens for check in checks)]

    async def everything() -> list[list[tuple[int, ...]]]:
        async with AsyncEngine(engine) as served:
            return await asyncio.gather(*(flow(number, served) for number in range(6)))

    together = asyncio.run(everything())
    engine.check()
    assert not engine.busy
    assert engine.stats.requests == 18
    for number, (first, *checks) in enumerate(together):
        runs = [Run(CONTEXT), Run(first), Run((number,), "one")]
        alone = make_engine().generate([REQUEST, Request(runs, max_tokens=3, ignore_eos=True)])
        assert [first, *checks] == [alone[0].tokens, alone[1].tokens, alone[1].tokens]


def test_pinned_until_released(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    held = []

    async def everything() -> None:
        async with AsyncEngine(engine) as served:
            await served.complete(replace(REQUEST, pin="context"))
            held.append(engine.inspect().held)
            served.release("context")
            await served.complete(REQUEST)

    asyncio.run(everything())
    engine.check()
    assert (held, engine.inspect().held) == ([47], 0)


def test_streams_and_leaving_them(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()

    async def everything() -> list[Delta]:
        async with AsyncEngine(engine) as served:
            async for _ in served.stream(replace(REQUEST, max_tokens=150)):
                break
            task = asyncio.ensure_future(served.complete(replace(REQUEST, max_tokens=150)))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(RequestError, match="max_tokens"):
                await served.complete(replace(REQUEST, max_tokens=0))
            return [delta async for delta in served.stream(REQUEST)]

    deltas = asyncio.run(everything())
    assert len(deltas) == 8
    assert deltas[-1].completion is not None
    assert sum((delta.tokens for delta in deltas), ()) == deltas[-1].completion.tokens
    engine.check()


def test_a_failed_step_is_told_to_everybody(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    rows = engine.model.rows

    async def everything() -> None:
        async with AsyncEngine(engine) as served:
            engine.model.rows = lambda batch: 1 // 0  # type: ignore[assignment, method-assign]
            results = await asyncio.gather(served.complete(REQUEST), served.complete(REQUEST), return_exceptions=True)
            assert [type(result) for result in results] == [ZeroDivisionError] * 2
            engine.model.rows = rows  # type: ignore[method-assign]
            assert len((await served.complete(REQUEST)).tokens) == 8

    asyncio.run(everything())
    engine.check()


def test_closing_lets_nobody_wait(make_engine: Callable[..., Engine]) -> None:
    async def everything() -> None:
        async with AsyncEngine(make_engine()) as served:
            task = asyncio.ensure_future(served.complete(replace(REQUEST, max_tokens=200)))
            await asyncio.sleep(0.02)
        with pytest.raises(RuntimeError, match="closed"):
            await task

    asyncio.run(everything())


def test_after_it_and_before_it_and_again(make_engine: Callable[..., Engine]) -> None:
    served = AsyncEngine(make_engine())

    async def everything() -> None:
        with pytest.raises(RuntimeError, match="never entered"):
            await served.complete(REQUEST)
        for _ in range(2):
            async with served:
                assert len((await served.complete(REQUEST)).tokens) == 8
                with pytest.raises(RuntimeError, match="entered already"):
                    await served.__aenter__()
            with pytest.raises(RuntimeError, match="closed"):
                await served.complete(REQUEST)
            with pytest.raises(RuntimeError, match="closed"):
                served.release("pin")

    asyncio.run(everything())
    assert not served.engine.busy
    served.engine.check()


MOVES = st.lists(
    st.tuples(st.sampled_from(["complete", "stream", "leave", "cancel", "wrong", "fail", "pause"]), st.integers(0, 3)),
    max_size=8,
)


@given(moves=MOVES, close_after=st.integers(0, 5), fails=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_future_is_resolved(shared: Engine, moves: list[tuple[str, int]], close_after: int, fails: bool) -> None:
    """Whatever is asked, in whatever order, however near to the moment of closing."""
    rows = shared.model.rows
    expected = shared.generate([REQUEST])[0].tokens

    async def ask(served: AsyncEngine, move: str, pause: int) -> object:
        await asyncio.sleep(pause / 1000)
        if move == "wrong":
            return await served.complete(replace(REQUEST, max_tokens=0))
        if move in ("stream", "leave"):
            async for delta in served.stream(REQUEST):
                if move == "leave":
                    return None
                last = delta
            return last.completion
        return await served.complete(REQUEST)

    async def everything() -> list[object]:
        served = AsyncEngine(shared)
        async with served:
            tasks = []
            for move, pause in moves:
                if move == "fail" and fails:
                    shared.model.rows = lambda batch: 1 // 0  # type: ignore[assignment, method-assign]
                tasks.append(asyncio.ensure_future(ask(served, move, pause)))
                if move == "cancel":
                    asyncio.get_running_loop().call_later(pause / 1000, tasks[-1].cancel)
            await asyncio.sleep(close_after / 1000)
        late = asyncio.ensure_future(served.complete(REQUEST))
        return await asyncio.wait_for(asyncio.gather(*tasks, late, return_exceptions=True), 30)

    try:
        results = asyncio.run(everything())
    finally:
        shared.model.rows = rows  # type: ignore[method-assign]
    for result in results:
        kinds = (RuntimeError, RequestError, ZeroDivisionError, asyncio.CancelledError, type(None))
        assert isinstance(result, kinds) or result.tokens == expected  # type: ignore[attr-defined]
    assert isinstance(results[-1], RuntimeError)
    assert not shared.busy
    shared.check()


@pytest.fixture(scope="module")
def shared(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine()


def test_who_else_uses_the_engine_lets_nobody_wait_for_ever(shared: Engine) -> None:
    expected = shared.generate([REQUEST])[0].tokens
    over = threading.Event()

    def use() -> None:
        while not over.is_set():
            with suppress(BusyError):
                shared.generate([REQUEST])
            sleep(0.002)

    async def everything() -> None:
        async with AsyncEngine(shared) as served:
            for pin in (3, [1]):
                with pytest.raises(RequestError, match="pin"):
                    served.release(pin)  # type: ignore[arg-type]
            for _ in range(20):
                left = asyncio.ensure_future(served.complete(REQUEST))
                served.release("nothing")
                await asyncio.sleep(0.001)
                left.cancel()
                answer = await asyncio.wait_for(served.complete(REQUEST), 30)
                assert answer.tokens == expected

    thread = threading.Thread(target=use)
    thread.start()
    try:
        asyncio.run(everything())
    finally:
        over.set()
        thread.join()
    while shared.busy:
        shared.step()
    shared.check()
