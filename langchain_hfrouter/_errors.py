"""Errors that belong to both families: ours and ``langchain_core.exceptions``.

Code written for LangChain catches ``ModelRateLimitError``; code written for this package
catches ``shared_core.RateLimitError``. What the adapter raises is both. A core error keeps
its identity, attributes, traceback and cause: only its class changes, to a subclass of itself
that also derives from LangChain's counterpart.
"""

from __future__ import annotations

import json
from typing import Any

from langchain_core import exceptions as lc
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
    OutputParserException,
)

from shared_core import (
    APIResponseValidationError,
    APIStatusError,
    ResponseFailedError,
    RouterError,
    StreamEventError,
    StructuredOutputError,
)

# Name of a core class -> LangChain's counterparts. The first class of an error's MRO that is
# listed decides, so that every subclass follows its parent. LangChain has no class for 402:
# the account may not make the call, which is nearest to a permission.
_COUNTERPARTS: dict[str, tuple[type[ModelError], ...]] = {
    "ContextLengthError": (ContextOverflowError, ModelInvalidRequestError),
    "BadRequestError": (ModelInvalidRequestError,),
    "AuthenticationError": (ModelAuthenticationError,),
    "PaymentRequiredError": (ModelPermissionDeniedError,),
    "PermissionDeniedError": (ModelPermissionDeniedError,),
    "NotFoundError": (ModelNotFoundError,),
    "RequestTimeoutError": (ModelTimeoutError,),
    "ProxyAuthenticationError": (ModelConnectionError,),
    "RateLimitError": (ModelRateLimitError,),
    "InternalServerError": (ModelAPIError,),
    "APIStatusError": (ModelInvalidRequestError,),
    "APITimeoutError": (ModelTimeoutError,),
    "APIConnectionError": (ModelConnectionError,),
    "APIResponseValidationError": (ModelAPIError,),
    "StreamInterruptedError": (ModelConnectionError,),
    "StreamError": (ModelAPIError,),
    "APIError": (ModelAPIError,),
    "MissingTokenError": (ModelAuthenticationError,),
    "ConfigurationError": (ModelInvalidRequestError,),
    "DeadlineExceededError": (ModelTimeoutError,),
    "RateLimiterRejectedError": (ModelRateLimitError,),
    "RejectedError": (ModelAPIError,),
    "RouterError": (ModelError,),
}


# Errors that tell, inside an answer with status 200, of an error with a status of its own.
_TOLD = (StreamEventError, ResponseFailedError)


class ErrorResponse:
    """The server's answer behind an error, in the shape that LangChain's tracing reads.

    Attributes:
        status_code: HTTP status.
        headers: Response headers, redacted.
        text: Body as text, redacted and bounded.
    """

    def __init__(self, status_code: int, headers: dict[str, str], body: Any) -> None:
        self.status_code = status_code
        self.headers = headers
        self._body = body
        self.text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)

    def json(self) -> Any:
        """Return the parsed body.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self._body) if isinstance(self._body, str) else self._body

    def __repr__(self) -> str:
        return f"ErrorResponse({self.status_code})"


class _Dual:
    """Marks a class made by :func:`_dual_class`; pickles as the core error that it is."""

    _core_class: type[RouterError]

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.__dict__)
        return _revive, (self._core_class, self.args, state)  # type: ignore[attr-defined]


class _Answered:
    """Adds ``response`` to errors that stand for an answer of the server."""

    status_code: int
    body: Any

    @property
    def response(self) -> ErrorResponse:
        """The server's answer."""
        headers = getattr(self, "headers", None)
        if headers is None:  # an error event: its headers came with the stream
            headers = getattr(getattr(self, "error", None), "headers", None)
        return ErrorResponse(self.status_code, dict(headers or {}), self.body)


def _revive(core_class: type[RouterError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = core_class.__new__(core_class)
    error.args = args
    error.__dict__.update(state)
    return promote(error)


def _counterparts(core_class: type) -> tuple[type[ModelError], ...]:
    for base in core_class.__mro__:
        if base.__name__ in _COUNTERPARTS:
            return _COUNTERPARTS[base.__name__]
    raise AssertionError(f"{core_class} is not an error of ours")


_ANSWERED = (APIStatusError, APIResponseValidationError, *_TOLD)

_made: dict[tuple[type[RouterError], type[RouterError]], type[RouterError]] = {}


def _dual_class(core_class: type[RouterError], kind: type[RouterError]) -> type[RouterError]:
    """Return the subclass of *core_class* that is also LangChain's counterpart of *kind*."""
    made = _made.get((core_class, kind))
    if made is None:
        made = _made[core_class, kind] = _make(core_class, kind)
    return made


def _make(core_class: type[RouterError], kind: type[RouterError]) -> type[RouterError]:
    answered = issubclass(core_class, _ANSWERED)
    bases = (_Dual, *((_Answered,) if answered else ()), core_class, *_counterparts(kind))
    made: Any = type(
        core_class.__name__,
        bases,
        {
            "__doc__": core_class.__doc__,
            "__module__": core_class.__module__,
            "_core_class": core_class,
            # One owner of "may a repetition help": the core.
            "is_retryable": kind.retryable,
        },
    )
    return made  # type: ignore[no-any-return]


def promote(error: RouterError) -> RouterError:
    """Make a core error an instance of LangChain's counterpart too, in place.

    Args:
        error: Any error of ``shared_core``.

    Returns:
        The same object.
    """
    if isinstance(error, ModelError):
        return error
    core_class = type(error)
    kind = type(error.error) if isinstance(error, _TOLD) else core_class
    itself: Any = error
    itself.__class__ = _dual_class(core_class, kind)
    return error


class DualErrors:
    """Context manager: core errors that leave the block are LangChain's as well."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RouterError):
            promote(error)


dual_errors = DualErrors()
"""The one instance; it has no state."""


class StructuredOutputParserError(StructuredOutputError, OutputParserException):
    """The answer does not have the structure asked for.

    Both ``shared_core.StructuredOutputError`` and LangChain's ``OutputParserException``.

    Attributes:
        llm_output: What the model wrote.
    """

    def __init__(self, message: str = "", *, llm_output: str = "", **kwargs: Any) -> None:
        StructuredOutputError.__init__(self, message, text=llm_output, **kwargs)
        self.observation = None
        self.llm_output = llm_output
        self.send_to_llm = False


class _RefusalError(ModelError):
    """Stands in for ``ModelRefusalError`` where langchain-core (before 1.7.5) has none."""

    def __init__(self, message: str = "The model refused", *, raw_message: Any = None) -> None:
        self.raw_message = raw_message
        super().__init__(message)


RefusalError: Any = getattr(lc, "ModelRefusalError", _RefusalError)
"""Raised where the content that the model withheld is needed."""
