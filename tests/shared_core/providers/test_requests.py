"""What goes out for every pair that is one request, and what its answer becomes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared_core.errors import APIResponseValidationError, InvalidSettingError, JobFailedError
from shared_core.media.output import Media
from shared_core.providers.base import ProviderMapping, Route
from shared_core.providers.registry import codec
from shared_core.tasks.spec import Payload
from tests.shared_core.providers.driving import (
    PNG,
    ROUTER,
    Drive,
    answer,
    core,
    drive,
    file,
    options,
    picture,
    text,
)

M = "acme/model-1"
B64 = base64.b64encode(PNG).decode()
DATA_URL = f"data:image/png;base64,{B64}"
SPEECH = Payload(binary=b"RIFFxxxxWAVE", media_type="audio/wav")


def route(provider: str, task: str, provider_id: str = M, **more: Any) -> Route:
    return Route(
        provider=provider,
        task=task,
        model="acme/hub",
        provider_id=provider_id,
        base=f"{ROUTER}/{provider}",
        **more,
    )


def call(
    provider: str,
    task: str,
    payload: Payload,
    *answers: Any,
    provider_id: str = M,
    mapping: ProviderMapping | None = None,
    **given: Any,
) -> Drive:
    way = route(provider, task, provider_id, mapping=mapping)
    return drive(codec(provider, task).flow(core(), way, payload, options(**given)), *answers)


def first(provider: str, task: str, payload: Payload, **more: Any) -> Any:
    """Return the first request of a call that gets no further."""
    way = route(provider, task, more.pop("provider_id", M), mapping=more.pop("mapping", None))
    flow = codec(provider, task).flow(core(), way, payload, options(**more))
    effect = next(flow)
    flow.close()
    return effect.request  # type: ignore[union-attr]


# --- the OpenAI form --------------------------------------------------------------------

COMPLETIONS = {
    "deepinfra": "/v1/openai/completions",
    "featherless-ai": "/v1/completions",
    "novita": "/v3/openai/completions",
    "ovhcloud": "/v1/completions",
    "scaleway": "/v1/completions",
    "together": "/v1/completions",
}


@pytest.mark.parametrize(("provider", "path"), COMPLETIONS.items())
def test_text_generation(provider: str, path: str) -> None:
    reply = {
        "choices": [{"text": " upon a time", "finish_reason": "length", "index": 0}],
        "usage": {"completion_tokens": 3},
    }
    payload = text("Once", max_new_tokens=3, temperature=0.5, details=True)
    driven = call(provider, "text-generation", payload, answer(reply), extra_body={"min_p": 0.1})
    request = driven.requests[0]
    assert request.url == f"{ROUTER}/{provider}{path}"
    assert request.json == {
        "model": M,
        "prompt": "Once",
        "max_tokens": 3,
        "temperature": 0.5,
        "min_p": 0.1,
    }
    assert next(iter(request.json)) == "model"
    assert driven.result == {
        "generated_text": " upon a time",
        "details": {"finish_reason": "length", "generated_tokens": 3},
    }


def test_full_text_is_refused_before_the_network() -> None:
    with pytest.raises(InvalidSettingError, match="return_full_text"):
        first("together", "text-generation", text(return_full_text=True))


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("deepinfra", "/v1/openai/embeddings"),
        ("scaleway", "/v1/embeddings"),
        ("together", "/v1/embeddings"),
        ("nebius", "/v1/embeddings"),
        ("sambanova", "/v1/embeddings"),
    ],
)
def test_feature_extraction(provider: str, path: str) -> None:
    rows = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    payload = Payload(inputs=["a", "b"], parameters={"dimensions": 2})
    driven = call(provider, "feature-extraction", payload, answer({"data": rows}))
    assert driven.requests[0].url == f"{ROUTER}/{provider}{path}"
    assert driven.requests[0].json == {"model": M, "input": ["a", "b"], "dimensions": 2}
    assert driven.result == [[1, 2], [3, 4]]
    with pytest.raises(InvalidSettingError, match="normalize"):
        first(provider, "feature-extraction", text("a", normalize=True))


@pytest.mark.parametrize(
    ("provider", "path"),
    [("deepinfra", "/v1/openai/audio/speech"), ("together", "/v1/audio/speech")],
)
def test_speech(provider: str, path: str) -> None:
    payload = text("Hello", voice="amy", generation_parameters={"speed": 2})
    driven = call(provider, "text-to-speech", payload, file(b"ID3 sound", "audio/mpeg"))
    request = driven.requests[0]
    assert request.url == f"{ROUTER}/{provider}{path}"
    assert request.json == {"model": M, "input": "Hello", "voice": "amy", "speed": 2}
    assert driven.result == Media(b"ID3 sound", "audio/mpeg")
    with pytest.raises(APIResponseValidationError, match="not a sound"):
        call(provider, "text-to-speech", payload, answer({"audio": "?"}))


def test_voice_is_needed_at_together_only() -> None:
    with pytest.raises(InvalidSettingError, match="voice"):
        first("together", "text-to-speech", text("Hello"))
    assert first("together", "text-to-speech", text("Hello"), extra_body={"voice": "amy"}).json
    assert "voice" not in first("deepinfra", "text-to-speech", text("Hello")).json


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("deepinfra", "/v1/openai/audio/transcriptions"),
        ("together", "/v1/audio/transcriptions"),
    ],
)
def test_speech_recognition(provider: str, path: str) -> None:
    payload = Payload(
        binary=SPEECH.binary,
        media_type="audio/wav",
        parameters={"return_timestamps": True, "generation_parameters": {"temperature": 0.5}},
    )
    segments = [{"text": " Hi", "start": 0.0, "end": 1.5, "id": 0}]
    reply = answer({"text": " Hi", "segments": segments})
    driven = call(
        provider,
        "automatic-speech-recognition",
        payload,
        reply,
        extra_body={"language": "en", "hints": ["a"]},
    )
    request = driven.requests[0]
    assert request.url == f"{ROUTER}/{provider}{path}"
    assert request.json is None
    fields = read_form(request.headers["Content-Type"], request.content)
    assert fields == {
        "file": ('filename="audio.wav"', "audio/wav", b"RIFFxxxxWAVE"),
        "model": (None, None, M.encode()),
        "return_timestamps": (None, None, b"true"),
        "temperature": (None, None, b"0.5"),
        "language": (None, None, b"en"),
        "hints": (None, None, b'["a"]'),
    }
    assert driven.result == {"text": " Hi", "chunks": [{"text": " Hi", "timestamp": [0.0, 1.5]}]}


def read_form(kind: str, body: bytes) -> dict[str, Any]:
    """Read a form as the standard library's mail parser does."""
    import email.policy
    from email.parser import BytesParser

    parser = BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    found = {}
    for part in message.iter_parts():
        about = part.params if hasattr(part, "params") else dict(part["content-disposition"].params)
        name = about["name"]
        file_name = about.get("filename")
        declared = part.get_content_type() if part["content-type"] else None
        found[name] = (
            f'filename="{file_name}"' if file_name else None,
            declared,
            part.get_payload(decode=True),
        )
    return found


