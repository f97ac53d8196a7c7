"""Tasks about sound: what the library's pipelines say about the same samples."""

from __future__ import annotations

import importlib.util
import io
import struct
import wave
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers")

import numpy as np  # noqa: E402

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from shared_core.local.torch.sound import samples  # noqa: E402
from tests.helpers import media_models  # noqa: E402

RATE = 16_000
RECOGNITION = "automatic-speech-recognition"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "classifier": media_models.write_wav2vec2(folder / "hears", "ForSequenceClassification"),
        "ctc": media_models.write_wav2vec2(folder / "letters", "ForCTC"),
        "whisper": media_models.write_whisper(folder / "whisper"),
    }


def _client(task: str, folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={task: folder}, device="cpu"))


def _own(task: str, folder: Path) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(folder), device="cpu")


def _noise(seconds: float = 0.5) -> Any:
    """Return samples that 16 bits hold exactly, as float32."""
    numbers = np.random.default_rng(0).integers(-32768, 32768, int(seconds * RATE))
    return (numbers / 32768).astype(np.float32)


def _wav(sound: Any, rate: int = RATE, width: int = 2) -> bytes:
    """Return samples from -1 to 1, (n,) or (n, channels), as a WAV file."""
    whole = np.rint(np.asarray(sound, np.float64) * 2 ** (8 * width - 1)).astype("<i8")
    if width == 1:
        whole += 128
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1 if whole.ndim == 1 else whole.shape[1])
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(whole.reshape(-1, 1).view(np.uint8)[:, :width].tobytes())
    return file.getvalue()


def _tone(hertz: int, rate: int) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)


def test_audio_classification_equals_the_pipeline(folders: dict[str, Path]) -> None:
    own = _own("audio-classification", folders["classifier"])
    sound = _noise()
    with _client("audio-classification", folders["classifier"]) as client:
        found = client.tasks.audio_classification(_wav(sound))  # as raw bytes
        raw = client.tasks.audio_classification(_wav(sound), top_k=2, function_to_apply="none")
    for answer, more in ((found, {"top_k": 5}), (raw, {"top_k": 2, "function_to_apply": "none"})):
        expected = own(sound, **more)
        assert [each.label for each in answer] == [each["label"] for each in expected]
        scores = [each["score"] for each in expected]
        assert [each.score for each in answer] == pytest.approx(scores, abs=1e-6)
    assert len(found) == 5


def test_recognition_of_letters_equals_the_pipeline(folders: dict[str, Path]) -> None:
    own = _own(RECOGNITION, folders["ctc"])
    sound = _noise()
    with _client(RECOGNITION, folders["ctc"]) as client:
        found = client.tasks.automatic_speech_recognition(_wav(sound))
        assert found.text == own(sound)["text"] != ""
        timed = client.tasks.automatic_speech_recognition(_wav(sound), return_timestamps="char")
        expected = own(sound, return_timestamps="char")["chunks"]
        assert timed.chunks is not None
        assert [each.text for each in timed.chunks] == [each["text"] for each in expected]
        plain = client.tasks.automatic_speech_recognition(_wav(sound), return_timestamps=False)
        assert plain.text == found.text
        with pytest.raises(BadRequestError, match="CTC"):
            client.tasks.automatic_speech_recognition(_wav(sound), return_timestamps=True)
        with pytest.raises(UnsupportedFeatureError, match="'generation_parameters'"):
            client.tasks.automatic_speech_recognition(
                _wav(sound), generation_parameters={"max_new_tokens": 3}
            )


def test_recognition_by_whisper_equals_the_pipeline(folders: dict[str, Path]) -> None:
    own = _own(RECOGNITION, folders["whisper"])
    sound = _noise()
    with _client(RECOGNITION, folders["whisper"]) as client:
        for options in ({"max_new_tokens": 5}, {"max_new_tokens": 9, "num_beams": 1}):
            found = client.tasks.automatic_speech_recognition(
                _wav(sound), generation_parameters=options
            )
            assert found.text == own(sound, generate_kwargs=options)["text"] != ""


