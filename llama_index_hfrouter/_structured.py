"""``structured_predict`` and its relatives: by native JSON schema, by tools, or in words.

The framework's programs are not used for these ways: the async one forgets the system prompt,
all of them report a cut answer as a parse failure, and partial objects come from a naive repair
of JSON. Only what ``pydantic_program_mode`` names beyond them still goes through a program.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, Generic, Literal

import pydantic_core
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, Field, ValidationError, field_validator

from shared_core import CUT_REASONS

dispatcher = get_dispatcher(__name__)

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_MAX_NAME = 64
"""Longest name of a JSON schema and of a function, as OpenAI's API defines them."""
_THINK_END = "</think>"

_IN_WORDS = "Answer with one JSON object that follows this JSON schema, and with nothing else:\n"

Way = Literal["schema", "tools", "words", "program"]


class StructuredPredicting(FunctionCallingLLM):
    """Structured answers: objects of a pydantic class.

    Attributes:
        json_schema: ``"on"``: by native JSON schema; ``"off"``: by tools, or in words for a model
            that calls none; ``"auto"``: by JSON schema if ``supports_json_schema`` says so.
        supports_json_schema: What the router said of the model; None when not asked.
    """

    json_schema: Literal["auto", "on", "off"] = Field(default="auto")
    supports_json_schema: bool | None = Field(default=None)

    @field_validator("json_schema", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of *output_cls* that answers *prompt*.

        Args:
            output_cls: A pydantic class.
            prompt: The prompt.
            llm_kwargs: Request parameters.
            **prompt_args: Values for the prompt's variables.

        Raises:
            StructuredPredictError: The answer has another structure, or was cut off.
            APIError: The exchange failed.
        """
        way = self._way()
        if way == "program":
            result: Model = super().structured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return result
        _started(output_cls, prompt, prompt_args)
        response = self.chat(**self._asked_for(way, output_cls, prompt, llm_kwargs, prompt_args))
        return _ended(_object(output_cls, response))

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return an object of *output_cls*; see :meth:`structured_predict`."""
        way = self._way()
        if way == "program":
            result: Model = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return result
        _started(output_cls, prompt, prompt_args)
        asked = self._asked_for(way, output_cls, prompt, llm_kwargs, prompt_args)
        response = await self.achat(**asked)
        return _ended(_object(output_cls, response))

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        way = self._way()
        if way == "program":
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        asked = self._asked_for(way, output_cls, prompt, llm_kwargs, prompt_args)
        return _objects(output_cls, self.stream_chat(**asked))

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        way = self._way()
        if way == "program":
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        asked = self._asked_for(way, output_cls, prompt, llm_kwargs, prompt_args)
        return _aobjects(output_cls, await self.astream_chat(**asked))

    def _way(self) -> Way:
        mode = self.pydantic_program_mode
        if mode == PydanticProgramMode.FUNCTION:
            return "tools"
        if mode == PydanticProgramMode.LLM:
            return "words"
        if mode != PydanticProgramMode.DEFAULT:
            return "program"
        if self.json_schema == "on" or (self.json_schema == "auto" and self.supports_json_schema):
            return "schema"
        return "tools" if self.metadata.is_function_calling_model else "words"

    def _asked_for(
        self,
        way: Way,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> dict[str, Any]:
        """Return the arguments of ``chat``; whether an answer is whole is judged by its JSON."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        ours = ("tool_required", "tool_choice", "allow_parallel_tool_calls", "response_format")
        kwargs = {name: v for name, v in (llm_kwargs or {}).items() if name not in ours}
        if way == "tools":
            tools = [_tool(output_cls)]
            return self._prepare_chat_with_tools(
                tools, chat_history=messages, tool_required=True, **kwargs
            )
        if way == "schema":
            kwargs["response_format"] = _response_format(output_cls)
        elif way == "words":
            messages = _with_schema(messages, output_cls)
        return {"messages": messages, **kwargs}


def _started(output_cls: Any, prompt: Any, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )


def _ended(result: Model) -> Model:
    dispatcher.event(LLMStructuredPredictEndEvent(output=result))
    return result


def _response_format(output_cls: type[BaseModel]) -> dict[str, Any]:
    # A dict and not the class: it also goes into events, which are written as JSON.
    name = _NOT_IN_NAMES.sub("_", output_cls.__name__)[:_MAX_NAME]
    schema = output_cls.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _with_schema(messages: list[ChatMessage], output_cls: type[BaseModel]) -> list[ChatMessage]:
    schema = json.dumps(output_cls.model_json_schema(), ensure_ascii=False)
    *others, last = messages
    blocks = [*last.blocks, TextBlock(text=f"\n{_IN_WORDS}{schema}")]
    return [*others, last.model_copy(update={"blocks": blocks})]


def _tool(output_cls: type[BaseModel]) -> Any:
    from llama_index.core.program.function_program import get_function_tool

    tool = get_function_tool(output_cls)
    tool.metadata.name = _tool_name(output_cls)
    if not output_cls.model_json_schema().get("description"):
        tool.metadata.description = "The answer."  # core would describe its own function
    return tool


def _tool_name(output_cls: type[BaseModel]) -> str:
    title = str(output_cls.model_json_schema().get("title") or output_cls.__name__)
    return _NOT_IN_NAMES.sub("_", title)[:_MAX_NAME]


def _object(output_cls: type[Model], response: ChatResponse) -> Model:
    """Return the object that *response* describes, in a tool call or in its text."""
    _refuse_another_tool(_tool_name(output_cls), response)
    text = _json_of(response)
    reason = response.additional_kwargs.get("finish_reason")
    cut = reason in CUT_REASONS
    if cut and text.strip() in ("", "{}"):  # of a class with defaults for all its fields
        raise _cut(output_cls, text, reason)
    # Some models write words after the object.
    whole = text[: text.rfind("}") + 1] if text.startswith("{") else text
    try:
        return output_cls.model_validate_json(whole)
    except ValidationError as error:
        raise (
            _cut(output_cls, text, reason) if cut else _unusable(output_cls, text, error)
        ) from None


def _cut(output_cls: type[Any], text: str, reason: Any) -> Exception:
    from llama_index_hfrouter._errors import StructuredPredictError

    return StructuredPredictError(
        f"the answer was cut off (finish_reason {reason!r}) before the "
        f"{output_cls.__name__} was complete",
        guidance="Raise max_tokens, or ask for a smaller object.",
        text=text,
    )


def _unusable(output_cls: type[Any], text: str, error: ValidationError) -> Exception:
    from llama_index_hfrouter._errors import StructuredPredictError

    found = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join(map(str, found[0]["loc"]))
    detail = f"{where}: {found[0]['msg']}" if where else found[0]["msg"]
    return StructuredPredictError(
        f"the answer is no {output_cls.__name__}: {detail}",
        text=text,
        errors=[dict(item) for item in found],
    )


def _call_in(response: ChatResponse) -> ToolCallBlock | None:
    calls = (block for block in response.message.blocks if isinstance(block, ToolCallBlock))
    return next(calls, None)


def _refuse_another_tool(name: str, response: ChatResponse) -> None:
    """Refuse arguments that were meant for another tool, even if they would fit."""
    call = _call_in(response)
    if call is None or call.tool_name == name:
        return
    from llama_index_hfrouter._errors import StructuredPredictError

    raise StructuredPredictError(
        f"the model called the tool {call.tool_name!r} instead of {name!r}",
        text=_json_of(response),
    )


def _json_of(response: ChatResponse) -> str:
    call = _call_in(response)
    if call is None:
        return _unwrapped(response.message.content or "")
    arguments = call.tool_kwargs
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _unwrapped(text: str) -> str:
    """Return *text*, maybe unfinished, without ``<think>`` part, code fence and words before."""
    text = text.lstrip()
    if text.startswith("<think>"):
        text = text.partition(_THINK_END)[2].lstrip()
    if text.startswith("```"):
        text = text.partition("\n")[2]
        body, fence, rest = text.rpartition("```")
        if fence and not rest.strip():
            text = body
    if text[:1] not in ("{", "[") and "{" in text:
        text = text[text.index("{") :]
    return text


class _Reader(Generic[Model]):
    """Reads objects, first partial ones, out of the responses of a stream."""

    def __init__(self, output_cls: type[Model]) -> None:
        from llama_index.core.program.utils import create_flexible_model

        self._cls = output_cls
        self._partial = create_flexible_model(output_cls)
        self._seen: Any = None
        self._last: ChatResponse | None = None

    def read(self, response: ChatResponse) -> Any:
        """Return what can be made of the answer so far, None if nothing new can."""
        self._last = response
        text = _json_of(response)
        try:
            data = pydantic_core.from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(data, dict) or not data or data == self._seen:
            return None
        self._seen = data
        try:
            return self._cls.model_validate(data)
        except ValidationError:
            return self._partial.model_validate(data)

    def final(self) -> Model:
        """Return the whole object.

        Raises:
            StructuredPredictError: The answer has another structure, or was cut off.
        """
        if self._last is None:
            from llama_index_hfrouter._errors import StructuredPredictError

            raise StructuredPredictError("the stream brought no answer")
        return _object(self._cls, self._last)


def _objects(output_cls: type[Model], stream: ChatResponseGen) -> Generator[Any, None, None]:
    reader = _Reader(output_cls)
    with closing(stream):
        for response in stream:
            found = reader.read(response)
            if found is not None:
                yield found
    yield reader.final()


async def _aobjects(
    output_cls: type[Model], stream: ChatResponseAsyncGen
) -> AsyncGenerator[Any, None]:
    reader = _Reader(output_cls)
    async with aclosing(stream):
        async for response in stream:
            found = reader.read(response)
            if found is not None:
                yield found
    yield reader.final()
