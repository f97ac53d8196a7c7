"""The parameters of a call of the Responses API, and the tools that only it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from shared_core.chat.structured import response_format
from shared_core.config.checks import number, refused, text, whole_number
from shared_core.config.plain import plain
from shared_core.config.validate import check_header, check_url, unknown_keyword
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.callbacks import Callback

MOST_METADATA = 16
"""Pairs of metadata; keys have up to 64 characters, values up to 512 (protocol.md 3.1)."""


class ResponseParams(TypedDict, total=False):
    """Keyword arguments of ``responses.create`` and ``responses.stream``.

    None counts as not given, for all but ``timeout``.

    Attributes:
        model: Model id, maybe with a suffix; the client's by default.
        provider: Provider to pin, e.g. ``"groq"``; exclusive with ``policy`` and a suffix.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.
        instructions: System text. Preferred to a system or developer message, which the
            published server drops in part.
        max_output_tokens: Longest answer in tokens, at least 1.
        metadata: Up to 16 texts, kept with the response.
        reasoning_effort: ``"low"``, ``"medium"``, ``"high"`` ...; servers differ.
        reasoning_summary: ``"auto"``.
        temperature: 0 to 2.
        top_p: 0 to 1.
        response_format: As for chat: ``"json_object"``, a type, or a JSON schema. Sent as
            ``text.format``.
        tools: Functions, classes or dicts as for chat, and :class:`MCPTool`.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, True, or the name of a function.
        extra_body: Further body fields, merged last; None takes a field out. ``stream`` is
            refused, because the method decides it.
        extra_headers: Further headers of this call.
        timeout: Seconds; the client's by default. None waits for ever.
        bill_to: Organisation that pays for this call.
        scale_up_timeout: Seconds for which a dedicated endpoint may hold the request while it
            starts (``X-Scale-Up-Timeout``).
        callbacks: Told of this call in addition to the client's own.
    """

    model: str | None
    provider: str | None
    policy: str | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: Mapping[str, str] | None
    reasoning_effort: str | None
    reasoning_summary: str | None
    temperature: float | None
    top_p: float | None
    response_format: Any
    tools: Sequence[Any] | None
    tool_choice: Any
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    timeout: Any
    bill_to: str | None
    scale_up_timeout: float | None
    callbacks: Sequence[Callback] | None


PARAMETERS = frozenset(ResponseParams.__annotations__)
"""Names of all parameters."""

_APPROVALS = ("always", "never")


@dataclass(frozen=True, slots=True)
class MCPTool:
    """A server of tools that the service itself talks to.

    Attributes:
        server_label: Short name of the server.
        server_url: Its address.
        allowed_tools: Names of the tools that may be used; None allows all.
        headers: Sent to that server by the service, e.g. a token of that server. The service
            sees them; they are never shown.
        require_approval: ``"always"`` (the service's default), ``"never"``, or
            ``{"always": [names], "never": [names]}``.
    """

    server_label: str
    server_url: str
    allowed_tools: Sequence[str] | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    require_approval: str | Mapping[str, Sequence[str]] | None = None

    def to_wire(self, field_name: str = "tools") -> dict[str, Any]:
        """Return the wire form.

        Args:
            field_name: Name for errors.

        Raises:
            InvalidSettingError: A value cannot be sent.
        """
        wire: dict[str, Any] = {
            "type": "mcp",
            "server_label": text(f"{field_name}.server_label", self.server_label),
            "server_url": check_url(self.server_url, setting=f"{field_name}.server_url"),
        }
        if self.allowed_tools is not None:
            wire["allowed_tools"] = names(f"{field_name}.allowed_tools", self.allowed_tools)
        if self.headers is not None:
            for name, value in self.headers.items():
                check_header(name, value, setting=f"{field_name}.headers")
            wire["headers"] = dict(self.headers)
        if self.require_approval is not None:
            wire["require_approval"] = self._approval(f"{field_name}.require_approval")
        return wire

    def _approval(self, name: str) -> Any:
        wanted = self.require_approval
        if isinstance(wanted, Mapping) and wanted.keys() <= set(_APPROVALS):
            return {
                key: {"tool_names": names(f"{name}.{key}", value)} for key, value in wanted.items()
            }
        if wanted not in _APPROVALS:
            raise refused(name, "'always', 'never' or a dict of both with tool names", wanted)
        return wanted


def names(name: str, value: Any) -> list[str]:
    """Return *value* if it is a list of texts that are not empty."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise refused(name, "a list of names", value)
    return [text(f"{name}[{at}]", item) for at, item in enumerate(value)]


def _metadata(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST_METADATA:
        raise refused(name, f"a dict of at most {MOST_METADATA} texts", value, show=False)
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str):
            raise refused(f"{name}[{key!r:.40}]", "text", item, show=False)
        if len(key) > 64 or len(item) > 512:
            raise InvalidSettingError(
                f"{name}: keys have at most 64 and values at most 512 characters", setting=name
            )
    return dict(plain(value, name))


SENT = {
    "instructions": text,
    "max_output_tokens": whole_number(1),
    "metadata": _metadata,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
}
"""Parameters that go into the body under their own name, with their checks, in body order."""


def checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body fields of the parameters, but for tools.

    Args:
        params: All parameters of the call.

    Raises:
        InvalidSettingError: A parameter is unknown or impossible.
    """
    for name in params:
        if name not in PARAMETERS:
            raise unknown_keyword(name, PARAMETERS)
    body: dict[str, Any] = {}
    for name, check in SENT.items():
        if params.get(name) is not None:
            body[name] = check(name, params[name])
    reasoning = {
        key: text(f"reasoning_{key}", params[f"reasoning_{key}"])
        for key in ("effort", "summary")
        if params.get(f"reasoning_{key}") is not None
    }
    if reasoning:
        body["reasoning"] = reasoning
    if params.get("response_format") is not None:
        body["text"] = {"format": text_format(response_format(params["response_format"]))}
    return body


def text_format(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return chat's ``response_format`` in the flat form of the Responses API."""
    inner = wanted.get("json_schema")
    if wanted.get("type") == "json_schema" and isinstance(inner, Mapping):
        return {"type": "json_schema", **inner}
    return dict(wanted)
