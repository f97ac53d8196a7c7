"""Asking a server what it is: a short series of GETs, as a flow. Pure, but for its effects.

The order is that of protocol.md 11: ``/info`` tells TGI and TEI from the rest, ``/v1/models``
has the name of its owner in most others, ``/version`` is vLLM's, ``/get_model_info`` SGLang's
and ``/props`` llama.cpp's. Nothing is sent that costs anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pydantic_core

from shared_core.config.validate import check_timeout, check_url
from shared_core.errors import (
    APIError,
    APIStatusError,
    AuthenticationError,
    ModelLoadingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from shared_core.flow import Flow
from shared_core.servers.types import ServerInfo, ServerKind
from shared_core.wire import fields
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

_OPERATIONS = re.compile(
    r"/(?:v\d+(?:/.*)?|chat/completions|responses|embed|embed_all|rerank|generate|info)$"
)
_OWNERS: dict[str, ServerKind] = {
    "llamacpp": "llama.cpp",
    "vllm": "vllm",
    "sglang": "sglang",
}
"""``owned_by`` of the model list -> kind."""


def root_of(base_url: str) -> str:
    """Return the root of a server, without the path of an operation and without a query.

    Args:
        base_url: e.g. ``http://host:8080/prefix/v1``.
    """
    parts = urlsplit(base_url)
    path = _OPERATIONS.sub("", parts.path.rstrip("/"))
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def detect(core: Core, base_url: str | None, timeout: Any) -> Flow[ServerInfo]:
    """Return what a server says about itself.

    Args:
        core: The path of every exchange.
        base_url: Address; that of the settings when None.
        timeout: Seconds for each question.

    Raises:
        NotFoundError: Nothing there is a server of models.
        APIError: It cannot be reached, or refuses the token.
    """
    address = check_url(base_url or core.settings.base_url, setting="base_url")
    asking = _Asking(core, root_of(address), check_timeout(timeout))
    info = yield from asking.get("/info")
    if isinstance(info, dict) and "model_id" in info:
        known = _of_info(info, asking)
    else:
        known = yield from _others(asking)
    healthy = yield from asking.health()
    return replace(known, healthy=healthy, raw=asking.answers)


class _Asking:
    """One series of questions to one server."""

    def __init__(self, core: Core, root: str, timeout: float | None) -> None:
        self.core = core
        self.root = root
        self.timeout = timeout
        self.answers: dict[str, Any] = {}
        self.loading: APIError | None = None
        # An address given by the caller is configured: it gets the token, as base_url does.
        self._settings = replace(core.settings, base_url=root)

    def request(self, path: str) -> WireRequest:
        """Return a question."""
        return WireRequest(
            method="GET",
            url=self.root + path,
            headers={"Accept": "application/json"},
            timeout=self.timeout,
            settings=self._settings,
            idempotent=True,
            operation="servers.detect",
        )

    def get(self, path: str) -> Flow[Any]:
        """Return the JSON value at *path*, or None if there is none.

        Raises:
            APIError: The server cannot be reached, or refuses the token.
        """
        try:
            value = yield from self.core.exchange(self.request(path), _json)
        except (AuthenticationError, PermissionDeniedError):
            raise
        except (ModelLoadingError, ServiceUnavailableError) as error:
            self.loading = error
            return None
        except APIStatusError:
            return None
        if value is not None:
            self.answers[path] = value
        return value

    def health(self) -> Flow[bool | None]:
        """Return whether the health route answers 200; None if there is no such route."""
        try:
            return (yield from self.core.exchange(self.request("/health"), _is_ok))
        except NotFoundError:
            return None
        except APIStatusError:
            return False


def _json(response: WireResponse) -> Any:
    try:
        return pydantic_core.from_json(response.content)
    except ValueError:
        return None


def _is_ok(response: WireResponse) -> bool:
    return response.status == 200


def _of_info(info: Mapping[str, Any], asking: _Asking) -> ServerInfo:
    """Return what TGI's or TEI's ``/info`` says (protocol.md 11.2; TEI has ``model_type``)."""
    kind: ServerKind = "tgi"
    model_type = info.get("model_type")
    if "model_type" in info:
        kind = "tei"
        if isinstance(model_type, dict):
            model_type = next(iter(model_type), None)
    model = fields.text(info.get("model_id"))
    return ServerInfo(
        kind,
        asking.root,
        model=model,
        models=(model,) if model else (),
        version=fields.text(info.get("version")),
        context_length=_count(info.get("max_total_tokens")),
        max_input_tokens=_count(info.get("max_input_tokens") or info.get("max_input_length")),
        max_batch_size=_count(info.get("max_client_batch_size")),
        max_concurrent_requests=_count(info.get("max_concurrent_requests")),
        model_type=fields.text(model_type),
    )


def _others(asking: _Asking) -> Flow[ServerInfo]:
    listing = yield from asking.get("/v1/models")
    data = listing.get("data") if isinstance(listing, dict) else None
    entries = [entry for entry in data or () if isinstance(entry, dict)]
    first = entries[0] if entries else {}
    kind = _OWNERS.get(str(first.get("owned_by")).lower())
    if kind is None:
        kind = yield from _by_route(asking)
    if kind is None and data is None:
        raise _unknown(asking)
    names = tuple(name for entry in entries if (name := fields.text(entry.get("id"))))
    known = ServerInfo(
        kind or "openai",
        asking.root,
        model=names[0] if names else None,
        models=names,
        context_length=_length(first),
    )
    return (yield from _more(asking, known))


def _by_route(asking: _Asking) -> Flow[ServerKind | None]:
    """Return the kind by a route that only one server has."""
    version = yield from asking.get("/version")
    if isinstance(version, dict) and isinstance(version.get("version"), str):
        return "vllm"
    model = yield from asking.get("/get_model_info")
    if isinstance(model, dict) and "model_path" in model:
        return "sglang"
    props = yield from asking.get("/props")
    if isinstance(props, dict) and "default_generation_settings" in props:
        return "llama.cpp"
    return None


def _more(asking: _Asking, known: ServerInfo) -> Flow[ServerInfo]:
    """Ask for what the kind has to say besides its model list."""
    if known.kind == "vllm":
        version = asking.answers.get("/version") or (yield from asking.get("/version"))
        found = version.get("version") if isinstance(version, dict) else None
        return replace(known, version=fields.text(found))
    if known.kind == "llama.cpp":
        props = asking.answers.get("/props") or (yield from asking.get("/props"))
        if isinstance(props, dict):
            settings = props.get("default_generation_settings")
            length = _count(settings.get("n_ctx")) if isinstance(settings, dict) else None
            return replace(
                known,
                version=fields.text(props.get("build_info")),
                context_length=length or known.context_length,
                max_concurrent_requests=_count(props.get("total_slots")),
            )
    if known.kind == "sglang":
        model = asking.answers.get("/get_model_info") or (yield from asking.get("/get_model_info"))
        if isinstance(model, dict) and known.model is None:
            path = fields.text(model.get("model_path"))
            return replace(known, model=path, models=(path,) if path else ())
    return known


def _length(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    return (
        _count(entry.get("max_model_len"))
        or _count(meta.get("n_ctx"))
        or _count(meta.get("n_ctx_train"))
        or _count(entry.get("context_length"))
    )


def _unknown(asking: _Asking) -> APIError:
    if asking.loading is not None:
        return asking.loading
    return NotFoundError(
        "the server has neither /info nor /v1/models: it is none that this package knows",
        status_code=404,
        operation="servers.detect",
        url=asking.root,
        guidance="Check the address. A container of transformers itself has only '/': call it "
        "with client.tasks.",
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
