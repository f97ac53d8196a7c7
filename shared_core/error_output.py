"""Errors of what a model wrote; public through :mod:`shared_core.errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared_core.error_base import RouterError, shorten


class ModelOutputError(RouterError):
    """The model wrote something that cannot be used.

    Attributes:
        text: What it wrote, up to 20,000 characters.
    """

    guidance = "Ask again, raise max_tokens if the text is cut, or choose a stronger model."

    def __init__(self, message: str = "", *, guidance: str | None = None, text: str = "") -> None:
        super().__init__(message, guidance=guidance)
        self.text = shorten(text, 20_000)


class StructuredOutputError(ModelOutputError):
    """The answer does not have the structure asked for.

    Attributes:
        errors: The validation errors, as pydantic lists them, or empty.
    """

    def __init__(
        self,
        message: str = "",
        *,
        guidance: str | None = None,
        text: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message, guidance=guidance, text=text)
        self.errors = tuple(errors)


class ToolArgumentsError(ModelOutputError):
    """The arguments of a tool call are not a JSON object.

    Attributes:
        tool: Name of the tool.
    """

    guidance = "Send the error back to the model as the tool's result, or ask again."

    def __init__(
        self,
        message: str = "",
        *,
        guidance: str | None = None,
        text: str = "",
        tool: str | None = None,
    ) -> None:
        super().__init__(message, guidance=guidance, text=text)
        self.tool = tool
