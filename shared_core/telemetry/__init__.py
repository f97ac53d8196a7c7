"""Metrics in this process, their Prometheus text, and OpenTelemetry. All of it is opt-in."""
