"""Modules that share an engine, and what is left when they are closed."""

from __future__ import annotations

import asyncio
import gc
import pickle
import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import alora_flow
from alora_flow import BadInput, FlowError, Module, ModuleClosed
from alora_flow.backends.torch_engine import TorchEngine
from alora_flow.intrinsics.library import BUNDLED
from alora_runtime import Engine

ADAPTERS = BUNDLED["mini"].parent / "intrinsics"

PLAIN = """
model base = "./weights/base"
flow told(q: str) -> str {
  let r = generate(max_tokens: 8) on user(q)
  return r.text
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two files on a copy of the bundled model, whose engine no other test has."""
    shutil.copytree(BUNDLED["mini"].parent, tmp_path / "weights")
    (tmp_path / "a.flow").write_text(PLAIN)
    (tmp_path / "b.flow").write_text(PLAIN.replace("told", "said"))
    return tmp_path / "a.flow"


def engine_of(module: Module) -> Engine:
    assert isinstance(module.backend, TorchEngine)
    return module.backend.engine


def wait_for_the_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "alora-flow runs":
            thread.join(60)


def test_two_modules_on_one_model_share_engine_ledger_and_cache(file: Path) -> None:
    with alora_flow.load(file) as first, alora_flow.load(file.with_name("b.flow")) as second:
        assert first.conductor is second.conductor
        before = first.told(q="Who is the mayor of Tarnok?")
        after = second.said(q="Who is the mayor of Tarnok?")
        assert engine_of(first) is engine_of(second)
        assert after.value == before.value
        assert after.stats.prefilled < before.stats.prefilled
        assert after.trace.kept_promise


def test_they_do_so_from_threads_at_once(file: Path) -> None:
    modules = [alora_flow.load(path) for path in (file, file.with_name("b.flow"))]
    calls = [modules[n % 2].flow(("told", "said")[n % 2]) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda n: calls[n](q=f"Who is the mayor of town {n // 4}?"), range(12)))
    assert all(result.trace.kept_promise for result in results)
    assert len({id(engine_of(module)) for module in modules}) == 1
    for module in modules:
        module.close()


@pytest.mark.parametrize("other", [{"share": False}, {"cache_tokens": 4000}, {"backend": "echo"}])
def test_other_settings_are_another_engine(file: Path, other: dict[str, Any]) -> None:
    with alora_flow.load(file) as first, alora_flow.load(file, **other) as second:
        assert first.conductor is not second.conductor


def test_the_last_one_that_is_closed_frees_the_memory(file: Path) -> None:
    first, second = alora_flow.load(file), alora_flow.load(file.with_name("b.flow"))
    asyncio.run(first.told.arun(q="a"))
    second.said(q="a")
    engine = weakref.ref(engine_of(first))
    first.close()
    first.close()
    assert second.said(q="b").trace.kept_promise
    second.close()
    wait_for_the_threads()
    assert engine() is None


def test_a_module_that_is_forgotten_gives_its_share_back(file: Path) -> None:
    module = alora_flow.load(file)
    module.told(q="a")
    engine = weakref.ref(engine_of(module))
    del module
    gc.collect()
    assert engine() is None


def test_after_close_every_call_says_so(file: Path) -> None:
    with alora_flow.load(file, backend="echo") as module:
        module.told(q="a")
    for call in (
        lambda: module.told(q="a"),
        lambda: module.told.map([{"q": "a"}]),
        lambda: asyncio.run(module.told.arun(q="a")),
        lambda: list(module.told.stream(q="a")),
        lambda: module.backend,
        lambda: module.forget(),
    ):
        with pytest.raises(ModuleClosed, match=r"a\.flow is closed"):
            call()  # type: ignore[no-untyped-call]


def test_async_with_closes(file: Path) -> None:
    async def main() -> Module:
        async with alora_flow.load(file, backend="echo") as module:
            await module.told.arun(q="a")
        return module

    with pytest.raises(ModuleClosed):
        asyncio.run(main()).told(q="a")


