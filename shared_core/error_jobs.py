"""Errors of jobs that a provider queues; public through :mod:`shared_core.errors`."""

from __future__ import annotations

from typing import Any, Unpack

from shared_core.error_base import APIError, ErrorContext, clean, redact, shorten


class JobFailedError(APIError):
    """The provider took the job on and then said that it failed.

    Attributes:
        job: The job: ids and addresses at the provider.
        status: The provider's word, e.g. ``"failed"``.
        server_message: The provider's reason, redacted, up to 2,000 characters.
    """

    guidance = (
        "Correct the request as the provider says, or choose another provider with provider=. "
        "Submitting it again is a new job, which may be billed again."
    )
    failover = True

    def __init__(
        self,
        message: str = "",
        *,
        job: Any = None,
        status: str | None = None,
        server_message: str | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.job = job
        self.status = status
        self.server_message = (
            None if server_message is None else clean(redact(shorten(server_message, 2000)))
        )


class JobTimeoutError(APIError, TimeoutError):
    """The job was not done within ``poll_deadline``; the provider may still be working on it.

    Attributes:
        job: The job, for ``client.providers.resume(error.job)``.
        status: The provider's last word about it.
        deadline: The limit in seconds.
    """

    guidance = (
        "The job goes on at the provider: client.providers.resume(error.job) waits for it again. "
        "Raise poll_deadline= (seconds; None waits for ever) for jobs that take long."
    )

    def __init__(
        self,
        message: str = "",
        *,
        job: Any = None,
        status: str | None = None,
        deadline: float | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.job = job
        self.status = status
        self.deadline = deadline
