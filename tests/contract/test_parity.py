"""The blocking and the asynchronous surface are the same, method by method."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from shared_core.chat.resource import AsyncChat, Chat
from shared_core.chat.stream import AsyncChatStream, ChatStream
from shared_core.client import AsyncRouterClient, RouterClient
from shared_core.embeddings.resource import AsyncEmbeddings, Embeddings
from shared_core.endpoints.async_handle import AsyncEndpoint
from shared_core.endpoints.async_resource import AsyncEndpoints
from shared_core.endpoints.handle import Endpoint
from shared_core.endpoints.logs import AsyncLogStream, LogStream
from shared_core.endpoints.resource import Endpoints
from shared_core.hub.models import AsyncModels, Models
from shared_core.providers.resource import AsyncProviders, Providers
from shared_core.responses.resource import AsyncResponses, Responses
from shared_core.responses.stream import AsyncResponseStream, ResponseStream
from shared_core.servers.resource import AsyncServers, Servers
from shared_core.wire.http import AsyncHTTPWire, HTTPWire

PAIRS: list[tuple[type[Any], type[Any]]] = [
    (RouterClient, AsyncRouterClient),
    (Chat, AsyncChat),
    (ChatStream, AsyncChatStream),
    (Embeddings, AsyncEmbeddings),
    (Models, AsyncModels),
    (Providers, AsyncProviders),
    (Endpoint, AsyncEndpoint),
    (Endpoints, AsyncEndpoints),
    (LogStream, AsyncLogStream),
    (Responses, AsyncResponses),
    (ResponseStream, AsyncResponseStream),
    (Servers, AsyncServers),
    (HTTPWire, AsyncHTTPWire),
]
#: Names that are spelled differently on purpose.
ASYNC_NAMES = {"close": "aclose"}


def public(cls: type[Any]) -> dict[str, Any]:
    names = [name for name in dir(cls) if not name.startswith("_")]
    return {name: inspect.getattr_static(cls, name) for name in names}


def ids(pair: object) -> str:
    return pair[0].__name__ if isinstance(pair, tuple) else str(pair)


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_both_have_the_same_names(pair: tuple[type[Any], type[Any]]) -> None:
    blocking, asynchronous = pair
    expected = {ASYNC_NAMES.get(name, name) for name in public(blocking)}
    assert set(public(asynchronous)) == expected


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_both_take_the_same_arguments(pair: tuple[type[Any], type[Any]]) -> None:
    blocking, asynchronous = pair
    for name, method in public(blocking).items():
        twin = public(asynchronous)[ASYNC_NAMES.get(name, name)]
        if not inspect.isfunction(method):
            assert type(twin) is type(method), name
            continue
        assert _arguments(twin) == _arguments(method), name


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_both_are_documented(pair: tuple[type[Any], type[Any]]) -> None:
    for cls in pair:
        methods = {name: m for name, m in public(cls).items() if inspect.isroutine(m)}
        undocumented = [name for name, method in methods.items() if not method.__doc__]
        assert undocumented == [], cls


@pytest.mark.parametrize("pair", PAIRS, ids=ids)
def test_constructors_take_the_same_arguments(pair: tuple[type[Any], type[Any]]) -> None:
    blocking, asynchronous = pair
    names = list(inspect.signature(blocking).parameters)
    assert list(inspect.signature(asynchronous).parameters) == names


def _arguments(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]
