"""What an embedding model of this process can do, whatever runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shared_core.errors import BadRequestError, ContextLengthError

if TYPE_CHECKING:
    from shared_core.local.erf import Floats

Direction = Literal["left", "right"]


class Embedder(Protocol):
    """An embedding model. Safe to share between threads."""

    folder: Path
    """Where it was read from."""

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """Entered while it computes, where it does so for one call at a time."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, e.g. ``"cpu"`` or ``"cuda:0"``."""
        ...

    @property
    def normalizes(self) -> bool:
        """Whether the model itself ends with a normalisation to length 1."""
        ...

    @property
    def prompts(self) -> Mapping[str, str]:
        """Named texts put before an input."""
        ...

    @property
    def default_prompt(self) -> str | None:
        """Name of the prompt used when none is asked for."""
        ...

    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str = "",
        truncate: bool = True,
        direction: Direction = "right",
    ) -> tuple[Floats, int]:
        """Return one vector per text, as before any normalisation, and the tokens read.

        Args:
            texts: At least one.
            prompt: Put before each of them.
            truncate: Whether a text above the model's limit is cut.
            direction: Which end is cut off.

        Raises:
            ContextLengthError: A text is above the limit and *truncate* is False.
        """
        ...


def prompt_named(prompts: Mapping[str, str], name: str | None) -> str:
    """Return the prompt of that name, an empty text for None.

    Raises:
        BadRequestError: The model has no such prompt.
    """
    if name is None:
        return ""
    if name not in prompts:
        known = ", ".join(sorted(prompts)) or "none"
        raise BadRequestError(
            f"The model has no prompt {name!r}; it has: {known}.",
            status_code=400,
            param="prompt_name",
        )
    return prompts[name]


def too_long(tokens: int, limit: int) -> ContextLengthError:
    """Return the error for a text that is above a model's limit and may not be cut."""
    return ContextLengthError(
        f"The text has {tokens} tokens, the model takes {limit}.",
        status_code=400,
        guidance="Allow truncation (truncate=True) or split the text.",
    )