def test_form_needs_the_bytes() -> None:
    with pytest.raises(InvalidSettingError, match="file itself"):
        first("deepinfra", "automatic-speech-recognition", Payload(url="https://x.test/a.wav"))


# --- images -----------------------------------------------------------------------------

SIZED = {"width": 64, "height": 32, "num_inference_steps": 4, "guidance_scale": 2.0, "seed": 7}


@pytest.mark.parametrize(
    ("provider", "path", "body"),
    [
        (
            "together",
            "/v1/images/generations",
            {
                "model": M,
                "response_format": "base64",
                "prompt": "a cat",
                "width": 64,
                "height": 32,
                "steps": 4,
                "guidance_scale": 2.0,
                "seed": 7,
            },
        ),
        (
            "nscale",
            "/v1/images/generations",
            {
                "model": M,
                "response_format": "b64_json",
                "prompt": "a cat",
                "size": "64x32",
                "seed": 7,
            },
        ),
    ],
)
def test_text_to_image_in_the_answer(provider: str, path: str, body: dict[str, Any]) -> None:
    reply = answer({"data": [{"b64_json": B64, "index": 0}]})
    driven = call(provider, "text-to-image", text(**SIZED), reply)
    assert driven.requests[0].url == f"{ROUTER}/{provider}{path}"
    assert driven.requests[0].json == body
    assert driven.result == Media(PNG, "image/png")


