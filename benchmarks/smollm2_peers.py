"""SmolLM2 by the engine, by llama.cpp's server and by transformers: the same work for each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import torch
from transformers import DynamicCache

from alora_flow.module import Module
from alora_runtime import Engine, Request, Run
from alora_runtime.requests import Listener
from benchmarks.engine_peers import Tokens, by_hand, generate, load_hf
from benchmarks.llama_server import Server, free_port, wait_for

SLOTS, SLOT_TOKENS = 8, 2048


@dataclass(frozen=True)
class Calls:
    """What a run of the flow asked of the model: a prompt and how many tokens were written, then on both of these
    several prompts that go on, each with its own number. `asked`: what the run was given."""

    asked: dict[str, Any]
    context: Tokens
    written: int
    branches: Sequence[tuple[Tokens, int]]


class Peer(Protocol):
    """Who does it."""

    def prefill(self, prompt: Tokens) -> object:
        """One token after a prompt of which nothing is cached."""

    def decode(self, prompts: Sequence[Tokens], count: int) -> object:
        """`count` tokens after each of several short prompts, side by side."""

    def flow(self, calls: Calls) -> object:
        """All calls of the flow, with nothing cached before."""

    def processor_seconds(self) -> float:
        """What its process has taken of all cores so far."""


class Here:
    """In this process."""

    def processor_seconds(self) -> float:
        return time.process_time()


class EngineItself(Here):
    """The flow is run as `alora-flow run` does it, with planning and ledger."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.engine: Engine = module.backend.engine  # type: ignore[attr-defined]

    def prefill(self, prompt: Tokens) -> object:
        return self.decode([prompt], 1)

    def decode(self, prompts: Sequence[Tokens], count: int) -> object:
        self.module.forget()
        return self.engine.generate([Request([Run(prompt)], max_tokens=count, ignore_eos=True) for prompt in prompts])

    def flow(self, calls: Calls) -> object:
        self.module.forget()
        return self.module.smollm2(**calls.asked)

    def record(self, asked: dict[str, Any]) -> Calls:
        """The calls of a run, which may have fewer tokens than they are allowed."""
        requests: list[Request] = []
        submit = Engine.submit

        def recorded(engine: Engine, request: Request, listener: Listener | None = None, retain: bool = False) -> int:
            requests.append(request)
            return submit(engine, request, listener, retain=retain)

        self.module.forget()
        with patch.object(Engine, "submit", recorded):
            trace = self.module.smollm2(**asked).trace
        assert trace.kept_promise
        prompts = [[token for run in request.runs for token in run.tokens] for request in requests]
        first, *others = [call.generated for call in trace.calls]
        begun = len(prompts[0]) + first
        branches = [(prompt[begun:], count) for prompt, count in zip(prompts[1:], others, strict=True)]
        return Calls(asked, prompts[0], first, branches)


class LlamaServer:
    """Of one server with a slot for each row. What a slot has cached it goes on from, so the calls of the flow are sent
    to one slot after another: side by side each slot would compute the context again."""

    def __init__(self, server: Server, process: int) -> None:
        self.server, self.process = server, process
        self.pool = ThreadPoolExecutor(SLOTS)

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system, by proc(5)

    def complete(self, prompt: Tokens, count: int, slot: int = 0, cached: bool = False) -> list[int]:
        body = {"prompt": list(prompt), "n_predict": count, "samplers": ["top_k"], "top_k": 1, "ignore_eos": True}
        answer = self.server.ask("/completion", body | {"cache_prompt": cached, "id_slot": slot, "return_tokens": True})
        tokens: list[int] = answer["tokens"]
        assert len(tokens) == count
        return tokens

    def prefill(self, prompt: Tokens) -> object:
        return self.complete(prompt, 1)

    def decode(self, prompts: Sequence[Tokens], count: int) -> object:
        return list(self.pool.map(lambda pair: self.complete(pair[1], count, pair[0]), enumerate(prompts)))

    def flow(self, calls: Calls) -> object:
        answer = self.complete(calls.context, calls.written)
        whole = [*calls.context, *answer]
        return [self.complete([*whole, *more], count, cached=True) for more, count in calls.branches]


class Transformers(Here):
    """The flow with a cache that is carried by hand: computed once, and copied for the branches, which are a batch."""

    def __init__(self, folder: Path) -> None:
        self.model = load_hf(folder)

    @torch.inference_mode()
    def prefill(self, prompt: Tokens) -> object:
        return by_hand(self.model, DynamicCache(), prompt, 1)

    def decode(self, prompts: Sequence[Tokens], count: int) -> object:
        return generate(self.model, prompts, count)

    @torch.inference_mode()
    def flow(self, calls: Calls) -> object:
        cache = DynamicCache()
        answer = by_hand(self.model, cache, calls.context, calls.written)
        by_hand(self.model, cache, answer[-1:], 1)
        begun, longest = len(calls.context) + calls.written, max(len(more) for more, _ in calls.branches)
        cache.batch_repeat_interleave(len(calls.branches))
        fed = torch.tensor([[0] * (longest - len(more)) + list(more) for more, _ in calls.branches])
        gaps = torch.tensor([[longest - len(more)] for more, _ in calls.branches])
        places = torch.arange(longest)[None]
        mask = torch.cat([torch.ones(len(fed), begun), (places >= gaps)], dim=1).long()
        positions = (begun + places - gaps).clamp_min(0)
        found = []
        for _ in range(max(count for _, count in calls.branches)):
            logits = self.model(
                input_ids=fed, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
            ).logits
            fed = logits[:, -1].argmax(-1, keepdim=True)
            found.append(fed)
            mask, positions = torch.cat([mask, torch.ones_like(fed)], dim=1), positions[:, -1:] + 1
        return torch.cat(found, dim=1).tolist()


@contextmanager
def llama_server(file: Path, binary: str | None, threads: int, own_types: bool) -> Iterator[LlamaServer]:
    """llama.cpp's server on a file, by its binary or else from the xllamacpp package; ended afterwards. own_types:
    keys, values and attention as it chooses them, in half precision; else in float32."""
    options = ["--threads", str(threads), *(["--own-types"] if own_types else [])]
    command = [sys.executable, "-m", "benchmarks.llama_process", str(file), "--slots", str(SLOTS), *options]
    port = free_port()
    if binary:
        command = [binary, "--model", str(file), "--port", str(port), "--parallel", str(SLOTS), "--cache-ram", "0"]
        command += ["--threads", str(threads), "--threads-batch", str(threads), "--no-webui"]
        command += [] if own_types else ["--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"]
    size = ["--ctx-size" if binary else "--context", str(SLOTS * SLOT_TOKENS)]
    pipe, log = subprocess.PIPE, file.with_suffix(".log")
    with (
        open(log, "w") as said,
        subprocess.Popen([*command, *size], stdin=pipe, stdout=pipe, stderr=said) as process,
    ):
        assert process.stdout
        try:
            if not binary:
                port = int(process.stdout.readline().decode().rpartition(":")[2] or 0)
            server = Server(port, [])
            wait_for(server, process, log)
            yield LlamaServer(server, process.pid)
        finally:
            process.terminate()
