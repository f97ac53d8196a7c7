"""Configuration that can change while calls are in flight.

A :class:`ConfigStore` holds one immutable value (a frozen dataclass) at a time and swaps it
whole: validated before, told to watchers after. Who read a snapshot keeps it, so a call that
has begun ends as it began. Nothing is loaded, watched or polled unless it is asked for.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from shared_core.config.checks import whole_number
from shared_core.config.validate import unknown_keyword
from shared_core.errors import InvalidSettingError, RouterError

if TYPE_CHECKING:
    import os

T = TypeVar("T")

KEPT_SNAPSHOTS = 100
"""How many snapshots a store keeps for rollback by default; each is a few hundred bytes."""

OnError: TypeAlias = Literal["log", "rollback"]


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot(Generic[T]):
    """One state of the configuration. Its ``repr`` shows no values.

    Attributes:
        version: 1 for the initial state, then one more for every change, rollbacks included.
        value: The configuration.
        source: ``"initial"``, ``"update"``, ``"replace"``, ``"file NAME"`` or
            ``"rollback to N"``.
        changed: Names of the fields that differ from the snapshot before, sorted.
    """

    version: int
    value: T
    source: str = "initial"
    changed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(self.changed) or "nothing"
        return f"<Snapshot {self.version} ({self.source}), changed: {names}>"


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Whether the store and what feeds it are well.

    Attributes:
        version: Current version.
        kept: Versions that a rollback can go to, oldest first.
        watchers: How many there are.
        refused: How many changes were refused since the start.
        watcher_errors: How often a watcher raised.
        last_error: Why the last change was refused; None after one that was accepted.
    """

    version: int
    kept: tuple[int, ...]
    watchers: int
    refused: int
    watcher_errors: int
    last_error: str | None


Watcher: TypeAlias = Callable[[Snapshot[T], Snapshot[T]], None]


