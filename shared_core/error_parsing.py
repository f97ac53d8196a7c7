"""From an error answer to an error object. Pure; imported when the first error happens.

:func:`build` reads the body (``docs/protocol``: JSON of eight shapes, text, HTML, nothing),
:mod:`shared_core.error_classify` chooses the class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import Any

from shared_core.error_base import clean, host_of, redact, safe_headers, shorten
from shared_core.error_classify import Facts, classify
from shared_core.error_intermediary import Intermediary, intermediary_of
from shared_core.error_status import APIStatusError, ModelLoadingError
from shared_core.error_waits import retry_after, seconds_of

MAX_SERVER_MESSAGE = 2000
"""Characters of server text that an error keeps."""

MAX_BODY_CHARS = 8000
"""Characters of a text body, and of each string in a JSON body, that an error keeps."""

_HTML = r"(?is)(?>\s+|<!--.*?-->|<\?xml[^>]*>)*+<(?:!doctype|html|head|body)"
_MAX_DEPTH = 12
_MAX_ITEMS = 100
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id", "inference-id")


@dataclass(frozen=True)
class Reply:
    """An error answer as it came: either ``content`` or, from inside a 200, ``obj``."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""
    truncated: bool = False
    hide: Callable[[str], str] | None = None
    obj: Any = None

    def safe(self, text: str) -> str:
        """Return *text* without credentials."""
        return redact(text if self.hide is None else self.hide(text))


