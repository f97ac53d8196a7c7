"""What models say on an accelerator is what they say on the CPU."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "sentence_transformers", "PIL", "av", "pandas", "sentencepiece")

from shared_core import (  # noqa: E402
    AudioPart,
    Callback,
    ImagePart,
    LocalModels,
    ResponseEvent,
    RouterClient,
    TextPart,
)
from shared_core.local.task_table import TABLE  # noqa: E402
from shared_core.local.torch.answers import png  # noqa: E402
from tests.helpers import (  # noqa: E402
    accelerator,
    chat_models,
    media_models,
    pipeline_models,
    speech_models,
    text_models,
    torch_models,
)
from tests.shared_core.local.accelerator import vision_cases  # noqa: E402

TEXTS = ["The dome opens at dusk.", "Soup is served.", "a cat"]
DEVICE = f"{accelerator.NAME}:0"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> None:
    accelerator.install(tmp_path_factory.mktemp("accelerator"))


class _Devices(Callback):
    """Notes where answers were computed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_response(self, event: ResponseEvent) -> None:
        self.seen.append(event.headers["x-local-device"])


def _both(ask: Callable[[RouterClient], Any], **models: Any) -> tuple[Any, Any]:
    """Return the answers of the CPU and of the accelerator."""
    answers, devices = [], _Devices()
    for device in ("cpu", "auto"):
        local = LocalModels(device=device, **models)
        with RouterClient(local=local, callbacks=[devices]) as client:
            answers.append(ask(client))
    assert devices.seen == ["cpu", DEVICE]
    return answers[0], answers[1]


def test_the_accelerator_refuses_what_a_gpu_refuses() -> None:
    import torch

    there, here = torch.ones(2, device=accelerator.NAME), torch.ones(2)
    with pytest.raises(RuntimeError, match="same device"):
        _ = there + here
    with pytest.raises(RuntimeError, match="same device"):
        torch.cat([there, here])
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    assert (there + there).tolist() == [2.0, 2.0]


def test_embeddings() -> None:
    cpu, there = _both(
        lambda client: client.embeddings.create(TEXTS),
        embeddings=torch_models.minilm_folder(),
        backend="sentence-transformers",
    )
    assert there.vectors == pytest.approx(cpu.vectors, abs=1e-6)


def test_rerank(tmp_path: Path) -> None:
    ranker = _random("ForSequenceClassification", num_labels=1)(tmp_path / "ranker")
    cpu, there = _both(
        lambda client: client.tasks.rerank("When?", TEXTS), tasks={"text-ranking": ranker}
    )
    assert [each.index for each in there] == [each.index for each in cpu]
    assert [each.score for each in there] == pytest.approx([each.score for each in cpu], abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.8, "seed": 3, "max_tokens": 12}])
def test_chat(options: dict[str, Any], tmp_path: Path) -> None:
    taught = torch_models.write_taught(tmp_path / "taught")
    cpu, there = _both(lambda client: client.chat.create("Hello", **options), chat=taught)
    assert there.text == cpu.text != ""
    with RouterClient(local=LocalModels(chat=taught, device=DEVICE)) as client:
        with client.chat.stream("Hello", **options) as stream:
            assert "".join(stream.text_deltas()) == cpu.text


@pytest.mark.parametrize("name", ["llava", "idefics3", "gemma3", "qwen2_vl", "qwen2_audio"])
def test_chat_about_images_and_sound(name: str, tmp_path: Path) -> None:
    folder = getattr(chat_models, f"write_{name}")(tmp_path / "model")
    part = AudioPart(chat_models.tone(440)) if "audio" in name else ImagePart(png(_image()).content)
    question = [{"role": "user", "content": [part, TextPart(chat_models.COLOUR)]}]
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 12}
    cpu, there = _both(lambda client: client.chat.create(question, **options), chat=folder)
    assert there.text == cpu.text != ""
    assert there.usage == cpu.usage


def _random(head: str, **config: Any) -> Callable[[Path], Path]:
    return lambda folder: torch_models.write_random(folder, head, **config)


def _spoken(head: str) -> Callable[[Path], Path]:
    return lambda folder: media_models.write_wav2vec2(folder, head)


