"""Speech, reading, classes and likeness on Hugging Face's own task server: answers may be wrong.

Needs two programs of the system, flite and tesseract: see ``tests/helpers/task_server``.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared_core import AsyncRouterClient, BadRequestError, RouterClient
from tests.helpers import task_server
from tests.helpers.servers import ROOT

SENTENCE = "hello world this is a test of speech recognition"
LACKING = task_server.missing()

pytestmark = [
    pytest.mark.skipif(LACKING is not None, reason=f"task server: {LACKING} is not installed"),
    pytest.mark.anyio,
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    command = [sys.executable, "-m", "tests.helpers.task_server", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        for _ in range(900):
            assert server.poll() is None, "the task server has ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def client(url: str) -> Iterator[RouterClient]:
    with RouterClient(api_key="hf_t", base_url=url) as client:
        yield client


def test_what_is_spoken_is_heard(client: RouterClient, tmp_path: Path) -> None:
    spoken = client.tasks.text_to_speech(SENTENCE, model="real/text-to-speech")
    assert spoken.media_type == "audio/flac"
    path = spoken.save(tmp_path / "hello")
    heard = client.tasks.automatic_speech_recognition(
        path, model="real/automatic-speech-recognition"
    )
    assert heard.text == SENTENCE
    parts = client.tasks.audio_to_audio(spoken.content, model="real/audio-to-audio")
    assert [part.label for part in parts] == ["label_0", "label_1"]
    again = client.tasks.automatic_speech_recognition(
        parts[0].audio.content, model="real/automatic-speech-recognition"
    )
    assert again.text == SENTENCE


async def test_what_is_spoken_is_heard_in_asyncio(url: str) -> None:
    async with AsyncRouterClient(api_key="hf_t", base_url=url) as client:
        spoken = await client.tasks.text_to_speech(SENTENCE, model="real/text-to-speech")
        heard = await client.tasks.automatic_speech_recognition(
            spoken.content, model="real/automatic-speech-recognition"
        )
    assert heard.text == SENTENCE


def test_sentences_of_one_meaning_are_found(client: RouterClient) -> None:
    texts = ["The stock market fell.", "A feline sleeps on the sofa.", "I like to cook."]
    query = "Where is the cat?"
    scores = client.tasks.sentence_similarity(query, texts, model="real/sentence-similarity")
    assert int(np.argmax(scores)) == 1
    assert scores[1] > max(scores[0], scores[2]) + 0.1
    ranked = client.tasks.rerank(
        query, texts, method="sentence-similarity", model="real/sentence-similarity", batch_size=2
    )
    assert ranked[0].index == 1
    vectors = [
        client.tasks.feature_extraction(text, model="real/feature-extraction")
        for text in (query, *texts)
    ]
    assert [float(each @ vectors[0]) for each in vectors[1:]] == pytest.approx(scores, abs=1e-6)


def test_what_is_drawn_is_read(client: RouterClient) -> None:
    text = "Invoice 4711 total 99.50 EUR"
    drawn = client.tasks.text_to_image(text, width=520, height=60, model="real/text-to-image")
    assert drawn.to_pil().size == (520, 60)
    for image in (drawn.content, drawn.to_pil(), np.asarray(drawn.to_pil())):
        assert client.tasks.image_to_text(image, model="real/image-to-text").text == text


def test_digits_are_told_apart(client: RouterClient) -> None:
    from sklearn.datasets import load_digits

    known = load_digits()
    right = 0
    for pixels, digit in zip(known.images[:20], known.target[:20], strict=True):
        image = (pixels / 16 * 255).astype(np.uint8)
        found = client.tasks.image_classification(image, model="real/image-classification")
        right += found[0].label == str(digit)
    assert right >= 19


def test_irises_are_told_apart(client: RouterClient) -> None:
    from sklearn.datasets import load_iris

    known = load_iris()
    table = {name: known.data[:, at].tolist() for at, name in enumerate(known.feature_names)}
    found = client.tasks.tabular_classification(table, model="real/tabular-classification")
    assert np.mean(np.asarray(found) == known.target) > 0.9


def test_the_server_refuses_with_its_own_words(client: RouterClient) -> None:
    with pytest.raises(BadRequestError, match="cannot identify image"):
        client.tasks.image_classification(
            b"\x89PNG\r\n\x1a\nbroken", model="real/image-classification"
        )
    with pytest.raises(BadRequestError, match="received `data`"):
        client.tasks.call("tabular-classification", {"x": 1}, model="real/tabular-classification")
    with pytest.raises(BadRequestError, match="Malformed soundfile"):
        client.tasks.automatic_speech_recognition(
            b"fLaCnothing", model="real/automatic-speech-recognition"
        )
