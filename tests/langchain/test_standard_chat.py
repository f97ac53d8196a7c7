"""The standard suites of ``langchain-tests`` on ``ChatHFRouter``, with every property on."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_hfrouter import ChatHFRouter
from tests.langchain.conftest import WAV_BASE64
from tests.langchain.stub_server import StubServer

MODEL = "openai/gpt-oss-120b"

pytestmark = [
    pytest.mark.anyio,
    # The suite itself uses them.
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
    # Nothing is measured while the exchange is being recorded.
    pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
]


@pytest.mark.rule("chat-suite")
class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHFRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": MODEL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"HF_TOKEN": "hf_from_env"}, {"model": MODEL}, {"api_key": "hf_from_env"}


Details = Literal[
    "audio_input", "audio_output", "reasoning_output", "cache_read_input", "cache_creation_input"
]
ALL_DETAILS: list[Details] = [
    "audio_input",
    "audio_output",
    "reasoning_output",
    "cache_read_input",
    "cache_creation_input",
]


@pytest.mark.rule("chat-suite")
class Integration(ChatModelIntegrationTests):
    """All optional properties on; subclasses choose method and output version."""

    method: str | None = None
    output_version: str | None = None
    server: StubServer

    @pytest.fixture(autouse=True)
    def _serve(self, stub_session: StubServer, local_media: None) -> None:
        self.server = stub_session

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHFRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        params = {"model": MODEL, "base_url": self.server.base_url, "api_key": "test"}
        return params | ({"output_version": self.output_version} if self.output_version else {})

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": self.method} if self.method else {}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "meta-llama/Llama-3.3-70B-Instruct"

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], list[Details]]:
        return {"invoke": ALL_DETAILS, "stream": ALL_DETAILS}

    def _ask(self, prompt: Any, *, stream: bool, **params: Any) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            return model.invoke(prompt, **params)
        chunks = list(model.stream(prompt, **params))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return whole

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        audio = {"type": "audio", "base64": WAV_BASE64, "mime_type": "audio/wav"}
        return self._ask([{"role": "user", "content": [audio]}], stream=stream)

    def invoke_with_audio_output(self, *, stream: bool = False) -> AIMessage:
        return self._ask("Say it.", stream=stream, modalities=["text", "audio"])

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._ask("Think.", stream=stream, reasoning_effort="high")

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        self._ask("A long prompt, asked twice.", stream=stream)
        return self._ask("A long prompt, asked twice.", stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self._ask(f"A prompt asked once, {stream=}.", stream=stream)


class TestDefault(Integration):
    pass


class TestFunctionCalling(Integration):
    method = "function_calling"


class TestJsonSchema(Integration):
    method = "json_schema"


class TestJsonMode(Integration):
    method = "json_mode"


class TestOutputVersion1(Integration):
    output_version = "v1"


class TestFunctionCallingVersion1(Integration):
    method = "function_calling"
    output_version = "v1"


class TestJsonSchemaVersion1(Integration):
    method = "json_schema"
    output_version = "v1"


class TestJsonModeVersion1(Integration):
    method = "json_mode"
    output_version = "v1"
