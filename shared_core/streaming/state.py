"""Everything about a stream but its I/O, as far as it is the same for every format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shared_core.flow import Outcome

if TYPE_CHECKING:
    from shared_core.errors import APIError
    from shared_core.wire.messages import Headers

T = TypeVar("T")
R = TypeVar("R")


class BaseStreamState(ABC, Generic[T, R]):
    """Everything about a stream but its I/O. *T* is a piece, *R* the whole.

    Args:
        headers: Response headers.
        whole: All pieces, if the server sent the whole answer instead of a stream.

    Attributes:
        headers: Response headers.
        over: Whether no further packet is wanted.
        closed: Whether the caller left it before its end.
        error: What went wrong, if anything.
    """

    __slots__ = (
        "_ready",
        "_settled",
        "_watchers",
        "_whole_came",
        "closed",
        "error",
        "headers",
        "over",
    )

    def __init__(self, headers: Headers, whole: Iterable[T] | None = None) -> None:
        self.headers = headers
        self.over = self._whole_came = whole is not None
        self.closed = False
        self.error: APIError | None = None
        self._ready = deque(whole or ())
        self._settled = False
        self._watchers: list[Callable[[Outcome], None]] = []

    @property
    def begun(self) -> bool:
        """Whether the first piece, or the end, is here."""
        return bool(self._ready) or self.over

    @property
    def failed_at_once(self) -> bool:
        """Whether it failed and there is nothing to hand over."""
        return self.error is not None and not self._ready

    @property
    @abstractmethod
    def model(self) -> str | None:
        """The model as asked for."""

    @property
    @abstractmethod
    def request_id(self) -> str | None:
        """The server's id of the exchange."""

    @property
    def usage(self) -> Any:
        """Token counts so far, where the kind of stream has any."""
        return None

    @abstractmethod
    def take(self) -> T | None:
        """Return the next piece that is ready, if any."""

    @abstractmethod
    def packet(self, data: bytes | None) -> bool:
        """Take the next packet, None at the end of the body.

        Returns:
            Whether it brought something: the timeout starts anew then.
        """

    @abstractmethod
    def lost(self, error: APIError) -> None:
        """Take note that the connection failed."""

    @abstractmethod
    def partial(self) -> R:
        """Return what arrived so far."""

    @abstractmethod
    def result(self) -> R:
        """Return the whole answer.

        Raises:
            StreamError: It did not arrive whole.
        """

    def settle(self) -> None:
        """Tell who waits for the end how it was, and raise what went wrong."""
        self._settled = True
        self._tell(Outcome(self.error, usage=self.usage))
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Take note that the caller wants no more; nothing is handed over afterwards."""
        if not self.over:
            self.closed = True
            self._ready.clear()
        self._tell(Outcome(self.error, self.closed, self.usage))

    def when_ended(self, told: Callable[[Outcome], None]) -> None:
        """Call *told* once with how the stream ended."""
        if self._settled or self.closed or self._whole_came:
            told(Outcome(self.error, self.closed, self.usage))
        else:
            self._watchers.append(told)

    def _tell(self, outcome: Outcome) -> None:
        watchers, self._watchers = self._watchers, []
        for told in watchers:
            told(outcome)
