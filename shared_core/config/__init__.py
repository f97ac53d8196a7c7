"""Typed settings, the token and where each value came from."""
