"""Questions about images and documents: what the library says about the same ones."""

from __future__ import annotations

import base64
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need

need("torch", "transformers", "PIL", "pytesseract")

from shared_core import (  # noqa: E402
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModelError,
    LocalModels,
    RouterClient,
    UnsupportedFeatureError,
)
from tests.helpers import vision_models  # noqa: E402

VISUAL, DOCUMENT = "visual-question-answering", "document-question-answering"
QUESTION = "what is the total?"
WORDS = [
    [word, [100 * at, 200, 100 * at + 90, 300]]
    for at, word in enumerate(["the", "total", "is", "forty", "euros"])
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    names = ("vilt", "blip", "layoutlm", "layoutlmv3", "donut")
    return {name: getattr(vision_models, f"write_{name}")(folder / name) for name in names}


@pytest.fixture(scope="module")
def image() -> Any:
    return vision_models.random_image()


@pytest.fixture(scope="module")
def page() -> Any:
    """A page with the text "The total is forty euros"."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (600, 200), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(page).text((20, 60), "The total is forty euros", "black", font)
    return page


def _client(task: str, folder: Path) -> RouterClient:
    return RouterClient(local=LocalModels(tasks={task: folder}, device="cpu"))


def _encoded(image: Any) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _own(folder: Path) -> Any:
    from transformers import pipeline

    return pipeline(DOCUMENT, model=str(folder), device="cpu")


def _check(found: Any, expected: Any) -> None:
    names = ("answer", "start", "end")
    assert [[getattr(each, name) for name in names] for each in found] == [
        [each[name] for name in names] for each in expected
    ]
    assert [each.score for each in found] == pytest.approx([each["score"] for each in expected])


# --- images -----------------------------------------------------------------------------


def test_answers_that_are_known_equal_the_models_numbers(
    models: dict[str, Path], image: Any
) -> None:
    import torch
    from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

    folder = models["vilt"]
    inputs = AutoProcessor.from_pretrained(folder)(image, QUESTION, return_tensors="pt")
    with torch.no_grad():
        made = AutoModelForVisualQuestionAnswering.from_pretrained(folder).eval()(**inputs)
    expected = dict(zip(("cat", "dog", "owl"), made.logits[0].sigmoid().tolist(), strict=True))
    with _client(VISUAL, folder) as client:
        found = client.tasks.visual_question_answering(image, QUESTION)
        best = client.tasks.visual_question_answering(image, QUESTION, top_k=1)
        other = client.tasks.visual_question_answering(image, "where?")
        there = {"image": _encoded(image), "question": QUESTION}  # as other servers have it
        apart = client.tasks.visual_question_answering(
            image, "where?", extra_body={"inputs": there}
        )
    assert {each.answer: each.score for each in found} == pytest.approx(expected)
    assert [each.answer for each in found] == sorted(expected, key=lambda name: -expected[name])
    assert [each.answer for each in best] == [found[0].answer]
    assert other[0].score != found[0].score
    scores = [each.score for each in found]
    assert [each.score for each in apart] == pytest.approx(scores)


def test_answers_that_are_written_are_the_models_words(models: dict[str, Path], image: Any) -> None:
    from transformers import AutoModelForVisualQuestionAnswering, AutoProcessor

    folder = models["blip"]
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(image, QUESTION, return_tensors="pt")
    made = AutoModelForVisualQuestionAnswering.from_pretrained(folder).eval()
    made = made.generate(**inputs, max_new_tokens=20)
    with _client(VISUAL, folder) as client:
        (found,) = client.tasks.visual_question_answering(image, QUESTION)
        with pytest.raises(UnsupportedFeatureError, match="does not know the parameter 'top_k'"):
            client.tasks.visual_question_answering(image, QUESTION, top_k=2)
    assert found.answer == processor.decode(made[0], skip_special_tokens=True) != ""
    assert found.score is None


def test_questions_that_cannot_be_asked_are_refused(
    models: dict[str, Path], image: Any, tmp_path: Path
) -> None:
    from transformers import Blip2Config

    for name in ("vilt", "blip"):
        with _client(VISUAL, models[name]) as client:
            with pytest.raises(ContextLengthError, match=r"102 tokens, the model takes (40|64)"):
                client.tasks.visual_question_answering(image, "what " * 100)
            with pytest.raises(BadRequestError, match="must have an image"):
                client.tasks.visual_question_answering(
                    image, QUESTION, extra_body={"inputs": {"question": QUESTION}}
                )
            with pytest.raises(UnsupportedFeatureError, match="fetch nothing from an address"):
                client.tasks.visual_question_answering("https://example.org/a.png", QUESTION)
    Blip2Config().save_pretrained(tmp_path / "blip2")
    with _client(VISUAL, tmp_path / "blip2") as client:
        with pytest.raises(LocalModelError, match="is a BLIP-2, which wants a prompt"):
            client.tasks.visual_question_answering(image, QUESTION)


# --- documents --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "repeated"),
    [
        ({}, 1),
        ({"top_k": 3}, 1),
        ({"top_k": 3, "max_answer_len": 1}, 1),
        ({"top_k": 99, "handle_impossible_answer": True}, 1),
        ({}, 30),  # in several pieces
        ({"max_seq_len": 24, "doc_stride": 3}, 5),
    ],
)
def test_answers_on_a_page_equal_the_pipeline(
    models: dict[str, Path], image: Any, parameters: dict[str, Any], repeated: int
) -> None:
    words = WORDS * repeated
    asked = {"image": None, "question": QUESTION, "word_boxes": words}
    expected = _own(models["layoutlm"])(asked, **parameters)
    with _client(DOCUMENT, models["layoutlm"]) as client:
        found = client.tasks.document_question_answering(
            image, QUESTION, word_boxes=words, **parameters
        )
    _check(found, expected)


def test_an_answer_in_two_pieces_counts_once(models: dict[str, Path], image: Any) -> None:
    with _client(DOCUMENT, models["layoutlm"]) as client:
        found = client.tasks.document_question_answering(
            image, QUESTION, word_boxes=WORDS * 5, top_k=50, max_seq_len=24, doc_stride=10
        )
    assert len(found) == 50
    assert len({(each.start, each.end) for each in found}) == 50
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)


def test_a_model_that_looks_at_the_page_is_shown_it(
    models: dict[str, Path], image: Any, page: Any
) -> None:
    import torch
    import transformers as hf

    folder = models["layoutlmv3"]
    processor = hf.LayoutLMv3Processor(
        hf.AutoImageProcessor.from_pretrained(folder, apply_ocr=False),
        hf.AutoTokenizer.from_pretrained(folder),
    )
    words, boxes = [word for word, _ in WORDS], [box for _, box in WORDS]
    encoded = processor(image, "total?", words, boxes=boxes, return_tensors="pt")
    with torch.no_grad():
        made = hf.LayoutLMv3ForQuestionAnswering.from_pretrained(folder).eval()(**encoded)
    places = [0, *(at for at, kind in enumerate(encoded.sequence_ids(0)) if kind == 1)]
    chances = torch.outer(
        made.start_logits[0, places].softmax(-1)[1:], made.end_logits[0, places].softmax(-1)[1:]
    ).triu()
    start, end = divmod(int(chances.argmax()), len(places) - 1)
    word_of = [encoded.word_ids(0)[at] for at in places[1:]]
    with _client(DOCUMENT, folder) as client:
        options: dict[str, Any] = {"word_boxes": WORDS, "max_answer_len": 60}
        (found,) = client.tasks.document_question_answering(image, "total?", **options)
        (other,) = client.tasks.document_question_answering(page, "total?", **options)
    assert found.score == pytest.approx(chances.max().item())
    assert (found.start, found.end) == (word_of[start], word_of[end])
    assert found.answer == " ".join(words[word_of[start] : word_of[end] + 1])
    assert other.score != found.score


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="pages: tesseract is not installed")
def test_words_are_read_from_the_page(models: dict[str, Path], page: Any) -> None:
    from PIL import Image

    own = _own(models["layoutlm"])
    expected = own(page, QUESTION, top_k=3, lang="eng")
    with _client(DOCUMENT, models["layoutlm"]) as client:
        found = client.tasks.document_question_answering(page, QUESTION, top_k=3, lang="eng")
        _check(found, expected)
        assert found[0].answer in "The total is forty euros"
        with pytest.raises(BadRequestError, match="Tesseract cannot read the page"):
            client.tasks.document_question_answering(page, QUESTION, lang="xyz")
        blank = Image.new("RGB", (300, 100), "white")
        assert client.tasks.document_question_answering(blank, QUESTION) == []


def test_a_donut_writes_what_the_pipeline_says(models: dict[str, Path], image: Any) -> None:
    expected = _own(models["donut"])(image, QUESTION)
    assert expected[0]["answer"]
    with _client(DOCUMENT, models["donut"]) as client:
        (found,) = client.tasks.document_question_answering(image, QUESTION)
        parameters: dict[str, Any]
        for parameters in ({"top_k": 2}, {"lang": "eng"}, {"word_boxes": WORDS}):
            with pytest.raises(UnsupportedFeatureError, match="it knows no parameters"):
                client.tasks.document_question_answering(image, QUESTION, **parameters)
    assert found.answer == expected[0]["answer"]
    assert found.score is None


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"max_question_len": 8}, UnsupportedFeatureError, "'max_question_len'"),
        ({"lang": "eng"}, UnsupportedFeatureError, "'lang'"),  # there is nothing to read
        ({"doc_stride": 60}, BadRequestError, "doc_stride=60, and a piece has room for 56"),
        ({"max_seq_len": 8}, ContextLengthError, "9 tokens, the model takes 8"),
        ({"word_boxes": [["a", [0, 0, 1001, 3]]]}, BadRequestError, "from 0 to 1000"),
        ({"word_boxes": ["a"]}, BadRequestError, "word_boxes must be a list of"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    models: dict[str, Path],
    image: Any,
    parameters: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with _client(DOCUMENT, models["layoutlm"]) as client:
        with pytest.raises(error, match=message):
            client.tasks.document_question_answering(
                image, QUESTION, **{"word_boxes": WORDS, **parameters}
            )


def test_what_reads_pages_is_named_where_it_is_missing(
    models: dict[str, Path], page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _client(DOCUMENT, models["layoutlm"]) as client:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ImportError, match="apt install tesseract-ocr"):
            client.tasks.document_question_answering(page, QUESTION)
        monkeypatch.setitem(sys.modules, "pytesseract", None)
        with pytest.raises(ImportError, match="Install it with: pip install pytesseract"):
            client.tasks.document_question_answering(page, QUESTION)
        assert client.tasks.document_question_answering(page, QUESTION, word_boxes=WORDS)


def test_other_models_of_documents_are_refused(tmp_path: Path, image: Any) -> None:
    import transformers as hf

    from tests.helpers.torch_models import minilm_folder

    tokenizer = hf.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    tokenizer.save_pretrained(tmp_path / "bert")
    hf.BertConfig().save_pretrained(tmp_path / "bert")
    with _client(DOCUMENT, tmp_path / "bert") as client:
        with pytest.raises(LocalModelError, match="is a bert, which cannot be asked about doc"):
            client.tasks.document_question_answering(image, QUESTION)


@pytest.mark.anyio
async def test_the_async_client_sees_the_same(models: dict[str, Path], image: Any) -> None:
    tasks = {VISUAL: models["blip"], DOCUMENT: models["layoutlmv3"]}
    local = LocalModels(tasks=tasks, device="cpu")
    with RouterClient(local=local) as client:
        expected = (
            client.tasks.visual_question_answering(image, QUESTION),
            client.tasks.document_question_answering(image, QUESTION, word_boxes=WORDS),
        )
        kinds = {model.id: model.input_modalities for model in client.models.list()}
    assert list(kinds["local/blip"]) == ["image", "text"]
    async with AsyncRouterClient(local=local) as client:
        found = (
            await client.tasks.visual_question_answering(image, QUESTION),
            await client.tasks.document_question_answering(image, QUESTION, word_boxes=WORDS),
        )
    assert all(found)
    assert found == expected
