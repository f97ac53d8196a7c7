"""Embeddings: requests, answers, similarity and search in memory."""

from __future__ import annotations
