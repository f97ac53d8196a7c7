"""Models that no pipeline runs, by two functions of the caller's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    InternalServerError,
    LocalModelError,
    LocalModels,
    LocalParts,
    LocalTask,
    Media,
    RouterClient,
)
from shared_core.local.torch.answers import png  # noqa: E402
from tests.helpers import diffusion_models, pipeline_models  # noqa: E402
from tests.helpers.servers import ROOT  # noqa: E402

TASK = "keypoint-detection"
loads: list[str] = []


def load(parts: LocalParts) -> Any:
    loads.append(parts.folder.name)
    model = parts.moved(parts.model("AutoModelForKeypointDetection"))
    return parts.load("AutoImageProcessor"), model


def run(loaded: Any, image: Any, parameters: dict[str, Any]) -> Any:
    if image == "wrong":
        raise ValueError("no image")
    processor, model = loaded
    inputs = processor(image.to_pil(), return_tensors="pt").to(model.device)
    found = model(**inputs)
    if parameters.get("raw"):
        return found
    return {"keypoints": found.keypoints[0], "scores": found.scores[0], "given": parameters}


def paint(loaded: Any, text: str, parameters: dict[str, Any]) -> Any:
    from PIL import Image

    return Image.new("RGB", (parameters["width"], 3), text)


def compare(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    return [{"answer": f"{type(inputs['image']).__name__} {inputs['question']}", "score": 0.5}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipeline_models.write_keypoints(tmp_path_factory.mktemp("models") / "points")


@pytest.fixture(scope="module")
def image() -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8))


def test_it_answers_what_its_functions_say(folder: Path, image: Any) -> None:
    import torch

    loads.clear()
    local = LocalModels(tasks={TASK: LocalTask(folder, load, run)}, device="cpu")
    with RouterClient(local=local) as client:
        found = client.tasks.call(TASK, file=image)
        more = client.tasks.call(TASK, parameters={"threshold": 1}, file=image)
    loaded = load(LocalParts(folder, "cpu", {}, {}))
    with torch.inference_mode():
        expected = run(loaded, png(image), {})
    assert found["keypoints"] == expected["keypoints"].tolist()
    assert found["keypoints"]
    assert found["scores"] == expected["scores"].tolist()
    assert more["given"] == {"threshold": 1}
    assert loads == [folder.name] * 2  # once by the client


@pytest.mark.anyio
async def test_an_image_is_answered_as_a_file(folder: Path) -> None:
    task = LocalTask(folder, load, paint)
    async with AsyncRouterClient(local=LocalModels(tasks={"text-to-image": task})) as client:
        found = await client.tasks.text_to_image("red", width=5)
    assert isinstance(found, Media)
    assert found.media_type == "image/png"
    assert (found.to_pil().size, found.to_pil().getpixel((0, 0))) == ((5, 3), (255, 0, 0))


def test_a_task_of_the_table_can_be_ones_own(folder: Path, image: Any) -> None:
    task = LocalTask(folder, load, compare)
    with RouterClient(local=LocalModels(tasks={"visual-question-answering": task})) as client:
        found = client.tasks.visual_question_answering(image, "What is it?")
    assert found[0].answer == "Media What is it?"


def test_errors_of_its_functions_say_whose_they_are(folder: Path, image: Any) -> None:
    def broken(parts: LocalParts) -> Any:
        raise RuntimeError("no such layer")

    local = LocalModels(
        tasks={TASK: LocalTask(folder, load, run), "x": LocalTask(folder, broken, run)}
    )
    with RouterClient(local=local) as client:
        with pytest.raises(BadRequestError, match=r"keypoint-detection cannot be done.*: no image"):
            client.tasks.call(TASK, "wrong")
        with pytest.raises(InternalServerError, match="AttributeError") as caught:
            client.tasks.call(TASK, "no file at all")
        assert isinstance(caught.value.__cause__, AttributeError)
        with pytest.raises(LocalModelError, match="no such layer"):
            client.tasks.call("x", "a")
    assert caught.value.operation == TASK


def test_an_answer_that_json_has_no_form_for_is_an_error(folder: Path, image: Any) -> None:
    def odd(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return {"made": object()}

    with RouterClient(local=LocalModels(tasks={TASK: LocalTask(folder, load, odd)})) as client:
        with pytest.raises(InternalServerError, match="a object, for which JSON has no form"):
            client.tasks.call(TASK, "a")


def test_the_codec_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import torch
    import transformers

    from shared_core.local.torch.sound import samples, wav
    from tests.helpers import speech_models

    folder = speech_models.write_encodec(tmp_path / "encodec")
    monkeypatch.chdir(tmp_path)
    sound = wav(np.sin(np.arange(4000) / 20) / 2, speech_models.RATE)
    sound.save("speech.wav")
    _run_page("audio-to-audio", "facebook/encodec_24khz", folder)
    model = transformers.EncodecModel.from_pretrained(folder).eval()
    heard = torch.tensor(samples(sound.content, speech_models.RATE))[None, None]
    with torch.inference_mode():
        expected = model(heard).audio_values[0, 0].numpy()
    found = samples(Path("decoded.wav").read_bytes(), speech_models.RATE)
    assert found == pytest.approx(np.clip(expected, -1, 1), abs=1e-4)
    assert np.ptp(found) > 0.01


def test_the_image_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers
    import torch
    from PIL import Image

    folder = diffusion_models.write_painter(tmp_path / "painter")
    monkeypatch.chdir(tmp_path)
    made = _run_page("text-to-image", "stabilityai/sdxl-turbo", folder)
    assert made["image"].media_type == "image/png"
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    chance = torch.Generator().manual_seed(7)
    expected = pipeline("A lighthouse at dusk", generator=chance, num_inference_steps=2).images[0]
    with Image.open("lighthouse.png") as found:
        assert found.size == (16, 16)
        assert found.tobytes() == expected.tobytes()


def _run_page(task: str, model: str, folder: Path) -> dict[str, Any]:
    """Run the program of docs/local.md for *task* with the model in *folder*; return its names."""
    page = (ROOT / "docs" / "local.md").read_text(encoding="utf-8")
    code = page.partition(f"<!-- local task: {task} -->\n```python\n")[2].partition("```")[0]
    assert model in code
    names: dict[str, Any] = {}
    exec(code.replace(model, str(folder)), names)
    return names


@pytest.mark.parametrize("hidden", ["a\ud800", "array of objects"])
def test_what_json_cannot_write_is_an_error_of_ours(folder: Path, hidden: str) -> None:
    import numpy as np

    def odd(loaded: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return np.array([object()]) if hidden.startswith("array") else hidden

    with RouterClient(local=LocalModels(tasks={TASK: LocalTask(folder, load, odd)})) as client:
        with pytest.raises(InternalServerError, match="has no form in JSON") as caught:
            client.tasks.call(TASK, "a")
    assert (caught.value.operation, caught.value.model) == (TASK, f"local/{folder.name}")
