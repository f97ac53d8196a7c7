"""The test suite; see CONTRIBUTING.md for how to run it."""
