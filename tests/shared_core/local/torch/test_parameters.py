"""Every parameter of a task has an effect, or is refused as docs/local.md says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL", "av", "pytesseract")

from shared_core import LocalModels, RouterClient, UnsupportedFeatureError  # noqa: E402
from tests.helpers import media_models, torch_models, vision_models  # noqa: E402
from tests.helpers.local_page import parameters, task_lines  # noqa: E402

WORDS = [["Rome", [0, 0, 500, 100]]]
VALUES: dict[str, Any] = {
    "align_to_words": False,
    "doc_stride": 1,
    "frame_sampling_rate": 2,
    "function_to_apply": "sigmoid",
    "generation_parameters": {"num_beams": 2},
    "guidance_scale": 2.0,
    "handle_impossible_answer": True,
    "hypothesis_template": "Here is {}",
    "lang": "eng",
    "mask_threshold": 0.5,
    "max_answer_len": 2,
    "max_new_tokens": 3,
    "max_question_len": 4,
    "max_seq_len": 40,
    "negative_prompt": "dark",
    "num_frames": 4,
    "num_inference_steps": 2,
    "overlap_mask_area_threshold": 0.5,
    "prompt": "Make it blue",
    "subtask": "panoptic",
    "target_size": (8, 8),
    "threshold": 0.5,
    "top_k": 1,
    "word_boxes": WORDS,
}


def _model(task: str, folder: Path) -> tuple[Path, tuple[Any, ...]]:
    """Return a model, and what it is asked."""
    from PIL import Image

    image, labels = vision_models.random_image(), ["a cat", "a dog"]
    if task == "question-answering":
        model = torch_models.write_random(folder, "ForQuestionAnswering")
        return model, ("Who?", "Ann met Bob in Rome.")
    if task == "video-classification":
        return vision_models.write_videomae(folder), (vision_models.video(frames=9),)
    if task == "visual-question-answering":
        return vision_models.write_vilt(folder), (image, "What?")
    if task == "document-question-answering":
        return vision_models.write_layoutlm(folder), (Image.new("RGB", (300, 90)), "Where?")
    if task == "zero-shot-image-classification":
        return media_models.write_clip(folder), (image, labels)
    if task == "zero-shot-object-detection":
        return vision_models.write_owlvit(folder), (image, labels)
    write = {
        "image-classification": media_models.write_image_classifier,
        "object-detection": media_models.write_detector,
        "image-to-text": media_models.write_captioner,
        "image-segmentation": vision_models.write_maskformer,
        "depth-estimation": vision_models.write_dpt,
        "image-to-image": vision_models.write_swin2sr,
    }[task]
    return write(folder), (image,)


@pytest.mark.parametrize(
    "task",
    [
        "question-answering",
        "image-classification",
        "zero-shot-image-classification",
        "object-detection",
        "zero-shot-object-detection",
        "image-segmentation",
        "depth-estimation",
        "image-to-text",
        "image-to-image",
        "visual-question-answering",
        "document-question-answering",
        "video-classification",
    ],
)
def test_parameters_work_or_are_refused_as_the_page_says(task: str, tmp_path: Path) -> None:
    folder, inputs = _model(task, tmp_path / "model")
    refused = []
    with RouterClient(local=LocalModels(tasks={task: folder}, device="cpu")) as client:
        method = getattr(client.tasks, task.replace("-", "_"))
        method(*inputs, **({"word_boxes": WORDS} if "word_boxes" in parameters(task) else {}))
        for name in parameters(task):
            if name == "lang" and shutil.which("tesseract") is None:
                continue
            given = {name: VALUES[name]}
            if "word_boxes" in parameters(task) and name != "lang":
                given["word_boxes"] = WORDS
            try:
                method(*inputs, **given)
            except UnsupportedFeatureError as error:
                assert error.param == name
                refused.append(name)
    assert refused == task_lines()[task].refused


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("text-classification", "ForSequenceClassification"),
        ("zero-shot-classification", "ForSequenceClassification"),
        ("token-classification", "ForTokenClassification"),
        ("fill-mask", "ForMaskedLM"),
    ],
)
def test_parameters_of_texts_work_or_are_refused(task: str, head: str, tmp_path: Path) -> None:
    labels = {0: "entailment", 1: "other"}
    names = {"id2label": labels, "label2id": {label: at for at, label in labels.items()}}
    folder = torch_models.write_random(tmp_path / "model", head, **names)
    given = {
        "aggregation_strategy": "simple",
        "function_to_apply": "sigmoid",
        "hypothesis_template": "On {}.",
        "ignore_labels": ["other"],
        "multi_label": True,
        "stride": 2,
        "targets": ["cat"],
        "top_k": 1,
    }
    inputs: tuple[Any, ...] = ("a [MASK] sleeps",)
    if task == "zero-shot-classification":
        inputs = (*inputs, ["cats", "dogs"])
    with RouterClient(local=LocalModels(tasks={task: folder}, device="cpu")) as client:
        method = getattr(client.tasks, task.replace("-", "_"))
        for name in parameters(task):
            options = {"aggregation_strategy": "first"} if name == "stride" else {}
            method(*inputs, **{**options, name: given[name]})
        with pytest.raises(UnsupportedFeatureError) as caught:
            method(*inputs, extra_parameters={"colour": "red"})
    assert caught.value.param == "colour"


def test_no_parameter_runs_code_from_elsewhere(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "custom_generate").mkdir(parents=True)
    (code / "custom_generate" / "generate.py").write_text(
        f"open({str(tmp_path / 'it ran')!r}, 'w').close()\n"
        "def generate(model, **unused):\n    raise ValueError\n"
    )
    wanted = {"custom_generate": str(code), "trust_remote_code": True}
    writer = torch_models.write_writer(tmp_path / "writer")
    with RouterClient(local=LocalModels(tasks={"summarization": writer})) as client:
        with pytest.raises(UnsupportedFeatureError, match="would run code") as caught:
            client.tasks.call("summarization", "a text", parameters={"generate_parameters": wanted})
    assert caught.value.param == "custom_generate"
    assert not (tmp_path / "it ran").exists()
