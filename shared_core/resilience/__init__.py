"""Opt-in reliability: each mechanism is a layer around one exchange, absent unless asked for."""