def test_text_to_image_at_an_address() -> None:
    reply = answer({"data": [{"url": "https://x.test/i"}]})
    driven = call("together", "text-to-image", text(), reply, file(kind=None))
    assert driven.result == Media(PNG, "image/png", "https://x.test/i")
    assert not driven.requests[1].auth


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("black-forest-labs/FLUX.1-Kontext-pro", {"image_url": DATA_URL}),
        ("google/flash-image", {"reference_images": [DATA_URL]}),
    ],
)
def test_image_to_image_at_together(model: str, expected: dict[str, Any]) -> None:
    payload = picture(num_inference_steps=4, target_size={"width": 8, "height": 4})
    request = first("together", "image-to-image", payload, provider_id=model)
    assert request.json == {
        "model": model,
        "prompt": "",
        "response_format": "base64",
        **expected,
        "steps": 4,
        "width": 8,
        "height": 4,
    }


# --- fal-ai -----------------------------------------------------------------------------


def test_fal_text_to_image() -> None:
    reply = {"images": [{"url": "https://v3.fal.media/i.png", "content_type": "image/png"}]}
    driven = call(
        "fal-ai",
        "text-to-image",
        text(**SIZED),
        answer(reply),
        file(kind="application/octet-stream"),
        provider_id="fal-ai/flux/dev",
    )
    assert driven.requests[0].url == f"{ROUTER}/fal-ai/fal-ai/flux/dev"
    assert driven.requests[0].json == {
        "prompt": "a cat",
        "num_inference_steps": 4,
        "guidance_scale": 2.0,
        "seed": 7,
        "image_size": {"width": 64, "height": 32},
    }
    assert driven.result == Media(PNG, "image/png", "https://v3.fal.media/i.png")


@pytest.mark.parametrize("model", ["fal-ai/flux-lora", "fal-ai/lora"])
def test_fal_loads_a_lora_from_the_hub(model: str) -> None:
    mapping = ProviderMapping(
        provider="fal-ai", provider_id=model, adapter="lora", adapter_weights_path="w.safetensors"
    )
    request = first("fal-ai", "text-to-image", text(), provider_id=model, mapping=mapping)
    expected: dict[str, Any] = {
        "prompt": "a cat",
        "loras": [
            {"path": "https://huggingface.co/acme/hub/resolve/main/w.safetensors", "scale": 1}
        ],
    }
    if model == "fal-ai/lora":
        expected["model_name"] = "stabilityai/stable-diffusion-xl-base-1.0"
    assert request.json == expected


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("audio/mpeg", "audio/mpeg"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/wav", "audio/x-wav"),
        ("audio/x-wav", "audio/x-wav"),
        ("audio/webm;codecs=opus", "video/webm"),
        ("audio/flac", "audio/mpeg"),
        (None, "audio/mpeg"),
    ],
)
def test_fal_knows_few_labels_of_sounds(kind: str | None, label: str) -> None:
    payload = Payload(binary=b"abc", media_type=kind)
    request = first("fal-ai", "automatic-speech-recognition", payload)
    assert request.json == {"audio_url": f"data:{label};base64,YWJj"}


def test_fal_passes_addresses_of_sounds_on() -> None:
    payload = Payload(url="https://x.test/a.flac")
    request = first("fal-ai", "automatic-speech-recognition", payload)
    assert request.json == {"audio_url": "https://x.test/a.flac"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            {"text": " Hi", "chunks": [{"timestamp": [0.0, 1.0], "text": " Hi", "speaker": None}]},
            {"text": " Hi", "chunks": [{"text": " Hi", "timestamp": [0.0, 1.0]}]},
        ),
        (
            {"output": "Hi", "segments": [{"text": "Hi", "start": 0.0, "end": None}]},
            {"text": "Hi", "chunks": [{"text": "Hi", "timestamp": [0.0, None]}]},
        ),
        ({"text": ""}, {"text": ""}),
    ],
)
def test_fal_transcriptions(reply: Any, expected: Any) -> None:
    driven = call("fal-ai", "automatic-speech-recognition", SPEECH, answer(reply))
    assert driven.result == expected


def test_fal_speech() -> None:
    reply = answer({"audio": {"url": "https://v3.fal.media/a", "content_type": "audio/wav"}})
    driven = call("fal-ai", "text-to-speech", text("Hi"), reply, file(b"RIFF", "audio/wav"))
    assert driven.requests[0].json == {"text": "Hi"}
    assert driven.result == Media(b"RIFF", "audio/wav", "https://v3.fal.media/a")


