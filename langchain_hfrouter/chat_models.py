"""``ChatHFRouter``: chat models of the Hugging Face router in LangChain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.block_translators import register_translator
from langchain_core.runnables import Runnable
from pydantic import BaseModel, model_validator

from langchain_hfrouter import _loading
from langchain_hfrouter._base import LanguageModel, RouterConnection
from langchain_hfrouter._profiled import Profiled
from shared_core import __version__

# What a call needs is imported by the first call: this module is imported by everybody. Names in
# the signatures of methods that return runnables are imported above: LangChain reads them there.
if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages.content import ContentBlock
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.tools import BaseTool
else:
    BaseTool = Runnable  # which it is; importing it would load four modules

PROVIDER = "hfrouter"
"""``model_provider`` of every message that we return, and ``ls_provider`` of traces."""


def _blocks(message: AIMessage) -> list[ContentBlock]:
    from langchain_hfrouter import _translator

    return _translator.translate_content(message)


def _blocks_of_chunk(message: AIMessageChunk) -> list[ContentBlock]:
    from langchain_hfrouter import _translator

    return _translator.translate_content_chunk(message)


register_translator(PROVIDER, _blocks, _blocks_of_chunk)
_loading.allow("langchain_hfrouter", "chat_models", "ChatHFRouter")


class ChatHFRouter(Profiled, LanguageModel, BaseChatModel):
    """A chat model behind the Hugging Face router, or any server that speaks its protocol.

    Only what is set is sent. One call is one request, unless ``max_retries`` says otherwise.

    Example:
        >>> model = ChatHFRouter(model="openai/gpt-oss-120b:groq", temperature=0)
        >>> model.invoke("Say hello.").text  # doctest: +SKIP

    Errors are both ours (``shared_core.RateLimitError``) and LangChain's
    (``langchain_core.exceptions.ModelRateLimitError``), with ``.response`` and ``.request_id``.
    """

    policy: str | None = None
    """``"fastest"``, ``"cheapest"`` or ``"preferred"``: the same as a suffix."""

    temperature: float | None = None
    """Sampling temperature, 0 to 2."""

    max_tokens: int | None = None
    """Most tokens to generate."""

    max_completion_tokens: int | None = None
    """The same under the name that some reasoning models want."""

    top_p: float | None = None
    """Nucleus sampling, 0 to 1."""

    frequency_penalty: float | None = None
    """-2 to 2."""

    presence_penalty: float | None = None
    """-2 to 2."""

    stop: list[str] | str | None = None
    """Texts at which generation ends."""

    seed: int | None = None
    """For repeatable sampling, best effort."""

    n: int | None = None
    """Number of answers; streams have one."""

    logprobs: bool | None = None
    """Return log probabilities, in ``response_metadata["logprobs"]``."""

    top_logprobs: int | None = None
    """Alternatives per token, 0 to 5; needs ``logprobs``."""

    logit_bias: dict[str, float] | None = None
    """Token id -> bias."""

    reasoning_effort: str | None = None
    """``"low"``, ``"medium"``, ``"high"`` ...; values depend on the model."""

    reasoning_echo: bool | Literal["auto", "always", "never"] = "auto"
    """Whether earlier reasoning is sent back: ``"auto"`` for turns with tool calls, for models
    that take it; ``"always"`` (True); ``"never"`` (False)."""

    split_think: bool = False
    """Whether ``<think>...</think>`` at the start of the text is split off as reasoning."""

    user: str | None = None
    """Your id of the end user."""

    extra_body: dict[str, Any] | None = None
    """Further fields of the request body; they win over all others."""

    stream_usage: bool = True
    """Ask for token counts in streams."""

    use_responses_api: bool = False
    """Whether the model is called through the Responses API instead of chat completions."""

    streaming: bool = False
    """Whether ``invoke`` streams under the hood."""

    structured_output_method: Literal["function_calling", "json_schema", "json_mode"] | None = None
    """Default method of :meth:`with_structured_output`; None decides by the profile."""

    keyword_aliases: ClassVar[dict[str, str]] = {
        **RouterConnection.keyword_aliases,
        "model_name": "model",
        "model_id": "model",
        "repo_id": "model",
        "stop_sequences": "stop",
        "max_new_tokens": "max_tokens",
        "max_output_tokens": "max_tokens",
        "model_kwargs": "extra_body",
    }

    @model_validator(mode="after")
    def _set_hfrouter_version(self) -> Self:
        self._add_version("hfrouter", __version__)
        return self

    @property
    def model_name(self) -> str:
        """The model, under the name that LangChain's tools look for."""
        return self.model

    @model_name.setter
    def model_name(self, value: str) -> None:
        self.model = value

    @property
    def _llm_type(self) -> str:
        return "hfrouter-chat"

    # --- calls

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        from langchain_hfrouter import _calls

        return _calls.generate(self, messages, stop, kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        from langchain_hfrouter import _calls

        return await _calls.agenerate(self, messages, stop, kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        from langchain_hfrouter import _calls

        return _calls.stream(self, messages, stop, kwargs)

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        from langchain_hfrouter import _calls

        return _calls.astream(self, messages, stop, kwargs)

    # --- tools and structure

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools bound to it.

        Args:
            tools: Functions, classes, ``BaseTool`` objects, dicts, and ``MCPTool`` for the
                Responses API. No tools send no tools.
            tool_choice: ``"any"`` or ``"required"`` (some tool), True, a tool's name, ``"auto"``,
                ``"none"``, or a dict.
            strict: Ask the provider to follow the schemas exactly; not sent when None.
            parallel_tool_calls: Whether several calls may come at once; not sent when None.
            **kwargs: Further parameters of each call, e.g. ``response_format=``.

        Raises:
            ValueError: *tool_choice* names no bound tool.
        """
        from langchain_hfrouter import _structured
        from langchain_hfrouter._tools import tool_choice_of, tool_schemas

        schemas = tool_schemas(tools, strict=strict)
        if schemas:
            kwargs["tools"] = schemas
            choice = tool_choice_of(tool_choice, schemas)
            if choice is not None:
                kwargs["tool_choice"] = choice
            if parallel_tool_calls is not None:
                kwargs["parallel_tool_calls"] = parallel_tool_calls
        if kwargs.get("response_format") is not None:
            kwargs["response_format"] = _structured.response_format(
                kwargs["response_format"], strict=None
            )
        return self.bind(**kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] | None = None,
        strict: bool | None = None,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return a runnable that answers with *schema*.

        Args:
            schema: Pydantic class (v2 or v1), ``TypedDict`` class, JSON schema or OpenAI tool.
                None only with ``method="json_mode"``.
            include_raw: Answer ``{"raw", "parsed", "parsing_error"}`` and raise no parsing error.
            method: How to ask for it. By default the profile of the model and its provider
                decides: ``"json_schema"`` where supported, else ``"function_calling"``.
            strict: Ask the provider to follow the schema exactly; not sent when None.
            tools: Tools that the model may call besides.
            **kwargs: Further parameters of each call.

        Returns:
            A runnable that gives an instance of a pydantic class, else a dict. Streams give
            what is there so far.

        Raises:
            ValueError: The combination is impossible, or a keyword is unknown.
        """
        from langchain_hfrouter import _profiles, _structured

        chosen = method or self.structured_output_method or _profiles.best_method(self.profile)
        return _structured.runnable(
            self, schema, chosen, include_raw=include_raw, strict=strict, tools=tools, extra=kwargs
        )

    # --- identity: caches, traces, dumps

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        from langchain_hfrouter import _params

        return _params.identifying(self)

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        from langchain_hfrouter import _params

        return super()._get_invocation_params(stop=stop, **_params.showable(kwargs))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        from langchain_hfrouter import _params

        return super()._get_llm_string(stop=stop, **_params.showable(kwargs))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        from langchain_hfrouter import _params

        return _params.langsmith(self, PROVIDER, stop, kwargs)

    def configurable_fields(self, **kwargs: Any) -> Any:
        """Return this model with fields that a run's config can set.

        Args:
            **kwargs: Field name -> ``ConfigurableField``; aliases such as ``model_name`` too.
        """
        return super().configurable_fields(
            **{self.keyword_aliases.get(name, name): field for name, field in kwargs.items()}
        )

    # --- tokens

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count the tokens of a conversation, offline, tools included.

        Args:
            messages: The conversation.
            tools: Tools that go with it.
        """
        from langchain_hfrouter import _tokens
        from langchain_hfrouter._messages import to_core
        from langchain_hfrouter._responses_tools import public
        from langchain_hfrouter._tools import tool_schemas

        schemas = [public(tool) for tool in tool_schemas(tools or ())]
        return _tokens.count_messages(self.get_num_tokens, to_core(messages), schemas)
