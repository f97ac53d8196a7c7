"""Hugging Face's own task server around programs and models that can be right or wrong.

``python -m tests.helpers.task_server PORT`` serves ``/hf-inference/models/real/{task}``. Requests
are parsed and validated by ``api-inference-community``, which ran the recorded tasks of 2023;
speech comes from flite and is heard by pocketsphinx, tesseract reads, scikit-learn tells digits
and irises apart, all-MiniLM-L6-v2 compares sentences.

The packages come with the tests; flite and tesseract are programs of the system, on Debian
``apt-get install flite tesseract-ocr``.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from typing import Any

MODULES = ("api_inference_community", "imageio_ffmpeg", "pocketsphinx", "sklearn", "uvicorn")
PROGRAMS = ("flite", "tesseract")


def missing() -> str | None:
    """Return the first piece that is not installed, or None."""
    for name in MODULES:
        if importlib.util.find_spec(name) is None:
            return name
    return next((name for name in PROGRAMS if shutil.which(name) is None), None)


def speak(text: str) -> Any:
    import numpy as np

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", "rms", "-t", text, "-o", file.name], check=True)
        with wave.open(file.name) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
            return samples.astype(np.float32) / 32768, sound.getframerate()


class Listener:
    sampling_rate = 16_000

    def __call__(self, samples: Any, **given: Any) -> Any:
        from pocketsphinx import Decoder

        decoder = Decoder(samprate=self.sampling_rate, loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return {"text": found.hypstr if found else ""}


class Splitter:
    sampling_rate = 16_000

    def __call__(self, samples: Any, **given: Any) -> Any:
        return [samples, samples * 0.5], self.sampling_rate, ["label_0", "label_1"]


def read_text(image: Any, **given: Any) -> Any:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    command = ["tesseract", "-", "-", "--psm", "7"]
    done = subprocess.run(command, input=buffer.getvalue(), capture_output=True, check=True)
    return [{"generated_text": done.stdout.decode().strip()}]


def write_text(text: str, width: int = 400, height: int = 60, **given: Any) -> Any:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((10, 10), text, fill="black", font_size=28)
    return image


class Digits:
    def __init__(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.linear_model import LogisticRegression

        known = load_digits()
        self.model = LogisticRegression(max_iter=300).fit(known.data / 16, known.target)

    def __call__(self, image: Any, **given: Any) -> Any:
        import numpy as np

        pixels = np.asarray(image.convert("L").resize((8, 8)), float) / 255
        (chances,) = self.model.predict_proba([pixels.ravel()])
        found = [{"label": str(at), "score": float(p)} for at, p in enumerate(chances)]
        return sorted(found, key=lambda label: -label["score"])


class Irises:
    def __init__(self) -> None:
        from sklearn.datasets import load_iris
        from sklearn.neighbors import KNeighborsClassifier

        known = load_iris()
        self.model = KNeighborsClassifier().fit(known.data, known.target)

    def __call__(self, inputs: Any, **given: Any) -> Any:
        rows = zip(*inputs["data"].values(), strict=True)
        return [
            int(found) for found in self.model.predict([[float(x) for x in row] for row in rows])
        ]


class Sentences:
    def __init__(self) -> None:
        from shared_core import LocalModels

        self.model = LocalModels().encoder()

    def __call__(self, inputs: Any, **given: Any) -> Any:
        if isinstance(inputs, str):  # feature-extraction
            return self.model.encode_texts([inputs])[0].tolist()
        vectors = self.model.encode_texts([inputs["source_sentence"], *inputs["sentences"]])
        return [float(score) for score in vectors[1:] @ vectors[0]]


def offer_ffmpeg(folder: str) -> None:
    """Put the ffmpeg of the package ``imageio-ffmpeg`` on the path, by its usual name."""
    import imageio_ffmpeg

    os.symlink(imageio_ffmpeg.get_ffmpeg_exe(), os.path.join(folder, "ffmpeg"))
    os.environ["PATH"] = folder + os.pathsep + os.environ["PATH"]


def main() -> None:
    """Serve until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        offer_ffmpeg(folder)
        serve(int(sys.argv[1]))


def serve(port: int) -> None:
    os.environ["TASK"] = "none"
    import uvicorn
    from api_inference_community.routes import pipeline_route
    from starlette.applications import Starlette
    from starlette.routing import Route

    sentences = Sentences()
    pipelines = {
        "text-to-speech": speak,
        "automatic-speech-recognition": Listener(),
        "audio-to-audio": Splitter(),
        "image-to-text": read_text,
        "text-to-image": write_text,
        "image-classification": Digits(),
        "tabular-classification": Irises(),
        "sentence-similarity": sentences,
        "feature-extraction": sentences,
    }

    async def answer(request: Any) -> Any:
        task = request.path_params["task"]
        os.environ["TASK"] = task  # one request at a time
        request.app.get_pipeline = lambda: pipelines[task]
        return await pipeline_route(request)

    path = "/hf-inference/models/real/{task}"
    paths = (path, "/hf-inference/models/real/{_}/pipeline/{task}")
    app = Starlette(routes=[Route(each, answer, methods=["POST"]) for each in paths])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
