"""Every program under ``examples/langchain`` runs, word for word, as its user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared_core import RouterClient
from tests.helpers.fault_server import FaultServer, json_reply, reply, sse
from tests.helpers.gateway import gateway
from tests.helpers.servers import ROOT
from tests.langchain.conftest import png
from tests.langchain.responses_server import PATH as RESPONSES
from tests.langchain.responses_server import docs_server
from tests.langchain.script import event, whole
from tests.langchain.test_decisions import HAS_DECISIONS
from tests.langchain.test_profiles import ENTRY

FOLDER = ROOT / "examples" / "langchain"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))

# What each program shows, on real models where they can do it and else on a scripted server.
REAL = {
    "chain": ["The capital of France is Paris."],
    "streaming": ["Part 1:", "total_tokens", "llama.cpp"],
    "reasoning": ["reasoning: 7 has no divisor", "text: Yes, 7 is prime."],
    "tools": ["get_weather {'city': 'Paris'}", "It is 21 degrees and 12:30 in Paris."],
    "agent": ["get_weather", "It is 21 degrees in Paris."],
    "structured_output": ["name='Ada' age=36", "{'name': 'Ada', 'age': 36}"],
    "responses": ["{'type': 'text', 'text': 'Yes, 7 is prime.'}", '{"temp_c": 21}', "|It| is|"],
    "parallel": ["20 answers", "Hello! How can I help you today?"],
    "vector_store": ["->", "Cats sleep", "reset your password"],
}
SCRIPTED = {
    "images": ["A logo."],
    "fallbacks": ["fallback: Titan. by together", "failover: by together"],
    "errors": ["Not found:", "Request id: req-9"],
    "model_profile": ["shipped:", "'structured_output': True"],
    "responses_mcp": ["May it call search", "it answered: Use pip.", "Install it with pip."],
    "rerank": ["0.6", "To reset your password"],
    "completion": ["whole:  there was a fox.", "streamed:  there was a fox."],
    "task_tools": ["generate_image {'prompt': 'a lighthouse'}", "saved lighthouse.png", "A logo."],
}
DECISIONS = {"decisions": ["money 0.75", "urgent 0.75"]}
NOT_BILLABLE = {"error": "Pay-as-you go is not enabled for provider groq yet."}
MODELS = "/hf-inference/models"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def scripted() -> Iterator[str]:
    missing = {"error": {"message": "no such model", "code": "model_not_found"}}
    with FaultServer() as server:

        def answer(request):  # type: ignore[no-untyped-def]
            body = request.json()
            if body["model"] == "no-such/model":
                return json_reply(missing, 404, {"x-request-id": "req-9"})
            if body["model"].startswith("Qwen/Qwen3-32B:"):
                return two_providers(body)
            if body.get("tools") and body["messages"][-1]["role"] == "user":
                wanted = {"name": "generate_image", "arguments": '{"prompt": "a lighthouse"}'}
                return whole(
                    None, tool_calls=[{"id": "c1", "type": "function", "function": wanted}]
                )
            return whole("A logo.")

        def complete(request):  # type: ignore[no-untyped-def]
            pieces = [(" there", None), (" was a fox.", "stop")]
            if not request.json().get("stream"):
                pieces = [("".join(text for text, _ in pieces), "stop")]
            choices = [{"index": 0, "text": t, "finish_reason": reason} for t, reason in pieces]
            events = [{"choices": [choice]} for choice in choices]
            return sse(*events) if len(events) > 1 else json_reply(events[0])

        def compare(request):  # type: ignore[no-untyped-def]
            inputs = request.json()["inputs"]
            tasks = RouterClient(local=True).tasks
            return json_reply(tasks.sentence_similarity(**inputs))

        def classify(request):  # type: ignore[no-untyped-def]
            labels = request.json()["parameters"]["candidate_labels"]
            return json_reply({"labels": labels, "scores": [0.75, 0.25]})

        server.on("/together/v1/completions", complete)
        server.on(f"{MODELS}/{MINILM}/pipeline/sentence-similarity", compare)
        server.on(f"{MODELS}/facebook/bart-large-mnli", classify)
        picture = reply(200, png(), {"content-type": "image/png"})
        server.on(f"{MODELS}/black-forest-labs/FLUX.1-schnell", picture)
        server.on("/v1/chat/completions", answer)
        server.on(RESPONSES, docs_server)
        server.on("/v1/models/openai/gpt-oss-120b", json_reply(ENTRY))
        server.on("/v1/models", json_reply({"object": "list", "data": [ENTRY]}))
        yield server.url


def two_providers(body):  # type: ignore[no-untyped-def]
    if body["model"].endswith(":groq"):
        return json_reply(NOT_BILLABLE, 402)
    headers = {"x-inference-provider": "together"}
    if body.get("stream"):
        return sse(event({"content": "Ti"}), event({"content": "tan."}, "stop"), headers=headers)
    choice = {"message": {"role": "assistant", "content": "Titan."}, "finish_reason": "stop"}
    return json_reply({"model": "served/m", "choices": [choice]}, headers=headers)


def run(program: str, url: str, folder: Path, *arguments: str) -> str:
    environ = {name: os.environ[name] for name in ("PATH", "HF_HOME") if name in os.environ}
    environ |= {
        "HUGGINGFACE_BASE_URL": f"{url}/v1",
        "HF_TOKEN": "hf_not_a_token",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::ResourceWarning",
        "HOME": str(folder),
    }
    command = [sys.executable, str(FOLDER / f"{program}.py"), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_program_is_run_here_and_short() -> None:
    assert sorted([*REAL, *SCRIPTED, *DECISIONS]) == PROGRAMS
    for program in PROGRAMS:
        assert len((FOLDER / f"{program}.py").read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.parametrize("program", REAL)
def test_program_on_real_models(
    program: str, tmp_path: Path, llama_chat_url: str, llama_embed_url: str
) -> None:
    with gateway(llama_chat_url, llama_embed_url) as (url, _):
        shown = run(program, url, tmp_path)
    assert [text for text in REAL[program] if text not in shown] == [], shown


@pytest.mark.parametrize("program", SCRIPTED)
def test_program_on_a_scripted_server(program: str, tmp_path: Path, scripted: str) -> None:
    shown = run(program, scripted, tmp_path)
    assert [text for text in SCRIPTED[program] if text not in shown] == [], shown


@pytest.mark.skipif(not HAS_DECISIONS, reason="decisions: this langchain-core has none")
@pytest.mark.parametrize("program", DECISIONS)
def test_program_of_decisions(program: str, tmp_path: Path, scripted: str) -> None:
    shown = run(program, scripted, tmp_path)
    assert [text for text in DECISIONS[program] if text not in shown] == [], shown


def test_the_picture_may_be_a_file(tmp_path: Path, scripted: str) -> None:
    picture = tmp_path / "logo.png"
    picture.write_bytes(png())
    assert "A logo." in run("images", scripted, tmp_path, str(picture))
