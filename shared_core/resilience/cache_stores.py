"""Where cached answers are kept: in this process, or in a file. For Redis see ``cache_redis``.

A store maps keys (hexadecimal digests) to bytes. Nothing is pickled, so that whoever can write
to a store can at worst give a wrong answer, never run code.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from shared_core.errors import InvalidSettingError, StoreUnavailableError

DEFAULT_ENTRIES = 1000
"""Most answers kept: at a typical 2 KB each, 2 MB."""
DEFAULT_BYTES = 64 * 2**20
"""Most bytes kept: 64 MiB, about 16,000 long answers."""
_INHERITED: list[sqlite3.Connection] = []  # of a parent process, kept from being closed
_BUSY_SECONDS = 2.0  # how long a process waits for another one that writes the same file


class Store(Protocol):
    """What a cache needs of a store. All methods are called from any thread.

    Attributes:
        instant: Whether the blocking methods take microseconds and never wait for a disk or
            the network. Only then they are called in an event loop.
    """

    instant: bool

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or it is too old."""
        ...

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* for *ttl* seconds."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def size(self) -> tuple[int, int]:
        """Return the number of entries and of bytes; -1 for unknown."""
        ...

    async def aget(self, key: str) -> bytes | None:
        """Like :meth:`get`, without blocking the event loop."""
        ...

    async def aset(self, key: str, value: bytes, ttl: float) -> None:
        """Like :meth:`set`, without blocking the event loop."""
        ...


class _Threaded:
    """Awaitable methods by a thread of asyncio's pool."""

    def get(self, key: str) -> bytes | None:
        raise NotImplementedError

    def set(self, key: str, value: bytes, ttl: float) -> None:
        raise NotImplementedError

    async def aget(self, key: str) -> bytes | None:
        """Like :meth:`get`, without blocking the event loop."""
        return await asyncio.to_thread(self.get, key)

    async def aset(self, key: str, value: bytes, ttl: float) -> None:
        """Like :meth:`set`, without blocking the event loop."""
        await asyncio.to_thread(self.set, key, value, ttl)


class MemoryStore(_Threaded):
    """Keeps the answers that were used last, in this process.

    Args:
        max_entries: Most entries; the one unused for longest goes first.
        max_bytes: Most bytes of all entries together; a larger one is not kept.
        clock: Monotonic seconds.
    """

    instant = True

    def __init__(
        self,
        max_entries: int = DEFAULT_ENTRIES,
        max_bytes: int = DEFAULT_BYTES,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_sizes(max_entries, max_bytes)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.evictions = 0
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[0] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* for *ttl* seconds."""
        with self._lock:
            self._drop(key)
            if len(value) > self.max_bytes:
                return
            self._entries[key] = (self._clock() + ttl, value)
            self._bytes += len(value)
            while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))
                self.evictions += 1

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[1])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def size(self) -> tuple[int, int]:
        """Return the number of entries and of bytes, those too old included."""
        with self._lock:
            return len(self._entries), self._bytes

    def __repr__(self) -> str:
        return f"MemoryStore(max_entries={self.max_entries}, max_bytes={self.max_bytes})"


class SQLiteStore(_Threaded):
    """Keeps answers in one file, shared by threads and processes of this machine.

    SQLite of the standard library. The file is readable by its owner only: it holds answers in
    clear text. Entries expire by the wall clock, since they outlive the process.

    Args:
        path: The file; made with its folder when first needed.
        max_entries: Most entries; the one unused for longest goes first.
        max_bytes: Most bytes of all entries together.
        clock: Seconds that mean the same in every process.
    """

    instant = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        max_entries: int = 10 * DEFAULT_ENTRIES,
        max_bytes: int = DEFAULT_BYTES,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check_sizes(max_entries, max_bytes)
        self.path = Path(path)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.RLock()
        self._open: tuple[int, sqlite3.Connection] | None = None

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if there is none or it is too old.

        Raises:
            StoreUnavailableError: The file cannot be used.
        """
        now = self._clock()
        with self._lock:
            rows = self._do(
                "UPDATE entries SET used = ? WHERE key = ? AND expires > ? AND created <= ? "
                "RETURNING value",
                (now, key, now, now + 1),
            )
        return bytes(rows[0][0]) if rows else None

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep *value* for *ttl* seconds.

        Raises:
            StoreUnavailableError: The file cannot be used.
        """
        if len(value) > self.max_bytes:
            return
        now = self._clock()
        with self._lock:
            self._do(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                (key, value, now + ttl, now, now, len(value)),
            )
            count, size = self.size()
            if count > self.max_entries or size > self.max_bytes:
                self._shrink(now)

    def _shrink(self, now: float) -> None:
        self._do("DELETE FROM entries WHERE expires <= ?", (now,))
        self._do(
            "DELETE FROM entries WHERE key IN (SELECT key FROM (SELECT key, "
            "row_number() OVER newest AS place, sum(size) OVER newest AS total FROM entries "
            "WINDOW newest AS (ORDER BY used DESC, rowid DESC)) WHERE place > ? OR total > ?)",
            (self.max_entries, self.max_bytes),
        )

    def clear(self) -> None:
        """Forget everything.

        Raises:
            StoreUnavailableError: The file cannot be used.
        """
        with self._lock:
            self._do("DELETE FROM entries", ())

    def size(self) -> tuple[int, int]:
        """Return the number of entries and of bytes, those too old included.

        Raises:
            StoreUnavailableError: The file cannot be used.
        """
        with self._lock:
            rows = self._do("SELECT count(*), coalesce(sum(size), 0) FROM entries", ())
        return int(rows[0][0]), int(rows[0][1])

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            opened, self._open = self._open, None
            if opened is not None and opened[0] == os.getpid():
                opened[1].close()
            elif opened is not None:
                _INHERITED.append(opened[1])

    def _do(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(
                f"the cache file {self.path} cannot be used: {error}"
            ) from None

    def _connection(self) -> sqlite3.Connection:
        # A connection must not cross a fork: a child opens its own. The inherited one is not
        # even closed there, which SQLite forbids as well: it could harm the parent's file.
        if self._open is not None:
            if self._open[0] == os.getpid():
                return self._open[1]
            _INHERITED.append(self._open[1])
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB, "
                "expires REAL, created REAL, used REAL, size INTEGER)"
            )
        except sqlite3.Error:
            connection.close()
            raise
        self._open = (os.getpid(), connection)
        return connection

    def __repr__(self) -> str:
        sizes = f"max_entries={self.max_entries}, max_bytes={self.max_bytes}"
        return f"SQLiteStore({str(self.path)!r}, {sizes})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.max_entries, self.max_bytes)

    def __deepcopy__(self, memo: object) -> SQLiteStore:
        return self


def _check_sizes(max_entries: int, max_bytes: int) -> None:
    for name, value in (("max_entries", max_entries), ("max_bytes", max_bytes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidSettingError(f"{name} must be a whole number >= 1: {value!r}")
