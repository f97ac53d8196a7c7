"""The standard suites of ``langchain-tests`` on the Responses API, with every property on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_hfrouter import ChatHFRouter
from shared_core import InvalidSettingError
from tests.langchain.responses_server import ResponsesStub
from tests.langchain.test_standard_chat import MODEL, Details, Integration

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.rule("responses-standard-suites"),
    # The suite itself uses them.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
    # Nothing is measured while the exchange is being recorded.
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
]


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHFRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL, "use_responses_api": True}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"HF_TOKEN": "hf_env"}, self.chat_model_params, {"api_key": "hf_env"}


@pytest.fixture(scope="module")
def responses_stub() -> Iterator[ResponsesStub]:
    with ResponsesStub() as server:
        yield server


DETAILS: list[Details] = ["reasoning_output", "cache_read_input", "cache_creation_input"]


class Responses(Integration):
    """As for chat; two tests of each suite ask for what the API does not have."""

    @pytest.fixture(autouse=True)
    def _serve(self, responses_stub: ResponsesStub, local_media: None) -> None:
        self.server = responses_stub

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], list[Details]]:
        return {"invoke": DETAILS, "stream": DETAILS}

    def _ask(self, prompt: Any, *, stream: bool, **params: Any) -> AIMessage:
        answer = super()._ask(prompt, stream=stream, **params)
        assert answer.response_metadata["status"] == "completed"
        return answer

    # Refused before anything is sent, rather than ignored by the server.

    @pytest.mark.xfail(
        reason="responses: the API has no stop", raises=InvalidSettingError, strict=True
    )
    def test_stop_sequence(self, model: BaseChatModel) -> None:
        super().test_stop_sequence(model)

    @pytest.mark.xfail(
        reason="responses: the API takes no sound", raises=InvalidSettingError, strict=True
    )
    def test_audio_inputs(self, model: BaseChatModel) -> None:
        super().test_audio_inputs(model)


class TestDefault(Responses):
    pass


class TestFunctionCalling(Responses):
    method = "function_calling"


class TestJsonSchema(Responses):
    method = "json_schema"


class TestJsonMode(Responses):
    method = "json_mode"


class TestOutputVersion1(Responses):
    output_version = "v1"


class TestFunctionCallingVersion1(Responses):
    method = "function_calling"
    output_version = "v1"


class TestJsonSchemaVersion1(Responses):
    method = "json_schema"
    output_version = "v1"


class TestJsonModeVersion1(Responses):
    method = "json_mode"
    output_version = "v1"
