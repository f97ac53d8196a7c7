"""From ``client.tasks`` to the typed result, for every kind of answer that providers give."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared_core.errors import UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.media.output import Media
from shared_core.tasks.resource import Tasks
from tests.shared_core.providers.driving import PNG, Drive, answer, core, file
from tests.shared_core.providers.scenes import MEDIA, SCENES

WAV = b"RIFFxxxxWAVEfmt "


def tasks(*answers: Any) -> Tasks:
    def run(flow: Flow[Any]) -> Any:
        driven = Drive()
        found = driven.run(flow, answers)
        assert driven.unused == []
        return found

    return Tasks(core(), run)


def story(task: str, content: bytes) -> list[Any]:
    scene = next(s for s in SCENES if (s.provider, s.task) == ("fal-ai", task))
    done = [answer(scene.accepted), answer(scene.done), answer(scene.results)]
    return [*done, file(content, scene.media_type)]


FAL = {"provider": "fal-ai", "provider_id": "fal-ai/wan/v2"}


def test_text_generation() -> None:
    reply = {"choices": [{"text": " upon", "finish_reason": "length"}]}
    found = tasks(answer(reply)).text_generation(
        "Once", model="a/b", provider="together", provider_id="m", max_new_tokens=1
    )
    assert found.text == " upon"
    assert found.details is not None
    assert found.details.finish_reason == "length"


def test_feature_extraction() -> None:
    reply = {"data": [{"index": 0, "embedding": [1, 2.5]}]}
    found = tasks(answer(reply)).feature_extraction(
        "text", model="a/b", provider="scaleway", provider_id="m"
    )
    assert found.tolist() == [[1, 2.5]]


def test_speech_recognition() -> None:
    reply = {"text": "Hi", "chunks": [{"text": "Hi", "timestamp": [0, 1.5]}]}
    found = tasks(answer(reply)).automatic_speech_recognition(WAV, model="a/b", **FAL)
    assert (found.text, found.chunks[0].end) == ("Hi", 1.5)


def test_segments() -> None:
    (found,) = tasks(*story("image-segmentation", PNG)).image_segmentation(PNG, model="a/b", **FAL)
    assert (found.label, found.mask.content) == ("mask", PNG)


def test_sounds() -> None:
    (found,) = tasks(*story("audio-to-audio", WAV)).audio_to_audio(WAV, model="a/b", **FAL)
    assert (found.label, found.audio.content) == ("voice", WAV)


def test_documents() -> None:
    found = tasks(answer({"md_results": "# Title"})).image_to_text(
        PNG, model="a/b", provider="zai-org", provider_id="m"
    )
    assert found.text == "# Title"


@pytest.mark.parametrize(
    ("task", "given"),
    [
        ("text_to_video", {"prompt": "a cat"}),
        ("text_to_audio", {"text": "rain"}),
        ("image_to_video", {"image": PNG}),
        ("image_to_image", {"image": PNG, "prompt": "grey"}),
        ("image_text_to_image", {"image": PNG, "prompt": "grey"}),
        ("image_text_to_video", {"image": PNG, "prompt": "run"}),
    ],
)
def test_files(task: str, given: dict[str, Any]) -> None:
    method = getattr(tasks(*story(task.replace("_", "-"), b"made")), task)
    found = method(**given, model="a/b", **FAL)
    assert isinstance(found, Media)
    assert (found.content, found.url) == (b"made", MEDIA)


def test_images_and_speech() -> None:
    reply = answer({"data": [{"b64_json": base64.b64encode(PNG).decode()}]})
    made = tasks(reply).text_to_image("x", model="a/b", provider="nscale", provider_id="m")
    assert made == Media(PNG, "image/png")
    spoken = tasks(file(WAV, "audio/wav")).text_to_speech(
        "Hi", model="a/b", provider="deepinfra", provider_id="m"
    )
    assert spoken == Media(WAV, "audio/wav")


def test_refused_before_the_network() -> None:
    with pytest.raises(UnsupportedTaskError, match="groq does not serve text-to-image"):
        tasks().text_to_image("x", model="a/b", provider="groq")
    with pytest.raises(UnsupportedTaskError, match="fal-ai does not serve fill-mask"):
        tasks().fill_mask("x <mask>", model="a/b", provider="fal-ai")
