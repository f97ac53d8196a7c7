"""Typed results of text generation on TGI, and how each is read (protocol reference, 6.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared_core.tasks import read

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was read or written.

    Attributes:
        id: Its id in the model's vocabulary; -1 where the server does not tell tokens apart.
        text: Its text.
        logprob: Its log probability; None for the first token of the input.
        special: Whether it is a control token, which is no part of the text.
    """

    id: int
    text: str
    logprob: float | None = None
    special: bool = False


@dataclass(frozen=True, slots=True)
class GenerationDetails:
    """How a text came to be, on request (``details=True``).

    Attributes:
        finish_reason: ``"length"``, ``"eos_token"`` or ``"stop_sequence"``, or None.
        generated_tokens: How many tokens were written, or None.
        seed: Seed of the sampling, or None.
        input_length: Tokens of the input; streams only.
        prefill: Tokens of the input (``decoder_input_details=True``).
        tokens: Tokens of the text; those of a stream came before.
        top_tokens: The most probable tokens at each place (``top_n_tokens``).
        best_of: The other texts (``best_of``), each with details of its own.
        raw: What the server sent.
    """

    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    input_length: int | None = None
    prefill: list[Token] = field(default_factory=list, repr=False)
    tokens: list[Token] = field(default_factory=list, repr=False)
    top_tokens: list[list[Token]] = field(default_factory=list, repr=False)
    best_of: list[Generation] = field(default_factory=list, repr=False)
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Generation:
    """Text that continues a prompt.

    Attributes:
        text: The text as the server gives it: on TGI without the prompt unless
            ``return_full_text=True``.
        details: How it came to be, if asked for and the server knows.
        raw: What the server sent.
        endpoint: Name of the endpoint that answered, if the client has failover.
    """

    text: str
    details: GenerationDetails | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)
    endpoint: str | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class GenerationChunk:
    """One token of a streamed text.

    Attributes:
        token: The token.
        text: What it adds to the text; empty for a special token.
        index: Its number as the server counts, or None.
        generated_text: The whole text, with the last token only.
        details: How it came to be, with the last token only.
        top_tokens: The most probable tokens at this place.
        raw: What the server sent.
    """

    token: Token
    text: str
    index: int | None = None
    generated_text: str | None = None
    details: GenerationDetails | None = None
    top_tokens: list[Token] = field(default_factory=list, repr=False)
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


def generation(value: Any, /) -> Generation:
    """Read ``{"generated_text", "details"?}``."""
    return _generation(value, "")


def _generation(value: Any, where: str) -> Generation:
    raw = read.mapping(value, where)
    return Generation(
        text=read.get(raw, "generated_text", read.text, where),
        details=read.maybe(raw, "details", _details, where),
        raw=raw,
    )


def chunk(value: Any, /) -> GenerationChunk:
    """Read ``{"token", "index"?, "generated_text"?, "details"?, "top_tokens"?}``."""
    raw = read.mapping(value)
    token = read.get(raw, "token", _token)
    return GenerationChunk(
        token=token,
        text="" if token.special else token.text,
        index=read.maybe(raw, "index", read.whole),
        generated_text=read.maybe(raw, "generated_text", read.text),
        details=read.maybe(raw, "details", _details),
        top_tokens=read.items(raw.get("top_tokens") or [], _token, "top_tokens"),
        raw=raw,
    )


def _details(value: Any, where: str) -> GenerationDetails:
    raw = read.mapping(value, where)
    return GenerationDetails(
        finish_reason=read.maybe(raw, "finish_reason", read.text, where),
        generated_tokens=read.maybe(raw, "generated_tokens", read.whole, where),
        seed=read.maybe(raw, "seed", read.whole, where),
        input_length=read.maybe(raw, "input_length", read.whole, where),
        prefill=_tokens(raw.get("prefill"), f"{where}.prefill"),
        tokens=_tokens(raw.get("tokens"), f"{where}.tokens"),
        top_tokens=read.items(raw.get("top_tokens") or [], _tokens, f"{where}.top_tokens"),
        best_of=read.items(
            raw.get("best_of_sequences") or [], _sequence, f"{where}.best_of_sequences"
        ),
        raw=raw,
    )


def _sequence(value: Any, where: str) -> Generation:
    # Text and details stand side by side here, not one in the other.
    raw = read.mapping(value, where)
    return Generation(read.get(raw, "generated_text", read.text, where), _details(raw, where), raw)


def _tokens(value: Any, where: str) -> list[Token]:
    return read.items(value or [], _token, where)


def _token(value: Any, where: str) -> Token:
    raw = read.mapping(value, where)
    return Token(
        id=read.get(raw, "id", read.whole, where),
        text=read.get(raw, "text", read.text, where),
        logprob=read.maybe(raw, "logprob", read.log_probability, where),
        special=raw.get("special") is True,
    )
