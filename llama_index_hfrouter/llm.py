"""``HFRouter``: a LlamaIndex LLM on the Hugging Face router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import Field

from llama_index_hfrouter._base import RouterComponent, local_models, missing
from llama_index_hfrouter._messages import chat_response, completion_response, to_core
from llama_index_hfrouter._stream import acompletions, aresponses, completions, released, responses
from llama_index_hfrouter._tools import ToolCalling

if TYPE_CHECKING:
    from shared_core import ChatMessage as CoreMessage
    from shared_core import RouterModel

DEFAULT_CONTEXT_WINDOW = 32_768
"""Tokens. Practically every chat model behind the router takes that many; the framework's own
default of 3,900 leaves agents 2,925 tokens of memory."""

_SAMPLING = (
    "temperature",
    "max_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "reasoning_effort",
)


class HFRouter(RouterComponent, ToolCalling):
    """A chat model behind the Hugging Face router, for LlamaIndex.

    Nothing is sent that was not asked for: a parameter that is None is left to the provider.
    Keywords of a call win over those of the constructor, and take any request parameter of
    the client (``logprobs``, ``n``, ``response_format``, ``extra_headers`` ...).

    Example:
        >>> from llama_index_hfrouter import HFRouter
        >>> llm = HFRouter("openai/gpt-oss-120b", policy="fastest")
        >>> print(llm.complete("Say hello."))  # doctest: +SKIP

    Attributes:
        model: Hub id, maybe with a suffix, e.g. ``"openai/gpt-oss-120b:groq"``.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``; exclusive with ``provider``.
        temperature: 0 to 2.
        max_tokens: Longest answer, in tokens.
        top_p: Nucleus sampling, 0 to 1.
        frequency_penalty: -2 to 2.
        presence_penalty: -2 to 2.
        stop: Texts that end the answer.
        seed: For reproducible sampling, best effort.
        reasoning_effort: e.g. ``"low"``, ``"medium"``, ``"high"``.
        stream_usage: Whether streams ask for token counts. Default True.
        split_think: Whether a leading ``<think>`` text becomes a ``ThinkingBlock``.
        send_reasoning: Whether the assistant's thinking is sent back in later turns, as
            interleaved-thinking models want it. Default False.
        additional_kwargs: Further request parameters of every call.
        context_window: Tokens of prompt and answer together. Default 32,768;
            :meth:`load_model_info` asks the router.
        is_chat_model: Default True.
        is_function_calling_model: Default True.
        json_schema: How ``structured_predict`` asks: ``"on"``: native JSON schema; ``"off"``:
            tools; ``"auto"``: JSON schema if ``supports_json_schema``, else tools.
        supports_json_schema: What :meth:`load_model_info` learned; None when not asked.
    """

    model: str = Field(description="Hub id, maybe with a suffix.")
    policy: Literal["fastest", "cheapest", "preferred"] | None = Field(default=None)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    max_tokens: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, ge=0.0, le=1.0)
    frequency_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    presence_penalty: float | None = Field(default=None, ge=-2.0, le=2.0)
    stop: str | list[str] | None = Field(default=None)
    seed: int | None = Field(default=None)
    reasoning_effort: str | None = Field(default=None)
    stream_usage: bool = Field(default=True)
    split_think: bool = Field(default=True)
    send_reasoning: bool = Field(default=False)
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    context_window: int = Field(default=DEFAULT_CONTEXT_WINDOW, gt=0)
    is_chat_model: bool = Field(default=True)
    is_function_calling_model: bool = Field(default=True)

    def __init__(self, model: str | None = None, **data: Any) -> None:
        """Check and keep the settings; nothing is opened and no token is looked for.

        Args:
            model: Hub id, maybe with a suffix. Also taken as ``model_name``. Not needed with
                ``local``.
            **data: Any other attribute of this class or of the framework's ``LLM``.

        Raises:
            InvalidSettingError: A keyword is unknown (the message names the nearest), or the
                model is missing.
            ValidationError: A value has the wrong type or range.
        """
        if model is None:
            model = data.pop("model_name", None)
        if model is not None:
            data["model"] = model
        local = local_models(data)
        if local is not None:
            data.setdefault("model", local.chat_model)
            data.setdefault("is_function_calling_model", False)
        if not data.get("model"):
            raise missing("model")
        super().__init__(**data)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which the class is serialised."""
        return "HFRouter"

    @property
    def metadata(self) -> LLMMetadata:
        """What the framework has to know of the model. No I/O."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens or -1,
            is_chat_model=self.is_chat_model,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model,
            system_role=MessageRole.SYSTEM,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what events and callbacks may know: class and metadata, no secrets."""
        return {"class_name": self.class_name(), **self.metadata.model_dump()}

    # --- what the router knows of the model ---------------------------------------------

    def load_model_info(self) -> RouterModel:
        """Ask the router what the model can do, and adopt it.

        Sets ``context_window``, ``is_function_calling_model`` and, with
        ``json_schema="auto"``, whether structured answers use a native JSON schema.

        Returns:
            The model's entry in the router's list.

        Raises:
            APIError: The router could not be asked, or does not know the model.
        """
        return self._adopt(self._client().models.get(self.model))

    async def aload_model_info(self) -> RouterModel:
        """Like :meth:`load_model_info`, without blocking the event loop."""
        return self._adopt(await self._aclient().models.get(self.model))

    # --- the eight calls ----------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer *messages*.

        Args:
            messages: The conversation.
            **kwargs: Request parameters; they win over the constructor's.

        Raises:
            APIError: The exchange failed.
            ConfigurationError: A parameter or a content block cannot be sent.
        """
        return self._chat(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer *prompt*, sent as one user message. Raises what :meth:`chat` raises."""
        return completion_response(self._chat(self._asked(prompt, formatted), **kwargs))

    @released
    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer *messages* piece by piece.

        The request is sent at once, so a refused call raises here. A stream that breaks later
        raises ``StreamInterruptedError`` with what had arrived in ``.partial``.
        """
        return self._stream_chat(messages, **kwargs)

    @released
    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer *prompt* piece by piece; see :meth:`stream_chat`."""
        return completions(self._stream_chat(self._asked(prompt, formatted), **kwargs))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer *messages*; see :meth:`chat`."""
        return await self._achat(messages, **kwargs)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """Answer *prompt*; see :meth:`complete`."""
        return completion_response(await self._achat(self._asked(prompt, formatted), **kwargs))

    @released
    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Answer *messages* piece by piece; see :meth:`stream_chat`."""
        return await self._astream_chat(messages, **kwargs)

    @released
    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer *prompt* piece by piece; see :meth:`stream_chat`."""
        return acompletions(await self._astream_chat(self._asked(prompt, formatted), **kwargs))

    # --- the work, without events -------------------------------------------------------

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        sent, params = self._sent(messages), self._params(kwargs)
        return chat_response(self._client().chat.create(sent, **params))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        sent, params = self._sent(messages), self._params(kwargs)
        return chat_response(await self._aclient().chat.create(sent, **params))

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        sent, params = self._sent(messages), self._params(kwargs, stream=True)
        return responses(self._client().chat.stream(sent, **params))

    async def _astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        sent, params = self._sent(messages), self._params(kwargs, stream=True)
        return aresponses(await self._aclient().chat.stream(sent, **params))

    def _sent(self, messages: Sequence[ChatMessage]) -> list[CoreMessage]:
        return to_core(messages, send_reasoning=self.send_reasoning)

    def _asked(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        return [ChatMessage(role=MessageRole.USER, content=prompt)]

    def _params(self, call: Mapping[str, Any], *, stream: bool = False) -> dict[str, Any]:
        given = {name: value for name, value in call.items() if value is not None}
        params: dict[str, Any] = {"model": self.model, "split_think": self.split_think}
        if not {"provider", "policy"} & given.keys():
            params |= {"provider": self.provider, "policy": self.policy}
        params |= {name: getattr(self, name) for name in _SAMPLING}
        if self.send_reasoning:
            params["reasoning_echo"] = True
        if stream and self.stream_usage:
            params["include_usage"] = True
        params |= {**self.additional_kwargs, **given}
        if self.extra_body:
            params["extra_body"] = {**self.extra_body, **(given.get("extra_body") or {})}
        return {name: value for name, value in params.items() if value is not None}

    def _adopt(self, info: RouterModel) -> RouterModel:
        pinned = self.provider or self.model.partition(":")[2]
        offer = info.provider(pinned) if pinned else None
        offers = [offer] if offer else info.live_providers or info.providers
        # An unpinned call may be served by any of them: the smallest window always fits.
        window = (offer.context_length if offer else None) or info.context_length
        if window:
            self.context_window = window
        if any(one.supports_tools is not None for one in offers):
            self.is_function_calling_model = any(one.supports_tools for one in offers)
        if offers:
            self.supports_json_schema = all(one.supports_structured_output for one in offers)
        return info
