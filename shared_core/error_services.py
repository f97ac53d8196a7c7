"""Errors of responses and of endpoints; public through :mod:`shared_core.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from shared_core.error_base import APIError, ErrorContext, clean, redact, shorten

if TYPE_CHECKING:
    from shared_core.error_status import APIStatusError


class ResponseFailedError(APIError):
    """The service answered, with status 200, that the response failed.

    Attributes:
        error: The same error as if it had been the whole answer: its class says the kind.
        partial: The :class:`~shared_core.responses.types.Response` with what arrived.
        status_code: Status that the error stands for.
        code: Machine code, e.g. ``"server_error"``.
        type: Kind in the server's words.
        server_message: The server's own words.
        body: The error object.
    """

    guidance = "What arrived is in .partial; ask again for a whole answer."
    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        error: APIStatusError,
        partial: Any = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        if "guidance" not in context:
            self.guidance = error.guidance
        self.error = error
        self.partial = partial
        self.status_code = error.status_code
        self.code = error.code
        self.type = error.type
        self.server_message = error.server_message
        self.body = error.body


class EndpointFailedError(APIError):
    """An Inference Endpoint cannot become ready: it failed, or it is paused.

    Attributes:
        endpoint: What is known of it (:class:`~shared_core.endpoints.types.EndpointInfo`).
        state: e.g. ``"failed"``, ``"updateFailed"``, ``"paused"``.
        server_message: The service's reason.
    """

    guidance = "Look at endpoint.logs() for the reason, then update() or delete() the endpoint."

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Any = None,
        state: str | None = None,
        server_message: str | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.endpoint = endpoint
        self.state = state
        self.server_message = (
            None if server_message is None else clean(redact(shorten(server_message, 2000)))
        )


class EndpointTimeoutError(APIError, TimeoutError):
    """An Inference Endpoint was not ready within the time allowed; it may still become so.

    Attributes:
        endpoint: What was last known of it, or None.
        state: Its last state.
        deadline: The limit in seconds.
    """

    guidance = (
        "It may still be starting, which is billed: call wait() again with a longer timeout=, or "
        "pause() it."
    )

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Any = None,
        state: str | None = None,
        deadline: float | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.endpoint = endpoint
        self.state = state
        self.deadline = deadline
