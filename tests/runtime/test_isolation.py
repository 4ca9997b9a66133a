"""A sequence whose numbers overflow ends alone, with a typed error: whoever shares a batch, a prefix or the arena with
it gets the answer that it gets alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from alora_runtime import Completion, Engine, Request, Run
from alora_runtime.compute.batch import Batch
from alora_runtime.errors import AdapterError, ModelError
from tests.runtime.checkpoints import make_adapter
from tests.runtime.conftest import INVOCATION
from tests.runtime.serving import serve

CONTEXT = tuple(13 * index % 251 for index in range(60))
POISON = 255
"""A token whose embedding is not a number: the base model itself fails from there on."""

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

SOUND = [
    Request([Run(CONTEXT)], max_tokens=8, logprobs=3, ignore_eos=True),
    Request([Run(CONTEXT), Run(INVOCATION, "one")], max_tokens=5, logprobs=3, ignore_eos=True),
    Request([Run(CONTEXT[:50]), Run((9, 8, 7)), Run((), "wide")], max_tokens=6, logprobs=3, ignore_eos=True),
    Request([Run(CONTEXT[:30]), Run(INVOCATION, "wide")], choices=((1, 2, 3), (1, 7), (8,)), logprobs=3),
    Request([Run(CONTEXT[:45], "plain")], max_tokens=5, logprobs=3, ignore_eos=True),
    Request([Run((*CONTEXT, 5, 6))], max_tokens=2, logprobs=3, ignore_eos=True),
]

POISONED_CHOICE = Request([Run(CONTEXT[:30]), Run(INVOCATION, "wide")], choices=((1, POISON, 3), (1, 7), (8,)))


def sick(name: str) -> list[Request]:
    """What overflows under an adapter: in its prompt, in its first decode step, everywhere, in its choices; in the base
    model, in the middle of a prompt and at its end; what goes on from such a prompt or branches off after it; and a
    choice after a sound prompt."""
    return [
        Request([Run(CONTEXT), Run(INVOCATION, name)], max_tokens=5),
        Request([Run(CONTEXT[:50]), Run((9, 8, 7)), Run((), name)], max_tokens=6, ignore_eos=True),
        Request([Run(CONTEXT[:40], name)], max_tokens=5),
        Request([Run(CONTEXT[:30]), Run((), name)], choices=((1, 2, 3), (1, 7), (8,))),
        Request([Run((*CONTEXT[:20], POISON, *CONTEXT[20:]))], max_tokens=5),
        Request([Run((*CONTEXT, POISON))], max_tokens=5),
        Request([Run((*CONTEXT[:20], POISON, *CONTEXT[20:], 1, 2))], max_tokens=5),
        Request([Run((*CONTEXT[:20], POISON, *CONTEXT[20:40], 3))], max_tokens=5),
        Request([Run(CONTEXT), Run((*INVOCATION, 4, 5), name)], max_tokens=5),
        POISONED_CHOICE,
    ]


@pytest.fixture(scope="module")
def huge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders of adapters with weights so large that one Linear's update overflows."""
    home = tmp_path_factory.mktemp("huge")

    def folder(linear: str) -> Path:
        made = home / linear
        if not made.exists():
            make_adapter(made, base, 4, r=2, target_modules=[linear], alora_invocation_tokens=list(INVOCATION))
            file = made / "adapter_model.safetensors"
            save_file({key: value * 1e30 for key, value in load_file(file).items()}, file)
        return made

    return folder


@pytest.fixture(scope="module")
def poisoned(make_engine: Callable[..., Engine], huge: Callable[[str], Path]) -> Callable[..., Engine]:
    """Engines with one such adapter for each Linear, and a poisonous token."""

    def make(**options: object) -> Engine:
        engine = make_engine(cache_tokens=600, **options)
        for linear in LINEARS:
            engine.add_adapter(linear, huge(linear))
        network = engine.model.network
        table = network.embedding if hasattr(network, "embedding") else network.model.model.embed_tokens.weight
        table = table.clone()
        table[POISON] = float("nan")
        if hasattr(network, "embedding"):
            network.embedding = table
        else:
            network.model.model.embed_tokens.weight = torch.nn.Parameter(table, requires_grad=False)
        return engine

    return make


@pytest.fixture(scope="module")
def alone(make_engine: Callable[..., Engine]) -> list[Completion]:
    """The sound answers, each from an engine of its own."""
    return [make_engine().generate([request])[0] for request in SOUND]


