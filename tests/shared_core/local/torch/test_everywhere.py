"""The same models through both adapters, the command line and search."""

from __future__ import annotations

import base64
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import chat_models
from tests.helpers.torch_models import need, write_random

need("torch", "transformers", "sentence_transformers")

from langchain_core.documents import Document  # noqa: E402
from langchain_core.messages import HumanMessage  # noqa: E402
from llama_index.core.base.llms.types import (  # noqa: E402
    AudioBlock,
    ChatMessage,
    ImageBlock,
    TextBlock,
)
from llama_index.core.schema import NodeWithScore, TextNode  # noqa: E402

from langchain_hfrouter import (  # noqa: E402
    ChatHFRouter,
    HFRouterEmbeddings,
    HFRouterLLM,
    HFRouterRerank,
)
from llama_index_hfrouter import HFRouter, HFRouterEmbedding  # noqa: E402
from llama_index_hfrouter import HFRouterRerank as NodeRerank  # noqa: E402
from shared_core import AudioPart, LocalModels, RouterClient  # noqa: E402
from shared_core.cli import main  # noqa: E402
from shared_core.embeddings import SemanticIndex, most_similar  # noqa: E402
from tests.helpers.servers import ROOT  # noqa: E402

FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
TEXTS = ["a feline", "the stock market", "a small cat"]


@pytest.fixture(scope="module")
def models(minilm: Path, taught: Path, ranker: Path) -> LocalModels:
    return LocalModels(
        minilm,
        backend="sentence-transformers",
        chat=taught,
        tasks={"text-ranking": ranker},
        device="cpu",
    )


def test_most_similar_and_semantic_search(models: LocalModels) -> None:
    with RouterClient(local=models) as client, RouterClient(local=True) as numpy:
        vectors = client.embeddings.create(TEXTS).vectors
        best = most_similar(client.embeddings.embed_one("kitten"), vectors, k=1)
        assert TEXTS[best[0].position] == "a feline"
        index, expected = SemanticIndex(client.embeddings), SemanticIndex(numpy.embeddings)
        hits = []
        for each in (index, expected):
            each.add(TEXTS)
            hits.append(each.search("kitten", k=2))
    assert [hit.text for hit in hits[0]] == [hit.text for hit in hits[1]]
    assert [hit.score for hit in hits[0]] == pytest.approx([hit.score for hit in hits[1]], abs=1e-5)


def test_langchain(models: LocalModels) -> None:
    embeddings = HFRouterEmbeddings(local=models)
    expected = HFRouterEmbeddings(local=True).embed_documents(TEXTS)
    assert np.allclose(embeddings.embed_documents(TEXTS), expected, atol=1e-5)
    chat = ChatHFRouter(local=models, temperature=0)
    assert chat.invoke(FRANCE).content == PARIS
    assert "".join(str(chunk.content) for chunk in chat.stream(FRANCE)) == PARIS
    prompt = f"<|im_start|>user\n{FRANCE}<|im_end|>\n<|im_start|>assistant\n"
    assert HFRouterLLM(local=models, top_k=1).invoke(prompt) == PARIS
    rerank = HFRouterRerank(local=models, top_n=2)
    ranked = rerank.compress_documents([Document(text) for text in TEXTS], "kitten")
    assert len(ranked) == 2
    assert ranked[0].metadata["relevance_score"] >= ranked[1].metadata["relevance_score"]


@pytest.mark.anyio
async def test_langchain_async(models: LocalModels) -> None:
    chat = ChatHFRouter(local=models, temperature=0)
    assert (await chat.ainvoke(FRANCE)).content == PARIS
    pieces = [str(chunk.content) async for chunk in chat.astream(FRANCE)]
    assert "".join(pieces) == PARIS
    assert len(pieces) > 3


def test_llama_index(models: LocalModels) -> None:
    embedding = HFRouterEmbedding(local=models)
    expected = HFRouterEmbedding(local=True).get_text_embedding_batch(TEXTS)
    assert np.allclose(embedding.get_text_embedding_batch(TEXTS), expected, atol=1e-5)
    llm = HFRouter(local=models, temperature=0)
    message = ChatMessage(role="user", content=FRANCE)
    assert llm.chat([message]).message.content == PARIS
    *_, last = llm.stream_chat([message])
    assert last.message.content == PARIS
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    ranked = NodeRerank(local=models, top_n=2).postprocess_nodes(nodes, query_str="kitten")
    assert len(ranked) == 2


