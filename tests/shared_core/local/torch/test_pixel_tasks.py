"""Segments, depths, more pixels, and named objects: what the library says of the same image."""

from __future__ import annotations

import io
import shutil
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
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import vision_models  # noqa: E402

LABELS = ["a cat", "Two dogs"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = ("segformer", "maskformer", "detr", "dpt", "glpn", "swin2sr", "owlvit")
    names += ("grounding_dino",)
    return {name: getattr(vision_models, f"write_{name}")(folder / name) for name in names}


@pytest.fixture(scope="module")
def image() -> Any:
    return vision_models.random_image()


def _client(task: str, folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={task: folder}, device="cpu"))


def _own(task: str, folder: Path) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(folder), device="cpu")


def _encoded(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _check_segments(found: Any, expected: Any) -> None:
    import numpy as np

    assert [each.label for each in found] == [each["label"] for each in expected]
    assert [each.score for each in found] == [each["score"] for each in expected]
    for each, other in zip(found, expected, strict=True):
        assert each.mask.media_type == "image/png"
        assert np.array_equal(np.asarray(each.mask.to_pil()), np.asarray(other["mask"]))


def test_semantic_segments_equal_the_pipeline(models: dict[str, Path], image: Any) -> None:
    expected = _own("image-segmentation", models["segformer"])(image)
    assert len(expected) == 3
    with _client("image-segmentation", models["segformer"]) as client:
        found = client.tasks.image_segmentation(_encoded(image))  # as raw bytes
        asked = client.tasks.image_segmentation(image, subtask="semantic")
    _check_segments(found, expected)
    assert found == asked
    assert found[0].score is None
    assert found[0].mask.to_pil().size == image.size


@pytest.mark.parametrize(
    ("name", "parameters", "count"),
    [
        ("maskformer", {}, 1),
        ("maskformer", {"threshold": 0.0, "overlap_mask_area_threshold": 0.0}, 4),
        ("maskformer", {"threshold": 0.0, "mask_threshold": 0.99}, 0),
        ("maskformer", {"subtask": "instance", "threshold": 0.8}, 3),
        ("maskformer", {"subtask": "semantic"}, 2),
        ("detr", {"subtask": "panoptic", "threshold": 0.0}, 1),
        ("detr", {"subtask": "instance", "threshold": 0.0, "mask_threshold": 0.9}, 0),
    ],
)
def test_segments_of_things_equal_the_pipeline(
    models: dict[str, Path], image: Any, name: str, parameters: dict[str, Any], count: int
) -> None:
    expected = _own("image-segmentation", models[name])(image, **parameters)
    with _client("image-segmentation", models[name]) as client:
        found = client.tasks.image_segmentation(image, **parameters)
    _check_segments(found, expected)
    assert len(found) == count


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("segformer", {"threshold": 0.5}, "semantic segmentation does not know .*'threshold'"),
        ("segformer", {"subtask": "instance"}, "does not do instance .*\n.*It does semantic"),
        ("maskformer", {"subtask": "semantic", "mask_threshold": 0.5}, "'mask_threshold'"),
        (
            "maskformer",
            {"subtask": "instance", "overlap_mask_area_threshold": 0.5},
            "'overlap_mask_area_threshold'",
        ),
    ],
)
def test_thresholds_without_effect_are_refused(
    models: dict[str, Path], image: Any, name: str, parameters: dict[str, Any], message: str
) -> None:
    with _client("image-segmentation", models[name]) as client:
        with pytest.raises(UnsupportedFeatureError, match=message):
            client.tasks.image_segmentation(image, **parameters)


def test_a_model_that_would_fetch_a_file_is_refused(tmp_path: Path, image: Any) -> None:
    from transformers import OneFormerConfig

    OneFormerConfig().save_pretrained(tmp_path / "oneformer")
    with _client("image-segmentation", tmp_path / "oneformer") as client:
        with pytest.raises(LocalModelError, match="OneFormer, which fetches a further file"):
            client.tasks.image_segmentation(image)


@pytest.mark.parametrize("name", ["dpt", "glpn"])
def test_depths_equal_the_pipeline(models: dict[str, Path], image: Any, name: str) -> None:
    import numpy as np

    expected = _own("depth-estimation", models[name])(image)
    with _client("depth-estimation", models[name]) as client:
        found = client.tasks.depth_estimation(image)
        with pytest.raises(UnsupportedFeatureError, match="it knows no parameters"):
            client.tasks.depth_estimation(image, extra_parameters={"timeout": 3})
    assert np.asarray(found.values).shape == (image.height, image.width)
    assert np.asarray(found.values) == pytest.approx(expected["predicted_depth"].numpy())
    assert found.image is not None
    assert found.image.media_type == "image/png"
    assert np.array_equal(np.asarray(found.image.to_pil()), np.asarray(expected["depth"]))


