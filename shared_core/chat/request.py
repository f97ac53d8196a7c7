"""From the arguments of a chat call to the request that goes out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from shared_core.chat.dialects import dialect_format
from shared_core.chat.messages import MessageLike, encode
from shared_core.chat.native import Bare, native_format, own_host, provider_at
from shared_core.chat.params import ChatParams, checked
from shared_core.chat.tools import tool_choice, tool_specs
from shared_core.chat.urls import chat_url, is_router
from shared_core.config.checks import boolean, number, refused
from shared_core.config.plain import plain
from shared_core.config.providers import EXTRA_HEADERS
from shared_core.config.validate import (
    check_header,
    check_header_value,
    check_model_id,
    check_route,
    check_timeout,
    join_model,
    split_model,
)
from shared_core.errors import InvalidSettingError
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

_OWN_HEADERS = {"authorization": "api_key", "x-hf-bill-to": "bill_to"}


class ChatDefaults(Protocol):
    """What a call uses when it does not say; :class:`shared_core.core.Defaults` fits."""

    @property
    def model(self) -> str | None:
        """Chat model."""
        ...

    @property
    def provider(self) -> str | None:
        """Provider to pin."""
        ...

    @property
    def policy(self) -> str | None:
        """How the router chooses a provider."""
        ...


def build(
    settings: Settings,
    messages: MessageLike | Sequence[MessageLike],
    params: ChatParams,
    *,
    stream: bool,
    defaults: ChatDefaults,
) -> WireRequest:
    """Return the request of a chat call; nothing is left to be found out by sending it.

    Args:
        settings: Where to, and with which timeout.
        messages: The conversation.
        params: The parameters of the call.
        stream: Whether the answer is to be streamed.
        defaults: The client's model, provider and policy.

    Raises:
        InvalidSettingError: A parameter or message is refused; it is named.
    """
    given: Mapping[str, Any] = params
    fields = checked(given)
    own = own_host(settings, given, defaults)
    if own is None:
        model, provider = resolve_model(settings.base_url, given, defaults)
    else:
        settings, provider = own.settings, own.provider
        named = {name: value for name, value in given.items() if name == "model"}
        given = {name: value for name, value in given.items() if name != "bill_to"}
        model, _ = resolve_model(settings.base_url, named, Bare(defaults.model))
    _shape_format(fields, settings.base_url, given.get("dialect"))
    try:
        body = {"model": model, **_body(messages, given, model, fields, stream)}
        _merge(body, given.get("extra_body"))
    except RecursionError:
        raise InvalidSettingError(
            "a message, tool or extra_body refers to itself or is nested too deeply",
            setting="messages",
        ) from None
    split_think = given.get("split_think")
    if split_think is not None:
        boolean("split_think", split_think)
    timeout = check_timeout(given["timeout"]) if "timeout" in given else settings.timeout
    return WireRequest(
        url=chat_url(settings.base_url),
        headers=call_headers(given, stream, provider_at(settings.base_url)),
        json=body,
        timeout=timeout,
        stream=stream,
        operation="chat",
        model=body["model"],
        provider=provider,
        settings=None if own is None else own.settings,
    )


def elsewhere(
    params: Mapping[str, Any],
    defaults: ChatDefaults,
    home: Settings,
    settings: Settings,
    model: str | None,
    provider: str | None,
) -> tuple[dict[str, Any], ChatDefaults]:
    """Return the parameters and the client's defaults as they hold at an endpoint of failover.

    Args:
        params: The parameters of the call.
        defaults: The client's.
        home: The client's settings.
        settings: The endpoint's.
        model: The endpoint's model, maybe with a suffix; None: that of the call.
        provider: The endpoint's provider; None: that of the call. A server that is not the
            router knows no providers, unless the endpoint itself names one.
    """
    foreign = settings.base_url != home.base_url and not is_router(settings.base_url)
    if model is None and provider is None and not foreign:
        return dict(params), defaults
    if model is None:
        model = params.get("model") or defaults.model
        if isinstance(model, str) and (provider is not None or is_router(home.base_url)):
            model = split_model(model)[0]
    changed = {**params, "model": model, "provider": provider, "policy": None}
    return changed, Bare(defaults.model) if foreign else defaults


def _shape_format(fields: dict[str, Any], base_url: str, dialect: Any) -> None:
    """Bring ``response_format`` into the form of who is asked, as told or as the address says."""
    wanted = fields.get("response_format")
    form = None
    if dialect is not None:
        form = dialect_format(dialect, wanted or {})
    elif wanted is not None:
        form = native_format(provider_at(base_url), wanted)
    if form:
        fields["response_format"] = form
    else:
        fields.pop("response_format", None)


def resolve_model(
    base_url: str, given: Mapping[str, Any], defaults: ChatDefaults
) -> tuple[str, str | None]:
    """Return the model id with its suffix, and the provider asked for.

    What the call says wins over the client's defaults: a provider or policy of the call
    replaces the client's, and so does a suffix of the call's model.

    Raises:
        InvalidSettingError: There is no model, or two of suffix, provider and policy clash.
    """
    model = given.get("model")
    provider, policy = given.get("provider"), given.get("policy")
    own_model = model is not None
    if model is None:
        model = defaults.model
    if model is None:
        raise InvalidSettingError(
            "model is missing: name one in the call or in the client",
            setting="model",
            guidance="Pass model='org/name', e.g. 'openai/gpt-oss-20b'; `hfrouter models` lists "
            "them. A server of your own takes the name that its /v1/models shows.",
        )
    if isinstance(model, str) and "://" in model:
        raise InvalidSettingError(
            "model is a URL", setting="model", guidance="Pass the URL as base_url=."
        )
    check_model_id(model, strict=is_router(base_url))
    suffix = split_model(model)[1] if is_router(base_url) else None
    if provider is None and policy is None and not (own_model and suffix):
        provider, policy = defaults.provider, defaults.policy
    elif suffix and not own_model:
        model = split_model(model)[0]  # the client's suffix yields to the call's wish
    wanted = check_route(provider, policy)
    asked = provider if provider not in (None, "auto") else suffix
    return (join_model(model, provider, policy) if wanted else model), asked


def _body(
    messages: MessageLike | Sequence[MessageLike],
    given: Mapping[str, Any],
    model: str,
    fields: dict[str, Any],
    stream: bool,
) -> dict[str, Any]:
    echo = given.get("reasoning_echo") or False
    return {
        "messages": encode(messages, model=model, reasoning_echo=echo),
        **fields,
        **_tools(given),
        **_streaming(given, stream),
    }


def _tools(given: Mapping[str, Any]) -> dict[str, Any]:
    specs = tool_specs(given["tools"]) if given.get("tools") is not None else []
    body: dict[str, Any] = {"tools": specs} if specs else {}
    choice = given.get("tool_choice")
    if choice is not None:
        extra = given.get("extra_body")
        known = specs or (extra.get("tools") if isinstance(extra, Mapping) else None) or []
        wire = tool_choice(choice, known)
        if wire is not None:
            body["tool_choice"] = wire
    parallel = given.get("parallel_tool_calls")
    if parallel is not None and boolean("parallel_tool_calls", parallel) is not None and specs:
        body["parallel_tool_calls"] = parallel
    return body


def _streaming(given: Mapping[str, Any], stream: bool) -> dict[str, Any]:
    options, usage = given.get("stream_options"), given.get("include_usage")
    if usage is not None:
        boolean("include_usage", usage)
    if options is not None and not isinstance(options, Mapping):
        raise refused("stream_options", "a dict", options)
    if not stream:
        if options is not None:
            raise InvalidSettingError(
                "stream_options belongs to chat.stream(), not to chat.create()",
                setting="stream_options",
            )
        return {}
    wire = dict(plain(options or {}, "stream_options"))
    if usage is not None:
        if wire.get("include_usage", usage) != usage:
            raise InvalidSettingError(
                f"include_usage={usage} contradicts stream_options", setting="include_usage"
            )
        wire["include_usage"] = usage
    return {"stream": True, "stream_options": wire} if wire else {"stream": True}


def merge_extra(body: dict[str, Any], extra: Any, *, api: str) -> None:
    """Put the fields of ``extra_body`` into *body*; None takes one out.

    Args:
        body: The body; changed.
        extra: What the caller gave, maybe None.
        api: Name of the resource, for the error.

    Raises:
        InvalidSettingError: It is no mapping, or decides whether there is a stream.
    """
    if extra is None:
        return
    if not isinstance(extra, Mapping):
        raise refused("extra_body", "a dict", extra, show=False)
    for name, value in plain(extra, "extra_body").items():
        if name == "stream":
            raise InvalidSettingError(
                f"extra_body may not hold 'stream': call {api}.stream() or {api}.create()",
                setting="extra_body",
            )
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value


def _merge(body: dict[str, Any], extra: Any) -> None:
    merge_extra(body, extra, api="chat")
    for name, kind in (("model", str), ("messages", list)):
        if not isinstance(body.get(name), kind) or not body[name]:
            raise InvalidSettingError(
                f"extra_body takes away {name!r}, or makes it something else",
                setting="extra_body",
            )


def call_headers(
    given: Mapping[str, Any], stream: bool, provider: str | None = None
) -> dict[str, str]:
    """Return the headers of a call.

    Args:
        given: Its parameters; ``extra_headers``, ``bill_to`` and ``scale_up_timeout`` are read.
        stream: Whether the answer is to be streamed.
        provider: Whose own form of chat is asked, if that is known.

    Raises:
        InvalidSettingError: A header cannot be sent, or belongs elsewhere.
    """
    headers = {
        "Accept": "text/event-stream, application/json" if stream else "application/json",
        "Content-Type": "application/json",
        **EXTRA_HEADERS.get(provider or "", {}),
    }
    extra = given.get("extra_headers")
    if extra is not None and not isinstance(extra, Mapping):
        raise refused("extra_headers", "a dict of texts", extra, show=False)
    for name, value in (extra or {}).items():
        check_header(name, value, setting="extra_headers")
        own = _OWN_HEADERS.get(name.lower())
        if own is not None:
            raise InvalidSettingError(
                f"extra_headers may not hold {name}: use {own}=", setting="extra_headers"
            )
        for known in [known for known in headers if known.lower() == name.lower()]:
            del headers[known]
        headers[name] = value
    payer = given.get("bill_to")
    if payer is not None:
        headers["X-HF-Bill-To"] = check_header_value(payer, setting="bill_to")
    held = given.get("scale_up_timeout")
    if held is not None:
        headers["X-Scale-Up-Timeout"] = f"{number(1, 86_400)('scale_up_timeout', held):.0f}"
    return headers
