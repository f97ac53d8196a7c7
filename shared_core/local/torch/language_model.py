"""A language model in PyTorch, run by transformers: prompts in, text as it is written out."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared_core.errors import ContextLengthError
from shared_core.local.failures import LocalModelError
from shared_core.local.text_pieces import TextPieces
from shared_core.local.torch.loading import computing, library

if TYPE_CHECKING:
    from shared_core.local.sampling import Sampling

_CONTEXT = 2048
"""Tokens of context of a model whose configuration does not say."""

_ASK_EVERY = 0.05
"""Seconds between two questions whether somebody still waits for a turn."""

_SAMPLING = threading.Lock()
"""PyTorch has one random state per device: one generation at a time may use it."""

Reason = Literal["end", "stop", "length", "given up"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is to continue.

    Attributes:
        tokens: All of it, with the places of images and sound.
        media: Images and sound as the model takes them: tensors by name.
    """

    tokens: list[int]
    media: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Written:
    """How a text ended.

    Attributes:
        reason: ``"end"``: the model ended it; ``"stop"``: at a stop text; ``"length"``: at the
            limit of tokens; ``"given up"``: because the caller said so.
        prompt_tokens: Tokens read.
        tokens: Tokens written, the one that ends the text included.
    """

    reason: Reason
    prompt_tokens: int
    tokens: int


