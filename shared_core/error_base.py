"""The roots of the error tree, and text that is safe to show.

Only the standard library, because everything imports this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

MAX_TEXT = 700
"""Longest ``str(error)``, in characters."""

_MAX_GUIDANCE = 330

_HIDDEN = "***"
_TOKEN = re.compile(r"hf_[A-Za-z0-9_-]{8,}")
_BEARER = re.compile(
    r"(?i)\b(bearer|basic)\s+(?!(?:realm|error|error_description|scope|charset)\s*=)"
    r"(?!(?:token|tokens|auth|authentication|header|authorization)\b)[A-Za-z0-9._~+/=-]{4,}"
)
_USERINFO = re.compile(r"(?<=://)[^/\s@?#]+@")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* without credentials.

    Hides the given values, everything that looks like a Hugging Face token (``hf_...``),
    ``Bearer``/``Basic`` credentials and the user part of URLs.

    Args:
        text: Text of any origin.
        secrets: Exact values to hide; empty ones are ignored.

    Returns:
        The text with ``***`` in place of each secret.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    text = _TOKEN.sub(_HIDDEN, text)
    text = _BEARER.sub(lambda match: f"{match[1]} {_HIDDEN}", text)
    return _USERINFO.sub("", text)


def clean(text: str) -> str:
    """Return *text* with control, bidirectional and unpaired surrogate characters escaped.

    Line feeds stay. Blanks of any kind become a plain blank.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else " "
        if char in "\t\u00a0\u202f\u2009\u3000"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shorten(text: str, limit: int) -> str:
    """Return *text* cut to *limit* characters, an ellipsis included."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def safe_url(url: str) -> str:
    """Return *url* without user, password, query and fragment."""
    return clean(redact(re.split(r"[?#]", url, maxsplit=1)[0]))


def host_of(url: str) -> str | None:
    """Return the host, and the port if there is one, of *url*."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]+)", url)
    return clean(match[1]) if match else None


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return response headers fit to be kept: lower-case names, redacted, without cookies."""
    return {
        clean(name.lower()): clean(redact(shorten(value, 1000)))
        for name, value in list(headers.items())[:100]
        if name.lower() not in ("set-cookie", "set-cookie2", "authorization", "proxy-authorization")
    }


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    """Return *value* with *hide* applied to every text in it."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {_hidden(key, hide): _hidden(item, hide) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, hide) for item in value]
    if type(value) is tuple:
        return tuple(_hidden(item, hide) for item in value)
    if isinstance(value, RouterError):
        value.hide(hide)
    return value


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
        texts: Of an embedding call: ``(start, end)`` of the texts whose request failed.
        partial: What arrived before, where a call gets more than one answer. Of an embedding
            call: a dict from the number of a text to its vector.
        job: Of a call that a provider had queued: the job, with its ids and addresses, for
            ``client.providers.resume(error.job)``.
    """

    guidance: str = "See docs/errors.md."
    retryable: ClassVar[bool] = False
    failover: ClassVar[bool] = False
    texts: tuple[int, int] | None = None
    partial: Any = None
    job: Any = None

    def __init__(self, message: str = "", *, guidance: str | None = None) -> None:
        self.message = clean(redact(message))
        super().__init__(self.message)
        if guidance is not None:
            self.guidance = clean(redact(guidance))

    def hide(self, hide: Callable[[str], str]) -> None:
        """Apply *hide* to every text of this error, e.g. ``settings.redact``, in place.

        What the model wrote (``partial``, ``text``) stays as it is.
        """
        for name, value in self.__dict__.items():
            if name not in ("partial", "text"):
                self.__dict__[name] = _hidden(value, hide)
        self.args = _hidden(self.args, hide)

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


class ConfigurationError(RouterError):
    """A setting or an argument is wrong or missing; nothing was sent."""

    guidance = "Correct the setting that is named above."


class MissingTokenError(ConfigurationError):
    """A token is needed and none was found.

    Attributes:
        looked_at: The places that were looked at, in order.
    """

    guidance = (
        "Pass api_key=..., set HF_TOKEN, or run offline with local=True. Create a token with the "
        'permission "Make calls to Inference Providers" at '
        "https://huggingface.co/settings/tokens/new?"
        "ownUserPermissions=inference.serverless.write&tokenType=fineGrained"
    )

    def __init__(
        self, message: str = "", *, guidance: str | None = None, looked_at: Sequence[str] = ()
    ) -> None:
        super().__init__(message, guidance=guidance)
        self.looked_at = tuple(looked_at)


class InvalidSettingError(ConfigurationError):
    """A setting or a request parameter has a value that cannot work.

    Attributes:
        setting: Name of the argument or setting.
        source: Where the value came from, e.g. ``"environment variable HF_BILL_TO"``.
    """

    guidance = "Correct the value of the argument or setting that is named above."

    def __init__(
        self,
        message: str = "",
        *,
        guidance: str | None = None,
        setting: str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message, guidance=guidance)
        self.setting = setting
        self.source = source


class UnsupportedTaskError(ConfigurationError):
    """What was asked for cannot be done here, e.g. a task that a provider does not serve."""

    guidance = "Use a model, a provider or a wire that can do it; see the README's table."


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
        facts = self._facts()
        return f" ({', '.join(facts)})" if facts else ""

    def _facts(self) -> list[str]:
        facts = []
        if self.host and self.host not in self.message:
            facts.append(f"host {shorten(self.host, 80)}")
        if self.model:
            facts.append(f"model {shorten(self.model, 80)}")
        if self.provider:
            facts.append(f"provider {shorten(self.provider, 40)}")
        if self.request_id:
            facts.append(f"request id {shorten(self.request_id, 80)}")
        if getattr(self.job, "id", None):
            facts.append(f"job {shorten(self.job.id, 80)}")
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        if self.elapsed is not None:
            facts.append(f"{self.elapsed:.1f} s")
        return facts


class APIConnectionError(APIError, ConnectionError):
    """No complete answer arrived: name, connection, proxy, TLS or timeout."""

    guidance = "Check the network, base_url and proxy; `hfrouter doctor` tests each of them."
    retryable = True
    failover = True


class NameResolutionError(APIConnectionError):
    """The host name does not resolve."""

    guidance = "Check the spelling of base_url (HUGGINGFACE_BASE_URL) and the DNS of this machine."


class ConnectFailedError(APIConnectionError):
    """Nobody accepted the connection: refused, unreachable or reset."""

    guidance = "Check that the server runs and that base_url has the right host and port."


class ProxyError(APIConnectionError):
    """The proxy refused to open the way, e.g. with 403 or 407; nothing reached the server.

    Attributes:
        proxy_status: Status that the proxy answered with, None if it did not answer.
        proxy_reached: Whether the proxy had taken the connection. If it then gave no answer, it may
            have waited for the server.
        retry_after: Seconds that the proxy asks to wait, when it says so.
    """

    guidance = "Check proxy=, or the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    retryable = False
    failover = False

    def __init__(
        self,
        message: str = "",
        *,
        proxy_status: int | None = None,
        proxy_reached: bool = False,
        retry_after: float | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.proxy_status = proxy_status
        self.proxy_reached = proxy_reached
        self.retry_after = retry_after


class ProxyUnavailableError(ProxyError):
    """The proxy cannot open the way now: no answer from it, or 408, 429, 502, 503, 504 ..."""

    guidance = (
        "Try again, or set max_retries; nothing reached the server. If it persists, check proxy=, "
        "or the environment variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
    )
    retryable = True
    failover = True


class TLSError(APIConnectionError):
    """The secure connection could not be set up: certificate, name or protocol version."""

    guidance = (
        "Pass the certificate authority of that server with tls=TLSSettings(ca_file=...), and "
        "check the host name and this machine's clock. TLS 1.2 or higher is required."
    )
    retryable = False


class ConnectionLostError(APIConnectionError):
    """The connection broke before the answer was complete.

    Attributes:
        maybe_processed: False only where the server provably never saw the request.
    """

    guidance = (
        "Try again, or set max_retries. The server may have done (and billed) the work already."
    )

    def __init__(
        self, message: str = "", *, maybe_processed: bool = True, **context: Unpack[ErrorContext]
    ) -> None:
        super().__init__(message, **context)
        self.maybe_processed = maybe_processed


class APITimeoutError(APIConnectionError, TimeoutError):
    """The answer, or the next event of a stream, did not come in time.

    Attributes:
        phase: ``"connect"``, ``"write"``, ``"read"``, ``"pool"`` or ``"stream"``.
        timeout: The limit in seconds, when known.
    """

    guidance = "Raise timeout= (seconds), lower max_tokens, or stream the answer."

    def __init__(
        self,
        message: str = "",
        *,
        phase: str = "read",
        timeout: float | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.phase = phase
        self.timeout = timeout
