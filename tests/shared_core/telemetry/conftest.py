"""Fixtures shared with the tests of the layers."""

from __future__ import annotations

from tests.shared_core.resilience.conftest import eager_threads

__all__ = ["eager_threads"]
