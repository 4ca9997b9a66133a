"""`python -m benchmarks.llama_process FILE` serves a GGUF file by llama.cpp, from the xllamacpp package, and prints the
address. It runs until its input ends: in a process of its own, since llama.cpp ends the process where a file is not to
its liking."""

from __future__ import annotations

import argparse
import sys

import xllamacpp


def main() -> None:
    """The server, with keys and values in float32, and on one thread unless more are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--context", type=int, default=512, help="tokens, of all slots together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--own-types", action="store_true", help="keys, values and attention as llama.cpp chooses them")
    options = parser.parse_args()
    settings = xllamacpp.CommonParams()
    settings.model.path = options.file
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = options.context, options.slots, 0, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = options.threads
    if not options.own_types:
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.cache_ram_mib, settings.warmup = 0, False
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