def _image(seed: int = 0) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8))


def _sound(rate: int = 16_000) -> bytes:
    import numpy as np

    return pipeline_models.wav(np.random.default_rng(0).uniform(-1, 1, rate // 2), rate)


def _samples(media: Any) -> Any:
    from shared_core.local.torch.sound import samples

    return samples(media.content, 16_000).tolist()


def _dense(entries: list[dict[str, Any]]) -> list[float]:
    found = {entry["index"]: entry["value"] for entry in entries}
    return [found.get(at, 0.0) for at in range(max(found) + 1)]


def _images() -> list[str]:
    files = [png(_image(seed)).content for seed in (1, 2)]
    return ["data:image/png;base64," + base64.b64encode(file).decode() for file in files]


LABELS = ["a cat", "the rain", "soup"]
AGES = {"Name": ["Ada", "Bob", "Cid"], "Age": [36, 41, 7]}
SHORT = {"max_length": 9}
ENTAILMENT = {
    "id2label": {0: "contradiction", 1: "entailment"},
    "label2id": {"contradiction": 0, "entailment": 1},
}
CASES: dict[str, tuple[Callable[[Path], Path], Callable[[Any], Any]]] = {
    "text-classification": (
        _random("ForSequenceClassification", num_labels=3),
        lambda tasks: tasks.text_classification(TEXTS[0]),
    ),
    "token-classification": (
        _random("ForTokenClassification", id2label={0: "O", 1: "B-PER", 2: "I-PER"}),
        lambda tasks: tasks.token_classification(TEXTS[0], ignore_labels=[]),
    ),
    "fill-mask": (_random("ForMaskedLM"), lambda tasks: tasks.fill_mask("The [MASK] opens.")),
    "zero-shot-classification": (
        _random("ForSequenceClassification", **ENTAILMENT),
        lambda tasks: tasks.zero_shot_classification(TEXTS[0], LABELS),
    ),
    "summarization": (
        torch_models.write_writer,
        lambda tasks: tasks.summarization(TEXTS[0], generate_parameters=SHORT),
    ),
    "translation": (
        torch_models.write_writer,
        lambda tasks: tasks.translation(TEXTS[0], generate_parameters=SHORT),
    ),
    "text2text-generation": (
        torch_models.write_writer,
        lambda tasks: tasks.text2text_generation(TEXTS[0], generate_parameters=SHORT),
    ),
    "question-answering": (
        _random("ForQuestionAnswering"),
        lambda tasks: tasks.question_answering("When does it open?", TEXTS[0], top_k=3),
    ),
    "table-question-answering": (
        text_models.write_tapas,
        lambda tasks: tasks.table_question_answering("How old is Ada?", AGES, sequential=True),
    ),
    "embed-sparse": (
        text_models.write_splade,
        lambda tasks: _dense(tasks.call("embed-sparse", TEXTS[2])[0]),
    ),
    "embed-all": (text_models.write_colbert, lambda tasks: tasks.call("embed-all", TEXTS)),
    "text-to-speech": (
        lambda folder: speech_models.write_vits(folder, noise=0.0),
        lambda tasks: _samples(tasks.text_to_speech("the dome opens")),
    ),
    "text-to-audio": (
        lambda folder: speech_models.write_vits(folder, noise=0.0),
        lambda tasks: _samples(tasks.text_to_audio("a song")),
    ),
    "image-classification": (
        media_models.write_image_classifier,
        lambda tasks: tasks.image_classification(_image()),
    ),
    "zero-shot-image-classification": (
        media_models.write_clip,
        lambda tasks: tasks.zero_shot_image_classification(_image(), LABELS),
    ),
    "object-detection": (
        media_models.write_detector,
        lambda tasks: tasks.object_detection(_image(), threshold=0.1),
    ),
    "image-to-text": (
        media_models.write_captioner,
        lambda tasks: tasks.image_to_text(_image(), max_new_tokens=6),
    ),
    "audio-classification": (
        _spoken("ForSequenceClassification"),
        lambda tasks: tasks.audio_classification(_sound()),
    ),
    "automatic-speech-recognition": (
        media_models.write_whisper,
        lambda tasks: tasks.automatic_speech_recognition(
            _sound(), generation_parameters={"max_new_tokens": 9}
        ),
    ),
    "image-feature-extraction": (
        media_models.write_image_classifier,
        lambda tasks: tasks.call("image-feature-extraction", file=_image()),
    ),
    "keypoint-matching": (
        pipeline_models.write_matcher,
        lambda tasks: tasks.call("keypoint-matching", _images()),
    ),
    "zero-shot-audio-classification": (
        pipeline_models.write_clap,
        lambda tasks: tasks.call(
            "zero-shot-audio-classification",
            parameters={"candidate_labels": LABELS},
            file=_sound(48_000),
        ),
    ),
    **vision_cases.CASES,
}
"""Task -> what writes a model, and a question to it."""

WITHIN = dict.fromkeys(("text-to-speech", "text-to-audio"), 1e-4)  # a few steps of 16 bits


def test_every_row_has_a_case() -> None:
    assert set(TABLE) <= set(CASES)


@pytest.mark.parametrize("task", CASES)
def test_a_task(task: str, tmp_path: Path) -> None:
    write, ask = CASES[task]
    cpu, there = _both(lambda client: ask(client.tasks), tasks={task: write(tmp_path / "model")})
    assert _same(there, cpu, WITHIN.get(task, 1e-5))
    assert cpu


def test_what_is_written_about_a_table(tmp_path: Path) -> None:
    tasks = {"table-question-answering": text_models.write_tapex(tmp_path / "tapex")}
    cpu, there = _both(
        lambda client: client.tasks.table_question_answering("Who?", AGES), tasks=tasks
    )
    assert there.answer == cpu.answer != ""


def test_a_vocoder_is_where_its_model_is(tmp_path: Path) -> None:
    tasks = {"text-to-speech": speech_models.write_speecht5(tmp_path / "speecht5")}
    given = {"speaker_embeddings": speech_models.SPEAKER}
    with RouterClient(local=LocalModels(tasks=tasks, device=DEVICE)) as client:
        spoken = client.tasks.text_to_speech("the dome", extra_parameters=given)
    assert len(_samples(spoken)) >= 32


def test_vectors_of_images(tmp_path: Path) -> None:
    tasks = {"image-feature-extraction": text_models.write_clip_encoder(tmp_path)}
    cpu, there = _both(
        lambda client: client.tasks.call("image-feature-extraction", file=_image()), tasks=tasks
    )
    assert _same(there, cpu)
    assert cpu


@pytest.mark.parametrize(("task", "case"), vision_cases.KINDS)
def test_other_kinds_of_models(task: str, case: vision_cases.Case, tmp_path: Path) -> None:
    write, ask = case
    cpu, there = _both(lambda client: ask(client.tasks), tasks={task: write(tmp_path / "model")})
    assert _same(there, cpu)
    assert cpu


def test_letters_of_speech(tmp_path: Path) -> None:
    tasks = {"automatic-speech-recognition": _spoken("ForCTC")(tmp_path / "model")}
    cpu, there = _both(
        lambda client: client.tasks.automatic_speech_recognition(_sound()), tasks=tasks
    )
    assert there == cpu
    assert cpu.text


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str, tmp_path: Path) -> None:
    write, ask = CASES["image-classification"]
    tasks = {"image-classification": write(tmp_path / "model")}
    cpu, there = _both(lambda client: ask(client.tasks), tasks=tasks, dtype=dtype)
    assert _same(there, cpu, within=0.05)


def _same(one: Any, other: Any, within: float = 1e-5) -> bool:
    """Whether two answers are alike but for sums in another order."""
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        names = [each.name for each in dataclasses.fields(one)]
        return all(_same(getattr(one, n), getattr(other, n), within) for n in names)
    if isinstance(one, dict):
        return set(one) == set(other) and all(_same(one[n], other[n], within) for n in one)
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=True)
        return all(_same(first, second, within) for first, second in pairs)
    if isinstance(one, float):
        return abs(one - other) <= within * max(1.0, abs(one))
    return bool(one == other)
