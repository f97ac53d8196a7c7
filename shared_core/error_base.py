"""The roots of the error tree: :class:`RouterError` and :class:`APIError`."""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict, Unpack

from shared_core.redaction import clean, host_of, redact, safe_url, shorten

MAX_TEXT = 700
"""Longest ``str(error)``, in characters."""

_MAX_GUIDANCE = 330


def _rebuild(cls: type[RouterError], args: tuple[Any, ...], state: dict[str, Any]) -> RouterError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class RouterError(Exception):
    """Base of all errors of this package.

    Args:
        message: What happened.
        guidance: What to do about it; the class's own text by default.

    Attributes:
        message: What happened, redacted.
        guidance: What to do about it.
        retryable: Whether the same call may succeed when repeated. A property of the class.
        failover: Whether another provider or endpoint may succeed. A property of the class.
    """

    guidance: str = "See docs/errors.md."
    retryable: ClassVar[bool] = False
    failover: ClassVar[bool] = False

    def __init__(self, message: str = "", *, guidance: str | None = None) -> None:
        self.message = clean(redact(message))
        super().__init__(self.message)
        if guidance is not None:
            self.guidance = clean(redact(guidance))

    def _context(self) -> str:
        """Return further facts, to stand after the message."""
        return ""

    def __str__(self) -> str:
        advice = shorten(self.guidance, _MAX_GUIDANCE)
        context = clean(shorten(self._context(), 260))
        room = MAX_TEXT - len(advice) - len(context) - 1
        text = shorten(self.message, room) + context
        return f"{text}\n{advice}" if advice else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class ErrorContext(TypedDict, total=False):
    """Keyword arguments of every :class:`APIError`; all optional."""

    guidance: str | None
    operation: str
    model: str | None
    provider: str | None
    host: str | None
    url: str
    request_id: str | None
    attempts: int
    elapsed: float | None


class APIError(RouterError):
    """Something went wrong with one exchange.

    Attributes:
        operation: e.g. ``"chat"``, ``"embeddings"``, ``"models.list"``.
        model: Model as asked for.
        provider: Provider as asked for.
        host: Host (and port) that was addressed.
        url: URL without credentials and query.
        request_id: The server's id of the exchange; quote it in reports.
        attempts: How many times the call was tried.
        elapsed: Seconds from the start of the call, when known.
    """

    guidance = "Try again; if it persists, report the request id to the provider."

    def __init__(self, message: str = "", **context: Unpack[ErrorContext]) -> None:
        super().__init__(message, guidance=context.get("guidance"))
        url = context.get("url", "")
        self.operation = context.get("operation", "")
        self.model = context.get("model")
        self.provider = context.get("provider")
        self.url = safe_url(url)
        self.host = context.get("host") or host_of(url)
        self.request_id = context.get("request_id")
        self.attempts = context.get("attempts", 1)
        self.elapsed = context.get("elapsed")

    def _context(self) -> str:
        facts = []
        if self.host and self.host not in self.message:
            facts.append(f"host {shorten(self.host, 80)}")
        if self.model:
            facts.append(f"model {shorten(self.model, 80)}")
        if self.provider:
            facts.append(f"provider {shorten(self.provider, 40)}")
        if self.request_id:
            facts.append(f"request id {shorten(self.request_id, 80)}")
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        if self.elapsed is not None:
            facts.append(f"{self.elapsed:.1f} s")
        return f" ({', '.join(facts)})" if facts else ""
