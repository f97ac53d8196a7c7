"""Arguments of the tasks that look at images and videos (protocol reference, 6.3).

The signature of each function is that of the method; ``**call`` never arrives here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from shared_core.config.checks import boolean, number, text, whole_number
from shared_core.media.input import FileInput, ImageInput
from shared_core.tasks.params import (
    choice,
    generation,
    parameters,
    template,
    texts,
    with_file,
)
from shared_core.tasks.spec import Call, Payload
from shared_core.tasks.text import ACTIVATION, Activation

_PROBABILITY = number(0, 1)


def image_classification(
    image: ImageInput,
    *,
    function_to_apply: Activation | None = None,
    top_k: int | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say what an image shows; the best class first.

    Args:
        image: The image.
        function_to_apply: What makes scores of the model's numbers.
        top_k: How many classes to return, 5 by default.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        function_to_apply=(function_to_apply, ACTIVATION), top_k=(top_k, whole_number(1))
    )
    return with_file(image, "image", "image", given=given)


def object_detection(
    image: ImageInput, *, threshold: float | None = None, **call: Unpack[Call]
) -> Payload:
    """Find objects in an image, each with a box around it.

    Args:
        image: The image.
        threshold: Least probability, 0 to 1.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(threshold=(threshold, _PROBABILITY))
    return with_file(image, "image", "image", given=given)


def image_segmentation(
    image: ImageInput,
    *,
    mask_threshold: float | None = None,
    overlap_mask_area_threshold: float | None = None,
    subtask: Literal["instance", "panoptic", "semantic"] | None = None,
    threshold: float | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Divide an image into parts, each with a mask.

    Args:
        image: The image.
        mask_threshold: From which value on a pixel belongs to a mask, 0 to 1.
        overlap_mask_area_threshold: Share of a mask that must be seen to keep it, 0 to 1.
        subtask: What to find, if the model can do several.
        threshold: Least probability, 0 to 1.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        mask_threshold=(mask_threshold, _PROBABILITY),
        overlap_mask_area_threshold=(overlap_mask_area_threshold, _PROBABILITY),
        subtask=(subtask, choice("instance", "panoptic", "semantic")),
        threshold=(threshold, _PROBABILITY),
    )
    return with_file(image, "image", "image", given=given)


def image_to_text(
    image: ImageInput,
    *,
    max_new_tokens: int | None = None,
    generation_parameters: Mapping[str, Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Describe an image, or read the text in it.

    Args:
        image: The image.
        max_new_tokens: Longest text, in tokens.
        generation_parameters: Further parameters of the generation.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        max_new_tokens=(max_new_tokens, whole_number(1)),
        generation_parameters=(generation_parameters, generation),
    )
    return with_file(image, "image", "image", given=given)


def zero_shot_image_classification(
    image: ImageInput,
    candidate_labels: Sequence[str],
    *,
    hypothesis_template: str | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say which of your own classes an image belongs to; the best first.

    Args:
        image: The image.
        candidate_labels: The classes, at least two.
        hypothesis_template: Sentence with ``{}`` for the label.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = {
        "candidate_labels": texts(2)("candidate_labels", candidate_labels),
        **parameters(hypothesis_template=(hypothesis_template, template)),
    }
    return with_file(image, "image", "image", given=given)


def zero_shot_object_detection(
    image: ImageInput, candidate_labels: Sequence[str], **call: Unpack[Call]
) -> Payload:
    """Find things that you name in an image, each with a box around it.

    Args:
        image: The image.
        candidate_labels: What to look for, at least one.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    labels = texts()("candidate_labels", candidate_labels)
    return with_file(image, "image", "image", given={"candidate_labels": labels})


def visual_question_answering(
    image: ImageInput, question: str, *, top_k: int | None = None, **call: Unpack[Call]
) -> Payload:
    """Answer a question about an image; the best first.

    Args:
        image: The image.
        question: The question.
        top_k: How many answers to return.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(top_k=(top_k, whole_number(1)))
    asked = {"question": text("question", question)}
    return with_file(image, "image", "image", inputs=asked, given=given)


def document_question_answering(
    image: ImageInput,
    question: str,
    *,
    top_k: int | None = None,
    doc_stride: int | None = None,
    lang: str | None = None,
    max_answer_len: int | None = None,
    max_question_len: int | None = None,
    max_seq_len: int | None = None,
    handle_impossible_answer: bool | None = None,
    word_boxes: Sequence[Any] | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Find the answer to a question in the image of a document; the best first.

    Args:
        image: The page as an image.
        question: The question.
        top_k: How many answers to return.
        doc_stride: Tokens that two pieces of a long text share.
        lang: Language for reading the image, e.g. ``"eng"``.
        max_answer_len: Longest answer, in tokens.
        max_question_len: Tokens after which the question is cut.
        max_seq_len: Longest piece with its question, in tokens.
        handle_impossible_answer: Whether "no answer" is an answer.
        word_boxes: Words with their boxes, if the page was read already.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        top_k=(top_k, whole_number(1)),
        doc_stride=(doc_stride, whole_number(0)),
        lang=(lang, text),
        max_answer_len=(max_answer_len, whole_number(1)),
        max_question_len=(max_question_len, whole_number(1)),
        max_seq_len=(max_seq_len, whole_number(1)),
        handle_impossible_answer=(handle_impossible_answer, boolean),
        word_boxes=(word_boxes, _word_boxes),
    )
    asked = {"question": text("question", question)}
    return with_file(image, "image", "image", inputs=asked, given=given)


def _word_boxes(name: str, value: Any) -> list[Any]:
    from shared_core.config.plain import plain

    found: list[Any] = plain(value, name)
    return found


def depth_estimation(image: ImageInput, **call: Unpack[Call]) -> Payload:
    """Say how far each pixel of an image is.

    Args:
        image: The image.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    return with_file(image, "image", "image")


def video_classification(
    video: FileInput,
    *,
    frame_sampling_rate: int | None = None,
    num_frames: int | None = None,
    top_k: int | None = None,
    function_to_apply: Activation | None = None,
    **call: Unpack[Call],
) -> Payload:
    """Say what a video shows; the best class first.

    Args:
        video: The video.
        frame_sampling_rate: Take every n-th frame.
        num_frames: How many frames to take.
        top_k: How many classes to return.
        function_to_apply: What makes scores of the model's numbers.
        **call: See :class:`~shared_core.tasks.spec.Call`.
    """
    given = parameters(
        frame_sampling_rate=(frame_sampling_rate, whole_number(1)),
        num_frames=(num_frames, whole_number(1)),
        top_k=(top_k, whole_number(1)),
        function_to_apply=(function_to_apply, ACTIVATION),
    )
    return with_file(video, "video", "video", given=given)
