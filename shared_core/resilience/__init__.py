"""Opt-in reliability: each mechanism is a layer around one exchange, absent unless asked for."""

from __future__ import annotations

from shared_core.resilience.retry import RetryBudget, RetryPolicy

__all__ = ["RetryBudget", "RetryPolicy"]
