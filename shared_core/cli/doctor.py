"""``hfrouter doctor``: checks what a call needs, and says how to repair what fails."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from shared_core import (
    LocalModels,
    RouterClient,
    RouterError,
    __version__,
)
from shared_core.cli import options as shared
from shared_core.cli.options import TWO_WAYS, Connection

TOKEN_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        state: ``"ok"``, ``"failed"``, or ``"note"`` for what is not needed for this way.
        found: What was seen.
        fix: What to do, if anything.
    """

    name: str
    state: str
    found: str
    fix: str | None = None


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="check token, network, model and local weights",
        description="Check what calls need: the token and its permission, the router, the model "
        "and, with --local, the weights. Exit code 1 if a needed thing fails.",
    )
    command.add_argument("--model", metavar="ID", help="chat model to look at")
    command.add_argument("--json", action="store_true", help="print JSON lines")
    shared.add_connection(command)
    return command


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    connection = Connection.of(options)
    failed = False
    for check in _checks(connection, options.model):
        failed = failed or check.state == "failed"
        print(json.dumps(asdict(check)) if options.json else _line(check), flush=True)
    return 1 if failed else 0


def _line(check: Check) -> str:
    text = f"[{check.state:^6}] {check.name}: {check.found}"
    return text if check.fix is None else f"{text}\n{' ' * 9}fix: {check.fix}"


def _checks(connection: Connection, model: str | None) -> Iterator[Check]:
    yield _packages()
    if connection.local is not None:
        yield _weights(connection.local, needed=True)
        yield _answers(connection)
        return
    with connection.client() as client:
        yield _token(client)
        if client.settings.token.origin is not None:
            yield _permission(client)
        yield _reachable(client)
        yield _model(client, connection.chat_model(model))
    yield _weights(LocalModels(), needed=False)


def _packages() -> Check:
    found = [f"hfrouter {__version__}", f"Python {platform.python_version()}"]
    for name in ("httpx", "langchain-core", "llama-index-core", "tokenizers"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return Check("packages", "ok", ", ".join(found))


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except RouterError as error:
        what, _, fix = str(error).partition("\n")
        return Check(name, "failed", what, fix or None)
    except ImportError as error:
        return Check(name, "failed", str(error))


def _token(client: RouterClient) -> Check:
    settings = client.settings

    def look() -> Check:
        settings.token.get()
        if origin := settings.token.origin:
            return Check("token", "ok", f"from {origin}")
        if settings.token_for(settings.base_url, required=True) is None:
            return Check("token", "note", f"none, and {settings.base_url} may not need one")
        raise AssertionError("a required token is found or an error")

    check = _attempt("token", look)
    if check.state == "failed" and settings.token.origin is None:
        return Check("token", "failed", check.found, " ".join(TWO_WAYS[1:]))
    return check


def _permission(client: RouterClient) -> Check:
    def look() -> Check:
        me = client.whoami()
        who = (
            f"{me.name} ({me.token_role or 'token'}{' ' + me.token_name if me.token_name else ''})"
        )
        if me.can_call_inference_providers is False:
            return Check(
                "permission",
                "failed",
                f"{who} may not call Inference Providers",
                'Tick "Make calls to Inference Providers" for this token at ' + TOKEN_PAGE,
            )
        return Check("permission", "ok", f"{who} may call Inference Providers")

    return _attempt("permission", look)


def _reachable(client: RouterClient) -> Check:
    def look() -> Check:
        started = time.monotonic()
        models = client.models.list(max_age=300)
        took = time.monotonic() - started
        where = client.settings.base_url
        return Check("server", "ok", f"{where} lists {len(models)} models ({took:.2f} s)")

    return _attempt("server", look)


def _model(client: RouterClient, name: str) -> Check:
    def look() -> Check:
        listed = {model.id: model for model in client.models.list(max_age=300)}
        model = listed.get(name) or listed.get(name.rpartition(":")[0])
        if model is None:
            where = client.settings.base_url
            return Check(
                "model",
                "failed",
                f"{name} is not among the chat models at {where}",
                "Look for one with: hfrouter models --search TEXT",
            )
        if model.providers and not model.live_providers:
            names = ", ".join(provider.name for provider in model.providers)
            return Check(
                "model",
                "failed",
                f"{name}: no provider is live ({names})",
                "Choose another --model.",
            )
        can = ["tools"] if model.supports_tools else []
        can += ["JSON schemas"] if model.supports_structured_output else []
        facts = [
            "chat",
            *can,
            *(kind for kind in model.input_modalities if kind != "text"),
            *([f"{model.context_length:,} tokens"] if model.context_length else []),
        ]
        served = ", ".join(provider.name for provider in model.live_providers)
        by = f"; served by {served}" if served else ""
        return Check("model", "ok", f"{name}: {', '.join(facts)}{by}")

    return _attempt("model", look)


def _weights(models: LocalModels, *, needed: bool) -> Check:
    def look() -> Check:
        encoder = models.encoder()
        width = encoder.embed(["ready"])[0].shape[1]
        return Check(
            "weights", "ok", f"{models.embedding_model}, {width} numbers, {encoder.folder}"
        )

    check = _attempt("weights", look)
    if check.state == "failed" and not needed:
        return Check("weights", "note", f"{check.found} (only needed for --local)", check.fix)
    return check


def _answers(connection: Connection) -> Check:
    def look() -> Check:
        assert connection.local is not None
        with connection.client(connection.local.chat_model) as client:
            question = "The dome opens at dusk. When does the dome open?"
            answer = client.chat.create(question, max_tokens=32)
        return Check("model", "ok", f"{answer.model} answers: {answer.text!r}")

    return _attempt("model", look)
