"""Rules for errors, and for what a model object survives and never tells."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import time
from typing import Any

import pytest
from langchain_core import exceptions as lc
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd

from tests.helpers.fault_server import drop, hang, json_reply
from tests.langchain.conformance.base import (
    KEY,
    Conformance,
    StrictServer,
    collected,
    run,
    say,
)
from tests.langchain.script import HEADERS


def failure(status: int, code: Any = None, message: str = "no") -> Any:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "invalid_request_error", "code": code}
    return json_reply({"error": error}, status, HEADERS)


ERRORS: dict[str, tuple[Any, type[Exception]]] = {
    "400": (failure(400), lc.ModelInvalidRequestError),
    "400, too long": (failure(400, "context_length_exceeded"), lc.ContextOverflowError),
    "401": (failure(401), lc.ModelAuthenticationError),
    "402": (failure(402), lc.ModelError),
    "403": (failure(403), lc.ModelPermissionDeniedError),
    "404": (failure(404), lc.ModelNotFoundError),
    "413": (failure(413), lc.ModelError),
    "422": (failure(422), lc.ModelInvalidRequestError),
    "429": (failure(429), lc.ModelRateLimitError),
    "500": (failure(500), lc.ModelAPIError),
    "dropped connection": (drop(), lc.ModelConnectionError),
    "200 with an error": (json_reply({"error": {"message": "boom"}}), lc.ModelError),
    "200 without choices": (json_reply({"id": "1", "choices": []}), lc.ModelError),
}


class LifeRules(Conformance):
    """Errors, retries, caches, copies, dumps, loops."""

    @pytest.mark.rule("error-classes", "account-and-size", "connection-errors", "unusable-answers")
    @pytest.mark.parametrize("kind", ERRORS)
    def test_error_classes(self, kind: str, server: StrictServer) -> None:
        """Failures are LangChain's error classes, on all four calls."""
        answer, expected = ERRORS[kind]
        server.answers(answer)
        model = self.make(server.base_url, max_retries=0)

        for use in (lambda: model.invoke("x"), lambda: list(model.stream("x"))):
            with pytest.raises(expected):
                use()

        async def awaited() -> None:
            with pytest.raises(expected):
                await model.ainvoke("x")
            with pytest.raises(expected):
                await collected(model.astream("x"))

        run(awaited)

    @pytest.mark.rule("timeouts")
    def test_timeouts(self, server: StrictServer) -> None:
        """``timeout`` is seconds, a number or ``httpx.Timeout``; too late is its own error."""
        import httpx

        server.answers(hang())
        for timeout in (0.3, httpx.Timeout(0.3)):
            model = self.make(server.base_url, timeout=timeout, max_retries=0)
            started = time.monotonic()
            with pytest.raises(lc.ModelTimeoutError):
                model.invoke("x")
            assert time.monotonic() - started < 3
        server.answers(say("Hi."))
        assert self.make(server.base_url, timeout=60).invoke("x").text == "Hi."

    @pytest.mark.rule("response-and-request-id")
    def test_errors_hold_the_answer(self, server: StrictServer) -> None:
        """Errors have ``response`` and ``request_id``, and traces show both."""
        seen: list[Any] = []

        class Trace(BaseCallbackHandler):
            def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
                seen.append(kwargs["response"].generations[0][0].message.response_metadata)

        server.answers(failure(429))
        with pytest.raises(Exception) as caught:
            self.make(server.base_url, max_retries=0).invoke("x", config={"callbacks": [Trace()]})
        error: Any = caught.value
        assert error.request_id == "req-7"
        assert error.response.status_code == 429
        assert error.response.json()["error"]["message"] == "no"
        assert (seen[0]["status_code"], seen[0]["request_id"]) == (429, "req-7")

    @pytest.mark.rule("no-retry-by-default")
    def test_retries_are_counted(self, server: StrictServer) -> None:
        """``max_retries=N`` means at most N + 1 requests, 0 one request."""
        for retries in (0, 2):
            before = len(server.requests)
            server.answers(failure(503))
            with pytest.raises(Exception):  # noqa: B017 - of any package
                self.make(server.base_url, max_retries=retries).invoke("x")
            assert len(server.requests) - before == retries + 1

    @pytest.mark.rule("retry-after")
    def test_retry_after_is_heeded(self, server: StrictServer) -> None:
        """A server that names a time to wait is not asked before it."""
        busy = json_reply({"error": {"message": "slow"}}, 429, {"retry-after": "1"})
        server.answers(busy, say("Hi."))
        started = time.monotonic()
        assert self.make(server.base_url, max_retries=1).invoke("x").text == "Hi."
        assert 0.9 < time.monotonic() - started < 5

    # --- caches

    @pytest.mark.rule("cache-key", "model-of-the-call")
    def test_cache_keys(self, server: StrictServer) -> None:
        """A call or binding with another model or parameter is not answered from the cache."""
        server.answers(*(say(str(n)) for n in range(9)))
        model = self.make(server.base_url, cache=InMemoryCache())
        texts = [model.invoke("x").text, model.invoke("x").text]
        texts.append(model.invoke("x", model="other/m").text)
        texts.append(model.bind(temperature=0.5).invoke("x").text)
        texts.append(model.invoke("x").text)
        assert texts == ["0", "0", "1", "2", "0"]

    @pytest.mark.rule("no-stale-cache-key")
    def test_cache_keys_of_changed_models(self, server: StrictServer) -> None:
        """A model whose fields were changed, or a changed copy, has another cache key at once."""
        server.answers(*(say(str(n)) for n in range(9)))
        model = self.make(server.base_url, cache=InMemoryCache())
        texts = [model.invoke("x").text]
        texts.append(model.model_copy(update={"temperature": 0.5}).invoke("x").text)
        model.temperature = 1.0
        texts.append(model.invoke("x").text)
        assert texts == ["0", "1", "2"]

    # --- copies, dumps, loops

    @pytest.mark.rule("copies-and-pickles")
    @pytest.mark.parametrize("copied", ["pickle", "deepcopy"])
    def test_copies_after_use(self, copied: str, server: StrictServer) -> None:
        """A model that was used can be pickled and copied, and the copy works."""
        model = self.make(server.base_url)
        model.invoke("x")
        run(lambda: model.ainvoke("x"))
        twin = copy.deepcopy(model) if copied == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert twin.invoke("x").text == "Hi."

    @pytest.mark.rule("secrets")
    def test_no_secret_is_told(self, server: StrictServer) -> None:
        """The token is in no representation, dump, trace or pickle."""
        seen: list[str] = []

        class Trace(BaseCallbackHandler):
            def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
                seen.append(repr((serialized, kwargs)))

        model = self.make(server.base_url, api_key=KEY)
        model.invoke("x", config={"callbacks": [Trace()]})
        seen += [repr(model), str(model), json.dumps(dumpd(model)), repr(model._identifying_params)]
        assert not [text for text in seen if KEY in text]

    @pytest.mark.rule("serializable")
    @pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
    def test_dumps_can_be_loaded(self, model: Any) -> None:
        """The model is serializable in LangChain's way."""
        assert type(model).is_lc_serializable()
        assert dumpd(model)["type"] == "constructor"

    @pytest.mark.rule("event-loops")
    def test_several_event_loops(self, server: StrictServer) -> None:
        """One object serves one event loop after another, one request each."""
        model = self.make(server.base_url)

        async def use() -> str:
            chunks = [chunk async for chunk in model.astream("x")]
            return "".join(chunk.text for chunk in chunks) + (await model.ainvoke("x")).text

        assert [run(use) for _ in range(3)] == ["Hi.Hi."] * 3
        assert len(server.requests) == 6

    @pytest.mark.rule("profile-of-a-router-id")
    def test_a_router_id_has_a_profile(self, server: StrictServer) -> None:
        """A well-known model of the router has a profile, whatever its suffix."""
        for name in ("openai/gpt-oss-120b", "openai/gpt-oss-120b:groq"):
            profile = self.make(server.base_url, model=name).profile
            assert profile
            assert profile["tool_calling"] is True
        assert server.requests == []

    @pytest.mark.rule("tokens-offline")
    def test_tokens_are_counted_offline(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """``get_num_tokens`` needs neither the network nor ``transformers``."""
        monkeypatch.setitem(sys.modules, "transformers", None)
        assert 1 <= model.get_num_tokens("The dome opens at dusk.") <= 12
