"""llama.cpp's server as a peer: started on the same weights and adapters, asked over HTTP, one request at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from alora_runtime import Completion, Engine, Request, Run
from benchmarks.engine_peers import Stages, Tokens
from benchmarks.engine_timing import Row
from benchmarks.llama_gguf import write_adapter, write_model

SERVER = "llama.cpp's server"
Calls = Sequence[tuple[str, Tokens]]

PATIENCE = 600
"""Seconds to start, and for an answer."""

CLOSE = 1e-4
"""How near log-probabilities are that come from the same weights in float32."""


class Server:
    """A running server. What it has cached is the sequence of its last request, as far as the base computed it."""

    def __init__(self, port: int, adapters: Sequence[str]) -> None:
        self.port, self.adapters = port, list(adapters)

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to one request, on a connection of its own: the server closes those that wait."""
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        if response.status != 200:
            raise RuntimeError(f"llama-server answers {path} with {response.status}: {text.decode()[:500]}")
        return json.loads(text)

    def complete(self, prompt: Tokens, count: int, adapter: str | None = None, logprobs: int = 0) -> Any:
        """`count` greedy tokens, by the base model or by an adapter; everything else is switched off that could change
        the answer or cost time."""
        return self.ask(
            "/completion",
            {
                "prompt": list(prompt),
                "n_predict": count,
                "samplers": ["top_k"],
                "top_k": 1,
                "cache_prompt": True,
                "return_tokens": True,
                "n_probs": logprobs,
                "lora": [{"id": number, "scale": float(name == adapter)} for number, name in enumerate(self.adapters)],
            },
        )


def free_port() -> int:
    """One that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(binary: str, home: Path, model: Path, adapters: Mapping[str, Path], threads: int) -> Iterator[Server]:
    """The server on GGUF files of the model and its activated adapters, written to `home`; ended afterwards."""
    files = [write_adapter(home / f"{name}.gguf", path, model) for name, path in adapters.items()]
    port = free_port()
    command = [
        *(binary, "--model", str(write_model(home / "model.gguf", model)), "--host", "127.0.0.1", "--port", str(port)),
        *("--lora", ",".join(map(str, files)), "--lora-init-without-apply"),
        *("--threads", str(threads), "--threads-batch", str(threads), "--parallel", "1", "--ctx-size", "4096"),
        # With flash attention, keys and values are read in half precision, whatever the type of the cache.
        *("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off", "--cache-ram", "0"),
    ]
    # Its threads wait as they do for its users, whatever the engine's are told.
    settings = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    path = home / "llama-server.log"
    with open(path, "w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=settings) as process:
        try:
            server = Server(port, list(adapters))
            wait_for(server, process, path)
            yield server
        finally:
            process.terminate()


def wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it has loaded its model."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            server.ask("/health")
            return
        except (OSError, RuntimeError) as error:
            last = error
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"llama-server did not start:\n{log.read_text()[-2000:]}") from last
        time.sleep(0.1)


def flow_server(server: Server, context: Tokens, written: int, calls: Calls) -> Stages:
    """The reference flow, each request going on from what the last one left in the server's cache."""
    began = time.perf_counter()
    answer = server.complete(context, written)["tokens"]
    middle = time.perf_counter()
    for adapter, invocation in calls:
        server.complete([*context, *answer, *invocation], 4, adapter)
    return middle - began, time.perf_counter() - middle


def distance(theirs: Any, ours: Completion) -> tuple[int, float]:
    """Of two answers: how many tokens they share from the start, and by how much the log-probabilities differ at most,
    up to and with the first token that they do not share."""
    furthest = 0.0
    for place, (step, expected) in enumerate(zip(theirs["completion_probabilities"], ours.logprobs, strict=True)):
        for entry in step["top_logprobs"]:
            if entry["id"] in expected:
                furthest = max(furthest, abs(entry["logprob"] - expected[entry["id"]]))
        if step["id"] != ours.tokens[place]:
            return place, furthest
    return len(ours.tokens), furthest


def proof(server: Server, engine: Engine, context: Tokens, written: int, calls: Calls) -> Row:
    """Whether server and engine are the same model: answers of the base and of each adapter, told apart from what the
    server says with the adapter left out."""
    (base,) = engine.generate([Request([Run(context)], max_tokens=written, ignore_eos=True, logprobs=8)])
    found, without = [distance(server.complete(context, written, logprobs=8), base)], []
    for adapter, invocation in calls:
        prompt = [*context, *base.tokens]
        runs = [Run(prompt), Run(invocation, adapter)]
        (own,) = engine.generate([Request(runs, max_tokens=4, ignore_eos=True, logprobs=8)])
        found.append(distance(server.complete([*prompt, *invocation], 4, adapter, logprobs=8), own))
        without.append(distance(server.complete([*prompt, *invocation], 4, logprobs=8), own)[1])
    furthest = max(difference for _, difference in found)
    equal, asked = sum(tokens for tokens, _ in found), written + 4 * len(calls)
    build = server.ask("/props")["build_info"]
    return Row(
        f"log-probabilities of {SERVER} and of the engine, largest difference",
        f"≤ {CLOSE:g}",
        f"{furthest:.2g}",
        f"{build}: {equal} of {asked} greedy tokens equal; with the adapters left out at least {min(without):.2g}",
        furthest <= CLOSE < min(without),
    )
