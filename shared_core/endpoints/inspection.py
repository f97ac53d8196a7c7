"""What an endpoint says of itself: logs, machines, metrics. Flows, no I/O here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from shared_core.config.checks import refused, text, whole_number
from shared_core.config.plain import plain
from shared_core.config.validate import unknown_keyword
from shared_core.endpoints.flows import namespace_of, path_of, request
from shared_core.endpoints.market import as_it_came
from shared_core.endpoints.params import check_name
from shared_core.errors import InvalidSettingError
from shared_core.flow import Flow
from shared_core.hub.parsing import reader
from shared_core.wire.fields import mapping, sequence
from shared_core.wire.messages import WireRequest, WireResponse

if TYPE_CHECKING:
    from shared_core.core import Core

MOST_ENTRIES = 5000
"""Entries of a structured log that one answer may have (protocol.md 10.1)."""

_METRIC = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*", re.ASCII)


class LogFilter(TypedDict, total=False):
    """Which entries of a structured log are wanted; None is not sent.

    Attributes:
        replica: Of one machine only.
        level: Of this level only, in the service's words, e.g. ``"error"``.
        search: With this text only.
        since: From then on: an aware ``datetime``, or text of RFC 3339.
        tail: The last entries, at most so many.
    """

    replica: str | None
    level: str | None
    search: str | None
    since: datetime | str | None
    tail: int | None


class LogQuery(LogFilter, total=False):
    """The same for an answer that ends.

    Attributes:
        until: Up to then, like ``since``.
        limit: Entries at most, 1 to 5,000; the service's default is 1,000.
    """

    until: datetime | str | None
    limit: int | None


def _time(name: str, value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    if isinstance(value, str):
        try:
            if datetime.fromisoformat(value).tzinfo is not None:
                return value
        except ValueError:
            pass  # refused below, with the form that is wanted
    raise refused(name, "a datetime with a time zone, or text such as 2026-01-02T03:04:05Z", value)


_COUNT = whole_number(1)
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "replica": text,
    "level": text,
    "search": text,
    "since": _time,
    "until": _time,
    "tail": _COUNT,
    "limit": whole_number(1, MOST_ENTRIES),
}


def checked_query(given: Mapping[str, Any], known: type[LogFilter]) -> dict[str, Any]:
    """Return the query of a structured log.

    Args:
        given: Keywords.
        known: The ``TypedDict`` that they are of.

    Raises:
        InvalidSettingError: One is unknown or impossible.
    """
    names = frozenset(known.__annotations__)
    for name in given:
        if name not in names:
            raise unknown_keyword(name, names)
    return {name: _CHECKS[name](name, item) for name, item in given.items() if item is not None}


def _asked(
    core: Core,
    namespace: str | None,
    name: str,
    action: str,
    operation: str,
    *,
    method: str = "GET",
    version: str = "v2",
    accept: str = "application/json",
    **how: Any,
) -> Flow[WireRequest]:
    check_name(name)
    owner = yield from namespace_of(core, namespace)
    path = path_of(owner, name, action, version=version)
    asked = request(core, method, path, operation, **how)
    asked.headers["Accept"] = accept
    return asked


def logs(core: Core, namespace: str | None, name: str, query: Mapping[str, Any]) -> Flow[str]:
    """Return the last lines of an endpoint's log."""
    asked = yield from _asked(
        core, namespace, name, "logs", "endpoints.logs", accept="text/plain", query=query
    )
    return (yield from core.exchange(asked, _text))


def entries(core: Core, namespace: str | None, name: str, given: Mapping[str, Any]) -> Flow[Any]:
    """Return the entries of an endpoint's structured log, as the service describes them."""
    asked = yield from _asked(
        core,
        namespace,
        name,
        "logs",
        "endpoints.log_entries",
        version="v3",
        query=checked_query(given, LogQuery),
    )
    return (yield from core.exchange(asked, reader(asked, as_it_came)))


def following(
    core: Core,
    namespace: str | None,
    name: str,
    query: Mapping[str, Any],
    begin: Callable[[Any], Any],
    *,
    version: str = "v2",
) -> Flow[Any]:
    """Open the stream of an endpoint's log; *begin* makes the result of what was opened."""
    asked = yield from _asked(
        core,
        namespace,
        name,
        "logs/sse",
        "endpoints.logs",
        version=version,
        accept="text/event-stream",
        query=query,
    )
    asked.stream = True
    asked.timeout = None  # a log may be silent for as long as it likes

    def opened(answer: Any) -> Flow[Any]:
        return begin(answer)
        yield

    return (yield from core.open(asked, opened))


def replicas(core: Core, namespace: str | None, name: str) -> Flow[list[dict[str, Any]]]:
    """Return the machines of an endpoint, as the service describes them."""
    asked = yield from _asked(core, namespace, name, "replica", "endpoints.replicas")

    def understood(value: Any, response: WireResponse) -> list[dict[str, Any]]:
        items = value if isinstance(value, list) else sequence(mapping(value).get("items"))
        return [item for item in items if isinstance(item, dict)]

    return (yield from core.exchange(asked, reader(asked, understood)))


def metrics(
    core: Core, namespace: str | None, name: str, metric: str | None, params: Any
) -> Flow[Any]:
    """Return measurements of an endpoint, as the service describes them."""
    if metric is not None and not (isinstance(metric, str) and _METRIC.fullmatch(metric)):
        raise refused("metric", "a name such as 'hardware-cpu' or 'vllm/prefix-cache'", metric)
    if params is not None and not isinstance(params, Mapping):
        raise InvalidSettingError(
            f"params must be a dict, not {type(params).__name__}", setting="params"
        )
    asked = yield from _asked(
        core,
        namespace,
        name,
        "metrics" if metric is None else f"metrics/{metric}",
        "endpoints.metrics",
        method="POST",
        json=plain(params or {}, "params"),
    )
    asked.idempotent, asked.changes_state = True, False  # a question, for all its verb
    return (yield from core.exchange(asked, reader(asked, as_it_came)))


def open_metrics(core: Core, namespace: str | None, name: str) -> Flow[str]:
    """Return measurements of an endpoint as Prometheus reads them."""
    asked = yield from _asked(
        core, namespace, name, "open-metrics", "endpoints.open_metrics", accept="*/*"
    )
    return (yield from core.exchange(asked, _text))


def _text(response: WireResponse) -> str:
    return response.content.decode("utf-8", "replace")
