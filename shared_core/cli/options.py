"""Options that several commands share, and what they mean for a client."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from shared_core import (
    ChatModels,
    EmbeddingModels,
    LocalModels,
    MissingTokenError,
    RouterClient,
)
from shared_core.cli.output import UsageError

CHAT_MODEL = ChatModels.GPT_OSS_120B
EMBEDDING_MODEL = EmbeddingModels.MINILM_L6

BACKENDS = ("numpy", "sentence-transformers")

TWO_WAYS = (
    "There is no Hugging Face token. There are two ways to go on:",
    '1. Online: set HF_TOKEN to a token with the permission "Make calls to Inference '
    'Providers", created at https://huggingface.co/settings/tokens/new?'
    "ownUserPermissions=inference.serverless.write&tokenType=fineGrained",
    "2. Offline: add --local, which answers in this process with no network.",
)


def add_connection(command: argparse.ArgumentParser, *, embeddings: bool = False) -> None:
    """Add what is local and how, ``--base-url``, ``--bill-to``, ``--timeout``."""
    command.add_argument(
        "--local", action="store_true", help="answer in this process: no network, no token"
    )
    command.add_argument(
        "--local-model",
        metavar="MODEL",
        help="the same with this embedding model: a folder, or a Hub id that is downloaded",
    )
    command.add_argument(
        "--local-chat",
        metavar="MODEL",
        help="the same with this language model, run by transformers: a folder or a Hub id",
    )
    command.add_argument(
        "--backend", choices=BACKENDS, help="what runs the embedding model (default numpy)"
    )
    add_device(command)
    command.add_argument("--base-url", metavar="URL", help="another server, e.g. .../v1")
    if embeddings:
        command.add_argument(
            "--embedding-base-url", metavar="URL", help="another server for embeddings"
        )
    command.add_argument("--bill-to", metavar="ORG", help="organisation that pays")
    command.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="wait at most so long for an answer"
    )


def add_device(command: Any) -> None:
    """Add ``--device``."""
    command.add_argument(
        "--device", metavar="NAME", help="where PyTorch computes locally: cpu, cuda, mps, auto"
    )


def add_chat_model(command: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--provider``, ``--temperature`` and ``--max-tokens``."""
    command.add_argument("--model", metavar="ID", help=f"chat model (default {CHAT_MODEL})")
    command.add_argument("--provider", metavar="NAME", help="who serves the model, e.g. groq")
    command.add_argument("--temperature", type=float, metavar="T")
    command.add_argument("--max-tokens", type=int, metavar="N", help="longest answer")


def add_embedding_model(command: argparse.ArgumentParser) -> None:
    """Add ``--embedding-model``."""
    command.add_argument(
        "--embedding-model", metavar="ID", help=f"embedding model (default {EMBEDDING_MODEL})"
    )


def seconds(text: str) -> float:
    """Return a number of seconds of the command line."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _local(options: argparse.Namespace) -> LocalModels | None:
    """Return what answers in this process.

    Raises:
        UsageError: It is said how, and not that.
    """
    how = {name: getattr(options, name) for name in ("backend", "device")}
    how = {name: value for name, value in how.items() if value is not None}
    if options.local or options.local_model or options.local_chat:
        return LocalModels(options.local_model, chat=options.local_chat, **how)
    for name in how:
        raise UsageError(f"--{name} is for models in this process: add --local.")
    return None


def computes_in_torch(options: argparse.Namespace) -> bool:
    """Whether a command runs a model in PyTorch, which knows itself how many threads it needs."""
    if options.command == "task":
        return "--local" in options.arguments
    return bool(getattr(options, "local_chat", None)) or (
        getattr(options, "backend", None) == "sentence-transformers"
    )


def task_models(task: str, model: str | None, device: str | None) -> LocalModels:
    """Return what answers *task* in this process.

    Args:
        task: Task id.
        model: Folder or Hub id; None for what is found automatically.
        device: Where PyTorch computes.
    """
    if model is None:
        return LocalModels(device=device)
    if task == "text-generation":
        return LocalModels(chat=model, device=device)
    if task in ("feature-extraction", "sentence-similarity"):
        if device is None:
            return LocalModels(model)
        return LocalModels(model, backend="sentence-transformers", device=device)
    return LocalModels(tasks={task: model}, device=device)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a command's requests go.

    Attributes:
        local: What answers in this process, or None for the network.
        common: Constructor keywords of every client and adapter.
        base_url: Server for chat and everything else, None for the default.
        embedding_base_url: Server for embeddings.
    """

    local: LocalModels | None
    common: dict[str, Any]
    base_url: str | None = None
    embedding_base_url: str | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Connection:
        """Return what the options of :func:`add_connection` mean."""
        local = _local(options)
        common: dict[str, Any] = {"local": local} if local is not None else {}
        for name in ("bill_to", "timeout"):
            if getattr(options, name) is not None:
                common[name] = getattr(options, name)
        base_url = options.base_url
        return cls(
            local, common, base_url, getattr(options, "embedding_base_url", None) or base_url
        )

    def chat(self, options: argparse.Namespace) -> dict[str, Any]:
        """Return constructor keywords of a chat model."""
        keywords = dict(self.common, model=self.chat_model(options.model))
        if self.base_url is not None:
            keywords["base_url"] = self.base_url
        if options.provider is not None:
            keywords["provider"] = options.provider
        return keywords

    def embeddings(self, options: argparse.Namespace) -> dict[str, Any]:
        """Return constructor keywords of an embedding model."""
        default = self.local.embedding_model if self.local is not None else EMBEDDING_MODEL
        keywords = dict(self.common, model=options.embedding_model or default)
        if self.embedding_base_url is not None:
            keywords["base_url"] = self.embedding_base_url
        return keywords

    def chat_model(self, asked: str | None) -> str:
        """Return the chat model to use."""
        return asked or (self.local.chat_model if self.local is not None else CHAT_MODEL)

    def client(self, model: str | None = None, **options: Any) -> RouterClient:
        """Return a client for everything but embeddings."""
        return RouterClient(model, base_url=self.base_url, **self.common, **options)

    def embedding_client(self, options: argparse.Namespace) -> RouterClient:
        """Return a client for embeddings."""
        keywords = self.embeddings(options)
        return RouterClient(embedding_model=keywords.pop("model"), **keywords)

    def require_token(self) -> None:
        """Check that the servers in use can be called.

        Raises:
            UsageError: huggingface.co is to be called and there is no token.
        """
        if self.local is not None:
            return
        for base_url in {self.base_url, self.embedding_base_url}:
            settings = RouterClient(base_url=base_url).settings
            try:
                settings.token_for(settings.base_url, required=True)
            except MissingTokenError:
                raise UsageError("\n".join(TWO_WAYS)) from None
