"""The command against a scripted server in the place of router and Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.cli.conftest import DOCS, Command
from tests.helpers.fault_server import FaultServer, Reply, drop, json_reply, sse

TOKEN = "hf_" + "s3cret" * 6
MODEL = "acme/big-model"


def _entry(name: str, *providers: dict[str, Any], inputs: tuple[str, ...] = ("text",)) -> Any:
    return {
        "id": name,
        "object": "model",
        "owned_by": name.partition("/")[0],
        "architecture": {"input_modalities": list(inputs), "output_modalities": ["text"]},
        "providers": list(providers),
    }


def _offer(name: str, status: str = "live", **facts: Any) -> dict[str, Any]:
    return {"provider": name, "status": status, "is_model_author": False, **facts}


MODELS = {
    "object": "list",
    "data": [
        _entry(
            MODEL,
            _offer(
                "together",
                context_length=131072,
                pricing={"input": 0.6, "output": 1.7},
                supports_tools=True,
                supports_structured_output=True,
            ),
            _offer("groq", context_length=32768, pricing={"input": 0.15, "output": 2.0}),
            inputs=("text", "image"),
        ),
        _entry("acme/idle", _offer("novita", status="error")),
        _entry("other/small", _offer("groq", is_free=True)),
    ],
}


def _whoami(permissions: list[str]) -> Any:
    scoped = [{"entity": {"_id": "1", "type": "user", "name": "ada"}, "permissions": permissions}]
    token = {
        "displayName": "work",
        "role": "fineGrained",
        "fineGrained": {"global": [], "scoped": scoped},
    }
    return {
        "type": "user",
        "name": "ada",
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.on("/v1/models", json_reply(MODELS))
        server.on("/api/whoami-v2", json_reply(_whoami(["inference.serverless.write"])))
        yield server


def _environment(server: FaultServer) -> dict[str, str]:
    return {
        "HF_TOKEN": TOKEN,
        "HUGGINGFACE_BASE_URL": f"{server.url}/v1",
        "HF_ENDPOINT": server.url,
    }


def _doctor(hfrouter: Command, server: FaultServer, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = hfrouter("doctor", "--json", *arguments, **_environment(server))
    assert "s3cret" not in done.stdout + done.stderr
    assert done.stderr == ""
    return done.returncode, {c["name"]: c for c in map(json.loads, done.stdout.splitlines())}


def test_doctor_says_where_everything_comes_from(hfrouter: Command, server: FaultServer) -> None:
    code, checks = _doctor(hfrouter, server, "--model", f"{MODEL}:groq")
    assert (code, {check["state"] for check in checks.values()}) == (0, {"ok"})
    assert "HF_TOKEN" in checks["token"]["found"]
    assert "ada" in checks["permission"]["found"]
    assert "3 models" in checks["server"]["found"]
    for fact in ("tools", "JSON schemas", "image", "together, groq"):
        assert fact in checks["model"]["found"]
    paths = [request.path for request in server.requests]
    assert sorted(paths) == ["/api/whoami-v2", "/v1/models"]


def test_doctor_tells_a_token_without_permission(hfrouter: Command, server: FaultServer) -> None:
    server.on("/api/whoami-v2", json_reply(_whoami(["repo.content.read"])))
    code, checks = _doctor(hfrouter, server, "--model", MODEL)
    assert code == 1
    assert checks["permission"]["state"] == "failed"
    assert "Make calls to Inference Providers" in checks["permission"]["fix"]
    assert checks["model"]["state"] == "ok"


def test_doctor_tells_a_wrong_token(hfrouter: Command, server: FaultServer) -> None:
    refusal = {"error": "Invalid credentials in Authorization header"}
    server.on("/api/whoami-v2", json_reply(refusal, 401))
    code, checks = _doctor(hfrouter, server, "--model", MODEL)
    assert (code, checks["permission"]["state"]) == (1, "failed")
    assert checks["permission"]["fix"]


@pytest.mark.parametrize(
    ("model", "found"),
    [("acme/idle", "no provider is live (novita)"), ("acme/gone", "not among the chat models")],
)
def test_doctor_tells_a_model_that_cannot_be_used(
    hfrouter: Command, server: FaultServer, model: str, found: str
) -> None:
    code, checks = _doctor(hfrouter, server, "--model", model)
    assert (code, checks["model"]["state"]) == (1, "failed")
    assert found in checks["model"]["found"]
    assert checks["model"]["fix"]


def test_doctor_goes_on_when_the_server_breaks_off(hfrouter: Command, server: FaultServer) -> None:
    server.on("/v1/models", drop())
    code, checks = _doctor(hfrouter, server)
    assert code == 1
    assert checks["server"]["state"] == checks["model"]["state"] == "failed"
    assert checks["permission"]["state"] == checks["weights"]["state"] == "ok"


def test_models_shows_context_prices_and_capabilities(
    hfrouter: Command, server: FaultServer
) -> None:
    done = hfrouter("models", **_environment(server))
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[1].split()
    expected = [MODEL, "32,768", "0.15", "1.70", "image", "tools", "json", "together", "groq"]
    assert first == expected
    assert "3 of 3 models" in done.stderr


def test_models_filters(hfrouter: Command, server: FaultServer) -> None:
    def ids(*arguments: str) -> list[str]:
        done = hfrouter("models", "--json", *arguments, **_environment(server))
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    assert ids("--search", "ACME") == [MODEL, "acme/idle"]
    assert ids("--provider", "groq") == [MODEL, "other/small"]
    assert ids("--limit", "1") == [MODEL]
    assert ids("--limit", "0") == []
    one = hfrouter("models", "--provider", "groq", "--limit", "1", **_environment(server))
    assert one.stdout.splitlines()[1].split()[2:4] == ["0.15", "2.00"]


def test_models_filters_by_what_one_live_offer_can(hfrouter: Command, server: FaultServer) -> None:
    def ids(*arguments: str) -> list[str]:
        done = hfrouter("models", "--json", *arguments, **_environment(server))
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["id"] for line in done.stdout.splitlines()]

    assert ids("--tools") == ids("--structured") == [MODEL]
    assert ids("--input", "image") == [MODEL]
    assert ids("--free") == ["other/small"]
    assert ids("--min-context", "100000") == [MODEL]
    assert ids("--min-context", "100000", "--provider", "groq") == []
    assert ids("--max-price", "1.8") == [MODEL, "other/small"]
    assert ids("--max-price", "1.8", "--provider", "groq") == ["other/small"]
    assert ids("--tools", "--max-price", "1.0") == []
    assert ids("--max-price", "0") == ["other/small"]
    assert ids("--sort", "price") == ["other/small", MODEL, "acme/idle"]
    assert ids("--sort", "context")[0] == MODEL
    assert ids("--sort", "name") == sorted(ids())


def test_models_of_the_hub(hfrouter: Command, server: FaultServer) -> None:
    mapping = [
        {"provider": "fal-ai", "providerId": "x", "status": "live", "task": "text-to-image"},
        {"provider": "replicate", "providerId": "y", "status": "error", "task": "text-to-image"},
    ]
    entry = {
        "id": "acme/flux",
        "pipeline_tag": "text-to-image",
        "downloads": 1_234_567,
        "likes": 42,
        "gated": "auto",
        "safetensors": {"total": 12_000_000_000},
        "inferenceProviderMapping": mapping,
    }
    server.on("/api/models", json_reply([entry, {"id": "acme/bare"}]))
    place = {**_environment(server), "HF_ENDPOINT": server.url}
    options = ("--task", "text-to-image", "--tag", "lora", "--tag", "en", "--gated", "yes")
    more = ("--author", "acme", "--parameters", "min:6B", "--warm", "--provider", "fal-ai")
    done = hfrouter("models", *options, *more, "--search", "flux", "--limit", "2", **place)
    assert done.returncode == 0, done.stderr
    head, first, second = done.stdout.splitlines()
    assert head.split()[:3] == ["MODEL", "TASK", "PARAMETERS"]
    expected = ["acme/flux", "(gated)", "text-to-image", "12B", "1.23M", "42", "fal-ai"]
    assert first.split() == expected
    assert second.split() == ["acme/bare", "-", "-", "-", "-", "-"]
    assert "2 models" in done.stderr
    asked = parse_qs(server.requests[-1].target.partition("?")[2])
    assert asked.pop("expand[]")[-1] == "inferenceProviderMapping"
    assert asked == {
        "search": ["flux"],
        "author": ["acme"],
        "filter": ["lora", "en"],
        "pipeline_tag": ["text-to-image"],
        "inference": ["warm"],
        "inference_provider": ["fal-ai"],
        "gated": ["true"],
        "num_parameters": ["min:6B"],
        "sort": ["downloads"],
        "limit": ["2"],
    }
    listed = hfrouter("models", "--hub", "--json", "--sort", "likes", **place)
    assert json.loads(listed.stdout.splitlines()[0]) == entry


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hub", "--tools"], "--tools does not go with --hub"),
        (["--author", "acme"], "--author needs --hub"),
        (["--warm"], "--warm needs --hub"),
        (["--sort", "likes"], "name, price, context, speed"),
        (["--task", "fill-mask", "--sort", "price"], "downloads"),
        (["--hub", "--local"], "--local"),
    ],
)
def test_models_options_that_do_not_go_together(
    hfrouter: Command, server: FaultServer, options: list[str], said: str
) -> None:
    done = hfrouter("models", *options, **_environment(server))
    assert done.returncode == 2
    assert said in done.stderr
    assert server.requests == []


def _chunk(text: str = "", reason: str | None = None) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {
        "id": "1",
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def test_a_broken_stream_shows_what_came_and_fails(hfrouter: Command, server: FaultServer) -> None:
    server.on("/v1/chat/completions", sse(_chunk("The dome"), done=False))
    done = hfrouter("chat", "Hi", **_environment(server))
    assert done.returncode == 1
    assert done.stdout.startswith("The dome")
    assert done.stderr.startswith("hfrouter: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": "Invalid username or password."}, "HF_TOKEN"),
        (402, {"error": "You have exceeded your monthly included credits"}, "credits"),
        (429, {"error": "Too many requests"}, "Too many requests"),
    ],
)
def test_a_refusal_gives_the_servers_words_and_advice(
    hfrouter: Command, server: FaultServer, status: int, body: Any, said: str
) -> None:
    server.on("/v1/chat/completions", json_reply(body, status))
    done = hfrouter("chat", "Hi", **_environment(server))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) >= 2
    assert "s3cret" not in done.stderr


def test_chat_sends_model_provider_and_options(hfrouter: Command, server: FaultServer) -> None:
    answer = sse(_chunk("Dusk."), _chunk(reason="stop"))
    server.on("/v1/chat/completions", answer)
    done = hfrouter(
        *("chat", "--model", MODEL, "--provider", "groq", "--temperature", "0.5"),
        *("--max-tokens", "9", "--system", "Be brief.", "--bill-to", "acme", "When?"),
        **_environment(server),
    )
    assert (done.returncode, done.stdout) == (0, "Dusk.\n"), done.stderr
    [request] = server.requests
    body = request.json()
    assert body["model"] == f"{MODEL}:groq"
    assert (body["temperature"], body["max_tokens"], body["stream"]) == (0.5, 9, True)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert request.headers["x-hf-bill-to"] == "acme"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
def test_ask_online_uses_the_server_for_both_steps(
    process: Command, server: FaultServer, framework: str
) -> None:
    def embed(request: Any) -> Reply:
        body = request.json()
        texts = body["input"] if "input" in body else body["inputs"]
        texts = [texts] if isinstance(texts, str) else texts
        rows = [[float("warranty" in text), 1.0, 0.5] for text in texts]
        data = [{"index": i, "embedding": row} for i, row in enumerate(rows)]
        return json_reply({"data": data} if "input" in body else rows)

    server.on("*", embed)
    answer = sse(_chunk("Eighteen"), _chunk(" months."), _chunk(reason="stop"))
    server.on("/v1/chat/completions", answer)
    done = process(
        *("ask", "--docs", str(DOCS), "--framework", framework, "--model", MODEL),
        *("--provider", "groq", "--top-k", "1", "How long is the warranty?"),
        **_environment(server),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Eighteen months.\n")
    assert "  1. shop.txt, passage 1" in done.stdout
    chats = [request for request in server.requests if request.path.endswith("completions")]
    assert len(chats) == 1
    assert "eighteen months" in json.dumps(chats[0].json()["messages"])
