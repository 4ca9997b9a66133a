"""`python llama_cpp_process.py FILE CONTEXT` serves a GGUF file by llama.cpp and prints the address. It runs until its
input ends: in a process of its own, since llama.cpp ends the process where a file is not to its liking."""

from __future__ import annotations

import sys

import xllamacpp


def main(file: str, context: str) -> None:
    """The server."""
    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = int(context), 1, 0, 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.cache_ram_mib, settings.warmup = 0, False
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
