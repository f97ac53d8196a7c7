"""The file of a semantic index: one ``.npz`` with JSON and a float32 matrix, never a pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared_core.embeddings.similarity import Floats
from shared_core.errors import InvalidSettingError

FORMAT = 1
"""Version of the file."""


def write(
    path: str | os.PathLike[str],
    head: Mapping[str, Any],
    documents: Sequence[Mapping[str, Any]],
    matrix: Floats,
) -> None:
    """Write a file in one step: a reader never sees half of it.

    Args:
        path: File name, used as it is.
        head: Settings of the index.
        documents: ``id``, ``text`` and ``metadata`` of each document.
        matrix: One row per document.

    Raises:
        InvalidSettingError: The metadata of a document is not JSON; nothing was written.
        OSError: The file cannot be written.
    """
    lines = [_dump(document) for document in documents]
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                head=_bytes(json.dumps({"format": FORMAT, **head})),
                documents=_bytes("\n".join(lines)),
                vectors=matrix,
            )
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]], Floats]:
    """Return settings, documents and matrix of a file.

    Args:
        path: File name.

    Raises:
        InvalidSettingError: The file is not of this format.
        OSError: The file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            lines = file["documents"].tobytes().decode().splitlines()
            matrix = np.ascontiguousarray(file["vectors"], dtype=np.float32)
        documents = [_document(json.loads(line)) for line in lines]
        if head["format"] != FORMAT or matrix.ndim != 2 or len(matrix) != len(documents):
            raise ValueError("another format")
        return {"metric": str(head["metric"]), "next_id": int(head["next_id"])}, documents, matrix
    except (ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile):
        raise InvalidSettingError(
            f"{os.fspath(path)} is not a semantic index of format {FORMAT}",
            guidance="Build it again and save it with SemanticIndex.save().",
            setting="path",
        ) from None


def _document(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(found["id"]),
        "text": str(found["text"]),
        "metadata": dict(found["metadata"]),
    }


def _dump(document: Mapping[str, Any]) -> str:
    try:
        return json.dumps(document)
    except (TypeError, ValueError):
        raise InvalidSettingError(
            f"the metadata of document {document['id']!r} cannot be saved as JSON",
            guidance="Keep texts, numbers, booleans, None, lists and mappings in it.",
            setting="metadatas",
        ) from None


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)
