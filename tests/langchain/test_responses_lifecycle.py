"""Identity of models that use the Responses API: caches, dumps, traces, copies, pickles."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, load
from langchain_core.runnables import ConfigurableField

from langchain_hfrouter import ChatHFRouter
from tests.langchain import script
from tests.langchain.responses_server import PATH, model_of, serving, text, whole

pytestmark = pytest.mark.rule("responses-identity")


def test_the_switch_is_part_of_the_cache_key() -> None:
    plain, switched = ChatHFRouter(model="a/b"), ChatHFRouter(model="a/b", use_responses_api=True)
    keys = {
        plain._get_llm_string(),
        switched._get_llm_string(),
        plain._get_llm_string(use_responses_api=True),
    }
    assert len(keys) == 3
    assert switched._identifying_params["use_responses_api"] is True
    assert "use_responses_api" not in plain._identifying_params


def test_a_cached_answer_of_the_other_api_is_not_taken() -> None:
    with serving(whole(text("new"))) as server:
        server.script(script.CHAT, script.whole("old"))
        cache = InMemoryCache()
        on = model_of(server, cache=cache)
        off = model_of(server, cache=cache, use_responses_api=False)
        for _ in range(2):
            assert on.invoke("x").text == "new"
            assert off.invoke("x").text == "old"
        on.use_responses_api = False
        assert on.invoke("x").text == "old"
        assert [each.path for each in server.requests] == [PATH, script.CHAT]


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_copies_pickles_and_dumps_keep_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with serving(whole(text())) as server:
        model = model_of(server)
        model.invoke("x")
        twins = [
            copy.copy(model),
            copy.deepcopy(model),
            model.model_copy(),
            pickle.loads(pickle.dumps(model)),
            load(
                dumpd(model),
                valid_namespaces=["langchain_hfrouter"],
                allowed_objects="all",
                secrets_from_env=True,
            ),
        ]
        for twin in twins:
            assert twin.use_responses_api is True
            assert twin.invoke("x").text == "Hi."
        assert server.count(PATH) == 1 + len(twins)


def test_answers_can_be_pickled_and_dumped() -> None:
    with serving(whole(text())) as server:
        answer = model_of(server).invoke("x")
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert copy.deepcopy(answer) == answer


def test_a_run_may_turn_it_on() -> None:
    field = ConfigurableField(id="responses")
    with serving(whole(text())) as server:
        model = model_of(server, use_responses_api=False).configurable_fields(
            use_responses_api=field
        )
        model.with_config(configurable={"responses": True}).invoke("x")
        assert server.count(PATH) == 1


def test_traces_have_the_standard_parameters() -> None:
    model = ChatHFRouter(model="a/b", temperature=0, max_tokens=5, use_responses_api=True)
    params = model._get_ls_params()
    assert params["ls_provider"] == "hfrouter"
    assert params["ls_model_name"] == "a/b"
    assert params["ls_temperature"] == 0
    assert params["ls_max_tokens"] == 5
