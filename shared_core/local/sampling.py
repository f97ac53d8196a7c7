"""How a language model chooses its tokens: what a request says about it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from shared_core.errors import BadRequestError

_WHOLE = ("max_new_tokens", "top_k", "seed")
"""Settings that count; the others, but for ``do_sample``, may have a fraction."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of one generation; None leaves each to the model's ``generation_config.json``.

    Attributes:
        max_new_tokens: Most tokens to write; None: up to the end of the context.
        temperature: 0 always takes the most probable token.
        top_p: Choose among the most probable tokens that make up this share.
        top_k: Choose among so many tokens.
        min_p: Leave out tokens below this share of the most probable one.
        typical_p: Locally typical sampling.
        repetition_penalty: Above 1 discourages what is there already.
        do_sample: Whether to choose at random; by default if any of the first five says so.
        seed: Makes random choices repeatable.
        stop: Texts at which the answer ends.
    """

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    do_sample: bool | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Sampling:
        """Return the settings among the fields of a request.

        Raises:
            BadRequestError: One has the wrong type.
        """
        names = [each.name for each in fields(cls)]
        values = {name: given[name] for name in names if given.get(name) is not None}
        stop = values.pop("stop", ())
        for name, value in values.items():
            _check(name, value)
        texts = [stop] if isinstance(stop, str) else stop
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise _wrong("stop", "a text or a list of texts", stop)
        return cls(**values, stop=tuple(texts))

    @property
    def at_random(self) -> bool | None:
        """Whether tokens are chosen at random; None leaves it to the model."""
        if self.do_sample is not None:
            return self.do_sample
        if self.temperature is not None:
            return self.temperature > 0
        others = (self.top_p, self.top_k, self.min_p, self.typical_p)
        return True if any(value is not None for value in others) else None


def _check(name: str, value: object) -> None:
    if name == "do_sample":
        if not isinstance(value, bool):
            raise _wrong(name, "true or false", value)
    elif name in _WHOLE:
        if type(value) is not int:
            raise _wrong(name, "a whole number", value)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(name, "a number", value)


def _wrong(name: str, wanted: str, value: object) -> BadRequestError:
    return BadRequestError(f"{name} must be {wanted}: {value!r:.80}", status_code=400, param=name)