def same(left: Completion, right: Completion) -> bool:
    """Tokens and every reported log-probability."""
    assert (left.finish, left.tokens, left.choice) == (right.finish, right.tokens, right.choice)
    assert left.choice_logprobs == pytest.approx(right.choice_logprobs, abs=1e-4)
    for one, other in zip(left.logprobs, right.logprobs, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    return True


def judge(engine: Engine, requests: list[Request], answers: list[Completion], alone: list[Completion]) -> None:
    """Sound requests as if alone, others with their error, and nothing that is not finite left behind."""
    for request, answer in zip(requests, answers, strict=True):
        if request in SOUND:
            assert answer.error is None
            assert same(answer, alone[SOUND.index(request)])
        else:
            assert answer.finish == "error"
            assert isinstance(answer.error, ModelError)
    assert torch.isfinite(engine.inspect().arena).all()


@pytest.mark.parametrize("linear", LINEARS)
@pytest.mark.parametrize("settings", [{}, {"chunk_tokens": 17}], ids=["whole", "chunks"])
def test_who_overflows_ends_alone(
    poisoned: Callable[..., Engine], alone: list[Completion], linear: str, settings: dict[str, int]
) -> None:
    """All in one batch, the sick ones first, last, and between; then again on what that left in the cache."""
    engine = poisoned(**settings)
    ill = sick(linear)
    between = [request for pair in zip(ill, SOUND, strict=False) for request in pair] + ill[len(SOUND) :]
    for requests in ([*ill, *SOUND], [*SOUND, *ill], between):
        judge(engine, requests, serve(engine, requests), alone)
        judge(engine, requests, serve(engine, requests), alone)
        engine.forget()
    assert engine.inspect().free == 600


def test_the_plain_way_isolates_as_well(poisoned: Callable[..., Engine], alone: list[Completion]) -> None:
    engine = poisoned(attention="reference")
    requests = [*sick("k_proj"), *SOUND, *sick("v_proj")]
    judge(engine, requests, serve(engine, requests), alone)


KINDS = [*SOUND, *sick("q_proj"), *sick("k_proj")[:4], *sick("v_proj")[:4], *sick("down_proj")[:4]]


@given(
    waves=st.lists(st.lists(st.sampled_from(KINDS), max_size=6), max_size=4),
    chunk=st.sampled_from([7, 33, 2048]),
)
@settings(max_examples=60, deadline=None)
def test_in_any_company(
    engines: dict[int, Engine], alone: list[Completion], waves: list[list[Request]], chunk: int
) -> None:
    """Whatever comes when, on a cache that earlier examples have filled."""
    requests = [request for wave in waves for request in wave]
    judge(engines[chunk], requests, serve(engines[chunk], *waves), alone)


@pytest.fixture(scope="module")
def engines(poisoned: Callable[..., Engine]) -> dict[int, Engine]:
    """By the tokens of a chunk."""
    return {chunk: poisoned(chunk_tokens=chunk) for chunk in (7, 33, 2048)}


def test_a_prefix_that_failed_is_computed_again(poisoned: Callable[..., Engine]) -> None:
    """What a failed request leaves is what was sound of it, and no later request builds on the rest."""
    engine = poisoned()
    failing = Request([Run(CONTEXT), Run(INVOCATION, "v_proj")], max_tokens=5)
    for reused in (0, 60):
        answer = serve(engine, [failing])[0]
        assert (answer.finish, answer.reused) == ("error", reused)
    assert engine.inspect().stored == 60


def test_a_prompt_outlives_its_choices(poisoned: Callable[..., Engine]) -> None:
    """They fail in the pass that ends it, and it is as sound as before."""
    engine = poisoned()
    for reused in (0, 33):
        answer = serve(engine, [POISONED_CHOICE])[0]
        assert (answer.finish, answer.reused, answer.prefilled) == ("error", reused, 33 - reused)
    assert engine.inspect().stored == 33


def test_a_step_that_fails_leaves_nothing_behind(
    poisoned: Callable[..., Engine], alone: list[Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it fails after it has written what is not finite."""
    engine = poisoned()
    rows = engine.model.rows

    def failing(batch: Batch) -> torch.Tensor:
        rows(batch)
        raise RuntimeError("injected")

    for wave in ([*sick("k_proj"), *SOUND], [*SOUND, *sick("v_proj")]):
        tickets = [engine.submit(request) for request in wave]
        monkeypatch.setattr(engine.model, "rows", failing)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="injected"):
                engine.step()
            engine.check()
        monkeypatch.setattr(engine.model, "rows", rows)
        assert torch.isfinite(engine.inspect().arena).all()
        for ticket in tickets[::2]:
            engine.cancel(ticket)
        while engine.busy:
            engine.step()
    judge(engine, SOUND, serve(engine, SOUND), alone)


def test_weights_that_overflow_by_their_scale_are_refused(engine: Engine, base: Path, tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "loud", base, 4, r=2, lora_alpha=1000)
    file = folder / "adapter_model.safetensors"
    save_file({key: value.clamp(0.1, 1) * 3e38 for key, value in load_file(file).items()}, file)
    with pytest.raises(AdapterError, match=r"'loud' has weights that are not finite.*lora_B.*scale"):
        engine.add_adapter("loud", folder)
