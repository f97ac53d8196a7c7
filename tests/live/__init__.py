"""Tests against the real router; see CONTRIBUTING.md."""
