"""``client.providers``: who serves what, mappings of models, and jobs that were queued earlier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from shared_core.config.checks import refused
from shared_core.config.validate import check_model_id, check_timeout, split_model
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.providers import mapping, registry
from shared_core.providers.answers import Remote, collect
from shared_core.providers.base import Job, JobCodec, ProviderMapping
from shared_core.providers.mapping import MappingCache
from shared_core.providers.routing import route_of

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.tasks.spec import JobProgress

T = TypeVar("T")

RESUME_DEADLINE = 600.0
"""Seconds that a resumed job may still take, the default of a new one."""


class _Providers:
    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def mappings(self) -> MappingCache:
        """The client's mappings: look into it, set entries by hand, replace it."""
        return mapping.cache_of(self._core)

    @mappings.setter
    def mappings(self, cache: MappingCache) -> None:
        if not isinstance(cache, MappingCache):
            raise InvalidSettingError(
                f"mappings must be a MappingCache, not {type(cache).__name__}", setting="mappings"
            )
        mapping.use_cache(self._core, cache)

    def tasks(self, provider: str) -> list[str]:
        """Return the tasks that *provider* serves, besides chat.

        Args:
            provider: Name.

        Raises:
            InvalidSettingError: There is no such provider; names the nearest.
        """
        return sorted(registry.codecs(provider))

    def of_task(self, task: str) -> list[str]:
        """Return the providers that serve *task*.

        Args:
            task: Task id, e.g. ``"text-to-image"``.
        """
        return registry.providers_of(task)


class Providers(_Providers):
    """Who serves what. Blocking."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any]) -> None:
        super().__init__(core)
        self._run = run

    def models(
        self, provider: str, *, status: Literal["live", "staging"] = "live"
    ) -> tuple[ProviderMapping, ...]:
        """Return every model that the Hub maps to *provider*. Needs no token.

        Args:
            provider: Name, e.g. ``"fal-ai"``.
            status: ``"live"`` or ``"staging"``.

        Raises:
            InvalidSettingError: There is no such provider or status.
        """
        found: tuple[ProviderMapping, ...] = self._run(_models(self._core, provider, status))
        return found

    def mapping(self, model: str, *, refresh: bool = False) -> tuple[ProviderMapping, ...]:
        """Return the providers of *model* and its name at each, in the order of your settings.

        Args:
            model: Hub id.
            refresh: Ask the Hub even if the answer is kept.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        found: tuple[ProviderMapping, ...] = self._run(_mapping(self._core, model, refresh))
        return found

    def resume(
        self,
        job: Job,
        *,
        poll_deadline: float | None = RESUME_DEADLINE,
        poll_interval: float | None = None,
        progress: Callable[[JobProgress], None] | None = None,
    ) -> Any:
        """Wait again for a job that was queued earlier, and return its normalised answer.

        Args:
            job: E.g. ``error.job`` of any error that came after the job was queued.
            poll_deadline: Seconds that it may still take; None for ever.
            poll_interval: Seconds between two questions; the provider's usual one by default.
            progress: Told of each status.

        Returns:
            A ``Media`` for a file, else the JSON value that the task's result is read from.

        Raises:
            JobFailedError: The provider gave up.
            JobTimeoutError: The deadline passed.
        """
        return self._run(_resume(self._core, job, poll_deadline, poll_interval, progress))


class AsyncProviders(_Providers):
    """Who serves what. For asyncio."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Awaitable[Any]]) -> None:
        super().__init__(core)
        self._run = run

    async def models(
        self, provider: str, *, status: Literal["live", "staging"] = "live"
    ) -> tuple[ProviderMapping, ...]:
        """Return every model that the Hub maps to *provider*. Needs no token.

        Args:
            provider: Name, e.g. ``"fal-ai"``.
            status: ``"live"`` or ``"staging"``.

        Raises:
            InvalidSettingError: There is no such provider or status.
        """
        found: tuple[ProviderMapping, ...] = await self._run(_models(self._core, provider, status))
        return found

    async def mapping(self, model: str, *, refresh: bool = False) -> tuple[ProviderMapping, ...]:
        """Return the providers of *model* and its name at each, in the order of your settings.

        Args:
            model: Hub id.
            refresh: Ask the Hub even if the answer is kept.

        Raises:
            ModelNotFoundError: There is no such model.
        """
        found: tuple[ProviderMapping, ...] = await self._run(_mapping(self._core, model, refresh))
        return found

    async def resume(
        self,
        job: Job,
        *,
        poll_deadline: float | None = RESUME_DEADLINE,
        poll_interval: float | None = None,
        progress: Callable[[JobProgress], None] | None = None,
    ) -> Any:
        """Wait again for a job that was queued earlier, and return its normalised answer.

        Args:
            job: E.g. ``error.job`` of any error that came after the job was queued.
            poll_deadline: Seconds that it may still take; None for ever.
            poll_interval: Seconds between two questions; the provider's usual one by default.
            progress: Told of each status.

        Returns:
            A ``Media`` for a file, else the JSON value that the task's result is read from.

        Raises:
            JobFailedError: The provider gave up.
            JobTimeoutError: The deadline passed.
        """
        return await self._run(_resume(self._core, job, poll_deadline, poll_interval, progress))


def _mapping(core: Core, model: str, refresh: bool) -> Flow[tuple[ProviderMapping, ...]]:
    name, _ = split_model(check_model_id(model))
    return mapping.look_up(core, name, refresh=refresh, timeout=core.settings.timeout)


def _models(core: Core, provider: str, status: str) -> Flow[tuple[ProviderMapping, ...]]:
    registry.codecs(provider)
    if status not in ("live", "staging"):
        raise refused("status", "'live' or 'staging'", status)
    return mapping.list_models(core, provider, status)


def _resume(
    core: Core,
    job: Job,
    deadline: float | None,
    interval: float | None,
    progress: Callable[[JobProgress], None] | None,
) -> Flow[Any]:
    from shared_core.tasks.spec import CallOptions

    if not isinstance(job, Job):
        raise InvalidSettingError(f"job must be a Job, not {type(job).__name__}", setting="job")
    options = CallOptions(
        timeout=core.settings.timeout,
        poll_deadline=check_timeout(deadline, setting="poll_deadline"),
        poll_interval=check_timeout(interval, setting="poll_interval"),
        progress=progress,
    )
    route = route_of(core, job)
    if job.status_url is None:
        if not job.media_urls:
            raise InvalidSettingError("the job has no address to ask for it", setting="job")
        file = Remote(job.media_urls[0])
        return (yield from collect(core, route, options, file, lambda attempt: attempt()))
    codec = registry.codec(job.provider, job.task)
    if not isinstance(codec, JobCodec):
        raise UnsupportedTaskError(f"{job.provider} does not queue {job.task}")
    return (yield from codec.resume(core, route, job, options))
