"""Training the base: shards made ahead by another process, checkpoints, a log, and a budget of tokens or minutes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from alora_flow.mini.recipe import vocabulary
from alora_flow.mini.recipe.encoding import PaddedBatch, shard
from alora_flow.mini.recipe.network import Network, Shape
from alora_flow.mini.recipe.optimiser import Optimiser
from alora_flow.mini.recipe.vocabulary import Encoder
from alora_flow.mini.world.chat import Size
from alora_flow.mini.world.corpus import STAGES
from alora_flow.training.checkpoint import log, read_state, write_state
from alora_flow.training.training import precision_of

# The layer whose first head is told where an answer comes from: late enough to know, early enough to use it.
POINTER = 3


@dataclass(frozen=True)
class BasePlan:
    """How the base is trained. A budget of `minutes`, where given, replaces that of `tokens`."""

    seed: int = 0
    tokens: int = 20_000_000
    minutes: float | None = None
    batch: int = 8192
    chats: int = 3000
    stage_ends: tuple[float, ...] = (0.1, 0.3, 0.45, 0.8)
    threads: int = 2
    log_seconds: float = 150.0


@dataclass
class Clock:
    """How far training is, over all its restarts."""

    plan: BasePlan
    tokens: int = 0
    seconds: float = 0.0
    shards: int = 0

    @property
    def progress(self) -> float:
        """0 at the start, 1 where the budget is spent."""
        if self.plan.minutes:
            return self.seconds / (60 * self.plan.minutes)
        return self.tokens / self.plan.tokens

    def stage(self) -> Size:
        """The size of chats at this point."""
        return STAGES[sum(self.progress >= end for end in self.plan.stage_ends)]

    def recall(self) -> float:
        """The share of lists to copy: many at first; with hardly any later, a name's second half may be guessed."""
        return 0.8 if self.progress < 0.1 else 0.35


def compiled(network: Network) -> Callable[..., Tensor]:
    """The network as one compiled graph a batch shape, or as it is where no C++ compiler is at hand."""
    return torch.compile(network, dynamic=False) if shutil.which("g++") else network


_ENCODER: list[Encoder] = []


def _start(folder: Path) -> None:
    """Set up the process that makes shards."""
    torch.set_num_threads(1)
    _ENCODER.append(Encoder.load(folder))


def _make(seed: int, size: Size, count: int, recall: float, tokens: int) -> list[PaddedBatch]:
    """Make one shard in that process."""
    return shard(_ENCODER[0], seed, size, count, recall, tokens)


def stream(folder: Path, clock: Clock) -> Iterator[list[PaddedBatch]]:
    """Shards without end, always one ahead. Shard `k` depends on the seed, `k` and the stage when it was ordered."""
    plan = clock.plan
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_start, initargs=(folder,)) as pool:

        def order(k: int) -> Any:
            seed = plan.seed * 1_000_003 + k + 1
            return pool.submit(_make, seed, clock.stage(), plan.chats, clock.recall(), plan.batch)

        ahead = order(clock.shards)
        while True:
            now, ahead = ahead.result(), order(clock.shards + 1)
            yield now
            clock.shards += 1


def rounded_up(places: Tensor, step: int = 1024) -> Tensor:
    """Places and as many zeros as round their number up.

    The library keeps a prepared product for every shape it meets; with a new one each step its memory only grows.
    """
    return F.pad(places, (0, -len(places) % step))


def guidance(scores: list[Tensor], batch: PaddedBatch) -> Tensor:
    """What two attention heads are told: the first layer's to look one token back, a late one's to look at the source.

    Which entity a fact belongs to takes layers that are of no use one without the other: in 30 M tokens no seed found
    them all, and among rivals each guessed. Told where to look, every seed has them within 8 M.
    """
    back, source = scores[0].float(), scores[POINTER].float()
    length = batch.ids.shape[1]
    before = torch.arange(length - 1).expand(len(batch.ids), -1)
    rows, places = batch.sources.nonzero()
    wanted = torch.from_numpy(batch.sources[rows, places].astype("int64")) - 1
    spare = -len(rows) % 256
    chosen = source[F.pad(torch.from_numpy(rows), (0, spare)), F.pad(torch.from_numpy(places), (0, spare))]
    pointed = F.cross_entropy(chosen, F.pad(wanted, (0, spare), value=-1), ignore_index=-1, reduction="sum")
    return pointed / max(1, len(rows)) + F.cross_entropy(back[:, 1:].flatten(0, 1)[::8], before.flatten()[::8])


