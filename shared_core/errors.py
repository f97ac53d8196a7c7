"""Every error that this package raises, one class per kind.

The tree is small at the top, so that ``except RouterError`` is always enough::

    RouterError
      ConfigurationError         what you passed or set; nothing was sent
      APIError                   something happened with one exchange
        APIConnectionError       no (complete) answer
        APIStatusError           an answer with an error status
        APIResponseValidationError   a 2xx answer of the wrong shape
        StreamError              a stream that failed after it began
      RejectedError              a guard of ours refused; nothing was sent
      StructuredOutputError, ToolArgumentsError   the model wrote something unusable

``str(error)`` says what happened, and on the next line what to do. Errors can be pickled
and copied with all their attributes, hold no network object, and never hold a token: server
text is redacted, bounded and stripped of control characters. See ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from shared_core.error_base import (
    MAX_TEXT,
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ErrorContext,
    InvalidSettingError,
    MissingTokenError,
    NameResolutionError,
    ProxyError,
    ProxyUnavailableError,
    RouterError,
    TLSError,
    UnsupportedTaskError,
    clean,
    redact,
)
from shared_core.error_jobs import JobFailedError, JobTimeoutError
from shared_core.error_output import ModelOutputError, StructuredOutputError, ToolArgumentsError
from shared_core.error_services import (
    EndpointFailedError,
    EndpointTimeoutError,
    ResponseFailedError,
)
from shared_core.error_status import (
    AnonymousRateLimitError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ClientBlockedError,
    ConflictError,
    ContentFilterError,
    ContextLengthError,
    GatedModelError,
    GatewayTimeoutError,
    GenerationFailedError,
    IncompleteResponseError,
    InternalServerError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelNotSupportedError,
    NotChatModelError,
    NotFoundError,
    NotImplementedByServerError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProviderNotBillableError,
    ProxyAuthenticationError,
    RateLimitError,
    RedirectRefusedError,
    RequestTimeoutError,
    RequestTooLargeError,
    ResponseTooLargeError,
    ServiceUnavailableError,
    StatusContext,
    UnprocessableEntityError,
    UnsupportedFeatureError,
    UnsupportedParameterError,
)

if TYPE_CHECKING:
    from shared_core.chat.types import ChatCompletion

__all__ = [
    "MAX_TEXT",
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AnonymousRateLimitError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "CircuitOpenError",
    "ClientBlockedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectFailedError",
    "ConnectionLostError",
    "ContentFilterError",
    "ContextLengthError",
    "DeadlineExceededError",
    "EndpointFailedError",
    "EndpointTimeoutError",
    "ErrorContext",
    "GatedModelError",
    "GatewayTimeoutError",
    "GenerationFailedError",
    "IncompleteResponseError",
    "InternalServerError",
    "InvalidSettingError",
    "JobFailedError",
    "JobTimeoutError",
    "MissingTokenError",
    "ModelLoadingError",
    "ModelNotFoundError",
    "ModelNotSupportedError",
    "ModelOutputError",
    "NameResolutionError",
    "NoEndpointAvailableError",
    "NotChatModelError",
    "NotFoundError",
    "NotImplementedByServerError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "ProviderNotBillableError",
    "ProxyAuthenticationError",
    "ProxyError",
    "ProxyUnavailableError",
    "RateLimitError",
    "RateLimiterRejectedError",
    "RedirectRefusedError",
    "RejectedError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ResponseFailedError",
    "ResponseTooLargeError",
    "RouterError",
    "ServiceUnavailableError",
    "StatusContext",
    "StoreUnavailableError",
    "StreamError",
    "StreamEventError",
    "StreamInterruptedError",
    "StreamTimeoutError",
    "StructuredOutputError",
    "TLSError",
    "ToolArgumentsError",
    "UnprocessableEntityError",
    "UnsupportedFeatureError",
    "UnsupportedParameterError",
    "UnsupportedTaskError",
    "clean",
    "from_error_object",
    "from_response",
    "redact",
    "stream_event_error",
]


class StreamError(APIError):
    """A stream failed after it had begun.

    Attributes:
        partial: What arrived until then, or None.
    """

    guidance = "What arrived is in .partial; ask again for a whole answer."
    partial: ChatCompletion | None = None

    def __init__(
        self,
        message: str = "",
        *,
        partial: ChatCompletion | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.partial = partial


class StreamInterruptedError(StreamError):
    """The stream ended, or went silent, before the answer was complete."""

    retryable = True


class StreamTimeoutError(StreamInterruptedError, APITimeoutError):
    """The stream went silent: nothing meaningful came within ``timeout``."""

    guidance = "Raise timeout= (seconds between two events). What arrived is in .partial."


class StreamEventError(StreamError):
    """The server reported an error inside the stream.

    Attributes:
        error: The same error as if it had been the whole answer: its class says the kind.
        status_code: Status that the error stands for.
        code: Machine code.
        type: Kind in the server's words.
        server_message: The server's own words.
        body: The error object.
    """

    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        error: APIStatusError,
        partial: ChatCompletion | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, partial=partial, **context)
        self.error = error
        self.status_code = error.status_code
        self.code = error.code
        self.type = error.type
        self.server_message = error.server_message
        self.body = error.body


class StoreUnavailableError(ConfigurationError):
    """A store of cached answers cannot be reached. Calls go on without it."""

    guidance = "Repair the file or the server of the store, or give the cache another one."


class RejectedError(RouterError):
    """A guard of this package refused; the refused attempt sent nothing.

    Attributes:
        endpoint: Name of the endpoint that the guard protects, where it is about one.
        retry_after: Seconds until another attempt can pass, when known.
    """

    guidance = "Wait, or change the policy that refused."
    endpoint: str = ""
    retry_after: float | None = None


class CircuitOpenError(RejectedError):
    """The circuit breaker of the endpoint is open."""

    guidance = "Wait for the breaker's probe, or repair the endpoint."


class RateLimiterRejectedError(RejectedError):
    """The rate limiter of this client has no permit in the time allowed."""

    guidance = "Lower the rate of calls or raise the limiter's rate, burst or wait."


class BudgetExceededError(RejectedError):
    """The budget of this client does not allow what the call could cost.

    Attributes:
        limit: US dollars of the limit that would have been passed.
        window: Seconds of its window; None for one without end.
        spent: US dollars spent in the window or set aside for calls in flight.
        estimate: US dollars that the call could cost.
        retry_after: Seconds until enough is free again; None if that never comes.
    """

    guidance = "Wait, lower max_tokens, choose a cheaper model, or raise the limit of the Budget."

    def __init__(
        self,
        message: str = "",
        *,
        guidance: str | None = None,
        limit: float = 0.0,
        window: float | None = None,
        spent: float = 0.0,
        estimate: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, guidance=guidance)
        self.limit = limit
        self.window = window
        self.spent = spent
        self.estimate = estimate
        self.retry_after = retry_after


class DeadlineExceededError(RejectedError, TimeoutError):
    """The deadline of the call would pass before the next attempt could start.

    Attributes:
        wait: Seconds that the next attempt would have had to wait, when known.
    """

    guidance = "Raise timeout=, or try again after the wait that is named above."

    def __init__(
        self, message: str = "", *, guidance: str | None = None, wait: float | None = None
    ) -> None:
        super().__init__(message, guidance=guidance)
        self.wait = wait


class NoEndpointAvailableError(RejectedError):
    """Every endpoint of the pool failed, is out of service, or cannot do what was asked.

    Attributes:
        errors: The last error of each endpoint.
    """

    guidance = "See .errors for the reason of each endpoint."

    def __init__(
        self,
        message: str = "",
        *,
        guidance: str | None = None,
        errors: Sequence[BaseException] = (),
    ) -> None:
        super().__init__(message, guidance=guidance)
        self.errors = tuple(errors)


def from_response(
    *,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    truncated: bool = False,
    operation: str = "",
    model: str | None = None,
    provider: str | None = None,
    url: str = "",
    hide: Callable[[str], str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> APIStatusError:
    """Return the error that an answer with an error status stands for.

    Args:
        status: HTTP status.
        headers: Response headers, any case.
        content: Body, maybe cut.
        truncated: Whether the body was cut.
        operation: What was attempted, e.g. ``"chat"``.
        model: Model as asked for.
        provider: Provider as asked for.
        url: Address that answered.
        hide: Removes exact secrets that the server may echo, e.g. ``settings.redact``; what
            looks like a token goes in any case.
        sources: Setting name -> where its value came from; named in the guidance.

    Returns:
        An instance of the class for the status, or for the machine code of the body.
    """
    from shared_core import error_parsing

    reply = error_parsing.Reply(status, headers, content, truncated, hide)
    return error_parsing.build(
        reply, operation=operation, model=model, provider=provider, url=url, sources=sources or {}
    )


def from_error_object(
    obj: Any,
    *,
    headers: Mapping[str, str] | None = None,
    operation: str = "",
    model: str | None = None,
    provider: str | None = None,
    url: str = "",
    hide: Callable[[str], str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> APIStatusError:
    """Return the error that an error object inside a 200 stands for.

    Args:
        obj: The JSON value: ``{"error": ...}``, a bare error object or text.
        headers: Headers of the 200.
        operation: What was attempted.
        model: Model as asked for.
        provider: Provider as asked for.
        url: Address that answered.
        hide: Removes exact secrets that the server may echo.
        sources: Setting name -> where its value came from.

    Returns:
        As :func:`from_response`; ``status_code`` is the status that the object names, or 500.
    """
    from shared_core import error_parsing

    reply = error_parsing.Reply(0, headers or {}, hide=hide, obj=obj)
    return error_parsing.build(
        reply, operation=operation, model=model, provider=provider, url=url, sources=sources or {}
    )


def stream_event_error(
    obj: Any,
    *,
    partial: ChatCompletion | None = None,
    headers: Mapping[str, str] | None = None,
    operation: str = "",
    model: str | None = None,
    provider: str | None = None,
    url: str = "",
    hide: Callable[[str], str] | None = None,
) -> StreamEventError:
    """Return the error for an error object that arrived as an event of a stream.

    Args:
        obj: The JSON value of the event.
        partial: What arrived before.
        headers: Headers of the stream.
        operation: What was attempted.
        model: Model as asked for.
        provider: Provider as asked for.
        url: Address that answered.
        hide: Removes exact secrets that the server may echo.
    """
    error = from_error_object(
        obj,
        headers=headers,
        operation=operation,
        model=model,
        provider=provider,
        url=url,
        hide=hide,
    )
    return StreamEventError(
        f"the stream reported an error: {error.message}",
        error=error,
        partial=partial,
        guidance=error.guidance,
        operation=operation,
        model=model,
        provider=provider,
        url=url,
        request_id=error.request_id,
    )
