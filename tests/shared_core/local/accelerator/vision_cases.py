"""Models of images, documents and videos, and a question to each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers import vision_models

Case = tuple[Callable[[Path], Path], Callable[[Any], Any]]

LABELS = ["a cat", "two dogs"]
QUESTION = "what is the total?"
WORDS = [["the", [0, 0, 90, 90]], ["total", [100, 0, 190, 90]], ["forty", [200, 0, 290, 90]]]


def _segments(tasks: Any) -> Any:
    return tasks.image_segmentation(vision_models.random_image(), threshold=0.0)


def _semantic(tasks: Any) -> Any:
    return tasks.image_segmentation(vision_models.random_image())


def _depth(tasks: Any) -> Any:
    return tasks.depth_estimation(vision_models.random_image())


def _objects(tasks: Any) -> Any:
    return tasks.zero_shot_object_detection(
        vision_models.random_image(), LABELS, extra_parameters={"threshold": 0.0}
    )


def _asked(tasks: Any) -> Any:
    return tasks.visual_question_answering(vision_models.random_image(), QUESTION)


def _document(tasks: Any) -> Any:
    return tasks.document_question_answering(
        vision_models.random_image(), QUESTION, word_boxes=WORDS, top_k=3
    )


def _page(tasks: Any) -> Any:
    return tasks.document_question_answering(vision_models.random_image(), QUESTION)


def _video(tasks: Any) -> Any:
    return tasks.video_classification(vision_models.video(frames=6))


CASES: dict[str, Case] = {
    "image-segmentation": (vision_models.write_segformer, _semantic),
    "depth-estimation": (vision_models.write_dpt, _depth),
    "zero-shot-object-detection": (vision_models.write_owlvit, _objects),
    "image-to-image": (
        vision_models.write_swin2sr,
        lambda tasks: tasks.image_to_image(vision_models.random_image()),
    ),
    "visual-question-answering": (vision_models.write_vilt, _asked),
    "document-question-answering": (vision_models.write_layoutlm, _document),
    "video-classification": (vision_models.write_videomae, _video),
}
KINDS: list[tuple[str, Case]] = [
    ("image-segmentation", (vision_models.write_maskformer, _segments)),
    ("image-segmentation", (vision_models.write_detr, _segments)),
    ("depth-estimation", (vision_models.write_glpn, _depth)),
    ("zero-shot-object-detection", (vision_models.write_grounding_dino, _objects)),
    ("visual-question-answering", (vision_models.write_blip, _asked)),
    ("document-question-answering", (vision_models.write_layoutlmv3, _document)),
    ("document-question-answering", (vision_models.write_donut, _page)),
    ("video-classification", (vision_models.write_timesformer, _video)),
    ("video-classification", (vision_models.write_vivit, _video)),
]
"""Further kinds of models of these tasks."""
