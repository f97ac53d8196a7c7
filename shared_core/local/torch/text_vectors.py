"""TEI's further embeddings of texts, by sentence-transformers: sparse, and one per token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared_core.local.embedder import prompt_named
from shared_core.local.torch.loading import cut_at
from shared_core.local.torch.parts import LocalParts, settings_in
from shared_core.local.torch.sentence_encoder import count_tokens
from shared_core.local.torch.task_model import TaskModel, check_known

if TYPE_CHECKING:
    from pathlib import Path

_PARAMETERS = ("truncate", "truncation_direction", "prompt_name")


class _TextVectors(TaskModel):
    """A model that is given texts."""

    library = "sentence_transformers"

    def _refusals(self) -> tuple[type[Exception], ...]:
        return (ValueError, TypeError)

    def _load(self, parts: LocalParts) -> None:
        self._model = parts.encoder(self._class_of(parts.folder))

    @abstractmethod
    def _class_of(self, folder: Path) -> str:
        """Return the name of the class of sentence-transformers that loads *folder*."""

    def _answer(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        check_known(self._task, parameters, _PARAMETERS)
        name = parameters.get("prompt_name") or self._model.default_prompt_name
        prompt = prompt_named(self._model.prompts or {}, name)
        texts = [prompt + text for text in inputs]
        count_tokens(self._model, texts, truncate=parameters.get("truncate") is not False)
        left = str(parameters.get("truncation_direction") or "").lower() == "left"
        # Some models read a query otherwise than a document, not only with another prompt.
        encoders: dict[str, Any] = {}
        if hasattr(self._model, "encode_query"):
            encoders = {"query": self._model.encode_query, "document": self._model.encode_document}
        encode = encoders.get(str(name), self._model.encode)
        with cut_at(self._model.tokenizer, "left" if left else "right"):
            return self._vectors(encode, list(inputs), prompt_name=name, show_progress_bar=False)

    @abstractmethod
    def _vectors(self, encode: Callable[..., Any], texts: list[str], **options: Any) -> Any:
        """Return the answer for *texts* by *encode*, a method of the model."""


class SparseVectors(_TextVectors):
    """Sparse vectors, e.g. of a SPLADE: most of the numbers are 0, and left out."""

    def _class_of(self, folder: Path) -> str:
        return "SparseEncoder"

    def _vectors(
        self, encode: Callable[..., Any], texts: list[str], **options: Any
    ) -> list[list[dict[str, Any]]]:
        found = []
        for row in encode(texts, convert_to_sparse_tensor=False, **options):
            places = row.nonzero().flatten()
            pairs = zip(places.tolist(), row[places].tolist(), strict=True)
            found.append([{"index": index, "value": value} for index, value in pairs])
        return found


class TokenVectors(_TextVectors):
    """One vector per token: of a late-interaction model as it compares them, else raw."""

    def _class_of(self, folder: Path) -> str:
        return "MultiVectorEncoder" if _compares_tokens(folder) else "SentenceTransformer"

    def _vectors(self, encode: Callable[..., Any], texts: list[str], **options: Any) -> Any:
        return list(encode(texts, output_value="token_embeddings", **options))


def _compares_tokens(folder: Path) -> bool:
    """Whether *folder* holds a ColBERT or the like, as sentence-transformers tells it."""
    own = settings_in(folder / "config_sentence_transformers.json")
    if own.get("model_type") in ("MultiVectorEncoder", "ColBERT"):
        return True
    kinds = settings_in(folder / "config.json").get("architectures") or []
    return any(kind == "HF_ColBERT" or kind.endswith("ForRetrieval") for kind in kinds)
