"""Recorded calls of providers round-trip: the same requests go out, the replies become results.

What differs is in docs/recordings.md.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote

import pytest

from shared_core.flow import Flow
from shared_core.media.output import Media
from shared_core.tasks.resource import Tasks
from shared_core.wire.messages import Headers, WireResponse
from tests.recordings.exchanges import ABSENT, FOLDER, Exchange, exchanges
from tests.recordings.kinds import of_kind
from tests.shared_core.providers.driving import Drive, core

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)

PROMPT = "An astronaut riding a horse on the moon."
SIZE = {"width": 512, "height": 512}
IMAGES = [
    ("black-forest-labs", "black-forest-labs/FLUX.1-dev", {}, "image/jpeg"),
    ("fal-ai", "black-forest-labs/FLUX.1-dev", {}, "image/png"),
    ("hyperbolic", "stabilityai/stable-diffusion-2", SIZE, "image/png"),
    ("nebius", "stabilityai/stable-diffusion-xl-base-1.0", SIZE, "image/webp"),
    ("replicate", "ByteDance/SDXL-Lightning", {}, "image/png"),
    ("together", "stabilityai/stable-diffusion-xl-base-1.0", {}, "image/jpeg"),
]


def recorded(provider: str, task: str) -> list[Exchange]:
    return [item for item in exchanges() if f"[{provider},{task}]" in item.name]


class Replay:
    """A client whose requests are answered from a recording."""

    def __init__(self, story: list[Exchange]) -> None:
        self.story = story
        self.driven = Drive()
        self.tasks = Tasks(core(), self._run)

    def _run(self, flow: Flow[Any]) -> Any:
        answers = [
            WireResponse(status=item.status, headers=Headers(item.headers), content=item.body)
            for item in self.story
        ]
        return self.driven.run(flow, answers)

    def check(self) -> None:
        """The requests are those of the recording, but for the table above."""
        assert self.driven.unused == []
        for sent, item in zip(self.driven.requests, self.story, strict=True):
            assert sent.method == item.method
            assert unquote(sent.url).replace("expand[]=", "expand=") == unquote(item.url)
            assert sent.json == item.sent
            assert sent.auth == ("huggingface.co/" in item.url)
            assert sent.headers.get("Prefer") == item.sent_headers.get("prefer")


PLAYED = [*of_kind("provider's answer"), *of_kind("state of a job"), *of_kind("file made")]


def test_every_story_is_played() -> None:
    stories = {item.name.partition("#")[0] for item in PLAYED}
    played = [recorded(provider, "text-to-image") for provider, *_ in IMAGES]
    played.append(recorded("fal-ai", "automatic-speech-recognition"))
    assert stories == {story[0].name.partition("#")[0] for story in played}


@pytest.mark.parametrize(("provider", "model", "size", "kind"), IMAGES, ids=lambda v: str(v)[:20])
def test_text_to_image(provider: str, model: str, size: dict[str, int], kind: str) -> None:
    replay = Replay(recorded(provider, "text-to-image"))
    image = replay.tasks.text_to_image(PROMPT, model=model, provider=provider, **size)
    replay.check()
    assert isinstance(image, Media)
    assert image.media_type == kind
    assert len(image.content) > 10_000


def test_speech_recognition() -> None:
    story = recorded("fal-ai", "automatic-speech-recognition")
    sound = base64.b64decode(story[1].sent["audio_url"].partition(",")[2])
    replay = Replay(story)
    found = replay.tasks.automatic_speech_recognition(
        sound, model="openai/whisper-large-v3", provider="fal-ai"
    )
    replay.check()
    assert found.text == " A man said to the universe, Sir, I exist."
    assert [(piece.start, piece.end) for piece in found.chunks] == [(0.0, 4.08)]
