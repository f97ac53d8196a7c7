"""Errors that are both ours and what LlamaIndex code already catches.

The framework has no error classes for models; its programs raise ``ValueError``.
"""

from __future__ import annotations

from typing import Any

from shared_core import (
    InvalidSettingError,
    ModelOutputError,
    StructuredOutputError,
    ToolArgumentsError,
)


class StructuredPredictError(StructuredOutputError, ValueError):
    """The answer of ``structured_predict`` does not have the structure asked for."""


class NoToolCallError(ModelOutputError, ValueError):
    """The model was expected to call a tool and wrote text."""

    guidance = "Set tool_required=True, use a model that calls tools, or read the text."


class ToolCallArgumentsError(ToolArgumentsError, ValueError):
    """A finished answer calls a tool with arguments that are not a JSON object.

    Either the answer was cut off inside them, or the model wrote something else.

    Attributes:
        response: The answer, a ``ChatResponse``.
    """

    def __init__(
        self, message: str, *, response: Any, guidance: str | None = None, text: str, tool: str
    ) -> None:
        super().__init__(message, guidance=guidance, text=text, tool=tool)
        self.response = response


class RerankInputError(InvalidSettingError, ValueError):
    """There is no query to rank by, or a node has no text."""
