"""From the body of an answer to a :class:`Response`, or to the error that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared_core.chat.response import (
    Answered,
    decoded,
    is_error_object,
    kind_of,
    parse_usage,
    text_or_empty,
)
from shared_core.errors import (
    ResponseFailedError,
    from_error_object,
)
from shared_core.responses.items import OutputItem, read_item
from shared_core.responses.types import Response
from shared_core.wire.json_text import whole


def response_of(body: bytes, answered: Answered) -> Response:
    """Return the response that the body of a 2xx answer holds.

    Args:
        body: The body.
        answered: Status and headers.

    Raises:
        ResponseFailedError: The response has the status ``failed``; what arrived rides on it.
        APIResponseValidationError: The body is no response; its beginning is quoted.
        APIStatusError: The body is an error object.
    """
    value = decoded(body, answered)
    if is_error_object(value) and not _is_response(value):
        answered.raise_error_object(value)
    if not _is_response(value):
        what = kind_of(value) if not isinstance(value, dict) else "an object without output"
        raise answered.invalid(f"the answer is {what} instead of a response", body)
    response = read_response(value, answered)
    if response.status == "failed":
        raise failure(response, answered)
    return response


def _is_response(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return value.get("object") == "response" or isinstance(value.get("output"), list)


def read_response(value: Mapping[str, Any], answered: Answered) -> Response:
    """Return the typed form of a response object, whatever its status.

    Args:
        value: JSON object.
        answered: Status and headers.
    """
    output = value.get("output")
    usage = value.get("usage")
    details = value.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return Response(
        id=text_or_empty(value.get("id")),
        model=text_or_empty(value.get("model")),
        status=text_or_empty(value.get("status")) or "completed",
        output=read_output(output),
        usage=parse_usage(usage) if isinstance(usage, dict) and usage else None,
        created=whole(value.get("created_at")),
        incomplete_reason=text_or_empty(reason) or None,
        request_id=answered.request_id,
        provider=answered.serving_provider,
        headers=answered.headers,
        raw=without_credentials(value),
    )


_CREDENTIALS = ("headers", "authorization")


def without_credentials(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response object without the credentials of the tools that it repeats.

    Args:
        value: JSON object.
    """
    tools = value.get("tools")
    if not isinstance(tools, list):
        return dict(value)
    kept = [
        {name: item for name, item in tool.items() if name not in _CREDENTIALS}
        if isinstance(tool, dict) and tool.get("type") == "mcp"
        else tool
        for tool in tools
    ]
    return {**value, "tools": kept}


def read_output(output: Any) -> list[OutputItem]:
    """Return the typed items of an ``output`` list."""
    return [read_item(item) for item in output or () if isinstance(item, dict)]


def failure(response: Response, answered: Answered) -> ResponseFailedError:
    """Return the error for a response whose status is ``failed`` (protocol.md 3.2).

    Args:
        response: What arrived.
        answered: Status and headers.
    """
    reported = response.raw.get("error")
    error = from_error_object(
        {"error": reported or "the server gave no reason"},
        headers=answered.headers,
        operation=answered.operation,
        model=answered.model,
        provider=answered.provider,
        url=answered.url,
        hide=answered.hide,
    )
    return ResponseFailedError(
        f"the response failed: {error.server_message or error.message}",
        error=error,
        partial=response,
        **answered.error_context(),
    )
