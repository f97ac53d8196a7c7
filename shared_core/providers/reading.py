"""Reads a successful answer: its JSON value, or its file; refuses what is neither, with evidence.

A 2xx may still carry an error object: it becomes the error that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pydantic_core

from shared_core.errors import (
    APIResponseValidationError,
    IncompleteResponseError,
    from_error_object,
)
from shared_core.media.kinds import sniff
from shared_core.media.output import Media

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.wire.messages import WireRequest, WireResponse

_EVIDENCE = 200
"""How many bytes of a refused body are quoted."""

_REQUEST_IDS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
"""Headers that carry the id of an exchange, best first (protocol reference, 1.5)."""

_BINARY = ("image/", "audio/", "video/", "model/", "application/octet-stream")


class Reading:
    """An answer together with what its errors have to say.

    Args:
        response: A successful answer.
        request: What was asked.
        hide: Removes secrets that the server may echo.
    """

    def __init__(
        self, response: WireResponse, request: WireRequest, hide: Callable[[str], str]
    ) -> None:
        self.response = response
        self._request = request
        self._hide = hide

    @classmethod
    def of(cls, response: WireResponse, request: WireRequest, core: Core) -> Reading:
        """Return the reading of an answer to *core*'s request."""
        return cls(response, request, (request.settings or core.settings).redact)

    @property
    def media_type(self) -> str:
        """Content type without parameters, in lower case; may be empty."""
        return self.response.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_file(self) -> bool:
        """Whether the body is a file, by its content type, or by its first bytes without one."""
        kind = self.media_type
        return kind.startswith(_BINARY) or (not kind and sniff(self.response.content) is not None)

    def file(self) -> Media:
        """Return the body as a file.

        Raises:
            APIResponseValidationError: It is empty.
        """
        content = self.response.content
        if not content:
            raise self.refuse("the body is empty")
        kind = self.response.headers.get("content-type", "").strip().replace("; ", ";")
        if self.media_type in ("", "application/octet-stream"):
            kind = sniff(content) or kind
        return Media(content, kind or "application/octet-stream")

    def json(self) -> Any:
        """Return the JSON value of the body.

        Raises:
            APIResponseValidationError: There is none.
            APIStatusError: It is an error object.
        """
        content = self.response.content.removeprefix(b"\xef\xbb\xbf")
        start = content[:512].lstrip()
        if not start and not content.strip():
            raise self.refuse("the body is empty")
        if start.startswith(b"<"):
            raise self.refuse("the body is a web page, not JSON")
        try:
            data = pydantic_core.from_json(content)
        except ValueError as exc:
            if str(exc).startswith("EOF while parsing"):
                kind = IncompleteResponseError
                raise self.refuse("the JSON ends in the middle", kind.guidance, kind) from None
            raise self.refuse("the body is not JSON") from None
        if isinstance(data, dict) and data.get("error") is not None:
            raise from_error_object(
                data, headers=self.response.headers, hide=self._hide, **self.context()
            )
        return data

    def refuse(
        self,
        what: str,
        guidance: str | None = None,
        kind: type[APIResponseValidationError] = APIResponseValidationError,
    ) -> APIResponseValidationError:
        """Return the error that says *what* is wrong, and shows the beginning of the body.

        Args:
            what: What is wrong.
            guidance: What to do; the class's own by default.
            kind: Class of the error.
        """
        answer = self.response
        # Secrets are hidden before the text is cut: half of one would not be found.
        text = self._hide(answer.content[: 16 * _EVIDENCE].decode("utf-8", "replace"))[:_EVIDENCE]
        content_type = answer.headers.get("content-type")
        return kind(
            f"Unusable answer: {what} (status {answer.status}, {content_type or 'no type'}, "
            f"begins {text[:60]!r})",
            guidance=guidance,
            status_code=answer.status,
            content_type=content_type,
            body=text,
            headers={name: self._hide(value) for name, value in answer.headers.items()},
            request_id=next(
                (answer.headers[name] for name in _REQUEST_IDS if name in answer.headers), None
            ),
            elapsed=answer.elapsed or None,
            **self.context(),
        )

    def context(self) -> dict[str, Any]:
        """Return what every error of this exchange says."""
        return {
            "operation": self._request.operation,
            "model": self._request.model,
            "provider": self._request.provider,
            "url": self.response.url or self._request.url,
        }