def build(
    reply: Reply,
    *,
    operation: str,
    model: str | None,
    provider: str | None,
    url: str,
    sources: Mapping[str, str],
) -> APIStatusError:
    """Return the error for *reply*; never raises, whatever the server sent."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    body = reply.obj if reply.status == 0 else _parse(reply.content)
    facts = read_facts(body, headers, reply.safe)
    facts.operation = operation
    facts.host = host_of(url) or ""
    inside = reply.status == 0
    facts.status = (_status_inside(facts) or 500) if inside else reply.status
    kind, guidance = classify(facts)
    estimated = facts.estimated_time if facts.status == 503 else None
    extra: dict[str, Any] = {}
    if issubclass(kind, ModelLoadingError):
        extra["estimated_time"] = estimated
    asked = None if inside else retry_after(facts.status, headers)
    wait = estimated if asked is None else asked
    advice = _with_sources(guidance or kind.guidance, facts.status, sources)
    maker = None if inside else intermediary_of(headers)
    if maker is not None:
        advice = _NOT_THE_SERVER
    text = facts.message or ""
    return kind(
        _headline(facts, inside)
        + ("" if maker is None else reply.safe(_made_by(maker)))
        + (f": {text}" if text else ""),
        status_code=facts.status,
        guidance=advice if wait is None else f"The server asks to wait {_shown(wait)} s. {advice}",
        operation=operation,
        model=model,
        provider=provider,
        url=reply.safe(url),
        request_id=request_id(headers, reply.safe),
        code=facts.code,
        type=facts.type,
        param=facts.param,
        server_message=facts.message,
        body=_scrub(body, reply.safe),
        headers={name: reply.safe(value) for name, value in safe_headers(headers).items()},
        retry_after=wait,
        inference_provider=_header(headers, "x-inference-provider", reply.safe),
        intermediary=None if maker is None else clean(reply.safe(shorten(maker.name, 100))),
        **extra,
    )


def _shown(seconds: float) -> str:
    return f"{seconds:.1f}".removesuffix(".0")


def _headline(facts: Facts, inside: bool) -> str:
    try:
        phrase = f"{facts.status} {HTTPStatus(facts.status).phrase}"
    except ValueError:
        phrase = f"status {facts.status}"
    place = f" from {shorten(facts.host, 80)}" if facts.host else ""
    return f"error inside a 200{place} ({phrase})" if inside else f"{phrase}{place}"


_NOT_THE_SERVER = (
    "A proxy or gateway on the way made this answer. If it is your own proxy, check proxy=, or the "
    "environment variables HTTP_PROXY and NO_PROXY, and ask its operator."
)


def _made_by(maker: Intermediary) -> str:
    return f", made by the proxy or gateway {shorten(maker.name, 80)} ({shorten(maker.error, 80)})"


_CONCERNED = {
    401: ("token", "default_headers"),
    402: ("token", "bill_to"),
    403: ("token", "bill_to", "default_headers"),
    **dict.fromkeys((404, 405, 410), ("base_url",)),
}
"""Status -> settings whose origin helps to understand it."""


def _with_sources(guidance: str, status: int, sources: Mapping[str, str]) -> str:
    names = _CONCERNED.get(status, ())
    notes = [f"{name} came from {sources[name]}" for name in names if sources.get(name)]
    if status == 401 and sources and not sources.get("token"):
        notes.append("no token was sent")
    return f"{guidance} ({'; '.join(notes)})" if notes else guidance


# ------------------------------------------------------------------------------ the body


def _parse(content: bytes) -> Any:
    """Return the body as JSON if it is JSON, else as text."""
    text = content.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if text[:1] in ("{", "[", '"'):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return _salvage(text)
    return text


def _salvage(text: str) -> Any:
    """Read the message out of JSON that was cut short, or return the text."""
    found = re.search(r'"(?:message|error|detail)"\s*:\s*"((?:[^"\\]|\\.){1,2000})', text)
    if found is None:
        return text
    try:
        return {"error": json.loads(f'"{found[1]}"')}
    except ValueError:
        return {"error": found[1]}


def read_facts(body: Any, headers: Mapping[str, str], safe: Callable[[str], str] = redact) -> Facts:
    """Return what the body and the headers say about the error.

    Args:
        body: Parsed JSON, or text.
        headers: Lower-case names.
        safe: Removes credentials from a text.
    """
    top = body if isinstance(body, Mapping) else {}
    inner = top.get("error")
    error: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    message = _message(body) or headers.get("x-error-message") or _text_message(body)
    message = message or _excerpt(body)
    message = clean(safe(" ".join(message.split())))
    return Facts(
        message=shorten(message, MAX_SERVER_MESSAGE) or None,
        code=_word(error.get("code"), top.get("code"), top.get("reason"), safe=safe),
        type=_word(error.get("type"), top.get("error_type"), top.get("type"), safe=safe),
        reason=_word(top.get("reason"), safe=safe),
        param=_word(error.get("param"), top.get("param"), safe=safe),
        header_code=_word(headers.get("x-error-code"), safe=safe),
        inner_status=_status_number(
            error.get("http_status_code"),
            top.get("http_status_code"),
            error.get("code"),
            error.get("status"),
            top.get("code"),
            top.get("status_code"),
            top.get("status"),
        ),
        estimated_time=seconds_of(top.get("estimated_time", error.get("estimated_time"))),
        html=isinstance(body, str) and _is_html(body),
    )


def _message(body: Any) -> str:
    if isinstance(body, list):
        return "; ".join(filter(None, (_message(item) or _plain(item) for item in body[:5])))
    if not isinstance(body, Mapping):
        return ""
    for text in _candidates(body):
        if text.strip():
            return text
    return ""


def _candidates(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield possible messages in the order of protocol.md 9.1."""
    error = body.get("error")
    if isinstance(error, str):
        described = body.get("error_description")
        yield f"{error}: {described}" if isinstance(described, str) and error else error
    if isinstance(error, Mapping):
        yield from _nested(error)
    if isinstance(error, list):
        yield "; ".join(filter(None, (_plain(item) for item in error[:10])))
    yield _plain(body.get("message"))
    detail = body.get("detail")
    yield "; ".join(map(_fastapi, detail[:10])) if isinstance(detail, list) else _plain(detail)
    errors = body.get("errors")
    if isinstance(errors, list):
        yield "; ".join(filter(None, (_plain(item) for item in errors[:10])))
    warnings = body.get("warnings")
    if isinstance(warnings, list):
        yield "; ".join(filter(None, (_plain(item) for item in warnings[:3])))


def _excerpt(body: Any) -> str:
    """Return the beginning of JSON that has no message where one is expected."""
    small = _scrub(body, redact)
    return shorten(json.dumps(small, ensure_ascii=False), 300) if small else ""


