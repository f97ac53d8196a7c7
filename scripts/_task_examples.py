"""One example per task for docs/tasks.md, with an answer of the documented form to run it on."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)
"""A PNG of one white pixel."""

_MASK = base64.b64encode(PIXEL).decode()
_SOUND = base64.b64encode(b"fLaC....").decode()
_BOXES = [{"label": "cat", "score": 0.9, "box": {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}}]
_LABELS = [{"label": "a", "score": 0.8}, {"label": "b", "score": 0.2}]


class Example(NamedTuple):
    """Code that uses ``client``, and what the service answers.

    Attributes:
        code: The example.
        answer: JSON value, or the bytes of a file.
        media_type: Content type of a file.
        prints: What the code prints.
    """

    code: str
    answer: Any
    media_type: str = "application/json"
    prints: str = ""


EXAMPLES: dict[str, Example] = {
    "text_classification": Example(
        'found = client.tasks.text_classification("I like you", model="org/sentiment")\n'
        "print(found[0].label, found[0].score)",
        [[{"label": "POSITIVE", "score": 0.99}, {"label": "NEGATIVE", "score": 0.01}]],
        prints="POSITIVE 0.99",
    ),
    "token_classification": Example(
        'found = client.tasks.token_classification("Ann lives in Oslo", model="org/ner")\n'
        "print([(entity.word, entity.label) for entity in found])",
        [
            {"entity_group": "PER", "score": 0.9, "word": "Ann", "start": 0, "end": 3},
            {"entity_group": "LOC", "score": 0.9, "word": "Oslo", "start": 13, "end": 17},
        ],
        prints="[('Ann', 'PER'), ('Oslo', 'LOC')]",
    ),
    "question_answering": Example(
        'context = "The tower was built in 1889."\n'
        'found = client.tasks.question_answering("When was it built?", context, model="o/squad")\n'
        "print(found[0].answer)",
        {"score": 0.9, "start": 23, "end": 27, "answer": "1889"},
        prints="1889",
    ),
    "table_question_answering": Example(
        'table = {"Team": ["A", "B"], "Points": [3, 5]}\n'
        'found = client.tasks.table_question_answering("Points of B?", table, model="org/tapas")\n'
        "print(found.answer, found.coordinates)",
        {"answer": "5", "coordinates": [[1, 1]], "cells": ["5"], "aggregator": "NONE"},
        prints="5 [(1, 1)]",
    ),
    "fill_mask": Example(
        'found = client.tasks.fill_mask("Paris is the [MASK] of France.", model="org/bert")\n'
        "print(found[0].text)",
        [{"score": 0.9, "token": 3007, "token_str": "capital", "sequence": "paris is the capital"}],
        prints="capital",
    ),
    "zero_shot_classification": Example(
        "found = client.tasks.zero_shot_classification(\n"
        '    "My parcel never came", ["delivery", "refund"], model="facebook/bart-large-mnli"\n'
        ")\n"
        "print(found[0].label)",
        [{"label": "delivery", "score": 0.96}, {"label": "refund", "score": 0.04}],
        prints="delivery",
    ),
    "summarization": Example(
        'found = client.tasks.summarization("A very long text ...", model="org/bart-cnn")\n'
        "print(found.text)",
        [{"summary_text": "A short text."}],
        prints="A short text.",
    ),
    "translation": Example(
        "found = client.tasks.translation(\n"
        '    "Hello world", src_lang="en_XX", tgt_lang="de_DE", model="org/mbart"\n'
        ")\n"
        "print(found.text)",
        [{"translation_text": "Hallo Welt"}],
        prints="Hallo Welt",
    ),
    "text2text_generation": Example(
        'found = client.tasks.text2text_generation("translate to German: Hi", model="org/t5")\n'
        "print(found.text)",
        [{"generated_text": "Hallo"}],
        prints="Hallo",
    ),
    "text_generation": Example(
        'found = client.tasks.text_generation("Once upon", details=True, model="org/gpt")\n'
        "print(found.text, found.details.finish_reason if found.details else None)",
        [
            {
                "generated_text": " a time",
                "details": {
                    "finish_reason": "length",
                    "generated_tokens": 2,
                    "seed": None,
                    "prefill": [],
                    "tokens": [{"id": 2, "text": " a", "logprob": -0.1, "special": False}],
                },
            }
        ],
        prints=" a time length",
    ),
    "sentence_similarity": Example(
        "scores = client.tasks.sentence_similarity(\n"
        '    "a cat", ["a feline", "a stock"], model="sentence-transformers/all-MiniLM-L6-v2"\n'
        ")\n"
        "print(scores)",
        [0.91, 0.12],
        prints="[0.91, 0.12]",
    ),
    "text_ranking": Example(
        'texts = ["a stock", "a feline"]\n'
        'found = client.tasks.text_ranking("cat", texts, model="https://my-tei.example")\n'
        "print(texts[found[0].index])",
        [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.9}],
        prints="a feline",
    ),
    "feature_extraction": Example(
        'array = client.tasks.feature_extraction("a cat", normalize=True, model="org/embedder")\n'
        "print(array.shape)",
        [[0.6, 0.8]],
        prints="(1, 2)",
    ),
    "image_classification": Example(
        'found = client.tasks.image_classification("cat.png", top_k=2, model="org/vit")\n'
        "print(found[0].label)",
        _LABELS,
        prints="a",
    ),
    "object_detection": Example(
        'found = client.tasks.object_detection("cat.png", threshold=0.5, model="org/detr")\n'
        "print(found[0].label, found[0].box.xmax)",
        _BOXES,
        prints="cat 30.0",
    ),
    "image_segmentation": Example(
        'found = client.tasks.image_segmentation("cat.png", model="org/detr-panoptic")\n'
        "print(found[0].label, found[0].mask.media_type)",
        [{"label": "cat", "score": 0.9, "mask": _MASK}],
        prints="cat image/png",
    ),
    "image_to_text": Example(
        'found = client.tasks.image_to_text("cat.png", model="org/blip")\nprint(found.text)',
        [{"generated_text": "a cat on a mat"}],
        prints="a cat on a mat",
    ),
    "zero_shot_image_classification": Example(
        "found = client.tasks.zero_shot_image_classification(\n"
        '    "cat.png", ["a", "b"], model="openai/clip-vit-base-patch32"\n'
        ")\n"
        "print(found[0].label)",
        _LABELS,
        prints="a",
    ),
    "zero_shot_object_detection": Example(
        'found = client.tasks.zero_shot_object_detection("cat.png", ["cat"], model="org/owlvit")\n'
        "print(found[0].box.xmin)",
        _BOXES,
        prints="1.0",
    ),
    "visual_question_answering": Example(
        'found = client.tasks.visual_question_answering("cat.png", "Which animal?", '
        'model="org/vilt")\n'
        "print(found[0].answer)",
        [{"answer": "cat", "score": 0.9}],
        prints="cat",
    ),
    "document_question_answering": Example(
        "found = client.tasks.document_question_answering(\n"
        '    "page.png", "What is the total?", model="org/donut"\n'
        ")\n"
        "print(found[0].answer)",
        [{"answer": "99.50"}],
        prints="99.50",
    ),
    "depth_estimation": Example(
        'found = client.tasks.depth_estimation("cat.png", model="https://my-server.example")\n'
        "print(found.image)",
        {"depth": _MASK, "predicted_depth": [[1.0]]},
        prints=f"Media('image/png', {len(PIXEL)} bytes)",
    ),
    "video_classification": Example(
        'found = client.tasks.video_classification("clip.mp4", top_k=2, model="org/timesformer")\n'
        "print(found[0].label)",
        _LABELS,
        prints="a",
    ),
    "text_to_image": Example(
        'image = client.tasks.text_to_image("A lighthouse", width=512, model="org/diffusion")\n'
        'image.save("lighthouse.png")',
        PIXEL,
        "image/png",
    ),
    "image_to_image": Example(
        'image = client.tasks.image_to_image("cat.png", "as a drawing", model="org/pix2pix")\n'
        'image.save("drawing.png")',
        PIXEL,
        "image/png",
    ),
    "image_text_to_image": Example(
        'image = client.tasks.image_text_to_image("cat.png", "with a hat", '
        'model="https://my-server.example")\n'
        'image.save("hat.png")',
        {"data": [{"b64_json": _MASK}]},
    ),
    "text_to_video": Example(
        'video = client.tasks.text_to_video("Waves", model="https://my-server.example")\n'
        'video.save("waves.mp4")',
        b"....ftypisom",
        "video/mp4",
    ),
    "image_to_video": Example(
        'video = client.tasks.image_to_video("cat.png", "it jumps", '
        'model="https://my-server.example")\n'
        'video.save("jump.mp4")',
        b"....ftypisom",
        "video/mp4",
    ),
    "image_text_to_video": Example(
        'video = client.tasks.image_text_to_video("cat.png", "it jumps", '
        'model="https://my-server.example")\n'
        'video.save("jump.mp4")',
        b"....ftypisom",
        "video/mp4",
    ),
    "text_to_3d": Example(
        'model = client.tasks.text_to_3d("A chair", model="https://my-server.example")\n'
        'model.save("chair.glb")',
        b"glTF....",
        "model/gltf-binary",
    ),
    "image_to_3d": Example(
        'model = client.tasks.image_to_3d("cat.png", model="https://my-server.example")\n'
        'model.save("cat.glb")',
        b"glTF....",
        "model/gltf-binary",
    ),
    "automatic_speech_recognition": Example(
        "found = client.tasks.automatic_speech_recognition(\n"
        '    "speech.flac", return_timestamps=True, model="openai/whisper-large-v3"\n'
        ")\n"
        "print(found.chunks[0].start, found.chunks[0].text)",
        {"text": "Hello.", "chunks": [{"text": "Hello.", "timestamp": [0.0, None]}]},
        prints="0.0 Hello.",
    ),
    "audio_classification": Example(
        'found = client.tasks.audio_classification("speech.flac", model="org/wav2vec2")\n'
        "print(found[0].label)",
        _LABELS,
        prints="a",
    ),
    "audio_to_audio": Example(
        'found = client.tasks.audio_to_audio("speech.flac", model="org/sepformer")\n'
        "for sound in found:\n"
        "    sound.audio.save(sound.label)",
        [{"label": "label_0", "blob": _SOUND, "content-type": "audio/flac"}],
    ),
    "text_to_speech": Example(
        'sound = client.tasks.text_to_speech("Hello world", model="org/vits")\n'
        'sound.save("hello.flac")',
        b"fLaC....",
        "audio/flac",
    ),
    "text_to_audio": Example(
        'sound = client.tasks.text_to_audio("Rain", model="https://my-server.example")\n'
        'sound.save("rain.flac")',
        b"fLaC....",
        "audio/flac",
    ),
    "tabular_classification": Example(
        'rows = {"length": [7.4, 7.8], "width": [0.7, 0.9]}\n'
        'print(client.tasks.tabular_classification(rows, model="org/iris"))',
        [5, 7],
        prints="[5, 7]",
    ),
    "tabular_regression": Example(
        'rows = {"length": [7.4, 7.8], "width": [0.7, 0.9]}\n'
        'print(client.tasks.tabular_regression(rows, model="org/weights"))',
        [5.1, 5.6],
        prints="[5.1, 5.6]",
    ),
}
