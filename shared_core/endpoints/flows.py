"""The requests of the control plane, as flows: the same for both clients, no I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

from shared_core.endpoints.params import (
    check_name,
    check_namespace,
    create_body,
    secrets_of,
    update_body,
)
from shared_core.endpoints.types import EndpointInfo, read_endpoint
from shared_core.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    InvalidSettingError,
    PermissionDeniedError,
)
from shared_core.flow import All, Flow
from shared_core.hub import flows as hub
from shared_core.hub.parsing import reader
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

T = TypeVar("T")

ALL = "*"
"""The namespace that stands for one's own and those of one's organisations."""

_names: WeakKeyDictionary[Core, tuple[str, ...]] = WeakKeyDictionary()


def request(
    core: Core,
    method: str,
    path: str,
    operation: str,
    *,
    json: Any = None,
    query: Mapping[str, Any] | None = None,
    base: str | None = None,
    timeout: float | None = None,
) -> WireRequest:
    """Return a request to the control plane. All but GET are never repeated by themselves.

    Args:
        core: Whose settings hold.
        method: HTTP verb.
        path: Path of the control plane.
        operation: For errors and events.
        json: Body.
        query: Query parameters; None is left out.
        base: Another address than ``endpoints_url``.
        timeout: Seconds; those of the settings when None.
    """
    pairs = [(key, value) for key, value in (query or {}).items() if value is not None]
    url = f"{base or core.settings.endpoints_url}{path}"
    headers = {"Accept": "application/json"}
    if json is not None:
        headers["Content-Type"] = "application/json"
    return WireRequest(
        method=method,
        url=f"{url}?{urlencode(pairs)}" if pairs else url,
        headers=headers,
        json=json,
        timeout=core.settings.timeout if timeout is None else timeout,
        idempotent=method == "GET",
        changes_state=method != "GET",
        operation=operation,
    )


def path_of(
    namespace: str, name: str | None = None, action: str | None = None, *, version: str = "v2"
) -> str:
    """Return the path of a namespace, of an endpoint, or of what it can do.

    Args:
        namespace: Whose it is.
        name: The endpoint.
        action: e.g. ``"logs/sse"``.
        version: Version of the service's API.
    """
    parts = [namespace, *([name] if name else []), *([action] if action else [])]
    return f"/{version}/endpoint/" + "/".join(quote(part, safe="/") for part in parts)


# ---------------------------------------------------------------------------- namespaces


def namespaces(core: Core) -> Flow[tuple[str, ...]]:
    """Return the token's own name and those of its organisations; asked for once per client."""
    known = _names.get(core)
    if known is None:
        who = yield from hub.whoami(core)
        if who.type not in (None, "user", "org"):
            raise InvalidSettingError(
                f"the token belongs to an account of the type {who.type}: name the namespace",
                setting="namespace",
                guidance="Pass namespace='your user name or organisation'.",
            )
        known = (who.name, *(organization.name for organization in who.organizations))
        _names[core] = known
    return known


def namespace_of(core: Core, namespace: str | None) -> Flow[str]:
    """Return *namespace*, or the token's own when None."""
    if namespace is not None:
        return check_namespace(namespace)
    own = yield from namespaces(core)
    return check_namespace(own[0])


# ------------------------------------------------------------------------------- reading


def listed(core: Core, namespace: str | None) -> Flow[list[EndpointInfo]]:
    """Return the endpoints of a namespace, or of all that the token may see (``"*"``)."""
    if namespace != ALL:
        owner = yield from namespace_of(core, namespace)
        return (yield from _listed(core, owner))
    owners = yield from namespaces(core)
    found: list[list[EndpointInfo]] = yield All([_allowed(core, owner) for owner in owners], 4)
    return [endpoint for endpoints in found for endpoint in endpoints]


def _allowed(core: Core, owner: str) -> Flow[list[EndpointInfo]]:
    try:
        return (yield from _listed(core, owner))
    except (AuthenticationError, PermissionDeniedError):
        return []


def _listed(core: Core, owner: str) -> Flow[list[EndpointInfo]]:
    asked = request(core, "GET", path_of(owner), "endpoints.list")

    def read(value: Any, response: WireResponse) -> list[EndpointInfo]:
        items = value.get("items") if isinstance(value, dict) else value
        if not isinstance(items, list):
            raise ValueError("the list of endpoints has no 'items'")
        return [read_endpoint(item, owner) for item in items]

    return (yield from core.exchange(asked, reader(asked, read)))


def read(
    core: Core, namespace: str | None, name: str, *, timeout: float | None = None
) -> Flow[EndpointInfo]:
    """Return an endpoint as it is now."""
    check_name(name)
    owner = yield from namespace_of(core, namespace)
    asked = request(core, "GET", path_of(owner, name), "endpoints.get", timeout=timeout)
    return (yield from one_endpoint(core, asked, owner))


def one_endpoint(core: Core, asked: WireRequest, owner: str) -> Flow[EndpointInfo]:
    """Return the endpoint that the answer to *asked* describes."""

    def understood(value: Any, response: WireResponse) -> EndpointInfo:
        inner = value.get("endpoint") if isinstance(value, dict) and "name" not in value else value
        return read_endpoint(inner, owner)

    return (yield from core.exchange(asked, reader(asked, understood)))


# ------------------------------------------------------------------------------ changing


def create(
    core: Core, namespace: str | None, name: str, params: Mapping[str, Any]
) -> Flow[EndpointInfo]:
    """Create an endpoint."""
    body = create_body(name, params)
    owner = yield from namespace_of(core, namespace)
    asked = request(core, "POST", path_of(owner), "endpoints.create", json=body)
    return (yield from _hiding(one_endpoint(core, asked, owner), params))


def update(
    core: Core, namespace: str | None, name: str, params: Mapping[str, Any]
) -> Flow[EndpointInfo]:
    """Change some fields of an endpoint."""
    check_name(name)
    body = update_body(params)
    owner = yield from namespace_of(core, namespace)
    asked = request(core, "PUT", path_of(owner, name), "endpoints.update", json=body)
    return (yield from _hiding(one_endpoint(core, asked, owner), params))


def _hiding(flow: Flow[T], params: Mapping[str, Any]) -> Flow[T]:
    """Hide what must not be seen in errors: a server may echo what it was sent."""
    secrets = secrets_of(params)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    try:
        return (yield from flow)
    except APIError as error:
        error.hide(hide)
        raise


def act(core: Core, namespace: str | None, name: str, action: str) -> Flow[EndpointInfo]:
    """Pause, resume or scale an endpoint to zero."""
    check_name(name)
    owner = yield from namespace_of(core, namespace)
    operation = f"endpoints.{action.replace('-', '_')}"
    asked = request(core, "POST", path_of(owner, name, action), operation)
    return (yield from one_endpoint(core, asked, owner))


def resume(core: Core, namespace: str | None, name: str, *, running_ok: bool) -> Flow[EndpointInfo]:
    """Start a paused endpoint."""
    try:
        return (yield from act(core, namespace, name, "resume"))
    except BadRequestError as error:
        if not running_ok or "already running" not in str(error.server_message).lower():
            raise
    return (yield from read(core, namespace, name))


def delete(core: Core, namespace: str | None, name: str) -> Flow[None]:
    """Delete an endpoint."""
    check_name(name)
    owner = yield from namespace_of(core, namespace)
    asked = request(core, "DELETE", path_of(owner, name), "endpoints.delete")
    yield from core.exchange(asked, lambda response: None)
