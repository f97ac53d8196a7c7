"""Offline: both classes answer in this process, with no network and no token."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from tests.langchain.script import TOOL, added

pytestmark = pytest.mark.anyio

PROMPT = ChatPromptTemplate.from_messages([("system", "Use this: {facts}"), ("user", "{question}")])
QUESTION = {
    "facts": "The dome opens at dusk. Soup is served on Mondays.",
    "question": "When does the dome open?",
}


async def test_a_local_chain_answers_from_its_context() -> None:
    chain = PROMPT | ChatHFRouter(local=True) | StrOutputParser()
    answers = [
        chain.invoke(QUESTION),
        "".join(chain.stream(QUESTION)),
        await chain.ainvoke(QUESTION),
        "".join([piece async for piece in chain.astream(QUESTION)]),
    ]
    assert all("The dome opens at dusk." in answer for answer in answers)


def test_a_local_answer_says_who_gave_it() -> None:
    model = ChatHFRouter(local=True)
    total = added(list((PROMPT | model).stream(QUESTION)))
    assert total.response_metadata["model_name"].startswith("local/")
    assert model._get_ls_params()["ls_model_name"].startswith("local/")
    assert total.response_metadata["finish_reason"] == "stop"


def test_what_the_local_reader_cannot_do_is_an_error() -> None:
    with pytest.raises(ModelInvalidRequestError, match="tools"):
        ChatHFRouter(local=True).bind_tools([TOOL]).invoke("x")


async def test_local_retrieval() -> None:
    embeddings = HFRouterEmbeddings(local=True)
    store = await InMemoryVectorStore.afrom_texts(
        ["The dome opens at dusk.", "Lunch is served at noon."], embeddings
    )
    assert store.similarity_search("When can I eat?", k=1)[0].page_content.startswith("Lunch")
    assert len(await embeddings.aembed_query("x")) == 384


def test_local_models_copy_and_pickle() -> None:
    model = ChatHFRouter(local=True)
    before = (PROMPT | model).invoke(QUESTION).text
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.model_copy()):
        assert (PROMPT | twin).invoke(QUESTION).text == before


def test_local_and_remote_answers_have_different_cache_keys() -> None:
    local = ChatHFRouter(local=True, model="org/m")._get_llm_string()
    assert local != ChatHFRouter(model="org/m")._get_llm_string()
