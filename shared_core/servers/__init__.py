"""Dedicated and local servers: which one is it, what does it serve, what are its limits."""
