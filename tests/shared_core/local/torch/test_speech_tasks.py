"""Sound made of text: what the library's pipelines make of the same text and seed."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "sentencepiece")

import numpy as np  # noqa: E402

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModelError,
    LocalModels,
    Media,
    RouterClient,
    UnsupportedFeatureError,
)
from shared_core.local.torch.sound import samples, wav  # noqa: E402
from tests.helpers import speech_models  # noqa: E402
from tests.helpers.speech_models import RATE, SPEAKER, VOICE  # noqa: E402

SPEECH, AUDIO = "text-to-speech", "text-to-audio"
TEXT = "the dome opens"
STEP = 1 / 32767


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("speech")
    return {
        "vits": speech_models.write_vits(folder / "vits"),
        "voices": speech_models.write_vits(folder / "voices", speakers=3),
        "speecht5": speech_models.write_speecht5(folder / "speecht5"),
        "musicgen": speech_models.write_musicgen(folder / "musicgen"),
        "stereo": speech_models.write_musicgen(folder / "stereo", channels=2),
        "bark": speech_models.write_bark(folder / "bark"),
    }


def _client(task: str, folder: Path) -> RouterClient:
    client = RouterClient(local=LocalModels(tasks={task: folder}, device="cpu"))
    with pytest.raises(UnsupportedFeatureError):  # loaded now: that uses the seed
        client.tasks.call(task, TEXT, {"nonsense": 1})
    return client


def _seeded() -> None:
    import torch

    torch.manual_seed(7)


def _own(folder: Path, **options: Any) -> Any:
    """Return what the pipeline makes of the text: shape (channels, samples)."""
    import transformers

    parts = {}
    if (folder / "vocoder").is_dir():
        parts["vocoder"] = transformers.SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    run = transformers.pipeline(AUDIO, model=str(folder), device="cpu", **parts)
    _seeded()
    made = run(TEXT, **options)
    assert made["sampling_rate"] == RATE
    return np.atleast_2d(made["audio"])


def _heard(media: Media) -> Any:
    """Return the samples of a WAV file of 16 bits: shape (channels, samples)."""
    assert media.media_type == "audio/wav"
    with wave.open(io.BytesIO(media.content)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (RATE, 2)
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return raw.reshape(-1, file.getnchannels()).T * STEP


def _equal(media: Media, expected: Any) -> bool:
    heard = _heard(media)
    return heard.shape == expected.shape and bool(np.abs(heard - expected).max() < 0.6 * STEP)


def test_vits_speaks_as_the_pipeline(models: dict[str, Path]) -> None:
    expected = _own(models["vits"])
    assert expected.shape[1] > 50
    with _client(SPEECH, models["vits"]) as client:
        _seeded()
        spoken = client.tasks.text_to_speech(TEXT)
        assert _equal(spoken, expected)
        # What we write is what we read.
        assert samples(spoken.content, RATE) == pytest.approx(expected[0] * 32767 / 32768, abs=STEP)
        for extra in ({"voice": "anna"}, {"generation_parameters": {"max_new_tokens": 3}}):
            with pytest.raises(UnsupportedFeatureError, match=f"'{next(iter(extra))}'"):
                client.tasks.text_to_speech(TEXT, **extra)
        with pytest.raises(UnsupportedFeatureError, match="'speaker_id'"):
            client.tasks.text_to_speech(TEXT, extra_parameters={"speaker_id": 1})
        with pytest.raises(BadRequestError, match="nothing that the model can read"):
            client.tasks.text_to_speech("12")


def test_a_vits_of_several_speakers(models: dict[str, Path]) -> None:
    with _client(SPEECH, models["voices"]) as client:
        for speaker in (0, 2):
            _seeded()
            spoken = client.tasks.text_to_speech(TEXT, extra_parameters={"speaker_id": speaker})
            expected = _own(models["voices"], forward_params={"speaker_id": speaker})
            assert _equal(spoken, expected)
        with pytest.raises(BadRequestError, match="0-2"):
            client.tasks.text_to_speech(TEXT, extra_parameters={"speaker_id": 3})


def test_speecht5_speaks_with_the_vocoder_of_its_folder(models: dict[str, Path]) -> None:
    import torch

    speaker = {"speaker_embeddings": torch.tensor([SPEAKER])}
    options = {"maxlenratio": 3.0, "minlenratio": 2.0}
    with _client(SPEECH, models["speecht5"]) as client:
        for given in ({}, options):
            _seeded()
            spoken = client.tasks.text_to_speech(
                TEXT,
                generation_parameters=given,
                extra_parameters={"speaker_embeddings": SPEAKER},
            )
            expected = _own(models["speecht5"], forward_params=speaker, generate_kwargs=given)
            assert _equal(spoken, expected)
        with pytest.raises(UnsupportedFeatureError, match="'temperature'"):
            client.tasks.text_to_speech(TEXT, generation_parameters={"temperature": 0.5})
        with pytest.raises(BadRequestError, match="the 8 numbers of a speaker"):
            client.tasks.text_to_speech(TEXT)
        with pytest.raises(ContextLengthError, match="the model takes 30"):
            client.tasks.text_to_speech(TEXT * 3)


def test_without_a_vocoder_none_is_fetched(tmp_path: Path) -> None:
    folder = speech_models.write_speecht5(tmp_path / "silent", vocoder=False)
    with RouterClient(local=LocalModels(tasks={SPEECH: folder})) as client:
        with pytest.raises(LocalModelError, match=r"has no vocoder(.|\n)*LocalTask"):
            client.tasks.text_to_speech(TEXT)


@pytest.mark.parametrize(("name", "channels"), [("musicgen", 1), ("stereo", 2)])
def test_musicgen_plays_as_the_pipeline(models: dict[str, Path], name: str, channels: int) -> None:
    with _client(AUDIO, models[name]) as client:
        for options in ({}, {"max_new_tokens": 9, "guidance_scale": 1.0}):
            _seeded()
            made = client.tasks.text_to_audio(TEXT, generation_parameters=options)
            expected = _own(models[name], generate_kwargs=options)
            assert _equal(made, expected)
            assert len(expected) == channels
        with pytest.raises(BadRequestError, match="nonsense"):
            client.tasks.text_to_audio(TEXT, generation_parameters={"nonsense": 1})


def test_bark_speaks_with_the_voices_of_its_folder(models: dict[str, Path]) -> None:
    with _client(SPEECH, models["bark"]) as client:
        _seeded()
        plain = client.tasks.text_to_speech(TEXT)
        assert _equal(plain, _own(models["bark"]))
        _seeded()
        voiced = client.tasks.text_to_speech(TEXT, voice=VOICE)
        expected = _own(models["bark"], preprocess_params={"voice_preset": VOICE})
        assert _equal(voiced, expected)
        assert voiced.content != plain.content
        _seeded()
        options = {"semantic_max_new_tokens": 4}
        short = client.tasks.text_to_speech(TEXT, generation_parameters=options)
        assert _equal(short, _own(models["bark"], generate_kwargs=options))
        assert len(short.content) < len(plain.content)
        with pytest.raises(BadRequestError, match=f"no voice 'v2/other'; it has: {VOICE}"):
            client.tasks.text_to_speech(TEXT, voice="v2/other")
        with pytest.raises(ContextLengthError, match="the model takes 256"):
            client.tasks.text_to_speech("word " * 300)


def test_a_model_of_another_task_is_an_error_of_ours(classifier: Path) -> None:
    with RouterClient(local=LocalModels(tasks={SPEECH: classifier})) as client:
        with pytest.raises(LocalModelError, match="its type is 'bert'"):
            client.tasks.text_to_speech(TEXT)


def test_what_is_too_loud_is_clipped() -> None:
    assert _heard(wav([2.0, -3.0, 0.5, 0.0], RATE))[0] == pytest.approx([1, -1, 0.5, 0], abs=STEP)


@pytest.mark.parametrize(
    ("sound", "match"), [([], "no sound"), ([0.1, float("nan")], "NaN"), ([[float("inf")]], "NaN")]
)
def test_what_is_no_sound_is_not_written(sound: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        wav(sound, RATE)


@pytest.mark.anyio
async def test_the_async_client_speaks_the_same(models: dict[str, Path]) -> None:
    _client(SPEECH, models["vits"]).close()
    local = LocalModels(tasks={SPEECH: models["vits"]}, device="cpu")
    async with AsyncRouterClient(local=local) as client:
        _seeded()
        spoken = await client.tasks.text_to_speech(TEXT)
    assert _equal(spoken, _own(models["vits"]))
    assert spoken.content[:4] == b"RIFF"
