"""The table of all tasks. One row is one method of ``client.tasks``, blocking and awaitable."""

from __future__ import annotations

from typing import Any

from shared_core.tasks import audio, creation, generated, media_results, results, text, vision
from shared_core.tasks.method import Method, StreamMethod
from shared_core.tasks.spec import TaskSpec as Row


class Table:
    """The rows, as methods; see each for its parameters."""

    # Text.
    text_classification = Method(
        Row("text-classification", text.text_classification, results.labels)
    )
    token_classification = Method(
        Row("token-classification", text.token_classification, results.entities)
    )
    question_answering = Method(Row("question-answering", text.question_answering, results.answers))
    table_question_answering = Method(
        Row("table-question-answering", text.table_question_answering, results.table_answer)
    )
    fill_mask = Method(Row("fill-mask", text.fill_mask, results.fillings))
    zero_shot_classification = Method(
        Row("zero-shot-classification", text.zero_shot_classification, results.labels)
    )
    summarization = Method(Row("summarization", text.summarization, results.summary))
    translation = Method(Row("translation", text.translation, results.translation))
    text2text_generation = Method(
        Row("text2text-generation", text.text2text_generation, results.written)
    )
    text_generation = Method(Row("text-generation", creation.text_generation, generated.generation))
    text_generation_stream = StreamMethod(text_generation.spec)
    sentence_similarity = Method(
        Row("sentence-similarity", text.sentence_similarity, results.scores)
    )
    text_ranking = Method(Row("text-ranking", text.text_ranking, results.ranking))
    feature_extraction = Method(
        Row("feature-extraction", text.feature_extraction, results.features)
    )

    # Images and videos.
    image_classification = Method(
        Row("image-classification", vision.image_classification, results.labels, binary_input=True)
    )
    object_detection = Method(
        Row(
            "object-detection", vision.object_detection, media_results.detections, binary_input=True
        )
    )
    image_segmentation = Method(
        Row(
            "image-segmentation",
            vision.image_segmentation,
            media_results.segments,
            binary_input=True,
        )
    )
    image_to_text = Method(
        Row("image-to-text", vision.image_to_text, results.written, binary_input=True)
    )
    zero_shot_image_classification = Method(
        Row(
            "zero-shot-image-classification",
            vision.zero_shot_image_classification,
            results.labels,
            binary_input=True,
        )
    )
    zero_shot_object_detection = Method(
        Row(
            "zero-shot-object-detection",
            vision.zero_shot_object_detection,
            media_results.detections,
            binary_input=True,
        )
    )
    visual_question_answering = Method(
        Row(
            "visual-question-answering",
            vision.visual_question_answering,
            results.answers,
            binary_input=True,
        )
    )
    document_question_answering = Method(
        Row(
            "document-question-answering",
            vision.document_question_answering,
            results.answers,
            binary_input=True,
        )
    )
    depth_estimation = Method(
        Row("depth-estimation", vision.depth_estimation, media_results.depth, binary_input=True)
    )
    video_classification = Method(
        Row("video-classification", vision.video_classification, results.labels, binary_input=True)
    )

    # Making images, videos and 3D models.
    text_to_image = Method(
        Row("text-to-image", creation.text_to_image, media_results.media, binary_output=True)
    )
    image_to_image = Method(
        Row(
            "image-to-image",
            creation.image_to_image,
            media_results.media,
            binary_input=True,
            binary_output=True,
        )
    )
    image_text_to_image = Method(
        Row(
            "image-text-to-image",
            creation.image_text_to_image,
            media_results.media,
            binary_input=True,
            binary_output=True,
        )
    )
    text_to_video = Method(
        Row("text-to-video", creation.text_to_video, media_results.media, binary_output=True)
    )
    image_to_video = Method(
        Row(
            "image-to-video",
            creation.image_to_video,
            media_results.media,
            binary_input=True,
            binary_output=True,
        )
    )
    image_text_to_video = Method(
        Row(
            "image-text-to-video",
            creation.image_text_to_video,
            media_results.media,
            binary_input=True,
            binary_output=True,
        )
    )
    text_to_3d = Method(
        Row("text-to-3d", creation.text_to_3d, media_results.media, binary_output=True)
    )
    image_to_3d = Method(
        Row(
            "image-to-3d",
            creation.image_to_3d,
            media_results.media,
            binary_input=True,
            binary_output=True,
        )
    )

    # Sound.
    automatic_speech_recognition = Method(
        Row(
            "automatic-speech-recognition",
            audio.automatic_speech_recognition,
            media_results.transcription,
            binary_input=True,
        )
    )
    audio_classification = Method(
        Row("audio-classification", audio.audio_classification, results.labels, binary_input=True)
    )
    audio_to_audio = Method(
        Row("audio-to-audio", audio.audio_to_audio, media_results.sounds, binary_input=True)
    )
    text_to_speech = Method(
        Row("text-to-speech", audio.text_to_speech, media_results.media, binary_output=True)
    )
    text_to_audio = Method(
        Row("text-to-audio", audio.text_to_audio, media_results.media, binary_output=True)
    )

    # Tables of numbers.
    tabular_classification = Method(
        Row("tabular-classification", audio.tabular_classification, results.classes)
    )
    tabular_regression = Method(Row("tabular-regression", audio.tabular_regression, results.scores))


TASKS: dict[str, Row[..., Any]] = {
    row.spec.id: row.spec for row in vars(Table).values() if isinstance(row, Method)
}
"""Task id -> row, in the order of the table."""