def test_whisper_takes_a_long_recording_in_pieces(folders: dict[str, Path]) -> None:
    own = _own(RECOGNITION, folders["whisper"])
    options = {"max_new_tokens": 5}
    sound = _noise(2.5)  # the model hears one second at a time
    expected = own(sound, generate_kwargs=options, return_timestamps=True)
    with _client(RECOGNITION, folders["whisper"]) as client:
        found = client.tasks.automatic_speech_recognition(
            _wav(sound), generation_parameters=options, return_timestamps=True
        )
        plain = client.tasks.automatic_speech_recognition(
            _wav(sound), generation_parameters=options
        )
    assert found.text == plain.text == expected["text"] != ""
    assert found.chunks is not None
    assert len(found.chunks) == len(expected["chunks"]) > 1
    for chunk, each in zip(found.chunks, expected["chunks"], strict=True):
        assert chunk.text == each["text"]
        assert (chunk.start, chunk.end) == each["timestamp"]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_files_of_every_width(width: int) -> None:
    levels = np.array([0.0, 0.5, -0.5, -1.0, 0.25])
    assert samples(_wav(levels, width=width), RATE) == pytest.approx(levels)
    assert samples(_wav(levels, width=width), RATE).dtype == np.float32


def test_channels_are_averaged() -> None:
    stereo = np.array([[0.5, 0.25], [-0.5, 0.5]])
    assert samples(_wav(stereo), RATE) == pytest.approx([0.375, 0.0])


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_another_rate_is_brought_to_the_models(rate: int) -> None:
    heard = samples(_wav(_tone(440, rate), rate), RATE)
    assert heard == pytest.approx(_tone(440, RATE), abs=1e-3)


def test_what_a_rate_cannot_carry_is_left_out() -> None:
    high = _tone(12_000, 48_000)  # would be heard as 4 kHz at 16 kHz
    assert np.abs(samples(_wav(high, 48_000), RATE)).max() < 1e-3


def test_a_file_that_was_cut_is_heard_as_far_as_it_goes() -> None:
    assert len(samples(_wav(_noise())[:-1001], RATE)) == RATE // 2 - 501


def test_what_is_no_recording_is_refused(folders: dict[str, Path]) -> None:
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)  # floats
    numbers = _noise().tobytes()
    body += b"data" + struct.pack("<I", len(numbers)) + numbers
    floats = b"RIFF" + struct.pack("<I", len(body)) + body
    with _client("audio-classification", folders["classifier"]) as client:
        with pytest.raises(BadRequestError, match="soundfile"):
            client.tasks.audio_classification(b"no sound")
        with pytest.raises(BadRequestError, match="is empty"):
            client.tasks.audio_classification(_wav(np.zeros(0)))
        with pytest.raises(BadRequestError, match="has 5 samples per second"):
            client.tasks.audio_classification(_wav(_noise(), 5))
        with pytest.raises(UnsupportedFeatureError, match="'num_beams'"):
            client.tasks.audio_classification(_wav(_noise()), extra_parameters={"num_beams": 2})
        if importlib.util.find_spec("soundfile") is None:
            with pytest.raises(BadRequestError, match=r"unknown format: 3.*pip install soundfile"):
                client.tasks.audio_classification(floats)
        else:
            same = client.tasks.audio_classification(_wav(_noise()))
            found = client.tasks.audio_classification(floats)
            assert [each.score for each in found] == [each.score for each in same]


@pytest.mark.anyio
async def test_the_async_client_hears_the_same(folders: dict[str, Path]) -> None:
    with _client(RECOGNITION, folders["ctc"]) as client:
        expected = client.tasks.automatic_speech_recognition((_noise(), RATE))
    models = LocalModels(tasks={RECOGNITION: folders["ctc"]}, device="cpu")
    async with AsyncRouterClient(local=models) as client:
        found = await client.tasks.automatic_speech_recognition((_noise(), RATE))
    assert found.text == expected.text


def test_a_size_past_the_end_is_an_error_with_a_reason() -> None:
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 60, b"WAVE", b"fmt ", 16, 1, 1, RATE, 32000, 2, 16
    )
    wrong = head + struct.pack("<4sI", b"what", 0xFF002580) + bytes(16)
    with pytest.raises(ValueError, match=r"no WAV file|cannot be read by soundfile"):
        samples(wrong, RATE)
    with pytest.raises(ValueError, match=r"it ends too early|cannot be read by soundfile"):
        samples(head[:30], RATE)