class ConfigStore(Generic[T]):
    """Holds a configuration, changes it atomically, tells watchers, goes back.

    Safe to share between threads and event loops; no method waits for anything but a short
    lock. Reading is one attribute.

    Args:
        initial: A frozen dataclass whose fields are immutable.
        check: Refuses a value by raising anything; called with every new value before it is
            used, in addition to the checks that the dataclass makes when it is built.
        keep: Number of snapshots kept for rollback; None keeps all. Default 100.

    Raises:
        InvalidSettingError: *initial* is refused by us; what *check* raises is passed on.
    """

    def __init__(
        self,
        initial: T,
        *,
        check: Callable[[T], None] | None = None,
        keep: int | None = KEPT_SNAPSHOTS,
    ) -> None:
        self._initial = initial
        self._check = check
        if keep is not None:
            whole_number(low=1)("keep", keep)
        self._kept: deque[Snapshot[T]] = deque(maxlen=keep)
        self._watchers: dict[int, tuple[Watcher[T], OnError]] = {}
        self._ticket = 0
        self._refused = 0
        self._watcher_errors = 0
        self._last_error: str | None = None
        self._start_threading()
        self._validate(initial)
        self._current = Snapshot(1, initial)
        self._kept.append(self._current)

    def _start_threading(self) -> None:
        self._lock = threading.Lock()
        self._untold: deque[tuple[Snapshot[T], Snapshot[T]]] = deque()
        self._telling = False

    @property
    def snapshot(self) -> Snapshot[T]:
        """The current state."""
        return self._current

    @property
    def value(self) -> T:
        """The current configuration."""
        return self._current.value

    @property
    def version(self) -> int:
        """The current version."""
        return self._current.version

    @property
    def history(self) -> tuple[Snapshot[T], ...]:
        """The snapshots that are kept, oldest first; the last one is the current one."""
        with self._lock:
            return tuple(self._kept)

    @property
    def status(self) -> StoreStatus:
        """Whether all is well."""
        with self._lock:
            return StoreStatus(
                self._current.version,
                tuple(snapshot.version for snapshot in self._kept),
                len(self._watchers),
                self._refused,
                self._watcher_errors,
                self._last_error,
            )

    def update(self, *, expected_version: int | None = None, **changes: Any) -> Snapshot[T]:
        """Change some fields; all of them or none.

        Args:
            expected_version: Refuse if this is not the current version any more: somebody
                else was faster.
            **changes: New values by field.

        Returns:
            The new snapshot; the current one if nothing differs.

        Raises:
            InvalidSettingError: A field is unknown, a value is refused, or the version is not
                the expected one. Nothing has changed then.
        """

        def make(current: T) -> T:
            _known(changes, current)
            return dataclasses.replace(current, **changes)  # type: ignore[type-var]

        return self._commit(make, "update", expected_version)

    def replace(self, value: T, *, expected_version: int | None = None) -> Snapshot[T]:
        """Put *value* in the place of the whole configuration.

        Args:
            value: The new configuration.
            expected_version: As with :meth:`update`.

        Raises:
            InvalidSettingError: *value* is refused, or the version is not the expected one.
        """
        return self._commit(lambda _: value, "replace", expected_version)

    def load(self, path: str | os.PathLike[str]) -> Snapshot[T]:
        """Read a file and put its content in the place of the whole configuration.

        What the file does not name has its initial value, so that a key which is removed from
        the file takes its effect back. The file is read now and once.

        Args:
            path: ``.json``, ``.toml``, or ``.yaml``/``.yml`` (needs PyYAML); at most 1 MiB.

        Raises:
            InvalidSettingError: The file cannot be read, or its content is refused; the last
                good configuration stays.
        """
        from shared_core.config.files import read_mapping

        def make(_: T) -> T:
            values = read_mapping(path)
            _known(values, self._initial)
            return dataclasses.replace(self._initial, **values)  # type: ignore[type-var]

        return self._commit(make, f"file {path}", None)

    def rollback(self, version: int | None = None) -> Snapshot[T]:
        """Go back to an earlier state, as a new version.

        Args:
            version: Which one; None: the one before the current.

        Raises:
            InvalidSettingError: That version is not kept.
        """
        with self._lock:
            kept = {snapshot.version: snapshot.value for snapshot in self._kept}
        target = self._current.version - 1 if version is None else version
        if target not in kept:
            known = f"{min(kept)} to {max(kept)}"
            raise InvalidSettingError(f"there is no version {target}: kept are {known}")
        return self._commit(lambda _: kept[target], f"rollback to {target}", None)

    def watch(self, watcher: Watcher[T], *, on_error: OnError = "log") -> Callable[[], None]:
        """Call *watcher* with the old and the new snapshot after each change.

        Watchers are called one at a time, in the order of the versions, in the thread of a
        change. One that raises is logged, stops nobody, and undoes nothing unless asked to.

        Args:
            watcher: A plain function.
            on_error: ``"rollback"`` takes a change back when this watcher raises, provided it
                is still the newest; ``"log"`` only reports.

        Returns:
            A function that ends the watching; safe to call twice.
        """
        if on_error not in ("log", "rollback"):
            raise InvalidSettingError(f"on_error must be 'log' or 'rollback', not {on_error!r}")
        with self._lock:
            self._ticket += 1
            ticket = self._ticket
            self._watchers[ticket] = (watcher, on_error)

        def stop() -> None:
            with self._lock:
                self._watchers.pop(ticket, None)

        return stop

    def _commit(
        self, make: Callable[[T], T], source: str, expected_version: int | None
    ) -> Snapshot[T]:
        # Values are made and checked without the lock, so that a slow check stops nobody;
        # if another change came between, the work is done again on top of it.
        while True:
            before = self._current
            try:
                if expected_version is not None and before.version != expected_version:
                    raise InvalidSettingError(
                        f"the configuration is at version {before.version}, "
                        f"not {expected_version} any more: read it and decide again"
                    )
                value = make(before.value)
                self._validate(value)
            except Exception as error:  # noqa: BLE001 - whatever a check raises is a refusal
                raise self._refuse(error, source) from None
            with self._lock:
                if self._current is not before:
                    continue
                self._last_error = None
                changed = _differences(before.value, value)
                if not changed:
                    return before
                after = Snapshot(before.version + 1, value, source, changed)
                self._kept.append(after)
                self._untold.append((before, after))
                self._current = after
            self._tell()
            return after

    def _refuse(self, error: Exception, source: str) -> InvalidSettingError:
        refusal = error
        if not isinstance(refusal, InvalidSettingError):
            why = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
            refusal = InvalidSettingError(f"the configuration was refused: {why}")
        with self._lock:
            self._refused += 1
            self._last_error = f"{source}: {refusal.message}"
        return refusal

    def _validate(self, value: T) -> None:
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            raise _not_a_value(value)
        if not value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise _not_a_value(value)
        if type(value) is not type(self._initial):
            raise InvalidSettingError(
                f"the configuration must be a {type(self._initial).__name__}, "
                f"not a {type(value).__name__}"
            )
        for field in dataclasses.fields(value):
            held = getattr(value, field.name)
            if isinstance(held, (list, dict, set, bytearray)):
                raise InvalidSettingError(
                    f"{field.name} holds a {type(held).__name__}, which could change under a "
                    "running call: use a tuple, a frozenset or a MappingProxyType",
                    setting=field.name,
                )
        if self._check is not None:
            self._check(value)

    def _tell(self) -> None:
        """Tell the watchers of every untold change, unless another thread is doing so."""
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                before, after = self._untold.popleft()
                watchers = tuple(self._watchers.values())
            try:
                undo = [w for w in watchers if not self._told(w[0], before, after)]
            finally:
                with self._lock:
                    self._telling = False
            if any(on_error == "rollback" for _, on_error in undo):
                self._undo(before, after)

    def _told(self, watcher: Watcher[T], before: Snapshot[T], after: Snapshot[T]) -> bool:
        try:
            watcher(before, after)
        except Exception as error:  # noqa: BLE001 - a watcher must not break a change
            from shared_core.log import logger

            with self._lock:
                self._watcher_errors += 1
            name = getattr(watcher, "__qualname__", type(watcher).__name__)
            logger.warning(
                "configuration watcher %s raised %s at version %d",
                name,
                type(error).__name__,
                after.version,
                exc_info=error,
            )
            return False
        return True

    def _undo(self, before: Snapshot[T], after: Snapshot[T]) -> None:
        try:
            self._commit(lambda _: before.value, f"rollback to {before.version}", after.version)
        except RouterError as error:  # somebody changed it since: that change stands
            from shared_core.log import logger

            logger.warning("version %d was not taken back: %s", after.version, error.message)

    def __repr__(self) -> str:
        return f"<ConfigStore of {type(self._initial).__name__}, version {self.version}>"

    def __getstate__(self) -> dict[str, Any]:
        # A copy has the values and no watchers: those belong to their process.
        left = ("_lock", "_untold", "_telling", "_watchers")
        with self._lock:
            return {k: v for k, v in self.__dict__.items() if k not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _watchers={})
        self._start_threading()


def _known(values: Mapping[str, Any], config: Any) -> None:
    names = [field.name for field in dataclasses.fields(config) if field.init]
    for name in values:
        if name not in names:
            raise unknown_keyword(name, names)


def _differences(before: Any, after: Any) -> tuple[str, ...]:
    names = sorted(field.name for field in dataclasses.fields(after))
    return tuple(name for name in names if getattr(before, name) != getattr(after, name))


def _not_a_value(value: object) -> InvalidSettingError:
    return InvalidSettingError(
        f"the configuration must be an instance of a frozen dataclass, not {type(value).__name__}"
    )
