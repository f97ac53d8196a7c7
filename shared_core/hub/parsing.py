"""Readers of model lists, Hub entries and whoami: lenient inside, strict about the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin

from shared_core.config.validate import origin_of
from shared_core.constants import INFERENCE_PERMISSION
from shared_core.errors import APIResponseValidationError, from_error_object
from shared_core.hub.types import HubModel, Organization, ProviderInfo, RouterModel, WhoAmI
from shared_core.wire import fields, json_text
from shared_core.wire.messages import WireRequest, WireResponse

T = TypeVar("T")


def reader(request: WireRequest, read: Callable[[Any, WireResponse], T]) -> Callable[..., T]:
    """Return a parser of answers to *request* that ends in our own errors only.

    Args:
        request: For the errors.
        read: Makes the result of the JSON value; raises ``ValueError`` with the reason.
    """

    def parse(response: WireResponse) -> T:
        try:
            value = json_text.read_body(response.content)
        except json_text.BodyError as exc:
            raise unexpected(request, response, str(exc), exc.kind) from None
        if isinstance(value, dict) and "error" in value and "id" not in value:
            raise from_error_object(
                value,
                headers=response.headers,
                operation=request.operation,
                model=request.model,
                url=response.url or request.url,
            )
        try:
            return read(value, response)
        except ValueError as exc:
            raise unexpected(request, response, str(exc)) from None

    return parse


def unexpected(
    request: WireRequest,
    response: WireResponse,
    reason: str,
    error: type[APIResponseValidationError] = APIResponseValidationError,
) -> APIResponseValidationError:
    """Return the error for an answer of the wrong shape, with the beginning of the body.

    Args:
        request: What was asked.
        response: The answer.
        reason: What is wrong with it.
        error: Class of the error.
    """
    kind = response.headers.get("content-type")
    text = response.content[:2000].decode("utf-8", "replace")
    glimpse = " ".join(text.split())[:120]
    return error(
        f"{request.operation}: {reason} (status {response.status}, content-type {kind}): {glimpse}",
        status_code=response.status,
        content_type=kind,
        body=text,
        headers=response.headers,
        operation=request.operation,
        model=request.model,
        provider=request.provider,
        url=response.url or request.url,
        request_id=response.headers.get("x-request-id"),
    )


def read_model_list(value: Any, response: WireResponse) -> list[RouterModel]:
    """Return the models of ``GET /v1/models``; single entries without an id are left out.

    Raises:
        ValueError: There is no list, or nothing in it is a model.
    """
    data = value.get("data") if isinstance(value, dict) else value
    if not isinstance(data, list):
        raise ValueError("the model list has no list under 'data'")
    return [router_model(item) for item in _entries(data, lambda item: item.get("id"))]


def read_router_model(value: Any, response: WireResponse) -> RouterModel:
    """Return the model of ``GET /v1/models/{id}``.

    Raises:
        ValueError: It is not a model.
    """
    inner = value.get("data") if isinstance(value, dict) and "id" not in value else value
    if not isinstance(inner, dict) or not fields.text(inner.get("id")):
        raise ValueError("the model has no 'id'")
    return router_model(inner)


def router_model(item: Mapping[str, Any]) -> RouterModel:
    """Return one entry of a model list (protocol.md 4; vLLM and llama.cpp in 11)."""
    architecture = fields.mapping(item.get("architecture"))
    providers = tuple(
        provider_info(entry)
        for entry in fields.sequence(item.get("providers"))
        if isinstance(entry, dict) and fields.text(entry.get("provider"))
    )
    meta = fields.mapping(item.get("meta"))
    own = (
        _window(item.get("max_model_len"))
        or _window(meta.get("n_ctx"))
        or _window(meta.get("n_ctx_train"))
    )
    lengths = [p.context_length for p in providers if p.is_live and p.context_length]
    return RouterModel(
        id=str(item["id"]),
        owned_by=fields.text(item.get("owned_by")),
        created=fields.count(item.get("created")),
        input_modalities=fields.texts(architecture.get("input_modalities")),
        output_modalities=fields.texts(architecture.get("output_modalities")),
        providers=providers,
        context_length=own or (min(lengths) if lengths else _window(item.get("context_length"))),
        raw=dict(item),
    )


def _window(value: Any) -> int | None:
    """Return a context length; 0 and below, which some servers mean no limit by, are none."""
    return fields.count(value) or None


def provider_info(entry: Mapping[str, Any], name: str | None = None) -> ProviderInfo:
    """Return one provider entry, of the router's list or of the Hub's mapping.

    Args:
        entry: The JSON object.
        name: Provider, where the entry itself does not say it.
    """
    pricing = fields.mapping(entry.get("pricing"))
    return ProviderInfo(
        name=name or str(entry.get("provider")),
        status=fields.text(entry.get("status")),
        context_length=_window(entry.get("context_length")),
        input_price=fields.real(pricing.get("input")),
        output_price=fields.real(pricing.get("output")),
        is_free=entry.get("is_free") is True,
        supports_tools=_flag(entry.get("supports_tools")),
        supports_structured_output=_flag(entry.get("supports_structured_output")),
        first_token_latency_ms=fields.real(entry.get("first_token_latency_ms")),
        throughput=fields.real(entry.get("throughput")),
        is_model_author=entry.get("is_model_author") is True or entry.get("isModelAuthor") is True,
        task=fields.text(entry.get("task")),
        provider_id=fields.text(entry.get("providerId")),
        raw=dict(entry),
    )


def provider_mapping(value: Any) -> tuple[ProviderInfo, ...]:
    """Return ``inferenceProviderMapping`` in its dict or its list form (protocol.md 7.1)."""
    if isinstance(value, dict):
        return tuple(
            provider_info(entry, name) for name, entry in value.items() if isinstance(entry, dict)
        )
    return tuple(
        provider_info(entry)
        for entry in fields.sequence(value)
        if isinstance(entry, dict) and fields.text(entry.get("provider"))
    )


def read_hub_model(value: Any, response: WireResponse) -> HubModel:
    """Return the model of ``GET /api/models/{id}``.

    Raises:
        ValueError: It is not a model.
    """
    if not isinstance(value, dict) or not fields.text(_hub_id(value)):
        raise ValueError("the Hub's model has no 'id'")
    return hub_model(value)


def hub_model(item: Mapping[str, Any]) -> HubModel:
    """Return one entry of the Hub (protocol.md 8.1, 8.2)."""
    gated = item.get("gated")
    weights = fields.mapping(item.get("safetensors")) or fields.mapping(item.get("gguf"))
    return HubModel(
        id=str(_hub_id(item)),
        pipeline_tag=fields.text(item.get("pipeline_tag")),
        library=fields.text(item.get("library_name")),
        tags=fields.texts(item.get("tags")),
        downloads=fields.count(item.get("downloads")),
        likes=fields.count(item.get("likes")),
        gated=gated if isinstance(gated, bool | str) else False,
        private=item.get("private") is True,
        created_at=fields.text(item.get("createdAt")),
        last_modified=fields.text(item.get("lastModified")),
        inference=fields.text(item.get("inference")),
        parameters=fields.count(weights.get("total")),
        providers=provider_mapping(item.get("inferenceProviderMapping")),
        raw=dict(item),
    )


def read_search_page(value: Any, response: WireResponse) -> tuple[list[HubModel], str | None]:
    """Return the models of a page of search results and the address of the next page.

    Single entries without an id are left out.

    Raises:
        ValueError: It is not a list, nothing in it is a model, or the next page is on another
            host.
    """
    if not isinstance(value, list):
        raise ValueError("the search result is not a list")
    models = [hub_model(item) for item in _entries(value, _hub_id)]
    return models, next_link(response.headers.get("link", ""), response.url)


def _hub_id(item: Mapping[str, Any]) -> Any:
    return item.get("id") or item.get("modelId")


def _entries(items: list[Any], id_of: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Return the entries that have an id: an odd one among models must not hide the others.

    Raises:
        ValueError: None of them has one, so this is a list of something else.
    """
    found = [item for item in items if isinstance(item, dict) and fields.text(id_of(item))]
    if items and not found:
        raise ValueError("no entry of the list has an 'id'")
    return found