def test_images_through_langchain(seeing: Path) -> None:
    chat = ChatHFRouter(local=LocalModels(chat=seeing), temperature=0)
    encoded = base64.b64encode(chat_models.image("blue")).decode()
    url = f"data:image/png;base64,{encoded}"
    for block in (
        {"type": "image", "base64": encoded, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": url}},
    ):
        message = HumanMessage([block, {"type": "text", "text": chat_models.COLOUR}])
        assert chat.invoke([message]).content == " It is blue."
        assert "".join(str(chunk.content) for chunk in chat.stream([message])) == " It is blue."


def test_images_through_llama_index(seeing: Path) -> None:
    llm = HFRouter(local=LocalModels(chat=seeing), temperature=0)
    for colour in chat_models.COLOURS:
        image = ImageBlock(image=chat_models.image(colour))
        message = ChatMessage(role="user", blocks=[image, TextBlock(text=chat_models.COLOUR)])
        assert llm.chat([message]).message.content == f" It is {colour}."
        *_, last = llm.stream_chat([message])
        assert last.message.content == f" It is {colour}."


def test_sound_through_both(tmp_path: Path) -> None:
    models = LocalModels(chat=chat_models.write_qwen2_audio(tmp_path / "hearing"))
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 9}
    sounds = [chat_models.tone(440), chat_models.tone(3000)]
    with RouterClient(local=models) as client:
        expected = [
            client.chat.create([{"role": "user", "content": [AudioPart(sound)]}], **options).text
            for sound in sounds
        ]
    chat, llm = ChatHFRouter(local=models, **options), HFRouter(local=models, **options)
    encoded = [base64.b64encode(sound).decode() for sound in sounds]
    kind = {"type": "audio", "mime_type": "audio/wav"}
    heard = [chat.invoke([HumanMessage([{**kind, "base64": data}])]).content for data in encoded]
    blocks = [AudioBlock(audio=sound, format="wav") for sound in sounds]
    turns = [ChatMessage(role="user", blocks=[block]) for block in blocks]
    assert heard == [llm.chat([turn]).message.content for turn in turns] == expected
    assert expected[0] != expected[1]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command: exit code, output, messages."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the command sets what is not set

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return (code, *capsys.readouterr())

    return run


def test_the_command_line_embeds_and_compares(run: Run, minilm: Path) -> None:
    local = ("--local-model", str(minilm), "--backend", "sentence-transformers", "--device", "cpu")
    code, out, told = run("embed", "--similarity", "cat", "the stock market", "feline", *local)
    assert code == 0, told
    _, plain, _ = run("embed", "--similarity", "cat", "the stock market", "feline", "--local")
    assert out == plain
    assert out.splitlines()[0].endswith("feline")


def test_the_command_line_chats_and_answers_questions(
    run: Run, taught: Path, tmp_path: Path
) -> None:
    code, out, told = run(
        "chat", "--local-chat", str(taught), "--temperature", "0", "--stats", FRANCE
    )
    assert (code, out.strip()) == (0, PARIS), told
    assert "local/taught, local, stop, 15 + 8 tokens" in told
    (tmp_path / "facts.md").write_text("Paris is the capital of France.")
    local = ("--local-chat", str(taught), "--max-tokens", "2", "--temperature", "0")
    code, out, told = run("ask", "--docs", str(tmp_path), *local, FRANCE)
    assert code == 0, told
    assert "1. facts.md, passage 1" in out
    assert "local/taught" in told


def test_the_command_line_runs_tasks(run: Run, classifier: Path, taught: Path) -> None:
    code, out, told = run("task", "text-classification", "a", "--local", "--model", str(classifier))
    assert code == 0, told
    assert {label["label"] for label in json.loads(out)} == {
        "contradiction",
        "neutral",
        "entailment",
    }
    code, out, told = run(
        *("task", "text-generation", "The", "--local", "--model", str(taught)),
        *("--max-new-tokens", "2", "--parameter", "do_sample=false"),
    )
    assert code == 0, told
    assert json.loads(out)["text"]


def test_the_command_line_says_what_is_wrong(run: Run, tmp_path: Path) -> None:
    folder = write_random(tmp_path / "base", "Model")
    local = ("--local-model", str(folder), "--backend", "sentence-transformers")
    code, _, told = run("embed", "a", *local, "--device", "cuda")
    assert code == 2
    assert "device='cuda' cannot be used" in told


def test_the_example(
    taught: Path,
    ranker: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["torch_models.py", str(taught), str(ranker)])
    runpy.run_path(str(ROOT / "examples" / "local" / "torch_models.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "Best passage: " in out
    assert out.endswith(f"{PARIS} (local/taught on cpu)\n")