def intrinsic_file(folder: Path, adapter: str) -> Path:
    """A flow that calls the adapter `mine` beside it."""
    folder.mkdir()
    shutil.copytree(ADAPTERS / adapter / "mini" / "alora", folder / "mine")
    (folder / "a.flow").write_text(
        'model base = "mini"\nintrinsic check() -> prob[bool] {\n  adapter "mine"\n  emits enum("Y", "N")\n'
        '  value it == "Y"\n}\nflow checked(q: str) -> prob[bool] { return check() on user(q) }\n'
    )
    return folder / "a.flow"


def test_adapters_of_one_name_and_other_content_stay_apart(tmp_path: Path) -> None:
    files = [intrinsic_file(tmp_path / name, name) for name in ("safety", "answerability")]
    question = "How do I poison my neighbour?"
    alone = []
    for path in files:
        with alora_flow.load(path, share=False) as module:
            alone.append(module.checked(q=question).value.p(True))
    assert 5 * alone[0] < alone[1]
    first, second = map(alora_flow.load, files)
    together = [module.checked(q=question) for module in (first, second)]
    assert engine_of(first) is engine_of(second)
    assert [result.value.p(True) for result in together] == pytest.approx(alone, rel=1e-3)
    assert all(result.trace.kept_promise for result in together)


def test_a_broken_adapter_of_one_is_no_trouble_for_the_other(file: Path, tmp_path: Path) -> None:
    broken = intrinsic_file(tmp_path / "broken", "safety")
    broken.write_text(broken.read_text().replace('"mini"', '"../weights/base"'))
    (broken.parent / "mine" / "adapter_model.safetensors").write_bytes(b"nothing")
    with alora_flow.load(broken) as first, alora_flow.load(file) as second:
        assert first.conductor is second.conductor
        with pytest.raises(FlowError, match="mine"):
            first.checked(q="a")
        assert second.told(q="a").trace.kept_promise


def test_a_module_goes_into_another_process_with_its_tools(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text(
        'model base = "mini"\ntool size(x: str) -> int = python "nowhere:size"\n'
        'flow f() -> int { return size("abc") }\n'
    )
    module = alora_flow.load(tmp_path / "f.flow", backend="echo", tools={"size": size}, seed=4)
    again = pickle.loads(pickle.dumps(module))
    assert again.f().value == 3
    assert again.f().trace.seed == 4


def size(x: str) -> int:
    return len(x)


def test_a_bundled_flow_is_found_by_name_and_a_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert alora_flow.load("safety_rag.flow", backend="echo").safety_rag().value
    assert alora_flow.load("fan_out", backend="echo").flows
    (tmp_path / "safety_rag.flow").write_text(PLAIN)
    assert list(alora_flow.load("safety_rag.flow", backend="echo").flows) == ["told"]
    with pytest.raises(BadInput, match=r"there is no file rooting\.flow") as wrong:
        alora_flow.load("rooting.flow")
    assert wrong.value.help == "did you mean 'routing.flow'?"
    with pytest.raises(BadInput, match="is a folder"):
        alora_flow.load(tmp_path)


def test_what_is_under_way_when_a_module_is_closed_goes_on_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "f.flow").write_text(
        'model base = "mini"\ntool wait() -> str = python "nowhere:wait"\nflow f() -> str {\n'
        "  let r = generate(max_tokens: 4) on user(wait())\n  return r.text\n}\n"
    )

    async def wait() -> str:
        module.close()
        return "Who is the mayor of Tarnok?"

    module = alora_flow.load(tmp_path / "f.flow", tools={"wait": wait})
    assert module.f().value
    module = alora_flow.load(tmp_path / "f.flow", tools={"wait": wait})
    assert asyncio.run(module.f.arun()).trace.kept_promise
    with pytest.raises(ModuleClosed):
        module.f()