def next_link(header: str, current: str) -> str | None:
    """Return the ``rel="next"`` address of a Link header, or None.

    Args:
        header: The header.
        current: Address of this page.

    Raises:
        ValueError: It leads to another origin, where the token must not go, or back here.
    """
    for match in re.finditer(r"<([^<>]*)>([^<]*)", header):
        if re.search(r';\s*rel\s*=\s*"?[^",;]*\bnext\b', match[2], re.IGNORECASE):
            address: str = urljoin(current, str(match[1]))
            if origin_of(address) != origin_of(current):
                raise ValueError("the next page is on another host")
            if address == current:
                raise ValueError("the next page is this page")
            return address
    return None


def read_whoami(value: Any, response: WireResponse) -> WhoAmI:
    """Return the reply of ``GET /api/whoami-v2`` (protocol.md 8.4).

    Raises:
        ValueError: It names nobody.
    """
    if not isinstance(value, dict) or not fields.text(value.get("name")):
        raise ValueError("the reply of whoami has no 'name'")
    token = fields.mapping(fields.mapping(value.get("auth")).get("accessToken"))
    role = fields.text(token.get("role"))
    allowed, billable = _inference_permission(role, fields.mapping(token.get("fineGrained")))
    return WhoAmI(
        name=str(value["name"]),
        type=fields.text(value.get("type")),
        fullname=fields.text(value.get("fullname")),
        is_pro=value.get("isPro") is True,
        can_pay=_flag(value.get("canPay")),
        organizations=tuple(
            Organization(
                str(org["name"]), fields.text(org.get("fullname")), _flag(org.get("canPay"))
            )
            for org in fields.sequence(value.get("orgs"))
            if isinstance(org, dict) and fields.text(org.get("name"))
        ),
        token_name=fields.text(token.get("displayName")),
        token_role=role,
        can_call_inference_providers=allowed,
        billable=billable,
        raw=value,
    )


def _inference_permission(
    role: str | None, grants: Mapping[str, Any]
) -> tuple[bool | None, tuple[str, ...]]:
    if role in ("read", "write", "admin"):
        return True, ()  # classic tokens may call whatever their owner may
    if role != "fineGrained" or not grants:
        return None, ()
    names = tuple(
        str(fields.mapping(scope.get("entity")).get("name") or "")
        for scope in fields.sequence(grants.get("scoped"))
        if isinstance(scope, dict)
        and INFERENCE_PERMISSION in fields.sequence(scope.get("permissions"))
    )
    allowed = bool(names) or INFERENCE_PERMISSION in fields.sequence(grants.get("global"))
    return allowed, tuple(name for name in names if name)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
