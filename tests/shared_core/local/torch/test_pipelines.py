"""Tasks without a runner of their own: what the pipelines of transformers say."""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    LocalModelError,
    LocalModels,
    Media,
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import media_models, pipeline_models  # noqa: E402

SOUND = "zero-shot-audio-classification"
LABELS = ["a dog", "the rain", "a train"]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "image-feature-extraction": media_models.write_image_classifier(folder / "seeing"),
        "mask-generation": pipeline_models.write_masker(folder / "masker"),
        "keypoint-matching": pipeline_models.write_matcher(folder / "matcher"),
        SOUND: pipeline_models.write_clap(folder / "clap"),
    }


def _client(tasks: dict[str, Path]) -> RouterClient:
    return RouterClient(local=LocalModels(tasks=tasks, device="cpu"))


def _own(tasks: dict[str, Path], task: str) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(tasks[task]), device="cpu")


def _image(seed: int = 0) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8))


def _data_url(image: Any) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_features_of_an_image_equal_the_pipeline(tasks: dict[str, Path]) -> None:
    import numpy as np

    image, task = _image(), "image-feature-extraction"
    expected = np.asarray(_own(tasks, task)(image))
    with _client(tasks) as client:
        found = client.tasks.call(task, file=image, result=list[list[list[float]]])
        pooled = client.tasks.call(task, file=image, parameters={"pool": False})
        by_url = client.tasks.call(task, _data_url(image))
    assert np.asarray(found) == pytest.approx(expected, abs=1e-6)
    assert pooled == by_url == found


def test_masks_come_as_json(tasks: dict[str, Path]) -> None:
    image, task = _image(), "mask-generation"
    options = {"pred_iou_thresh": -9.0, "stability_score_thresh": 0.0, "points_per_crop": 2}
    with _client(tasks) as client:
        if importlib.util.find_spec("torchvision") is None:
            with pytest.raises(ImportError, match="Torchvision"):
                client.tasks.call(task, parameters=options, file=image)
            return
        found = client.tasks.call(task, parameters=options, file=image)
    expected = _own(tasks, task)(image, **options)
    assert found["masks"] == [mask.tolist() for mask in expected["masks"]] != []
    assert found["scores"] == pytest.approx(expected["scores"].tolist())


@pytest.mark.anyio
async def test_sound_and_labels_equal_the_pipeline(tasks: dict[str, Path]) -> None:
    import numpy as np

    rate = 48_000
    sound = np.sin(np.arange(rate // 2) / 20).astype(np.float32) / 2
    own = _own(tasks, SOUND)
    async with AsyncRouterClient(local=LocalModels(tasks=tasks, device="cpu")) as client:
        options = {"candidate_labels": LABELS, "hypothesis_template": "This is {}"}
        found = await client.tasks.call(SOUND, parameters=options, file=pipeline_models.wav(sound))
    # The file has whole numbers.
    heard = (np.rint(sound * 32768) / 32768).astype(np.float32)
    expected = own(heard, **options)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert [each["score"] for each in found] == pytest.approx([e["score"] for e in expected])


def test_two_images_are_given_as_a_list(tasks: dict[str, Path]) -> None:
    task = "keypoint-matching"
    images = [_image(1), _image(2)]
    expected = _own(tasks, task)(images, threshold=0.0)
    with _client(tasks) as client:
        urls = [_data_url(image) for image in images]
        found = client.tasks.call(task, urls, {"threshold": 0.0}, result=list[dict[str, Any]])
    assert found == expected


@pytest.mark.parametrize("inputs", ["/etc/hostname", "http://127.0.0.1:9/a.png"])
def test_no_path_and_no_address_is_opened(tasks: dict[str, Path], inputs: str) -> None:
    with _client(tasks) as client:
        for task, given in (
            ("image-feature-extraction", inputs),
            ("keypoint-matching", [inputs, inputs]),
            ("mask-generation", {"image": inputs}),
            ("mask-generation", {"videos": [inputs]}),
            ("mask-generation", [{"role": "user", "content": [{"type": "image", "url": inputs}]}]),
            ("mask-generation", {"text": [{"role": "user", "content": [{"path": inputs}]}]}),
            ("mask-generation", {"content": [{"image_url": {"url": inputs}}]}),
        ):
            with pytest.raises(UnsupportedFeatureError, match="none is opened from a path"):
                client.tasks.call(task, given)


def test_what_the_pipeline_refuses_is_a_bad_request(tasks: dict[str, Path]) -> None:
    with _client(tasks) as client:
        with pytest.raises(BadRequestError, match="cannot be done with these arguments"):
            client.tasks.call(SOUND, parameters={"candidate_labels": LABELS}, file=_image())
        with pytest.raises(BadRequestError, match="cannot be read by Pillow"):
            client.tasks.call("mask-generation", file=b"\x89PNG\r\n\x1a\n" + bytes(40))
        with pytest.raises(UnsupportedFeatureError) as caught:
            client.tasks.call(
                "image-feature-extraction", parameters={"colour": "red"}, file=_image()
            )
    assert caught.value.param == "colour"


def test_a_task_that_no_pipeline_has_is_named(tasks: dict[str, Path]) -> None:
    task = "pose-estimation"
    with _client({task: tasks["mask-generation"]}) as client:
        with pytest.raises(LocalModelError, match="no pipeline for pose-estimation") as caught:
            client.tasks.call(task, file=_image())
    assert "LocalTask(source, load, run)" in str(caught.value.guidance)


def test_a_pipeline_that_comes_with_the_model_needs_trust(tmp_path: Path) -> None:
    folder = media_models.write_image_classifier(tmp_path / "model")
    pipeline_models.add_pipeline(folder, "image-brightness")
    image = _image()
    given = {"image-brightness": folder}
    with _client(given) as client, pytest.raises(LocalModelError, match="trust_remote_code"):
        client.tasks.call("image-brightness", file=image)
    trusting = LocalModels(tasks=given, trust_remote_code=True)
    with RouterClient(local=trusting) as client:
        found = client.tasks.call("image-brightness", file=image)
    assert set(found) == {"pixels", "grey"}
    assert found["pixels"] == 32 * 32 * 3
    assert Media(base64.b64decode(found["grey"]), "image/png").to_pil().size == (50, 40)
