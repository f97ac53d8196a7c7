"""llama.cpp's own HTTP server, out of the ``xllamacpp`` wheel, as a child process.

Usage: ``llamacpp_server.py MODEL.gguf chat|embed|rerank ALIAS [API_KEY]``

It takes a free port of 127.0.0.1, prints ``listening URL`` and serves until its standard
input ends, so that it cannot outlive the process that started it, however that one died.
One thread: two spinning threads on two busy cores are 5 to 20 times slower.
"""

from __future__ import annotations

import os
import sys


def main(model: str, mode: str, alias: str, api_key: str = "") -> None:
    """Serve *model* until standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_gpu_layers = 0
    params.warmup = False
    params.fit_params = False
    params.cache_ram_mib = 0
    params.n_ctx = 8192
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.use_jinja = True
    params.endpoint_slots = True
    params.endpoint_metrics = True
    if api_key:
        params.api_keys = [api_key]
    if mode != "chat":
        params.embedding = True
        params.n_batch = params.n_ubatch = 2048
    if mode == "rerank":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(params)
    print("listening", server.listening_address, flush=True)
    while sys.stdin.buffer.read(65536):
        pass
    os._exit(0)  # its threads do not stop by themselves


if __name__ == "__main__":
    main(*sys.argv[1:])
