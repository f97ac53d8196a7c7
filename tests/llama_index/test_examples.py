"""The programs in ``examples/llama_index`` run, word for word, against real or scripted servers."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.fault_server import Received, Reply, json_reply
from tests.helpers.gateway import gateway
from tests.helpers.servers import ROOT
from tests.llama_index.stub_server import StubRouter, call, say, vector
from tests.llama_index.test_messages import PNG

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the framework

FOLDER = ROOT / "examples" / "llama_index"
MODEL = "openai/gpt-oss-120b"
GROQ = {
    "provider": "groq",
    "status": "live",
    "context_length": 100_000,
    "supports_tools": True,
    "supports_structured_output": True,
}

# What each program prints, on real models where they can do it and else on a scripted server.
REAL = {
    "agent": ["[get_weather", "[get_time", "It is 21 degrees and 12:30 in Paris."],
    "chat": ["Hello! How can I help you today?", "7 has no divisor", "Yes, 7 is prime.", "tokens"],
    "embeddings": ["loaf? -> Bread", "theory -> A prime"],
    "errors": ["temperature"],
    "parallel": ["France? The capital of France is Paris.", "Say hello. Hello!"],
    "structured": ["Ada is 36", "{'name': 'Ada', 'age': 36}"],
    "tools": ["[get_weather {'city': 'Paris'} -> ", "It is 21 degrees in Paris."],
}
SCRIPTED = {
    "context": ["Hello Ada.\nYou are Ada.\nvisits: 1"],
    "images": ["A dot."],
    "model_info": ["assumed: 32768\nserved by: groq\nnow: 100000 tools: True"],
    "react_agent": ["[add {'a': 2, 'b': 3} -> 5]", "-> 20]", "The result is 20."],
    "rerank": ["0.67 Paris", "asynchronously: Paris"],
    "similarity": ["Bake it.", "from: Bread is baked", "(0.70)"],
    "workflow": ["[handoff ", "[add {'a': 2, 'b': 3}]", "Five."],
}
CHATS = {
    "context": (say("Hello Ada."), say("You are Ada.")),
    "images": (say("A dot."),),
    "react_agent": (
        say('Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}\n'),
        say('Thought: I multiply.\nAction: times\nAction Input: {"a": 5, "b": 4}\n'),
        say("Thought: I can answer without using any more tools.\nAnswer: The result is 20."),
    ),
    "similarity": (say("Bake it."),),
    "workflow": (
        call(("handoff", {"to_agent": "calculator", "reason": "a sum"})),
        call(("add", {"a": 2, "b": 3})),
        say("Five."),
    ),
}


Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a program as ``__main__`` in this process: the framework takes seconds to import."""
    monkeypatch.setenv("HF_TOKEN", "hf_not_a_token")
    monkeypatch.chdir(tmp_path)

    def run_program(program: str, url: str, *arguments: str) -> str:
        file = str(FOLDER / f"{program}.py")
        monkeypatch.setenv("HUGGINGFACE_BASE_URL", f"{url}/v1")
        monkeypatch.setattr(sys, "argv", [file, *arguments])
        runpy.run_path(file, run_name="__main__")
        return capsys.readouterr().out

    return run_program


@contextmanager
def scripted(program: str) -> Iterator[StubRouter]:
    """Serve what *program* asks for."""

    def embed(request: Received) -> Reply:
        return json_reply([vector(text) for text in request.json()["inputs"]])

    def similar(request: Received) -> Reply:
        inputs = request.json()["inputs"]
        about_bread = ["bread" in text.lower() for text in inputs["sentences"]]
        return json_reply([0.7 if fits else 0.1 for fits in about_bread])

    with StubRouter() as stub:
        models = "/hf-inference/models/{}/pipeline/{}"
        stub.on(models.format("BAAI/bge-small-en-v1.5", "feature-extraction"), embed)
        minilm = "sentence-transformers/all-MiniLM-L6-v2"
        stub.on(models.format(minilm, "sentence-similarity"), similar)
        entry = {"id": MODEL, "object": "model", "providers": [GROQ]}
        stub.on(f"/v1/models/{MODEL}", json_reply(entry))
        stub.on("/v1/models", json_reply({"object": "list", "data": [entry]}))
        stub.chat(*CHATS.get(program, ()))
        yield stub


def test_every_program_is_run_and_short() -> None:
    programs = {path.stem: path for path in FOLDER.glob("*.py")}
    assert programs.keys() == REAL.keys() | SCRIPTED.keys()
    for program in programs.values():
        assert len(program.read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.parametrize("program", sorted(REAL))
def test_on_real_servers(program: str, llama_chat_url: str, llama_embed_url: str, run: Run) -> None:
    with gateway(llama_chat_url, llama_embed_url) as (url, _):
        shown = run(program, url)
    for text in REAL[program]:
        assert text in shown


@pytest.mark.parametrize("program", sorted(SCRIPTED))
def test_on_a_scripted_server(program: str, run: Run) -> None:
    with scripted(program) as stub:
        shown = run(program, stub.url, *([stub.url] if program == "rerank" else []))
    for text in SCRIPTED[program]:
        assert text in shown


def test_the_reranker_on_a_real_server(llama_rerank_url: str, run: Run) -> None:
    assert len(run("rerank", llama_rerank_url, llama_rerank_url).splitlines()) == 3


def test_a_picture_of_ones_own_is_sent_along(tmp_path: Path, run: Run) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)
    with scripted("images") as stub:
        assert "A dot." in run("images", stub.url, "dot.png")
    sent = stub.last["messages"][0]["content"][1]["image_url"]["url"]
    assert sent.startswith("data:image/png;base64,")


@pytest.mark.rule("agent-context")
def test_the_restored_conversation_is_sent_whole(run: Run) -> None:
    with scripted("context") as stub:
        run("context", stub.url)
    said = [message["content"] for message in stub.last["messages"]]
    assert said == ["Be brief.", "I am Ada.", "Hello Ada.", "Who am I?"]
