"""Embeddings by sentence-transformers, for any model that it or transformers can load."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.embedder import Direction, too_long
from shared_core.local.torch.loading import computing, cut_at, loading, prepare
from shared_core.local.torch.parts import LocalParts

if TYPE_CHECKING:
    from shared_core.local.erf import Floats
    from shared_core.local.models import LocalModels


class SentenceEncoder:
    """A loaded model. One call computes at a time: its tokenizer is not safe to share.

    Args:
        folder: Where it is.
        models: Device, type of weights, whether its own code may run.

    Raises:
        ImportError: sentence-transformers is not installed; names the command.
        LocalModelError: The folder or the device cannot be used.
    """

    def __init__(self, folder: Path, models: LocalModels) -> None:
        _, device, reading, weights = prepare("sentence_transformers", folder, models)
        with loading(folder, "sentence-transformers"):
            parts = LocalParts(folder, device, reading, weights)
            self._model = parts.encoder("SentenceTransformer")
        self.folder = folder
        # Taken off, so that normalize=False can be kept; who asks for length 1 gets it later.
        last = list(self._model)[-1]
        self.normalizes = type(last).__name__ == "Normalize"
        if self.normalizes:
            self._model.pop(-1)
        self.turn = threading.RLock()

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    @property
    def prompts(self) -> Mapping[str, str]:
        """Named texts put before an input."""
        prompts: dict[str, str] = self._model.prompts or {}
        return prompts

    @property
    def default_prompt(self) -> str | None:
        """Name of the prompt used when none is asked for."""
        name: str | None = self._model.default_prompt_name
        return name

    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str = "",
        truncate: bool = True,
        direction: Direction = "right",
    ) -> tuple[Floats, int]:
        """Return one vector per text and the tokens read; see :class:`Embedder`."""
        import numpy as np

        with self.turn, computing("sentence-transformers"):
            put_in = [prompt + text for text in texts]
            count = count_tokens(self._model, put_in, truncate=truncate)
            with cut_at(self._model.tokenizer, direction):
                vectors = self._model.encode(
                    list(texts), prompt=prompt, show_progress_bar=False, convert_to_numpy=True
                )
        return np.ascontiguousarray(vectors, dtype=np.float32), count


def count_tokens(model: Any, texts: list[str], *, truncate: bool) -> int:
    """Return how many tokens a model of sentence-transformers reads of *texts*.

    Args:
        model: The model.
        texts: At least one, with their prompts.
        truncate: Whether what is too long is cut.

    Raises:
        ContextLengthError: A text is above the limit and *truncate* is False.
    """
    tokenizer: Any = model.tokenizer
    limit = model.max_seq_length
    if callable(tokenizer):
        found: Any = tokenizer(texts, add_special_tokens=True, truncation=False, verbose=False)
        lengths = [len(ids) for ids in found["input_ids"]]
    else:  # of static embeddings: the Rust tokenizer itself
        lengths = [len(tokenizer.encode(text).ids) for text in texts]
    if limit is None:
        return sum(lengths)
    if not truncate and max(lengths) > limit:
        raise too_long(max(lengths), limit)
    return sum(min(length, limit) for length in lengths)