def test_fal_segmentation_and_images() -> None:
    assert first("fal-ai", "image-segmentation", picture(threshold=0.5)).json == {
        "image_url": DATA_URL,
        "sync_mode": True,
        "threshold": 0.5,
    }
    payload = picture(prompt="grey", target_size={"width": 8, "height": 4})
    assert first("fal-ai", "image-to-image", payload).json == {
        "image_url": DATA_URL,
        "image_urls": [DATA_URL],
        "prompt": "grey",
        "image_size": {"width": 8, "height": 4},
    }
    assert first("fal-ai", "image-to-video", Payload(url="https://x.test/i.png")).json == {
        "image_url": "https://x.test/i.png"
    }


# --- replicate --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path", "version"),
    [
        ("acme/flux", "/v1/models/acme/flux/predictions", None),
        ("acme/flux:9f2c", "/v1/predictions", "9f2c"),
    ],
)
def test_replicate_addresses(model: str, path: str, version: str | None) -> None:
    request = first("replicate", "text-to-image", text(seed=1), provider_id=model)
    assert request.url == f"{ROUTER}/replicate{path}"
    assert request.headers["Prefer"] == "wait"
    body = {"input": {"prompt": "a cat", "seed": 1}}
    assert request.json == (body if version is None else {**body, "version": version})


def test_replicate_bodies() -> None:
    lora = ProviderMapping(provider="replicate", provider_id="a/b", adapter="lora")
    request = first("replicate", "text-to-image", text(), mapping=lora)
    assert request.json["input"]["lora_weights"] == "https://huggingface.co/acme/hub"
    assert first("replicate", "text-to-speech", text("Hi")).json == {"input": {"text": "Hi"}}
    assert first("replicate", "image-to-image", picture(prompt="grey")).json["input"] == {
        "image": DATA_URL,
        "images": [DATA_URL],
        "input_image": DATA_URL,
        "input_images": [DATA_URL],
        "prompt": "grey",
    }
    extra = first("replicate", "text-to-image", text(), extra_body={"go_fast": True})
    assert extra.json == {"input": {"prompt": "a cat", "go_fast": True}}
    with pytest.raises(InvalidSettingError, match="owner/name"):
        first("replicate", "text-to-image", text(), provider_id="flux")


URLS = {"get": "https://api.replicate.com/v1/predictions/p1"}


@pytest.mark.parametrize(
    "output",
    [
        "Hello",
        ["Hello"],
        {"transcription": "Hello", "segments": []},
        {"translation": "Hello"},
    ],
)
def test_replicate_transcriptions(output: Any) -> None:
    reply = answer({"id": "p1", "urls": URLS, "status": "succeeded", "output": output}, 201)
    driven = call("replicate", "automatic-speech-recognition", SPEECH, reply)
    assert driven.result == {"text": "Hello"}
    assert driven.requests[0].json["input"]["audio"].startswith("data:audio/wav;base64,")


def test_replicate_transcription_in_a_file() -> None:
    output = {"txt_file": "https://replicate.delivery/t.txt"}
    reply = answer({"id": "p1", "urls": URLS, "status": "succeeded", "output": output}, 201)
    speech = file(b" Hello\n", "text/plain")
    driven = call("replicate", "automatic-speech-recognition", SPEECH, reply, speech)
    assert driven.result == {"text": "Hello"}
    assert not driven.requests[1].auth


def test_replicate_transcription_that_takes_longer() -> None:
    waiting = {"id": "p1", "urls": URLS, "status": "processing", "output": None, "error": None}
    done = {**waiting, "status": "succeeded", "output": "Hello"}
    driven = call(
        "replicate",
        "automatic-speech-recognition",
        SPEECH,
        answer(waiting, 201),
        answer(waiting),
        answer(done),
    )
    assert driven.result == {"text": "Hello"}
    assert [request.url for request in driven.requests[1:]] == [
        f"{ROUTER}/replicate/v1/predictions/p1"
    ] * 2
    assert driven.sleeps == [1.0, 1.0]


# --- the others -------------------------------------------------------------------------


def test_novita_falls_back_to_the_older_address() -> None:
    driven = call(
        "novita",
        "text-to-video",
        text(num_inference_steps=4),
        answer({"message": "not found"}, 404),
        answer({"video": {"video_url": "https://x.test/v"}}),
        file(b"video", "video/mp4"),
    )
    assert [request.url for request in driven.requests] == [
        f"{ROUTER}/novita/v3/async/{M}",
        f"{ROUTER}/novita/v3/hf/{M}",
        "https://x.test/v",
    ]
    assert driven.requests[0].json == {"prompt": "a cat", "steps": 4}
    assert driven.requests[1].json == {"prompt": "a cat", "num_inference_steps": 4}


