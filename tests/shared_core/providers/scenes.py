"""The queues of the providers, as the protocol reference (7.3 to 7.8) writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared_core.providers.jobs import Queue
from shared_core.providers.novita import CODECS as NOVITA
from shared_core.providers.registry import codec
from shared_core.tasks.spec import Payload
from tests.shared_core.providers.driving import picture, text


@dataclass(frozen=True)
class Scene:
    """One queued pair; ``{origin}`` in answers is where the provider says that it is."""

    provider: str
    task: str
    provider_id: str
    payload: Payload
    submit: str
    accepted: dict[str, Any]
    status: str
    waiting: dict[str, Any]
    done: dict[str, Any]
    failed: dict[str, Any]
    result: str | None = None
    results: dict[str, Any] | None = None
    media_type: str = "video/mp4"
    job_id: str = "j1"

    @property
    def name(self) -> str:
        return f"{self.provider}-{self.task}"

    @property
    def queue(self) -> Queue:
        """The codec, for tests that give it another clock."""
        found = codec(self.provider, self.task)
        if self.provider == "novita":
            found = NOVITA["text-to-video"].queued  # type: ignore[attr-defined]
        assert isinstance(found, Queue)
        return found

    @property
    def steps(self) -> list[str]:
        middle = [] if self.result is None else ["result"]
        return ["poll", *middle, "media"]


MEDIA = "https://media.example/out/1"


def fal(task: str, payload: Payload, results: dict[str, Any], kind: str = "video/mp4") -> Scene:
    return Scene(
        provider="fal-ai",
        task=task,
        provider_id="fal-ai/wan/v2",
        payload=payload,
        submit="/fal-ai/wan/v2?_subdomain=queue",
        accepted={
            "request_id": "j1",
            "status": "IN_QUEUE",
            "response_url": "https://queue.fal.run/fal-ai/wan/requests/j1",
        },
        status="/fal-ai/wan/requests/j1/status?_subdomain=queue",
        waiting={"status": "IN_PROGRESS", "request_id": "j1"},
        done={"status": "COMPLETED", "request_id": "j1"},
        failed={"status": "COMPLETED", "request_id": "j1", "error": "the worker fell over"},
        result="/fal-ai/wan/requests/j1?_subdomain=queue",
        results=results,
        media_type=kind,
    )


def replicate(task: str, payload: Payload, provider_id: str, submit: str, kind: str) -> Scene:
    urls = {"get": "https://api.replicate.com/v1/predictions/j1", "cancel": "https://x.test/c"}
    base = {"id": "j1", "urls": urls, "error": None, "output": None}
    return Scene(
        provider="replicate",
        task=task,
        provider_id=provider_id,
        payload=payload,
        submit=submit,
        accepted={**base, "status": "starting"},
        status="/v1/predictions/j1",
        waiting={**base, "status": "processing"},
        done={**base, "status": "succeeded", "output": [MEDIA]},
        failed={**base, "status": "failed", "error": "the worker fell over"},
        media_type=kind,
    )


def together(task: str, payload: Payload) -> Scene:
    return Scene(
        provider="together",
        task=task,
        provider_id="Wan-AI/Wan2",
        payload=payload,
        submit="/v2/videos",
        accepted={"id": "j1"},
        status="/v2/videos/j1",
        waiting={"id": "j1", "status": "in_progress"},
        done={"id": "j1", "status": "completed", "outputs": {"video_url": MEDIA}},
        failed={"id": "j1", "status": "failed", "error": {"message": "the worker fell over"}},
    )


def wavespeed(task: str, payload: Payload, kind: str) -> Scene:
    urls = {"get": "https://api.wavespeed.ai/api/v3/predictions/j1/result"}
    return Scene(
        provider="wavespeed",
        task=task,
        provider_id="wavespeed-ai/wan/480p",
        payload=payload,
        submit="/api/v3/wavespeed-ai/wan/480p",
        accepted={"code": 200, "data": {"id": "j1", "status": "created", "urls": urls}},
        status="/api/v3/predictions/j1/result",
        waiting={"data": {"id": "j1", "status": "processing"}},
        done={"data": {"id": "j1", "status": "completed", "outputs": [MEDIA]}},
        failed={"data": {"id": "j1", "status": "failed", "error": "the worker fell over"}},
        media_type=kind,
    )


VIDEO = {"video": {"url": MEDIA, "content_type": "video/mp4"}}
IMAGE = {"images": [{"url": MEDIA, "content_type": "image/png", "width": 8, "height": 8}]}
VERSION = "5599ed30"

SCENES = [
    fal("text-to-video", text(), VIDEO),
    fal("image-to-video", picture(prompt="run"), VIDEO),
    fal("image-text-to-video", picture(prompt="run"), VIDEO),
    fal("image-to-image", picture(prompt="grey"), IMAGE, "image/png"),
    fal("image-text-to-image", picture(prompt="grey"), IMAGE, "image/png"),
    fal("text-to-audio", text("rain"), {"audio_file": {"url": MEDIA}}, "audio/wav"),
    fal("image-segmentation", picture(), {"image": {"url": MEDIA}}, "image/png"),
    fal(
        "audio-to-audio",
        Payload(binary=b"fLaC" + bytes(9), media_type="audio/flac"),
        {"audio": {"url": MEDIA, "content_type": "audio/wav"}, "text": "voice"},
        "audio/wav",
    ),
    replicate(
        "text-to-image", text(), "acme/flux", "/v1/models/acme/flux/predictions", "image/png"
    ),
    replicate("image-to-image", picture(), f"acme/f:{VERSION}", "/v1/predictions", "image/png"),
    replicate("text-to-video", text(), f"acme/f:{VERSION}", "/v1/predictions", "video/mp4"),
    replicate("text-to-speech", text("hi"), f"acme/f:{VERSION}", "/v1/predictions", "audio/mpeg"),
    together("text-to-video", text()),
    together("image-to-video", picture(prompt="run")),
    Scene(
        provider="novita",
        task="text-to-video",
        provider_id="wan-t2v",
        payload=text(),
        submit="/v3/async/wan-t2v",
        accepted={"task_id": "j1"},
        status="/v3/async/task-result?task_id=j1",
        waiting={"task": {"task_id": "j1", "status": "TASK_STATUS_PROCESSING"}, "videos": []},
        done={"task": {"status": "TASK_STATUS_SUCCEED"}, "videos": [{"video_url": MEDIA}]},
        failed={"task": {"status": "TASK_STATUS_FAILED", "reason": "the worker fell over"}},
    ),
    wavespeed("text-to-image", text(), "image/png"),
    wavespeed("text-to-video", text(), "video/mp4"),
    wavespeed("image-to-image", picture(), "image/png"),
    wavespeed("image-to-video", picture(prompt="run"), "video/mp4"),
    Scene(
        provider="zai-org",
        task="text-to-image",
        provider_id="glm-image",
        payload=text(),
        submit="/api/paas/v4/async/images/generations",
        accepted={"id": "j1", "request_id": "q1", "task_status": "PROCESSING"},
        status="/api/paas/v4/async-result/j1",
        waiting={"id": "j1", "task_status": "PROCESSING"},
        done={"id": "j1", "task_status": "SUCCESS", "image_result": [{"url": MEDIA}]},
        failed={"id": "j1", "task_status": "FAIL", "message": "the worker fell over"},
        media_type="image/png",
    ),
]
