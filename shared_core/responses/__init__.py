"""The Responses API: typed items, typed events, MCP tools, one answer or a stream."""
