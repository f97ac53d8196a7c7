"""Tasks that a model of this process can be given for: what each reads, and what runs it.

Every other task is run by the pipeline of that name in transformers, or by a
:class:`~shared_core.local.custom.LocalTask` of the caller's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Inputs = Literal[
    "text",
    "texts",
    "question",
    "table",
    "image",
    "images",
    "image question",
    "sound",
    "video",
    "anything",
]
"""What a task reads; :mod:`shared_core.local.task_inputs` has a reader for each."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """How one task is answered.

    Attributes:
        inputs: What it reads.
        runner: Module in ``shared_core.local.torch`` and class that runs its model, or a function
            that returns what does.
    """

    inputs: Inputs
    runner: str


RANKING = "text-ranking"
"""Has a route of its own, and runs in sentence-transformers."""

SPARSE, TOKENS = "embed-sparse", "embed-all"
"""TEI's further embeddings: sparse vectors, and one vector per token."""

_TEXT = TaskRow("text", "text_tasks:TextTask")
_IMAGE = TaskRow("image", "image_tasks:ImageTask")
_SOUND = TaskRow("sound", "audio_tasks:AudioTask")
_SPEECH = TaskRow("text", "speech_tasks:SpeechTask")

TABLE: dict[str, TaskRow] = {
    "text-classification": _TEXT,
    "token-classification": _TEXT,
    "fill-mask": _TEXT,
    "zero-shot-classification": _TEXT,
    "summarization": _TEXT,
    "translation": _TEXT,
    "text2text-generation": _TEXT,
    "question-answering": TaskRow("question", "question_answering:QuestionAnswering"),
    "table-question-answering": TaskRow("table", "table_questions:TableQuestions"),
    SPARSE: TaskRow("texts", "text_vectors:SparseVectors"),
    TOKENS: TaskRow("texts", "text_vectors:TokenVectors"),
    "image-classification": _IMAGE,
    "zero-shot-image-classification": _IMAGE,
    "object-detection": _IMAGE,
    "image-to-text": _IMAGE,
    "zero-shot-object-detection": TaskRow("image", "named_objects:NamedObjects"),
    "image-segmentation": TaskRow("image", "pixel_tasks:Segmentation"),
    "depth-estimation": TaskRow("image", "pixel_tasks:DepthEstimation"),
    "image-to-image": TaskRow("image", "pixel_tasks:SuperResolution"),
    "visual-question-answering": TaskRow("image question", "visual_question:VisualQuestion"),
    "document-question-answering": TaskRow("image question", "document_question:DocumentQuestion"),
    "video-classification": TaskRow("video", "video_tasks:VideoClassification"),
    "image-feature-extraction": TaskRow("images", "image_vectors:image_vectors"),
    "audio-classification": _SOUND,
    "automatic-speech-recognition": _SOUND,
    "text-to-speech": _SPEECH,
    "text-to-audio": _SPEECH,
}
"""Tasks with a runner of their own."""

PIPELINE = TaskRow("anything", "pipeline_task:PipelineTask")
"""Runs whatever else transformers has a pipeline for."""

CUSTOM = TaskRow("anything", "custom_task:CustomTask")
"""Runs a :class:`~shared_core.local.custom.LocalTask`."""

NAMED_ELSEWHERE = {
    "text-generation": "chat",
    "image-text-to-text": "chat",
    "feature-extraction": "embeddings",
    "sentence-similarity": "embeddings",
}
"""Task -> the setting of ``LocalModels`` that names its model."""

WITHOUT_PIPELINE = frozenset(
    {
        "text-to-image",
        "image-text-to-image",
        "text-to-video",
        "image-to-video",
        "image-text-to-video",
        "text-to-3d",
        "image-to-3d",
        "audio-to-audio",
        "tabular-classification",
        "tabular-regression",
    }
)
"""Tasks of clients that transformers has no pipeline for: only a LocalTask can answer them."""


_MODALITIES: dict[Inputs, list[str]] = {
    "image": ["image"],
    "images": ["image"],
    "image question": ["image", "text"],
    "sound": ["audio"],
    "video": ["video"],
}


def modalities(task: str) -> list[str]:
    """Return what the model of *task* reads, in the words of the list of models."""
    return list(_MODALITIES.get(TABLE[task].inputs, ["text"])) if task in TABLE else ["text"]
