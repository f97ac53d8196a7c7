"""Streams: how bytes are moved and connections given back; what chat, responses and tasks share."""
