"""A client whose options follow a configuration store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.config.dynamic import ClientConfig
    from shared_core.config.store import ConfigStore, Snapshot
    from shared_core.core import Core

# Changing only these keeps the state of breakers, limiters and endpoints.
_PER_CALL = frozenset({"model", "embedding_model", "provider", "policy"})
# What one of these sets takes the place of the other.
_RIVALS = {"provider": "policy", "policy": "provider", "max_retries": "retry"}


class LiveCore:
    """Gives the core for the current snapshot; a call that has begun keeps its own.

    Args:
        store: Where the options come from.
        make: Makes a client of keyword arguments: its class.
        options: What the client was built with.
        built: The core of those options.
    """

    def __init__(
        self,
        store: ConfigStore[ClientConfig],
        make: Callable[..., Any],
        options: dict[str, Any],
        built: Core,
    ) -> None:
        if not hasattr(store, "snapshot") or not hasattr(store.value, "options"):
            raise InvalidSettingError(
                "config must be a ConfigStore that holds a ClientConfig", setting="config"
            )
        self.store = store
        self._make = make
        self._options = options
        first = store.snapshot
        changes = first.value.options()
        core = self._build(changes) if changes else built
        core.live = True
        self._current: tuple[Snapshot[ClientConfig], dict[str, Any], Core] = (first, changes, core)
        self._lock = threading.Lock()

    def core(self) -> Core:
        """Return the core for the current snapshot.

        A configuration that does not fit the client is logged, and the last good one stays.
        """
        known, _, core = self._current
        if self.store.snapshot is known:
            return core
        with self._lock:  # one snapshot, one state of breakers and limiters
            return self._follow()

    def _follow(self) -> Core:
        snapshot = self.store.snapshot
        known, before, core = self._current
        if snapshot is known:
            return core
        changes = snapshot.value.options()
        try:
            fresh = self._build(changes)
        except InvalidSettingError as error:
            from shared_core.log import logger

            logger.warning(
                "configuration version %d does not fit this client, version %d stays in use: %s",
                snapshot.version,
                known.version,
                error.message,
            )
            self._current = (snapshot, before, core)
            return core
        if _lasting(changes) == _lasting(before) and core.pipeline is not None:
            fresh.pipeline = core.pipeline
        fresh.live = True
        self._current = (snapshot, changes, fresh)
        return fresh

    def _build(self, changes: dict[str, Any]) -> Core:
        options = dict(self._options)
        for name in changes:
            if name in _RIVALS:
                options[_RIVALS[name]] = None
        core: Core = self._make(**{**options, **changes})._core
        return core


def _lasting(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _PER_CALL}
