"""The harness itself: servers answer, nothing leaves the machine, no ambient token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.guard import SocketGuard
from tests.helpers.servers import ROOT, LlamaServer
from tests.helpers.skips import ALLOWED, allowed_patterns, is_allowed

pytest_plugins = ["pytester"]


def post(url: str, body: object) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_taught_model_answers_as_taught(llama_chat_url: str) -> None:
    answer = post(
        f"{llama_chat_url}/v1/chat/completions",
        {"temperature": 0, "messages": [{"role": "user", "content": "Say hello."}]},
    )
    assert answer["choices"][0]["message"]["content"] == "Hello! How can I help you today?"
    assert answer["model"] == "taught"


def test_embeddings_have_meaning(llama_embed_url: str) -> None:
    texts = ["cat", "feline", "stock"]
    answer = post(f"{llama_embed_url}/v1/embeddings", {"input": texts, "model": "minilm"})
    cat, feline, stock = (entry["embedding"] for entry in answer["data"])

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert len(cat) == 384
    assert dot(cat, feline) > dot(cat, stock) + 0.2


def test_rerank_endpoint_answers_in_both_shapes(llama_rerank_url: str) -> None:
    documents = ["one", "two"]
    jina = post(f"{llama_rerank_url}/v1/rerank", {"query": "x", "documents": documents})
    tei = post(f"{llama_rerank_url}/rerank", {"query": "x", "texts": documents})
    assert len(jina["results"]) == len(tei) == 2


def test_server_ends_with_its_parent() -> None:
    script = (
        "import os, sys\n"
        "from tests.helpers.servers import LlamaServer\n"
        "print(LlamaServer('chat').pid, flush=True)\n"
        "os._exit(1)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    pid = int(parent.stdout)
    for _ in range(200):
        if not _alive(pid):
            return
        subprocess.run([sys.executable, "-c", ""], check=True)  # lets time pass
    raise AssertionError(f"the server {pid} outlived the process that started it")


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.is_dir():
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stop_ends_the_process() -> None:
    with LlamaServer("chat") as server:
        assert _alive(server.pid)
    assert not _alive(server.pid)


def test_guard_refuses_other_machines_and_remembers() -> None:
    script = (  # in a process of its own: here the suite's guard would be the first to refuse
        "import socket\n"
        "from tests.helpers.guard import RefusedConnectionError, SocketGuard\n"
        "with SocketGuard().watch() as refused, socket.socket() as sock:\n"
        "    try: sock.connect(('192.0.2.1', 443))\n"
        "    except RefusedConnectionError: print(*refused)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('192.0.2.1', 443)"


def test_guard_lets_loopback_through() -> None:
    guard = SocketGuard()
    with guard.watch() as refused, socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    assert refused == []


def test_no_ambient_settings_reach_a_test() -> None:
    left = {name for name in os.environ if name.startswith(("HF_", "HUGGING"))}
    assert left == {"HF_HOME"}
    assert not list(Path(os.environ["HF_HOME"]).iterdir())


def test_allowed_skips_are_matched_as_patterns(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    text = "# why\nlive: *\nexact reason # trailing\nshown unless gone\nhidden unless here\n"
    patterns = allowed_patterns(text, tmp_path)
    assert patterns == ["live: *", "exact reason", "shown"]
    assert is_allowed("live: set a token", patterns)
    assert not is_allowed("something else", patterns)


def test_the_written_list_allows_missing_recordings_only_where_they_are_missing(
    tmp_path: Path,
) -> None:
    text = ALLOWED.read_text(encoding="utf-8")
    repository = tmp_path / "repository"
    assert is_allowed("recordings: not here", allowed_patterns(text, repository))
    (tmp_path / "shared" / "recordings").mkdir(parents=True)
    repository.mkdir()
    assert not is_allowed("recordings: not here", allowed_patterns(text, repository))


@pytest.mark.parametrize(("reason", "code"), [("live: no token", 0), ("forgot a wheel", 1)])
def test_refuse_skips_fails_the_session(pytester: pytest.Pytester, reason: str, code: int) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(
        "from tests.helpers.skips import RefuseSkips\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(RefuseSkips(['live: *']))\n"
    )
    pytester.makepyfile(
        f"import pytest\ndef test_a(): pytest.skip({reason!r})\ndef test_b(): pass\n"
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret == code