def test_flux_asks_another_host_without_the_token() -> None:
    ticket = {"id": "f1", "polling_url": "https://api.us1.bfl.ai/v1/get_result?id=f1"}
    driven = call(
        "black-forest-labs",
        "text-to-image",
        text(),
        answer(ticket),
        answer({"id": "f1", "status": "Pending", "result": None}),
        answer({"id": "f1", "status": "Ready", "result": {"sample": "https://x.test/i.png"}}),
        file(),
        extra_headers={"X-Mine": "1"},
    )
    assert driven.result == Media(PNG, "image/png", "https://x.test/i.png")
    assert [request.auth for request in driven.requests] == [True, False, False, False]
    assert "X-Mine" not in driven.requests[1].headers
    with pytest.raises(JobFailedError, match="Request Moderated"):
        call(
            "black-forest-labs",
            "text-to-image",
            text(),
            answer(ticket),
            answer({"id": "f1", "status": "Request Moderated"}),
        )
    with pytest.raises(APIResponseValidationError, match="inside this network"):
        call(
            "black-forest-labs",
            "text-to-image",
            text(),
            answer({**ticket, "polling_url": "https://10.0.0.1/x"}),
        )


def test_zai_reads_documents() -> None:
    driven = call("zai-org", "image-to-text", picture(), answer({"md_results": "# Title"}))
    request = driven.requests[0]
    assert request.url == f"{ROUTER}/zai-org/api/paas/v4/layout_parsing"
    assert request.json == {"model": M, "file": DATA_URL}
    assert request.headers["x-source-channel"] == "hugging_face"
    assert request.headers["Accept-Language"] == "en-US,en"
    assert driven.result == {"generated_text": "# Title"}


def test_zai_and_together_and_wavespeed_bodies() -> None:
    zai = first("zai-org", "text-to-image", text(width=8, height=4))
    assert zai.json == {"model": M, "prompt": "a cat", "size": "8x4"}
    video = first("together", "image-to-video", picture(prompt="run", num_inference_steps=4))
    assert video.json == {
        "model": M,
        "frame_images": [{"input_image": DATA_URL, "frame": "first"}],
        "prompt": "run",
        "steps": 4,
    }
    waves = first("wavespeed", "image-to-video", picture(prompt="run"))
    assert waves.json == {"image": DATA_URL, "prompt": "run"}


@pytest.mark.parametrize("bad", ["../x", "a b", "a?b", "a#b", "/a", "a//b", "%2e", "a\nb", ""])
@pytest.mark.parametrize("provider", ["fal-ai", "wavespeed", "novita"])
def test_odd_ids_never_stand_in_an_address(provider: str, bad: str) -> None:
    with pytest.raises(InvalidSettingError, match="provider_id"):
        first(provider, "text-to-video", text(), provider_id=bad)


def test_headers_of_the_caller_win() -> None:
    request = first(
        "zai-org",
        "text-to-image",
        text(),
        extra_headers={"accept-language": "de", "X-Mine": "1"},
        bill_to="acme",
    )
    assert request.headers["accept-language"] == "de"
    assert "Accept-Language" not in request.headers
    assert request.headers["X-Mine"] == "1"
    assert request.headers["X-HF-Bill-To"] == "acme"


@pytest.mark.parametrize(
    ("provider", "task", "payload"),
    [
        ("together", "text-generation", text()),
        ("together", "text-to-image", text()),
        ("scaleway", "feature-extraction", text()),
        ("deepinfra", "automatic-speech-recognition", SPEECH),
        ("fal-ai", "text-to-image", text()),
        ("fal-ai", "automatic-speech-recognition", SPEECH),
        ("zai-org", "image-to-text", picture()),
    ],
)
def test_answers_of_the_wrong_shape(provider: str, task: str, payload: Payload) -> None:
    for value in ({}, [], None, "x", {"data": []}, {"choices": [{}]}, {"images": [{"url": 5}]}):
        with pytest.raises(APIResponseValidationError):
            call(provider, task, payload, answer(value))


def test_lost_file_of_an_answer_is_named_in_the_error() -> None:
    url = "https://v3.fal.media/i.png?sig=1"
    way = route("fal-ai", "text-to-image")
    flow = codec("fal-ai", "text-to-image").flow(core(), way, text(), options())
    with pytest.raises(APIResponseValidationError) as caught:
        Drive().run(flow, [answer({"images": [{"url": url}]}), file(b"")])
    assert caught.value.job.media_urls == (url,)
