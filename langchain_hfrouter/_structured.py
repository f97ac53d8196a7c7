"""``with_structured_output``: asking for a structure, and reading it from the answer."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, BaseMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError
from typing_extensions import override

from langchain_hfrouter import _params
from langchain_hfrouter._errors import RefusalError, StructuredOutputParserError, promote
from shared_core import (
    StructuredOutputError,
    json_schema_format,
    parse_json_text,
    unknown_keyword,
)

if TYPE_CHECKING:
    from langchain_hfrouter.chat_models import ChatHFRouter

METHODS = ("function_calling", "json_schema", "json_mode")
_FENCE = re.compile(r"\A\s*```[\w-]*[ \t]*\r?\n?")
_THINK = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


def runnable(
    model: ChatHFRouter,
    schema: Any,
    method: str,
    *,
    include_raw: bool,
    strict: bool | None,
    tools: Sequence[Any] | None,
    extra: dict[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """Return *model* asking for *schema*, followed by the parser.

    Args:
        model: The model.
        schema: What to answer with.
        method: One of :data:`METHODS`.
        include_raw: Answer ``{"raw", "parsed", "parsing_error"}``.
        strict: Passed on where the method has it.
        tools: Tools besides.
        extra: Further parameters of each call.

    Raises:
        ValueError: The combination is impossible.
    """
    _check(schema, method, strict, tools, extra)
    wanted: Any = _titled(schema)  # a class, a dict, or None in JSON mode
    parser = StructuredParser(target=_model_class(schema), other_tools=bool(tools))
    if wanted is not None:
        asked = {"method": method} if strict is None else {"method": method, "strict": strict}
        extra["ls_structured_output_format"] = {"kwargs": asked, "schema": wanted}
    if method == "function_calling":
        assert wanted is not None  # checked above
        answer = _answer_tool(wanted, strict)
        parser.tool = answer["function"]["name"]
        bound: list[Any] = [answer, *(tools or ())]
        choice = "any" if tools else parser.tool
        asking = model.bind_tools(bound, tool_choice=choice, strict=strict, **extra)
    else:
        json_mode = method == "json_mode"
        form = {"type": "json_object"} if json_mode else response_format(wanted, strict=strict)
        asking = model.bind_tools(tools or [], response_format=form, **extra)
    return _with_raw(asking, parser) if include_raw else asking | parser


def _answer_tool(schema: Any, strict: bool | None) -> dict[str, Any]:
    """Return *schema* as a tool whose name servers take: titles such as ``Page[int]`` do not."""
    tool = convert_to_openai_tool(schema, strict=strict)
    function = dict(tool["function"])
    form = json_schema_format({"type": "object"}, name=function["name"])
    return {**tool, "function": {**function, "name": form["json_schema"]["name"]}}


def _model_class(schema: Any) -> Any:
    """Return *schema* if it is a pydantic class, v2 or v1."""
    return schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None


def _check(
    schema: Any,
    method: str,
    strict: bool | None,
    tools: Sequence[Any] | None,
    extra: Mapping[str, Any],
) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema")
    if method == "json_mode" and (strict or tools):
        raise ValueError("json_mode has neither strict nor tools: use json_schema")
    for name in extra:
        if not _params.is_call_parameter(name):
            raise promote(unknown_keyword(name, ["include_raw", "method", "strict", "tools"]))


def _with_raw(
    asking: Runnable[LanguageModelInput, AIMessage], parser: StructuredParser
) -> Runnable[LanguageModelInput, Any]:
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=asking) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _titled(schema: Any) -> Any:
    """A JSON schema without a title gets one: LangChain names the function after it."""
    if isinstance(schema, Mapping):
        named = {"title", "name", "function", "toolSpec"} & set(schema)
        return dict(schema) if named else {"title": "Output", **schema}
    return schema


def response_format(schema: Any, *, strict: bool | None) -> dict[str, Any]:
    """Return the ``response_format`` that asks for *schema*.

    Args:
        schema: A ready ``response_format`` is returned as it is; otherwise a pydantic class
            (v2 or v1), a ``TypedDict`` class, a JSON schema or an OpenAI tool or function.
        strict: Sent when not None.
    """
    if isinstance(schema, Mapping):
        if schema.get("type") in ("json_schema", "json_object", "text"):
            return dict(schema)
        if isinstance(schema.get("json_schema"), Mapping):
            return {"type": "json_schema", **schema}
    source: Any = _titled(schema)
    plain = convert_to_json_schema(source, strict=strict or None)
    name, description = plain.pop("title"), plain.pop("description", None)
    wanted = (plain if strict else _own_schema(source)) or {"type": "object", "properties": {}}
    return json_schema_format(wanted, name=name, description=description, strict=strict)


def _own_schema(schema: Any) -> dict[str, Any]:
    """The schema in the author's own form: references and titles stay."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        v2 = getattr(schema, "model_json_schema", None)
        own: dict[str, Any] = (v2 or schema.schema)()  # type: ignore[attr-defined]
        return own
    if isinstance(schema, dict) and "properties" in schema:
        return dict(schema)
    source: Any = schema
    plain = convert_to_json_schema(source)
    return {key: value for key, value in plain.items() if key not in ("title", "description")}


class StructuredParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads the structure from an answer: from a tool call, or from text that is JSON.

    While streaming it gives what is there so far. The end of the answer is read strictly:
    prose, broken JSON, a cut or a refusal is an error, never a silent None.
    """

    target: Any = None
    """Pydantic class to validate with, v2 or v1; None gives a dict."""

    tool: str | None = None
    """Name of the tool whose arguments are the answer; None reads the text."""

    other_tools: bool = False
    """Whether the model may call other tools instead: then there is no structure yet."""

    @property
    @override
    def _type(self) -> str:
        return "hfrouter-structured"

    @property
    @override
    def OutputType(self) -> Any:
        return self.target or dict[str, Any]

    @override
    def parse(self, text: str) -> Any:
        return self._validated(_json_of(text), text)

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        generation = result[0]
        message = getattr(generation, "message", None)
        if not isinstance(message, BaseMessage):
            message = AIMessage(content=generation.text)
        if partial:
            return self._so_far(message)
        _raise_if_refused(message)
        try:
            return self._whole(message)
        except StructuredOutputParserError as error:
            if message.response_metadata.get("finish_reason") != "length":
                raise
            raise StructuredOutputParserError(
                "the answer was cut off at max_tokens (finish_reason 'length'), and what there "
                f"is cannot be used: {error.message}",
                llm_output=error.llm_output or "",
                guidance="Raise max_tokens, or ask for less.",
            ) from error

    def _so_far(self, message: BaseMessage) -> Any:
        if self.tool is None:
            text = _so_far(message.text)
            if not text.startswith(("{", "[")):
                return None
            try:
                data = parse_partial_json(text)
            except ValueError:
                return None
        else:
            call = self._call(message)
            data = call["args"] if call is not None else None
        if data is None or not isinstance(data, dict):
            return data if self.target is None else None
        try:
            return self._validated(data, "")
        except StructuredOutputParserError:
            return None

    def _whole(self, message: BaseMessage) -> Any:
        calls = getattr(message, "tool_calls", [])
        if self.tool is None:
            if calls and self.other_tools and not message.text.strip():
                return None
            return self._validated(_json_of(message.text), message.text)
        call = self._call(message)
        if call is not None:
            return self._validated(call["args"], json.dumps(call["args"], ensure_ascii=False))
        for broken in getattr(message, "invalid_tool_calls", []):
            raise StructuredOutputParserError(
                f"the arguments of {broken['name']} are not a JSON object",
                llm_output=broken["args"] or "",
            )
        if calls and self.other_tools:
            return None
        did = f"called {calls[0]['name']}" if calls else "answered in prose"
        raise StructuredOutputParserError(
            f"the model {did} instead of calling {self.tool}",
            llm_output=message.text,
            guidance="Use a model with tool calls, or method='json_schema'.",
        )

    def _call(self, message: BaseMessage) -> Any:
        for call in getattr(message, "tool_calls", []):
            if call["name"] == self.tool:
                return call
        return None

    def _validated(self, data: Any, text: str) -> Any:
        if self.target is None:
            return data
        try:
            if issubclass(self.target, BaseModel):
                return self.target.model_validate(data)
            return self.target.parse_obj(data)  # pydantic.v1
        except ValueError as error:  # both ValidationErrors are
            details = error.errors(include_url=False) if isinstance(error, ValidationError) else ()
            raise StructuredOutputParserError(
                f"the answer is not a valid {self.target.__name__}: {error}",
                llm_output=text,
                errors=details,
            ) from error

    @override
    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        answer: ChatGenerationChunk | None = None
        latest = None
        for piece in input:
            answer = _grown(answer, piece)
            now = self.parse_result([answer], partial=True)
            if now is not None and now != latest:
                yield now
                latest = now
        if answer is not None:
            final = self.parse_result([_closed(answer)])
            if final is not None and final != latest:
                yield final

    @override
    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:
        answer: ChatGenerationChunk | None = None
        latest = None
        async for piece in input:
            answer = _grown(answer, piece)
            now = self.parse_result([answer], partial=True)
            if now is not None and now != latest:
                yield now
                latest = now
        if answer is not None:
            final = self.parse_result([_closed(answer)])
            if final is not None and final != latest:
                yield final


def _grown(answer: ChatGenerationChunk | None, piece: str | BaseMessage) -> ChatGenerationChunk:
    from langchain_core.messages import AIMessageChunk

    if isinstance(piece, str):
        piece = AIMessageChunk(content=piece)
    elif not isinstance(piece, BaseMessageChunk):
        fields = {k: v for k, v in piece.model_dump().items() if k != "type"}
        piece = AIMessageChunk(**fields)
    chunk = ChatGenerationChunk(message=piece)
    return chunk if answer is None else answer + chunk


def _closed(answer: ChatGenerationChunk) -> ChatGeneration:
    """The whole answer, its tool arguments read strictly: half an object is broken JSON."""
    from langchain_hfrouter._results import tool_calls
    from shared_core import ToolCall

    message = answer.message
    pieces = getattr(message, "tool_call_chunks", None)
    if not pieces:
        return ChatGeneration(message=message)
    good, bad = tool_calls(
        [ToolCall(p["id"] or "", p["name"] or "", p["args"] or "") for p in pieces]
    )
    return ChatGeneration(
        message=AIMessage(
            content=message.content,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            tool_calls=good,
            invalid_tool_calls=bad,
        )
    )


def _raise_if_refused(message: BaseMessage) -> None:
    refusal = message.additional_kwargs.get("refusal")
    if not refusal and isinstance(message.content, list):
        refusals = [
            b for b in message.content if isinstance(b, dict) and b.get("type") == "refusal"
        ]
        refusal = "".join(str(block.get("refusal") or "") for block in refusals)
    if refusal:
        raise RefusalError(f"the model refused: {refusal}", raw_message=message)


def _json_of(text: str) -> Any:
    try:
        return parse_json_text(text)
    except StructuredOutputError as error:
        raise StructuredOutputParserError(error.message, llm_output=text) from error


def _so_far(text: str) -> str:
    """Take off a leading ``<think>`` block and the opening of a code fence, still growing."""
    text = _THINK.sub("", text, count=1) if "<think>" in text else text
    return _FENCE.sub("", text, count=1).strip().removesuffix("```")
