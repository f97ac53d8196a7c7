"""The programs of the pages about tasks, providers, endpoints and servers run, word for word.

Only addresses are others: the clients get servers on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared_core import RouterClient
from tests.docs.test_examples import BLOCKS
from tests.helpers.fault_server import FaultServer, empty_reply, json_reply, reply
from tests.shared_core.endpoints.control import endpoint

PAGES = ("tasks.md", "providers.md", "endpoints.md", "servers.md")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def programs(page: str) -> list[str]:
    """Return the blocks of a page that are whole programs."""
    found = [block.code for block in BLOCKS if block.page.name == page]
    return [code for code in found if "import RouterClient" in code or ", RouterClient" in code]


def run(code: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a program whose clients are connected to *url*."""
    settings = f'api_key="hf_test", base_url="{url}/v1", hub_url="{url}", endpoints_url="{url}"'
    code = re.sub(r"http://localhost:8080(?!/v1)", url, code)
    code = re.sub(r"(?:, )?base_url=(?:tei|\"[^\"]*\")", "", code)
    code, changed = re.subn(r"RouterClient\(([^()]*)\)", rf"RouterClient(\1, {settings})", code)
    assert changed
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(compile(code.replace("(, ", "("), "page", "exec"), names)
    made = names["client"]
    assert isinstance(made, RouterClient)
    made.close()


def mapped(server: FaultServer, model: str, provider: str, task: str, name: str) -> None:
    entry = {"status": "live", "providerId": name, "task": task}
    page = {"id": model, "inferenceProviderMapping": {provider: entry}}
    server.on(f"/api/models/{model}", json_reply(page))


def fal(server: FaultServer, name: str, *, times: int) -> None:
    """Script a queue of fal-ai that says *times* that it is not done."""
    job = f"/{name}/requests/j1"
    accepted = {"request_id": "j1", "status": "IN_QUEUE", "response_url": f"https://q.test{job}"}
    waiting, done = {"status": "IN_PROGRESS"}, {"status": "COMPLETED"}
    server.on(f"/fal-ai/{name}", json_reply(accepted))
    server.script(f"/fal-ai{job}/status", *[json_reply(waiting)] * times, json_reply(done))
    server.on(f"/fal-ai{job}", json_reply({"video": {"url": f"{server.url}/made.mp4"}}))
    server.on("/made.mp4", reply(200, b"....ftypisom", {"content-type": "video/mp4"}))


def test_there_are_programs() -> None:
    assert [len(programs(page)) for page in PAGES] == [1, 2, 1, 3]


def test_tasks_page(
    server: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
    labels = json_reply([[{"label": "NEGATIVE", "score": 0.98}]])
    server.on(f"/hf-inference/models/{name}", labels)
    mapped(server, "black-forest-labs/FLUX.1-dev", "together", "text-to-image", "bfl/dev")
    images = {"data": [{"b64_json": "iVBORw0KGgoAAAAAAAAAAA=="}]}
    server.on("/together/v1/images/generations", json_reply(images))
    (code,) = programs("tasks.md")
    run(code, server.url, tmp_path, monkeypatch)
    assert capsys.readouterr().out == "NEGATIVE 0.98\n"
    assert (tmp_path / "lighthouse.png").read_bytes().startswith(b"\x89PNG")


def test_providers_page(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, video = programs("providers.md")
    mapped(server, "black-forest-labs/FLUX.1-schnell", "fal-ai", "text-to-image", "fal-ai/flux")
    server.on("/fal-ai/fal-ai/flux", json_reply({"images": [{"url": f"{server.url}/made.png"}]}))
    server.on("/made.png", reply(200, PNG, {"content-type": "image/png"}))
    run(image, server.url, tmp_path, monkeypatch)
    assert (tmp_path / "bicycle.png").read_bytes() == PNG

    mapped(server, "Wan-AI/Wan2.2-TI2V-5B", "fal-ai", "text-to-video", "fal-ai/wan")
    fal(server, "fal-ai/wan", times=2)
    assert "poll_deadline=120" in video  # too long for a test; what follows is the same
    run(video.replace("poll_deadline=120", "poll_deadline=0.2"), server.url, tmp_path, monkeypatch)
    assert (tmp_path / "cat.mp4").read_bytes() == b"....ftypisom"
    # The deadline passed while the job was queued, and the program went on with it.
    assert server.count("/fal-ai/fal-ai/wan") == 1
    assert server.count("/fal-ai/fal-ai/wan/requests/j1/status") == 3


def test_endpoints_page(
    server: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = "/v2/endpoint/ann/chat-a1"
    server.on("/api/whoami-v2", json_reply({"type": "user", "name": "ann"}))
    server.on("/v2/endpoint/ann", json_reply(endpoint("pending")))
    server.on(one, json_reply(endpoint("running", url=server.url)))
    server.on("/health", empty_reply(200))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": "stop",
    }
    server.on("/v1/chat/completions", json_reply({"id": "1", "model": "m", "choices": [choice]}))
    server.on(f"{one}/pause", json_reply(endpoint("paused")))
    (code,) = programs("endpoints.md")
    run(code, server.url, tmp_path, monkeypatch)
    assert capsys.readouterr().out == "running 0\nHi\n"
    asked = [f"{item.method} {item.path}" for item in server.requests]
    assert asked[-2:] == ["POST /v1/chat/completions", f"POST {one}/pause"]


def test_servers_page(
    llama_chat_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    detecting, structured, _ = programs("servers.md")
    run(detecting, llama_chat_url, tmp_path, monkeypatch)
    assert capsys.readouterr().out.startswith("llama.cpp taught ")
    run(structured, llama_chat_url, tmp_path, monkeypatch)


def test_other_routes(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.on("*", json_reply([[{"label": "same", "score": 0.5}]]))
    server.on("/embed_sparse", json_reply([[{"index": 3, "value": 0.5}]]))
    server.on("/embed_all", json_reply([[[0.5, 1.0], [0.5, 2.0]]]))
    run(programs("servers.md")[2], server.url, tmp_path, monkeypatch)
    assert {item.path: item.json() for item in server.requests} == {
        "/embed_sparse": {"inputs": ["a cat"]},
        "/embed_all": {"inputs": "a cat"},
        "/predict": {"inputs": [["a cat", "a feline"]], "raw_scores": True},
        "/tokenize": {"inputs": "a cat"},
        "/decode": {"ids": [[101, 102]]},
    }
    assert {item.headers["authorization"] for item in server.requests} == {"Bearer hf_test"}