class LanguageModel:
    """A loaded model. It writes one text at a time; who comes later waits.

    Args:
        folder: Where it is.
        model: The model itself, on its device.
        tokenizer: Its tokenizer.

    Attributes:
        folder: Where it is.
        reads: What it reads beside text: ``"image"``, ``"audio"``.
        rate: Samples per second of the sound that it hears.
    """

    def __init__(self, folder: Path, model: Any, tokenizer: Any) -> None:
        self.folder = folder
        self.reads: frozenset[str] = frozenset()
        self.rate = 16_000
        self._torch = library("torch")
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        # The tokenizer is not safe to share, and must not wait for a text to be written.
        self._reading = threading.Lock()

    @property
    def device(self) -> str:
        """Where it computes, e.g. ``"cpu"`` or ``"cuda:0"``."""
        return str(self._model.device)

    @property
    def dtype(self) -> str:
        """Type of its weights, e.g. ``"float32"``."""
        return str(self._model.dtype).removeprefix("torch.")

    @property
    def template(self) -> str:
        """The chat template, empty where the model has none."""
        template = self._tokenizer.chat_template
        if isinstance(template, Mapping):
            template = template.get("tool_use") or template.get("default")
        return template or ""

    @property
    def context(self) -> int:
        """Longest prompt and answer together, in tokens."""
        config = self._model.config.get_text_config()
        found = getattr(config, "max_position_embeddings", None)
        return found if isinstance(found, int) and found > 0 else _CONTEXT

    def conversation(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any] | None,
        options: Mapping[str, Any],
    ) -> Prompt:
        """Return the prompt that the model's chat template makes.

        Args:
            messages: In the form of the template.
            tools: Definitions, or None.
            options: Further variables of the template.

        Raises:
            LocalModelError: The template refuses the conversation.
        """
        with self._reading:
            try:
                text = self._tokenizer.apply_chat_template(
                    list(messages),
                    tools=list(tools) if tools else None,
                    add_generation_prompt=True,
                    tokenize=False,
                    **options,
                )
            except Exception as exc:
                raise LocalModelError(
                    f"The chat template of {self.folder} refuses the messages: {exc}",
                    guidance="Change order and roles of the messages to what the model expects.",
                ) from exc
            return Prompt(self._ids(text, special=False))

    def prompt(self, text: str, last: int | None = None) -> Prompt:
        """Return a text that is to be continued.

        Args:
            text: The text.
            last: Keep so many tokens of its end; None or 0: all.
        """
        with self._reading:
            return Prompt(self._ids(text, special=True)[-(last or 0) :])

    def _ids(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special)
        return ids

    def write(
        self,
        prompt: Prompt,
        sampling: Sampling,
        emit: Callable[[str], None],
        given_up: Callable[[], bool],
    ) -> Written:
        """Continue *prompt*.

        Args:
            prompt: What is there.
            sampling: How to choose, and where to end.
            emit: Given each piece of the text.
            given_up: Asked after each token whether to end now.

        Raises:
            ContextLengthError: Prompt and answer do not fit the model's context.
            InternalServerError: The model failed, e.g. for want of memory.
        """
        config = self._generation_config(prompt, sampling)
        pieces = TextPieces(self._decode, emit, sampling.stop)
        ending = _Ending(self._torch, pieces, given_up)
        locks = (self._lock, _SAMPLING) if config.do_sample else (self._lock,)
        with ExitStack() as held, computing("transformers"):
            for lock in locks:
                if not _locked(lock, given_up):
                    return Written("given up", len(prompt), 0)
                held.callback(lock.release)
            with self._seeded(sampling.seed), self._torch.inference_mode():
                ids = self._torch.tensor([prompt.tokens], device=self._model.device)
                made = self._model.generate(
                    input_ids=ids,
                    attention_mask=self._torch.ones_like(ids),
                    **self._placed(prompt.media),
                    generation_config=config,
                    streamer=_Streamer(pieces),
                    stopping_criteria=[ending],
                )
        pieces.finish()
        reason: Reason = "length"
        if pieces.stopped:
            reason = "stop"
        elif pieces.count and int(made[0, -1]) in _as_list(config.eos_token_id):
            reason = "end"
        elif ending.given_up:
            reason = "given up"
        return Written(reason, len(prompt), pieces.count)

    def _placed(self, media: Mapping[str, Any]) -> dict[str, Any]:
        """Return tensors where the model computes, numbers with a fraction in its own type."""
        model, placed = self._model, {}
        for name, value in media.items():
            dtype = model.dtype if value.is_floating_point() else value.dtype
            placed[name] = value.to(model.device, dtype)
        return placed

    def _decode(self, ids: list[int]) -> str:
        with self._reading:
            text: str = self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            return text

    def _room(self, prompt: Prompt) -> int:
        """Return how many tokens can be written; none or less where the prompt is too long."""
        left = self.context - len(prompt)
        if self._model.config.is_encoder_decoder and left >= 0:  # each has the whole context
            return self.context - 1  # the decoder's begins with a token of its own
        return left

    def _generation_config(self, prompt: Prompt, sampling: Sampling) -> Any:
        config = copy.deepcopy(self._model.generation_config)
        room = self._room(prompt)
        limit = sampling.max_new_tokens
        if limit is None:
            limit = min(config.max_new_tokens or room, room)
        if limit > room or limit < 1:
            raise ContextLengthError(
                f"{len(prompt)} tokens of prompt and {max(limit, 1)} of answer do not fit the "
                f"{self.context} of the model.",
                status_code=400,
            )
        config.max_length, config.max_new_tokens = None, limit
        config.num_beams = 1  # several have no text to show while it is written
        if sampling.at_random is not None:
            config.do_sample = sampling.at_random
        for name in ("temperature", "top_p", "top_k", "min_p", "typical_p"):
            value = getattr(sampling, name)
            if value is not None or not config.do_sample:
                setattr(config, name, value if config.do_sample else None)
        if sampling.repetition_penalty is not None:
            config.repetition_penalty = sampling.repetition_penalty
        if config.pad_token_id is None:  # one text at a time needs none; the library asks for it
            config.pad_token_id = next(iter(_as_list(config.eos_token_id)), None)
        return config

    @contextmanager
    def _seeded(self, seed: int | None) -> Iterator[None]:
        """Begin PyTorch's random state at *seed*, and put it back afterwards as it was."""
        if seed is None:
            yield
            return
        device = self._model.device
        devices = [] if device.type == "cpu" else [device]
        kind = device.type if devices else "cuda"  # the name is read even for no devices
        with self._torch.random.fork_rng(devices, device_type=kind):
            self._torch.manual_seed(seed)
            yield


def _locked(lock: threading.Lock, given_up: Callable[[], bool]) -> bool:
    """Wait for *lock*; returns False if the caller gives up first."""
    while not lock.acquire(timeout=_ASK_EVERY):
        if given_up():
            return False
    return True


class _Streamer:
    """What ``generate`` tells its tokens: first the prompt, then one after the other."""

    def __init__(self, pieces: TextPieces) -> None:
        self._pieces = pieces
        self._begun = False

    def put(self, value: Any) -> None:
        """Take the next tokens."""
        if not self._begun:
            self._begun = True  # the prompt
            return
        for token in value.flatten().tolist():
            self._pieces.push(token)

    def end(self) -> None:
        """Do nothing: the caller finishes."""


class _Ending:
    """What ``generate`` asks after each token: whether to end."""

    def __init__(self, torch: Any, pieces: TextPieces, given_up: Callable[[], bool]) -> None:
        self.given_up = False
        self._torch, self._pieces, self._ask = torch, pieces, given_up

    def __call__(self, ids: Any, scores: Any, **unused: Any) -> Any:
        self.given_up = self._ask()
        end = self._pieces.stopped or self.given_up
        return self._torch.full((ids.shape[0],), end, dtype=self._torch.bool, device=ids.device)


def _as_list(value: Any) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
