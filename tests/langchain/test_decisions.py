"""Typed questions by zero-shot classification: how they are put, and what the scores mean."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, HumanMessage

import shared_core
from langchain_hfrouter._verdicts import answer, asking, in_words
from shared_core import Label
from tests.helpers.fault_server import FaultServer, Received, Reply, json_reply

pytestmark = pytest.mark.anyio
HAS_DECISIONS = importlib.util.find_spec("langchain_core.decisions") is not None


def question(kind: str, criteria: Any = None, instructions: Any = "This is") -> Any:
    return SimpleNamespace(type=kind, criteria=criteria, instructions=instructions)


CHOICE = question("choice", {"billing": "about money", "bugs": None}, "The team is {x}")


# --- without langchain_core.decisions ---------------------------------------------------


def test_how_questions_are_put() -> None:
    asked = asking("team", CHOICE)
    assert asked.labels == ("billing: about money", "bugs")
    assert asked.template == "The team is (x) {}"
    noul = asking("urgent", question("noul", SimpleNamespace(true="It burns.", false=None)))
    assert noul.labels == ("yes: It burns.", "no")
    assert asking("urgent", question("noul")).labels == ("yes", "no")
    assert asking("mood", question("score", ["calm", "angry"])).labels == ("calm", "angry")
    same = asking("mood", question("score", ["so-so", "so-so"]))
    assert same.labels == ("0: so-so", "1: so-so")


def test_what_scores_mean() -> None:
    choice = answer(
        asking("team", CHOICE), [Label("bugs", 0.2), Label("billing: about money", 0.6)]
    )
    assert choice["choice"] == "billing"
    assert choice["probabilities"] == pytest.approx({"billing": 0.75, "bugs": 0.25})
    assert choice["confidence"] == pytest.approx(0.75)
    noul = answer(asking("u", question("noul")), [Label("no", 0.9), Label("yes", 0.1)])
    assert noul == {"type": "noul", "noul": pytest.approx(0.1)}
    mood = question("score", ["calm", "cross", "angry"])
    labels = [Label("calm", 0.1), Label("cross", 0.3), Label("angry", 0.6)]
    score = answer(asking("m", mood), labels)
    assert score["score"] == pytest.approx(1.5)
    assert score["legend"] == {0: "calm", 1: "cross", 2: "angry"}
    single = answer(asking("s", question("choice", {"a": None})), [Label("a", 0.25)])
    assert single["probabilities"] == {"a": 0.25}


@pytest.mark.parametrize(
    "found",
    [
        [],
        [Label("yes", 0.5)],
        [Label("yes", 0.0), Label("no", 0.0)],
        [Label("a", 1), Label("b", 1)],
        [Label("yes", float("nan")), Label("no", 0.5)],
        [Label("yes", 0.5), Label("no", float("nan"))],
        [Label("yes", float("inf")), Label("no", 0.5)],
        [Label("yes", 1e308), Label("no", 1e308)],
        [Label("yes", -0.5), Label("no", 1.0)],
    ],
)
def test_scores_of_other_labels_are_refused(found: list[Label]) -> None:
    with pytest.raises(shared_core.APIResponseValidationError, match="labels"):
        answer(asking("u", question("noul")), found)


def test_states_in_words() -> None:
    assert in_words("plain") == "plain"
    assert in_words(HumanMessage("Hi.")) == "Hi."
    talk = [HumanMessage("Hi."), AIMessage("Hello.")]
    assert in_words(talk) == "human: Hi.\nai: Hello."
    assert in_words({"n": 1, "talk": talk[:1]}) == (
        '{"n": 1, "talk": [{"role": "human", "content": "Hi."}]}'
    )
    picture = HumanMessage([{"type": "image", "url": "https://example.org/x.png"}])
    for state in (picture, [picture], {"a": [picture]}, {"a": {"type": "image", "base64": ""}}):
        with pytest.raises(shared_core.InvalidSettingError, match="media"):
            in_words(state)


@pytest.mark.rule("decision-limits")
def test_boxes_are_refused() -> None:
    with pytest.raises(shared_core.InvalidSettingError, match="box"):
        asking("where", question("box"))


@pytest.mark.skipif(HAS_DECISIONS, reason="decisions: langchain-core has them")
def test_older_versions_of_langchain_are_named() -> None:
    with pytest.raises(ImportError, match=r"1\.8"):
        importlib.import_module("langchain_hfrouter.decisions")


# --- with it ----------------------------------------------------------------------------


def classify(request: Received) -> Reply:
    labels = request.json()["parameters"]["candidate_labels"]
    scores = [1.0 / 2 ** (n + 1) for n in range(len(labels))]
    return json_reply({"labels": labels, "scores": scores, "sequence": "x"})


@pytest.mark.rule("decision-answers")
@pytest.mark.skipif(not HAS_DECISIONS, reason="decisions: this langchain-core has none")
async def test_a_decision_model() -> None:
    from langchain_core.decisions import Box, Choice, Noul, Score

    from langchain_hfrouter.decisions import HFRouterDecisionModel

    questions = {
        "urgent": Noul(instructions="This is urgent:"),
        "team": Choice(instructions="The team is", criteria={"billing": "money", "bugs": None}),
        "mood": Score(instructions="The mood is", criteria=["calm", "angry"]),
    }
    request: Any = {"state": "I was charged twice.", "questions": questions}
    with FaultServer() as server:
        server.on("*", classify)
        model = HFRouterDecisionModel(model="org/m", base_url=server.url, api_key="t")
        response = model.invoke(request)
        again = await model.ainvoke(request)
        assert response == again
        assert len(server.requests) == 6
        assert server.requests[1].json() == {
            "inputs": "I was charged twice.",
            "parameters": {
                "candidate_labels": ["billing: money", "bugs"],
                "hypothesis_template": "The team is {}",
            },
        }
        assert response.nouls["urgent"].noul == pytest.approx(2 / 3)
        assert response.choices["team"].choice == "billing"
        assert response.scores["mood"].score == pytest.approx(1 / 3)
        assert response.model == "org/m"
        assert "hf_secret" not in repr(model.model_copy(update={"api_key": "hf_secret"}))
        with pytest.raises(shared_core.InvalidSettingError, match="box"):
            model.invoke({"state": "x", "questions": {**questions, "b": Box(instructions="cat")}})
        assert len(server.requests) == 6
        server.on("*", json_reply({"error": "slow down"}, 429))
        for raised in (model.invoke, model.ainvoke):
            with pytest.raises(ModelRateLimitError):
                found: Any = raised(request)
                await found
