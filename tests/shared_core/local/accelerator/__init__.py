"""Models on another device: in a process of their own, since the library then prefers it."""
