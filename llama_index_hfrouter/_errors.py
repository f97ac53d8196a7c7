"""Errors that are both ours and what LlamaIndex code already catches.

The framework has no error classes for models; its programs raise ``ValueError``.
"""

from __future__ import annotations

from shared_core import InvalidSettingError, ModelOutputError, StructuredOutputError


class StructuredPredictError(StructuredOutputError, ValueError):
    """The answer of ``structured_predict`` does not have the structure asked for."""


class NoToolCallError(ModelOutputError, ValueError):
    """The model was expected to call a tool and wrote text."""

    guidance = "Set tool_required=True, use a model that calls tools, or read the text."


class RerankInputError(InvalidSettingError, ValueError):
    """There is no query to rank by, or a node has no text."""
