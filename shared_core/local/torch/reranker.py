"""Ordering texts by a query with a cross-encoder of sentence-transformers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.embedder import Direction, too_long
from shared_core.local.failures import LocalModelError
from shared_core.local.torch.loading import computing, cut_at, library, loading, prepare
from shared_core.local.torch.parts import LocalParts

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels


class Reranker:
    """A loaded model. One call computes at a time; arguments and errors as for encoders."""

    def __init__(self, folder: Path, models: LocalModels) -> None:
        _, device, reading, weights = prepare("sentence_transformers", folder, models)
        with loading(folder, "sentence-transformers"):
            self._model: Any = LocalParts(folder, device, reading, weights).encoder("CrossEncoder")
        if self._model.num_labels != 1:
            raise LocalModelError(
                f"{folder} tells {self._model.num_labels} classes apart; a reranker has one score.",
                guidance="Give it as tasks={'text-classification': ...}, or choose a reranker.",
            )
        self.turn = threading.RLock()

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    def scores(
        self,
        query: str,
        texts: Sequence[str],
        *,
        raw: bool = False,
        truncate: bool = True,
        direction: Direction = "right",
    ) -> list[float]:
        """Return how well each text answers *query*; higher is better.

        Args:
            query: The query.
            texts: At least one.
            raw: Whether scores stay as the model makes them; else a sigmoid puts them between
                0 and 1, as TEI does.
            truncate: Whether what is too long is cut.
            direction: Which end is cut off.

        Raises:
            ContextLengthError: A pair is above the limit and *truncate* is False.
        """
        torch = library("torch")
        activation = torch.nn.Identity() if raw else torch.nn.Sigmoid()
        pairs = [(query, text) for text in texts]
        with self.turn, computing("sentence-transformers"):
            tokenizer = self._model.tokenizer
            limit = self._model.max_seq_length
            if not truncate and limit is not None:
                found = tokenizer(pairs, truncation=False, verbose=False)
                longest = max(len(ids) for ids in found["input_ids"])
                if longest > limit:
                    raise too_long(longest, limit)
            with cut_at(tokenizer, direction):
                scores = self._model.predict(
                    pairs, activation_fn=activation, show_progress_bar=False
                )
        return [float(score) for score in scores]
