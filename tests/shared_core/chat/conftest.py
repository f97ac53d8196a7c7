"""Property tests must not fail because the machine is busy."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    database=None,
)
hypothesis.settings.load_profile("suite")