def loss_of(network: Network, forward: Callable[..., Tensor], batch: PaddedBatch, half: bool) -> Tensor:
    """Weighted cross-entropy and guidance. The head sees only positions that carry loss, few of the light ones."""
    ids = torch.from_numpy(batch.ids.astype("int64"))
    weights = torch.from_numpy(batch.weights.astype("float32"))[:, 1:]
    light = (weights > 0) & (weights < 0.03)
    weights = torch.where(light, weights * 10 * (torch.rand_like(weights) < 0.1), weights)
    weights, targets = F.pad(weights, (0, 1)).flatten(), ids.roll(-1, 1).flatten()
    keep = rounded_up(weights.nonzero()[:, 0])
    seen: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        scores = network.logits(forward(ids, scores=seen).flatten(0, 1)[keep])
    losses = F.cross_entropy(scores.float(), targets[keep], reduction="none")
    first = torch.arange(len(keep)) < weights.count_nonzero()
    return (losses * weights[keep] * first).sum() / weights.sum() + guidance(seen, batch)


class Training:
    """One run in one folder; a second start with the same folder continues it."""

    def __init__(self, folder: Path, plan: BasePlan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.plan = folder, plan
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        if not (folder / "tokenizer.json").exists():
            vocabulary.save(folder)
        self.encoder = Encoder.load(folder)
        self.half = precision_of("auto") == "bfloat16"
        self.network = Network(Shape(self.encoder.size))
        self.optimiser = Optimiser(self.network, torch.bfloat16 if self.half else torch.float32)
        self.clock = Clock(plan)
        self.resume()

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Continue from the folder's checkpoint, if there is one."""
        state = read_state(self.checkpoint)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.optimiser.load(state["optimiser"])
            self.clock = Clock(self.plan, **state["clock"])

    def save(self) -> None:
        """Write the state."""
        clock = {k: v for k, v in asdict(self.clock).items() if k != "plan"}
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state(), "clock": clock}
        write_state(self.checkpoint, state)

    def say(self, **facts: object) -> None:
        """Append a line to the log."""
        log(self.folder, minutes=round(self.clock.seconds / 60, 2), tokens=self.clock.tokens, **facts)

    def run(self, measure: Callable[[Network], dict[str, object]] | None = None) -> Network:
        """Train until the budget is spent."""
        parameters = sum(p.numel() for p in self.network.parameters())
        self.say(seed=self.plan.seed, budget=self.plan.minutes, parameters=parameters, bf16=self.half)
        forward = compiled(self.network)
        last, mean = time.monotonic(), 0.0
        spoken = self.clock.seconds
        for batches in stream(self.folder, self.clock):
            for batch in batches:
                if self.clock.progress >= 1:
                    self.save()
                    self.say(steps=self.optimiser.count, done=True)
                    return self.network
                loss = loss_of(self.network, forward, batch, self.half)
                torch.autograd.backward(loss)
                self.optimiser.step(self.clock.progress)
                mean = 0.98 * mean + 0.02 * loss.item() if mean else loss.item()
                now = time.monotonic()
                self.clock.tokens += batch.ids.size
                self.clock.seconds += now - last
                last = now
            if self.clock.seconds - spoken > self.plan.log_seconds:
                spoken = self.clock.seconds
                self.save()
                self.say(steps=self.optimiser.count, loss=round(mean, 4), **(measure(self.network) if measure else {}))
        raise AssertionError("the stream of shards has no end")
