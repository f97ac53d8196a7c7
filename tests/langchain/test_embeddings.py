"""``HFRouterEmbeddings``: what is sent, what comes back, what it survives."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import ValidationError

import shared_core
from langchain_hfrouter import HFRouterEmbeddings
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply
from tests.langchain.stub_server import StubServer, vector

pytestmark = pytest.mark.anyio
SECRET = "hf_TopSecretToken0123456789"


def of(stub: StubServer, **options: Any) -> HFRouterEmbeddings:
    return HFRouterEmbeddings(model="org/m", base_url=stub.base_url, api_key="t", **options)


@pytest.mark.rule("vectors")
async def test_vectors_are_lists_of_floats_in_order(stub: StubServer) -> None:
    texts = [f"text {n}" for n in range(5)]
    embeddings = of(stub)
    expected = [vector(text) for text in texts]
    assert embeddings.embed_documents(texts) == expected
    assert await embeddings.aembed_documents(texts) == expected
    assert embeddings.embed_query("q") == vector("q")
    assert await embeddings.aembed_query("q") == vector("q")
    assert type(embeddings.embed_query("q")[0]) is float


@pytest.mark.rule("batching")
async def test_no_texts_need_no_request(stub: StubServer) -> None:
    assert of(stub).embed_documents([]) == []
    assert await of(stub).aembed_documents([]) == []
    assert stub.requests == []


@pytest.mark.rule("batching")
async def test_many_texts_go_in_batches(stub: StubServer) -> None:
    """Pain 10. Peers send all 40 at once and get a 413."""
    texts = [str(n) for n in range(70)]
    expected = [vector(text) for text in texts]
    assert of(stub).embed_documents(texts) == expected
    assert [len(body["input"]) for body in stub.bodies] == [32, 32, 6]
    assert await of(stub, batch_size=10, concurrency=4).aembed_documents(texts) == expected


@pytest.mark.rule("batching")
def test_a_batch_that_is_too_large_is_split(stub: StubServer) -> None:
    texts = [str(n) for n in range(50)]
    assert of(stub, batch_size=50).embed_documents(texts) == [vector(text) for text in texts]


@pytest.mark.rule("texts-are-left-alone")
def test_texts_are_not_changed(stub: StubServer) -> None:
    of(stub).embed_documents(["a\nb  c"])
    assert stub.last["input"] == ["a\nb  c"]


@pytest.mark.rule("prompts")
def test_prompts_for_queries_and_documents(stub: StubServer) -> None:
    embeddings = of(stub, query_prompt="query: ", document_prompt="passage: ")
    embeddings.embed_query("a")
    assert stub.last["input"] in ("query: a", ["query: a"])
    embeddings.embed_documents(["a"])
    assert stub.last["input"] == ["passage: a"]


def tei(server: FaultServer) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []

    def embed(request: Received) -> Reply:
        bodies.append(request.json())
        inputs = bodies[-1]["inputs"]
        return json_reply(
            [vector(text) for text in ([inputs] if isinstance(inputs, str) else inputs)]
        )

    server.on("/embed", embed)
    return bodies


@pytest.mark.rule("addresses", "prompts")
def test_a_tei_server_is_given_by_its_address() -> None:
    """Pain 2. langchain-huggingface refuses URLs since 1.2.2."""
    with FaultServer() as server:
        bodies = tei(server)
        embeddings = HFRouterEmbeddings(
            base_url=f"{server.url}/embed",
            api_key="t",
            normalize=True,
            truncate=True,
            query_prompt_name="query",
            document_prompt_name="document",
        )
        assert embeddings.embed_documents(["a", "b"]) == [vector("a"), vector("b")]
        assert embeddings.embed_query("a") == vector("a")
    assert [body.get("prompt_name") for body in bodies] == ["document", "query"]
    assert (bodies[0]["normalize"], bodies[0]["truncate"]) == (True, True)


@pytest.mark.rule("prompts")
def test_one_prompt_name_for_both() -> None:
    with FaultServer() as server:
        bodies = tei(server)
        url = f"{server.url}/embed"
        embeddings = HFRouterEmbeddings(base_url=url, prompt_name="sts", query_prompt_name="query")
        embeddings.embed_documents(["a"])
        embeddings.embed_query("a")
    assert [body.get("prompt_name") for body in bodies] == ["sts", "query"]


@pytest.mark.rule("addresses")
def test_the_router_is_asked_at_the_models_pipeline() -> None:
    path = "/hf-inference/models/org/m/pipeline/feature-extraction"
    with FaultServer() as server:
        server.on(path, json_reply([vector("a")]))
        embeddings = HFRouterEmbeddings(model="org/m", base_url=server.url, api_key="t")
        assert embeddings.embed_documents(["a"]) == [vector("a")]


@pytest.mark.rule("embedding-parameters")
def test_dimensions_and_extra_fields(stub: StubServer) -> None:
    vectors = of(stub, dimensions=3, extra_body={"user": "ada"}).embed_documents(["a"])
    assert vectors == [vector("a")[:3]]
    assert (stub.last["dimensions"], stub.last["user"]) == (3, "ada")


@pytest.mark.rule("token-vectors")
@pytest.mark.parametrize("pooling", [None, "mean"])
def test_token_vectors_are_pooled_on_request_only(pooling: Any) -> None:
    with FaultServer() as server:
        server.on("/embed", json_reply([[[1.0, 3.0], [3.0, 5.0]]]))
        embeddings = HFRouterEmbeddings(base_url=f"{server.url}/embed", pooling=pooling)
        if pooling:
            assert embeddings.embed_documents(["a"]) == [[2.0, 4.0]]
        else:
            with pytest.raises(shared_core.RouterError, match="pooling"):
                embeddings.embed_documents(["a"])


async def test_a_progress_bar_on_request(
    stub: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    of(stub).embed_documents(["a"])
    assert capsys.readouterr().err == ""
    of(stub, show_progress=True, batch_size=2).embed_documents([str(n) for n in range(5)])
    assert "5/5" in capsys.readouterr().err
    await of(stub, show_progress=True, batch_size=2).aembed_documents(["a", "b", "c"])
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("alias", "field", "value"),
    [
        ("model_name", "model", "org/m"),
        ("chunk_size", "batch_size", 5),
        ("show_progress_bar", "show_progress", True),
        ("query_instruction", "query_prompt", "q: "),
        ("huggingfacehub_api_token", "api_key", None),
    ],
)
def test_other_names_of_keywords(alias: str, field: str, value: Any) -> None:
    assert getattr(HFRouterEmbeddings(**{alias: value}), field) == value


@pytest.mark.rule("unknown-constructor-keywords-are-refused")
def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(shared_core.InvalidSettingError, match="normalize"):
        HFRouterEmbeddings(model="a/b", normalise=True)


def test_missing_model_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(ModelInvalidRequestError, match="model"):
        HFRouterEmbeddings(api_key="t").embed_query("a")


@pytest.mark.rule("copies-and-pickles", "secrets")
def test_copies_and_pickles_work_after_use_and_tell_no_secret(stub: StubServer) -> None:
    embeddings = HFRouterEmbeddings(model="org/m", base_url=stub.base_url, api_key=SECRET)
    embeddings.embed_query("a")
    data = pickle.dumps(embeddings)
    for text in (repr(embeddings), repr(embeddings.model_dump()), data.decode("latin-1")):
        assert SECRET not in text
    for twin in (pickle.loads(data), copy.deepcopy(embeddings), embeddings.model_copy()):
        assert twin.embed_query("a") == vector("a")


@pytest.mark.rule("embedding-settings")
async def test_a_sleeping_endpoint_is_waited_for(stub: StubServer) -> None:
    embeddings = of(stub, scale_up_timeout=600)
    embeddings.embed_documents(["a", "b"])
    embeddings.embed_query("q")
    await embeddings.aembed_documents(["a", "b"])
    await embeddings.aembed_query("q")
    assert [r.headers.get("x-scale-up-timeout") for r in stub.requests] == ["600"] * 4
    assert all("scale_up_timeout" not in body for body in stub.bodies)
    of(stub).embed_query("q")
    assert "x-scale-up-timeout" not in stub.requests[-1].headers
    for wrong in (0, 100_000):
        with pytest.raises(ValidationError, match="scale_up_timeout"):
            of(stub, scale_up_timeout=wrong)