def test_depths_in_half_precision_and_of_an_even_image(
    models: dict[str, Path], image: Any, tmp_path: Path
) -> None:
    import numpy as np
    import torch
    from transformers import DPTForDepthEstimation

    expected = _own("depth-estimation", models["dpt"])(image)["predicted_depth"].numpy()
    local = LocalModels(tasks={"depth-estimation": models["dpt"]}, dtype="bfloat16")
    with RouterClient(local=local) as client:
        found = np.asarray(client.tasks.depth_estimation(image).values)
    assert not np.array_equal(found, expected)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95

    folder = shutil.copytree(models["dpt"], tmp_path / "even")
    model = DPTForDepthEstimation.from_pretrained(folder)
    for weights in model.parameters():
        torch.nn.init.zeros_(weights)
    model.save_pretrained(folder)
    with _client("depth-estimation", folder) as client:
        even = client.tasks.depth_estimation(image)
    assert np.ptp(np.asarray(even.values)) == 0
    assert even.image is not None
    assert even.image.to_pil().getextrema() == (0, 0)


def test_more_pixels_are_those_of_the_model(models: dict[str, Path], image: Any) -> None:
    import numpy as np
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageToImage

    folder = models["swin2sr"]
    pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")
    with torch.no_grad():
        made = AutoModelForImageToImage.from_pretrained(folder).eval()(**pixels).reconstruction[0]
    assert made.shape[1:] == (88, 104)  # with what the processor adds
    expected = (made.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[:80, :100]
    with _client("image-to-image", folder) as client:
        found = client.tasks.image_to_image(_encoded(image))  # as raw bytes
        with pytest.raises(UnsupportedFeatureError, match="does not know the parameter 'prompt'"):
            client.tasks.image_to_image(image, "Make it blue")
        assert client.tasks.image_to_image(image) == found
    assert found.media_type == "image/png"
    assert np.array_equal(np.asarray(found.to_pil()), expected)


def test_a_diffusion_model_is_for_a_task_of_ones_own(tmp_path: Path, image: Any) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with _client("image-to-image", tmp_path) as client:
        with pytest.raises(LocalModelError, match="is a diffusion model") as caught:
            client.tasks.image_to_image(image)
    assert "LocalTask(source, load, run)" in str(caught.value.guidance)


@pytest.mark.parametrize("name", ["owlvit", "grounding_dino"])
def test_named_objects_equal_the_pipeline(models: dict[str, Path], image: Any, name: str) -> None:
    own = _own("zero-shot-object-detection", models[name])
    taught = {"a cat.": "a cat", "two dogs.": "Two dogs"}  # as a Grounding DINO reads them
    names = taught if name == "grounding_dino" else {label: label for label in LABELS}
    expected = own(image, candidate_labels=list(names), threshold=0.0)
    assert {names[each["label"]] for each in expected} == set(LABELS)
    with _client("zero-shot-object-detection", models[name]) as client:
        found = client.tasks.zero_shot_object_detection(
            image, LABELS, extra_parameters={"threshold": 0.0}
        )
        best = client.tasks.zero_shot_object_detection(
            image, LABELS, extra_parameters={"threshold": 0.0, "top_k": 1}
        )
        default = client.tasks.zero_shot_object_detection(image, LABELS)
    assert [each.label for each in found] == [names[each["label"]] for each in expected]
    assert [each.score for each in found] == pytest.approx([each["score"] for each in expected])
    boxes = [(box.xmin, box.ymin, box.xmax, box.ymax) for box in (each.box for each in found)]
    assert boxes == [tuple(each["box"].values()) for each in expected]
    assert best == found[:1]
    assert len(default) == len(own(image, candidate_labels=list(names)))


def test_objects_without_names_are_refused(models: dict[str, Path], image: Any) -> None:
    with _client("zero-shot-object-detection", models["owlvit"]) as client:
        with pytest.raises(BadRequestError, match="candidate_labels must be a list"):
            client.tasks.call("zero-shot-object-detection", file=_encoded(image))


@pytest.mark.anyio
async def test_the_async_client_sees_the_same(models: dict[str, Path], image: Any) -> None:
    local = LocalModels(
        tasks={
            "image-segmentation": models["maskformer"],
            "depth-estimation": models["dpt"],
            "image-to-image": models["swin2sr"],
            "zero-shot-object-detection": models["owlvit"],
        },
        device="cpu",
    )
    with RouterClient(local=local) as client:
        expected = (
            client.tasks.image_segmentation(image, threshold=0.0),
            client.tasks.depth_estimation(image),
            client.tasks.image_to_image(image),
            client.tasks.zero_shot_object_detection(image, LABELS),
        )
        kinds = {model.id: model.input_modalities for model in client.models.list()}
    assert list(kinds["local/swin2sr"]) == ["image"]
    async with AsyncRouterClient(local=local) as client:
        found = (
            await client.tasks.image_segmentation(image, threshold=0.0),
            await client.tasks.depth_estimation(image),
            await client.tasks.image_to_image(image),
            await client.tasks.zero_shot_object_detection(image, LABELS),
        )
    assert all(found)
    assert found == expected
