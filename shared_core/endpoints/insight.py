"""Methods of ``client.endpoints`` that look into an endpoint: logs, machines, metrics."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from shared_core.endpoints import inspection
from shared_core.endpoints.inspection import LogFilter, LogQuery
from shared_core.endpoints.logs import AsyncLogStream, LogStream, entries, lines
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.core import Core


class Insight:
    """What can be asked about an endpoint; a part of ``Endpoints``."""

    _core: Core
    _run: Callable[[Flow[Any]], Any]

    def logs(
        self,
        name: str,
        *,
        namespace: str | None = None,
        tail: int | None = None,
        replica: str | None = None,
        line_max_length: int | None = None,
    ) -> str:
        """Return the last lines of an endpoint's log.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            tail: Lines at most.
            replica: Of one machine only.
            line_max_length: Characters of a line at most.

        Raises:
            APIError: The exchange failed.
        """
        query = {"tail": tail, "replica": replica, "line_max_length": line_max_length}
        text: str = self._run(inspection.logs(self._core, namespace, name, query))
        return text

    def follow_logs(
        self,
        name: str,
        *,
        namespace: str | None = None,
        tail: int | None = None,
        replica: str | None = None,
        line_max_length: int | None = None,
    ) -> LogStream[str]:
        """Return an endpoint's log as it is written, line by line.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            tail: Lines at most that were written before.
            replica: Of one machine only.
            line_max_length: Characters of a line at most.

        Raises:
            APIError: The exchange failed.
        """
        most = self._core.settings.limits.max_event_bytes
        flow = inspection.following(
            self._core,
            namespace,
            name,
            {"tail": tail, "replica": replica, "line_max_length": line_max_length},
            lambda answer: LogStream(answer, most, lines),
        )
        stream: LogStream[str] = self._run(flow)
        return stream

    def log_entries(
        self, name: str, *, namespace: str | None = None, **query: Unpack[LogQuery]
    ) -> Any:
        """Return an endpoint's structured log: the JSON value that the service sends.

        No source describes the entries; look before you rely on a field.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            **query: See :class:`LogQuery`.

        Raises:
            InvalidSettingError: A keyword is unknown or impossible; nothing was sent.
            NotImplementedByServerError: The service has no structured log for it (501).
            APIError: The exchange failed.
        """
        return self._run(inspection.entries(self._core, namespace, name, query))

    def follow_log_entries(
        self, name: str, *, namespace: str | None = None, **query: Unpack[LogFilter]
    ) -> LogStream[Any]:
        """Return an endpoint's structured log as it is written, entry by entry.

        Each is the JSON value of one event, as the service sends it.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.
            **query: See :class:`LogFilter`.

        Raises:
            InvalidSettingError: A keyword is unknown or impossible; nothing was sent.
            NotImplementedByServerError: The service has no structured log for it (501).
            APIError: The exchange failed.
        """
        most = self._core.settings.limits.max_event_bytes
        flow = inspection.following(
            self._core,
            namespace,
            name,
            inspection.checked_query(query, LogFilter),
            lambda answer: LogStream(answer, most, entries),
            version="v3",
        )
        stream: LogStream[Any] = self._run(flow)
        return stream

    def replicas(self, name: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return an endpoint's machines, as the service describes them.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            APIError: The exchange failed.
        """
        flow = inspection.replicas(self._core, namespace, name)
        found: list[dict[str, Any]] = self._run(flow)
        return found

    def metrics(
        self,
        name: str,
        metric: str | None = None,
        *,
        namespace: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return measurements of an endpoint: the JSON value that the service sends.

        No source describes the question or the answer: *params* is sent as it is.

        Args:
            name: Its name.
            metric: One measurement, e.g. ``"hardware-cpu"`` or ``"vllm/prefix-cache"``.
            namespace: User or organisation; the token's own when None.
            params: Body of the question, a dict of JSON values; ``{}`` when None.

        Raises:
            InvalidSettingError: An argument is impossible; nothing was sent.
            APIError: The exchange failed.
        """
        flow = inspection.metrics(self._core, namespace, name, metric, params)
        return self._run(flow)

    def open_metrics(self, name: str, *, namespace: str | None = None) -> str:
        """Return measurements of an endpoint as text that Prometheus reads.

        Needs a Team or Enterprise plan.

        Args:
            name: Its name.
            namespace: User or organisation; the token's own when None.

        Raises:
            APIError: The exchange failed.
        """
        text: str = self._run(inspection.open_metrics(self._core, namespace, name))
        return text


class AsyncInsight:
    """What can be asked about an endpoint, for asyncio; a part of ``AsyncEndpoints``."""

    _core: Core
    _run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]

    async def logs(
        self,
        name: str,
        *,
        namespace: str | None = None,
        tail: int | None = None,
        replica: str | None = None,
        line_max_length: int | None = None,
    ) -> str:
        """Return the last lines of an endpoint's log; see :meth:`Insight.logs`."""
        query = {"tail": tail, "replica": replica, "line_max_length": line_max_length}
        text: str = await self._run(inspection.logs(self._core, namespace, name, query))
        return text

    async def follow_logs(
        self,
        name: str,
        *,
        namespace: str | None = None,
        tail: int | None = None,
        replica: str | None = None,
        line_max_length: int | None = None,
    ) -> AsyncLogStream[str]:
        """See :meth:`Insight.follow_logs`."""
        most = self._core.settings.limits.max_event_bytes
        flow = inspection.following(
            self._core,
            namespace,
            name,
            {"tail": tail, "replica": replica, "line_max_length": line_max_length},
            lambda answer: AsyncLogStream(answer, most, lines),
        )
        stream: AsyncLogStream[str] = await self._run(flow)
        return stream

    async def log_entries(
        self, name: str, *, namespace: str | None = None, **query: Unpack[LogQuery]
    ) -> Any:
        """Return an endpoint's structured log; see :meth:`Insight.log_entries`."""
        return await self._run(inspection.entries(self._core, namespace, name, query))

    async def follow_log_entries(
        self, name: str, *, namespace: str | None = None, **query: Unpack[LogFilter]
    ) -> AsyncLogStream[Any]:
        """See :meth:`Insight.follow_log_entries`."""
        most = self._core.settings.limits.max_event_bytes
        flow = inspection.following(
            self._core,
            namespace,
            name,
            inspection.checked_query(query, LogFilter),
            lambda answer: AsyncLogStream(answer, most, entries),
            version="v3",
        )
        stream: AsyncLogStream[Any] = await self._run(flow)
        return stream

    async def replicas(self, name: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """See :meth:`Insight.replicas`."""
        flow = inspection.replicas(self._core, namespace, name)
        found: list[dict[str, Any]] = await self._run(flow)
        return found

    async def metrics(
        self,
        name: str,
        metric: str | None = None,
        *,
        namespace: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return measurements of an endpoint; see :meth:`Insight.metrics`."""
        flow = inspection.metrics(self._core, namespace, name, metric, params)
        return await self._run(flow)

    async def open_metrics(self, name: str, *, namespace: str | None = None) -> str:
        """See :meth:`Insight.open_metrics`."""
        text: str = await self._run(inspection.open_metrics(self._core, namespace, name))
        return text
