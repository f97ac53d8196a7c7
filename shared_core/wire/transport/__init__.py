"""Our transport under httpx: pools of HTTP/1.1 connections with real deadlines."""
