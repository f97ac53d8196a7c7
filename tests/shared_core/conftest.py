"""Fixtures of all tests of the core."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that take turns after a few instructions: races show.

    They are not measured: two threads that begin to be traced (by coverage) so close to one
    another make CPython 3.11 refuse the second.
    """
    before, tracing = sys.getswitchinterval(), threading.gettrace()
    threading.settrace(None)  # type: ignore[arg-type]
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
    threading.settrace(tracing)  # type: ignore[arg-type]
