"""One request to the local wire, and the errors that it can end with."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic_core

from shared_core.errors import (
    APIError,
    BadRequestError,
    ModelNotFoundError,
    UnsupportedFeatureError,
)
from shared_core.local.models import LocalModels
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.local.embedder import Embedder

DEVICE_HEADER = "x-local-device"
"""Put into the headers of an answer that a model computed: where, e.g. ``"cuda:0"``."""


@dataclass(slots=True)
class LocalCall:
    """What is asked of which models.

    Attributes:
        models: What answers.
        request: The request.
        settings: Of the client: where the Hub is, and the token for it.
        cancelled: Set when nobody waits for the answer any more.
        headers: Further headers of the answer.
        model: Name of the model that answers, where it is not the one that the request names:
            clients name a default for every task.
    """

    models: LocalModels
    request: WireRequest
    settings: Settings | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    headers: dict[str, str] = field(default_factory=dict)
    model: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the request's JSON object.

        Raises:
            BadRequestError: It has none.
        """
        try:
            body = pydantic_core.from_json(self.request.body() or b"")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self.bad("The body is not a JSON object.")
        return body

    def encoder(self) -> Embedder:
        """Return the embedding model, and note where it computes."""
        from shared_core.local.loading import encoder

        found = encoder(self.models, self.settings)
        self.headers[DEVICE_HEADER] = found.device
        return found

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Let errors of a model, which knows nothing of requests, name operation and model."""
        try:
            yield
        except APIError as error:
            error.operation = error.operation or self.request.operation
            error.model = error.model or self.model or self.request.model
            raise

    def bad(self, message: str, param: str | None = None) -> BadRequestError:
        """Return the error for a request that cannot be understood."""
        return BadRequestError(
            message,
            status_code=400,
            param=param,
            operation=self.request.operation,
            model=self.model or self.request.model,
        )

    def unknown_model(self, name: str, known: Sequence[str]) -> ModelNotFoundError:
        """Return the error for a model that is not a local one."""
        return ModelNotFoundError(
            f"Local mode has no model {name!r}; it has {' and '.join(known)}.",
            status_code=404,
            code="model_not_found",
            operation=self.request.operation,
            guidance="Leave model= out, or leave local= out to reach models on the router.",
        )

    def unsupported(
        self, message: str, guidance: str, *, param: str | None = None, model: str | None = None
    ) -> UnsupportedFeatureError:
        """Return the error for something that local mode, or a model in it, cannot do."""
        return UnsupportedFeatureError(
            message,
            status_code=400,
            code="unsupported_in_local_mode",
            param=param,
            operation=self.request.operation,
            model=model or self.model or self.request.model,
            guidance=guidance,
        )

    def texts(self, value: Any, name: str) -> list[str]:
        """Return *value*, a text or several, as a list.

        Raises:
            BadRequestError: It is something else.
        """
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
            raise self.bad(f"{name} must be a text or a list of texts.", name)
        return texts
