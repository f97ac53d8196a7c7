"""Tasks about images: what the library's pipelines say about the same image."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from shared_core.local.torch.pictures import picture  # noqa: E402
from tests.helpers import media_models  # noqa: E402


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "image-classification": media_models.write_image_classifier(folder / "classifier"),
        "object-detection": media_models.write_detector(folder / "detector"),
        "zero-shot-image-classification": media_models.write_clip(folder / "clip"),
        "image-to-text": media_models.write_captioner(folder / "captioner"),
    }


@pytest.fixture(scope="module")
def image() -> Any:
    import numpy as np
    from PIL import Image

    numbers = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    return Image.fromarray(numbers)


def _client(tasks: dict[str, Path]) -> RouterClient:
    return RouterClient(local=LocalModels(tasks=tasks, device="cpu"))


def _own(tasks: dict[str, Path], task: str) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(tasks[task]), device="cpu")


def _encoded(image: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_image_classification_equals_the_pipeline(tasks: dict[str, Path], image: Any) -> None:
    own = _own(tasks, "image-classification")
    with _client(tasks) as client:
        found = client.tasks.image_classification(_encoded(image))  # as raw bytes
        raw = client.tasks.image_classification(image, top_k=2, function_to_apply="none")
    expected = own(image)
    assert [each.label for each in found] == [each["label"] for each in expected]
    assert [each.score for each in found] == pytest.approx([each["score"] for each in expected])
    expected = own(image, top_k=2, function_to_apply="none")
    assert [each.label for each in raw] == [each["label"] for each in expected]
    assert [each.score for each in raw] == pytest.approx([each["score"] for each in expected])


def test_object_detection_equals_the_pipeline(tasks: dict[str, Path], image: Any) -> None:
    own = _own(tasks, "object-detection")
    expected = own(image, threshold=0.1)
    assert expected
    with _client(tasks) as client:
        found = client.tasks.object_detection(image, threshold=0.1)
        assert client.tasks.object_detection(image, threshold=1.0) == []
    assert [each.label for each in found] == [each["label"] for each in expected]
    assert [each.score for each in found] == pytest.approx([each["score"] for each in expected])
    boxes = [(box.xmin, box.ymin, box.xmax, box.ymax) for box in (each.box for each in found)]
    assert boxes == [tuple(each["box"].values()) for each in expected]


def test_zero_shot_classification_equals_the_pipeline(tasks: dict[str, Path], image: Any) -> None:
    labels = ["a cat", "two dogs", "soup"]
    own = _own(tasks, "zero-shot-image-classification")
    with _client(tasks) as client:
        found = client.tasks.zero_shot_image_classification(image, labels)
        other = client.tasks.zero_shot_image_classification(
            image, labels, hypothesis_template="Here is {}"
        )
    for answer, more in ((found, {}), (other, {"hypothesis_template": "Here is {}"})):
        expected = own(image, candidate_labels=labels, **more)
        assert [each.label for each in answer] == [each["label"] for each in expected]
        scores = [each["score"] for each in expected]
        assert [each.score for each in answer] == pytest.approx(scores, abs=1e-6)
    assert [each.score for each in found] != [each.score for each in other]


def test_descriptions_are_the_models_own_words(tasks: dict[str, Path], image: Any) -> None:
    from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel

    folder = tasks["image-to-text"]
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"]
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def words(**options: Any) -> str:
        made = model.generate(pixel_values=pixels, **options)
        return str(tokenizer.decode(made[0], skip_special_tokens=True))

    with _client(tasks) as client:
        found = client.tasks.image_to_text(image, max_new_tokens=6)
        assert found.text == words(max_new_tokens=6) != ""
        assert client.tasks.image_to_text(_encoded(image)).text == words()  # as raw bytes
        beams = client.tasks.image_to_text(image, generation_parameters={"num_beams": 3})
        assert beams.text == words(num_beams=3)


def test_formats_and_modes_of_images(tasks: dict[str, Path], image: Any, tmp_path: Path) -> None:
    path = tmp_path / "grey.jpeg"
    path.write_bytes(_encoded(image.convert("L"), "JPEG"))
    with _client(tasks) as client:
        for given in (path, image.convert("RGBA"), _encoded(image.convert("P"), "GIF")):
            assert len(client.tasks.image_classification(given)) == 3


def test_an_image_is_turned_as_its_camera_notes_it(tasks: dict[str, Path], image: Any) -> None:
    from PIL import Image

    notes = Image.Exif()
    notes[0x0112] = 6  # to be turned by 90 degrees, clockwise
    file = io.BytesIO()
    image.save(file, "PNG", exif=notes)
    upright = image.transpose(Image.Transpose.ROTATE_270)
    with _client(tasks) as client:
        turned = client.tasks.image_to_text(file.getvalue())
        assert turned.text == client.tasks.image_to_text(upright).text
        found = client.tasks.image_classification(file.getvalue())
        expected = client.tasks.image_classification(upright)
        assert [each.score for each in found] == [each.score for each in expected]
        assert found[0].score != client.tasks.image_classification(image)[0].score


def test_what_is_no_image_is_refused(tasks: dict[str, Path], image: Any) -> None:
    with _client(tasks) as client:
        for content in (b"no image", _encoded(image)[:200]):
            with pytest.raises(BadRequestError, match="cannot be read by Pillow"):
                client.tasks.image_classification(content)
        with pytest.raises(UnsupportedFeatureError, match="fetch nothing from an address"):
            client.tasks.image_classification("https://example.org/cat.png")
        with pytest.raises(BadRequestError, match="base64"):
            client.tasks.image_classification(image, extra_body={"inputs": "§"})


def test_parameters_without_effect_are_refused(tasks: dict[str, Path], image: Any) -> None:
    with _client(tasks) as client:
        for parameters in ({"timeout": 3}, {"threshold": 0.5}):
            with pytest.raises(UnsupportedFeatureError, match="does not know the parameter"):
                client.tasks.image_classification(image, extra_parameters=parameters)
        with pytest.raises(UnsupportedFeatureError, match=r"tasks=\{'depth-estimation': FOLDER"):
            client.tasks.depth_estimation(image)


def test_without_pillow_the_error_names_the_command(
    tasks: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with RouterClient(local=LocalModels(tasks=tasks)) as client:  # not the one that is loaded
        with pytest.raises(ImportError, match=r'"hfrouter\[media\]"'):
            client.tasks.image_classification(b"an image")


@pytest.mark.anyio
async def test_the_async_client_sees_the_same(tasks: dict[str, Path], image: Any) -> None:
    with _client(tasks) as client:
        expected = client.tasks.image_classification(image)
        kinds = {model.id: model.input_modalities for model in client.models.list()}
    assert list(kinds["local/classifier"]) == ["image"]
    async with AsyncRouterClient(local=LocalModels(tasks=tasks, device="cpu")) as client:
        found = await client.tasks.image_classification(image)
    assert [each.score for each in found] == [each.score for each in expected]


def test_an_image_that_says_nothing_about_its_pixels_cannot_be_read() -> None:
    head = struct.pack("<19I", 124, 0x1007, 2, 2, *[0] * 14, 32)  # of a DDS
    with pytest.raises(ValueError, match="NotImplementedError"):
        picture(b"DDS " + head + bytes(48))
