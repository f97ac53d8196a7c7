"""Rules for what lives longer than a call: dumps, copies, failures, keys; see README.md."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from tests.helpers.fault_server import json_reply
from tests.llama_index.conformance.base import (
    HELLO,
    KEY,
    Conformance,
    run,
)
from tests.llama_index.stub_server import StubRouter, say


class LifeRules(Conformance):
    """Subclass and implement ``make``."""

    @pytest.mark.rule("no-secrets-in-dumps")
    def test_no_secret_in_dumps(self, stub: StubRouter) -> None:
        """The key is in no dump."""
        model = self.make(stub.base_url, api_key=KEY)
        for dump in (model.to_dict(), model.to_json(), repr(model), model.to_payload()):
            assert KEY not in str(dump)

    @pytest.mark.rule("dump-round-trip")
    def test_round_trip(self, model: Any) -> None:
        """``from_dict(to_dict())`` is the same model."""
        assert type(model).from_dict(model.to_dict()).to_dict() == model.to_dict()

    @pytest.mark.rule("copies-after-use")
    def test_copies_after_use(self, model: Any, stub: StubRouter) -> None:
        """Deep copies and pickles work after use."""
        stub.chat(say("Hello."))
        model.chat(HELLO)
        run(lambda: model.achat(HELLO))
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin.chat(HELLO).message.content == "Hello."
            assert run(lambda twin=twin: twin.achat(HELLO)).message.content == "Hello."

    @pytest.mark.rule("metadata-no-io", "context-window-default")
    def test_context_window(self, model: Any, stub: StubRouter) -> None:
        """The context window leaves agents a memory, and asking for it does no I/O."""
        assert model.metadata.context_window >= 8_192
        assert model.metadata.is_chat_model
        assert stub.accepted == 0

    @pytest.mark.rule("errors-say-what", "no-retry")
    def test_one_request_on_failure(self, model: Any, stub: StubRouter) -> None:
        """A 400 is not repeated, and says what the server said."""
        stub.chat(json_reply({"error": {"message": "such a pity"}}, 400))
        with pytest.raises(Exception, match="such a pity"):
            model.chat(HELLO)
        assert len(stub.bodies) == 1

    @pytest.mark.rule("retries-exact")
    def test_retries_are_exact(self, stub: StubRouter) -> None:
        """``max_retries=2`` is three requests when all fail."""
        stub.chat(json_reply({"error": {"message": "no"}}, 500, {"retry-after": "0"}))
        with pytest.raises(Exception, match="no"):
            self.make(stub.base_url, max_retries=2).chat(HELLO)
        assert len(stub.bodies) == 3

    @pytest.mark.rule("no-foreign-keys")
    def test_no_foreign_key(self, stub: StubRouter, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key of OpenAI's in the environment is not sent to another service."""
        monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
        stub.chat(say("x"))
        self.make(stub.base_url, api_key=None).chat(HELLO)
        assert "sk-other" not in str(stub.requests[-1].headers)

    @pytest.mark.rule("odd-200s")
    def test_an_answer_without_choices_is_a_clear_error(self, model: Any, stub: StubRouter) -> None:
        """A 200 with an error inside is no TypeError."""
        stub.chat(json_reply({"error": {"message": "such a pity", "code": 503}}))
        with pytest.raises(Exception, match="such a pity"):
            model.chat(HELLO)