def _nested(error: Mapping[str, Any]) -> Iterator[str]:
    for name in ("message", "detail", "error", "msg"):
        value = error.get(name)
        yield _plain(value)
        if isinstance(value, list):
            yield "; ".join(filter(None, (_plain(item) for item in value[:10])))
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping):
        yield _plain(metadata.get("raw"))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for name in ("message", "msg", "detail", "error"):
            if isinstance(value.get(name), str):
                return str(value[name])
    return ""


def _fastapi(item: Any) -> str:
    """Return ``loc: msg`` of one entry of FastAPI's ``detail`` list."""
    text = _plain(item)
    if isinstance(item, Mapping) and isinstance(item.get("loc"), list):
        place = ".".join(str(step) for step in item["loc"][:8] if isinstance(step, str | int))
        return f"{place}: {text}" if place else text
    return text


def _is_html(text: str) -> bool:
    # Atomic and possessive: a page of comments must not be tried in every combination.
    return bool(re.match(_HTML, text[:2000]))


def _text_message(body: Any) -> str:
    if not isinstance(body, str):
        return ""
    if not _is_html(body):
        return body
    title = re.search(r"(?is)<title[^>]{0,200}>(.{0,500}?)</title", body[:65_536])
    heading = re.search(r"(?is)<h1[^>]{0,200}>(.{0,500}?)</h1", body[:65_536])
    texts = [unescape(re.sub(r"<[^>]*>", " ", found[1])) for found in (title, heading) if found]
    texts = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    return (
        "an HTML page: " + " / ".join(text for text in texts if text) if texts else "an HTML page"
    )


def _word(*values: Any, safe: Callable[[str], str]) -> str | None:
    for value in values:
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int) and abs(value) < 10**9:
            return str(value)
        if isinstance(value, str) and value.strip():
            return clean(safe(shorten(value.strip(), 100)))
    return None


def _status_number(*values: Any) -> int | None:
    for value in values:
        if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
            return int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


_KIND_STATUS = {
    "authentication_error": 401,
    "billing_error": 402,
    "context_length_exceeded": 400,
    "empty": 400,
    "backend": 424,
    "generation": 424,
    "incomplete_generation": 500,
    "insufficient_quota": 402,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded": 429,
    "overloaded_error": 503,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "template_error": 422,
    "timeout_error": 504,
    "tokenizer": 422,
    "too_many_requests": 429,
    "tool_error": 422,
    "unavailable_error": 503,
    "unhealthy": 503,
    "validation": 422,
}


def _status_inside(facts: Facts) -> int | None:
    """Return the status that an error object inside a 200 stands for."""
    if facts.inner_status is not None:
        return facts.inner_status
    for word in (facts.code, facts.type):
        if word is not None and word.lower() in _KIND_STATUS:
            return _KIND_STATUS[word.lower()]
    return 503 if facts.estimated_time is not None else None


def _scrub(value: Any, safe: Callable[[str], str], depth: int = 0) -> Any:
    """Return a bounded, redacted copy of a JSON value."""
    if isinstance(value, str):
        return shorten(safe(value), MAX_BODY_CHARS)
    if isinstance(value, Mapping):
        if depth >= _MAX_DEPTH:
            return "…"
        return {
            shorten(safe(str(key)), 200): _scrub(item, safe, depth + 1)
            for key, item in list(value.items())[:_MAX_ITEMS]
        }
    if isinstance(value, list):
        if depth >= _MAX_DEPTH:
            return "…"
        return [_scrub(item, safe, depth + 1) for item in value[:_MAX_ITEMS]]
    return value


# --------------------------------------------------------------------------- the headers


def _header(headers: Mapping[str, str], name: str, safe: Callable[[str], str]) -> str | None:
    value = headers.get(name)
    return clean(shorten(safe(value.strip()), 200)) or None if value else None


def request_id(headers: Mapping[str, str], safe: Callable[[str], str] = redact) -> str | None:
    """Return the id of the exchange (``x-request-id`` first), or None.

    Args:
        headers: Lower-case names.
        safe: Removes credentials from a text.
    """
    for name in _REQUEST_ID_HEADERS:
        value = _header(headers, name, safe)
        if value:
            return value
    return None
