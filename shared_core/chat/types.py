"""What goes into a chat call and what comes out: plain, slotted, framework-free values.

Dataclasses rather than validated models, because one is built for every streamed chunk.
The same :class:`ChatMessage` serves as input and as the assistant's answer, so an answer
can be appended to the history as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from shared_core.wire.messages import ENDPOINT_HEADER, Headers

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
MediaSource: TypeAlias = "bytes | str | os.PathLike[str]"


@dataclass(slots=True)
class TextPart:
    """Text inside a message."""

    text: str
    type: ClassVar[str] = "text"


@dataclass(slots=True)
class ImagePart:
    """An image: bytes, a path, an http(s) URL (passed on, never fetched) or a data URL.

    Attributes:
        source: The image.
        media_type: e.g. ``"image/png"``; guessed from content or name when None.
        detail: ``"low"``, ``"high"`` or ``"auto"``, sent only when set.
    """

    source: MediaSource
    media_type: str | None = None
    detail: str | None = None
    type: ClassVar[str] = "image"


@dataclass(slots=True)
class AudioPart:
    """Audio, sent as ``input_audio`` (base64). ``format`` is e.g. ``"wav"`` or ``"mp3"``."""

    source: MediaSource
    media_type: str | None = None
    format: str | None = None
    type: ClassVar[str] = "audio"


@dataclass(slots=True)
class VideoPart:
    """A video, sent as ``video_url``."""

    source: MediaSource
    media_type: str | None = None
    type: ClassVar[str] = "video"


@dataclass(slots=True)
class FilePart:
    """A document such as a PDF, sent as ``file`` with ``file_data``; a ``file_id`` is passed on."""

    source: MediaSource | None = None
    media_type: str | None = None
    filename: str | None = None
    file_id: str | None = None
    type: ClassVar[str] = "file"


@dataclass(slots=True)
class RawPart:
    """A content part in the provider's own form, sent unchanged."""

    data: dict[str, Any]
    type: ClassVar[str] = "raw"


ContentPart: TypeAlias = TextPart | ImagePart | AudioPart | VideoPart | FilePart | RawPart


@dataclass(slots=True)
class ToolCall:
    """One complete tool call.

    Attributes:
        id: Never empty; made up when the server sent none.
        name: Function name.
        arguments: JSON text as the model wrote it; may be invalid JSON. ``"{}"`` where it wrote
            none; ``""`` only where the answer was cut off before they could come.
    """

    id: str
    name: str
    arguments: str = "{}"

    def parse(self) -> dict[str, Any]:
        """Return the arguments as a dict.

        Raises:
            ToolArgumentsError: They are not a JSON object; the text rides on the error.
        """
        from shared_core.chat.tools import parse_arguments

        return parse_arguments(self)


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a streamed tool call, already normalised whatever the provider sent.

    Attributes:
        index: Position of the call in the answer: 0, 1, 2 ..., one number per call.
        id: Set on the first piece of a call, None on the others.
        name: Set exactly once per call, on its first piece where possible.
        arguments: The next fragment of JSON text, maybe empty.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(slots=True)
class ChatMessage:
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        content: Text, a list of parts, or None (an assistant that only calls tools).
        name: Optional speaker or tool name.
        tool_calls: Calls made by the assistant.
        tool_call_id: For role ``"tool"``: the call that is answered.
        reasoning: What the model thought. Sent back only on request (``reasoning_echo``).
        refusal: Why the model refused, when it says so separately.
        extra: Further keys of the wire message; sent as they are.
        received: Further keys of an answer, e.g. ``audio`` or ``annotations``. Never sent back:
            models refuse what they did not ask for.
    """

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_call_id: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    received: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All text of the content, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or () if isinstance(part, TextPart))


@dataclass(slots=True)
class Usage:
    """Token counts: from 0 to 2**53 - 1, None where the provider counted none that can be used.

    Attributes:
        prompt_tokens: Of the question.
        completion_tokens: Of the answer.
        total_tokens: Of both.
        cached_tokens: Of the question, read from the provider's cache.
        reasoning_tokens: Of the answer, spent on thinking.
        audio_input_tokens: Of the question, sound.
        audio_output_tokens: Of the answer, sound.
        cache_write_tokens: Of the question, written to the provider's cache.
        cost: US dollars, where the provider says so.
        raw: The object as sent, with whatever else the provider counted.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost: float | None = None
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Choice:
    """One of the answers. ``extra`` keeps provider keys of the choice."""

    index: int
    message: ChatMessage
    finish_reason: str | None = None
    logprobs: Any = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ChatCompletion:
    """A complete answer, streamed or not.

    Attributes:
        id: The server's id, maybe empty.
        model: The model that the server says answered.
        created: Unix seconds, or None.
        choices: At least one.
        usage: Token counts, or None if the server sent none.
        system_fingerprint: As sent.
        request_id: ``x-request-id`` of the answer, to quote in support requests.
        provider: ``x-inference-provider``: who served the call.
        headers: Response headers.
        raw: The body as decoded JSON; of a stream: the merged answer in the same shape.
        incomplete_tool_calls: Only on the ``partial`` of an interrupted stream: fragments
            of calls whose end never came. They are never among ``tool_calls``.
    """

    id: str = ""
    model: str = ""
    created: int | None = None
    choices: list[Choice] = field(default_factory=list)
    usage: Usage | None = None
    system_fingerprint: str | None = None
    request_id: str | None = None
    provider: str | None = None
    headers: Headers = field(default_factory=Headers)
    raw: dict[str, Any] = field(default_factory=dict)
    incomplete_tool_calls: list[ToolCallDelta] = field(default_factory=list)

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that answered, if the client has failover."""
        return self.headers.get(ENDPOINT_HEADER)

    @property
    def message(self) -> ChatMessage:
        """The first choice's message."""
        return self.choices[0].message

    @property
    def text(self) -> str:
        """The first choice's text, ``""`` if it has none."""
        return self.choices[0].message.text if self.choices else ""

    @property
    def reasoning(self) -> str | None:
        """The first choice's reasoning."""
        return self.choices[0].message.reasoning if self.choices else None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The first choice's tool calls."""
        return self.choices[0].message.tool_calls if self.choices else []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None


@dataclass(slots=True)
class ChatChunk:
    """What one streamed event brought, for one choice. Everything is a delta.

    Attributes:
        text: New text.
        reasoning: New reasoning text, from whichever field the provider uses.
        refusal: New refusal text.
        tool_calls: Pieces of tool calls, normalised.
        index: The choice that it belongs to.
        finish_reason: Set on the last chunk of a choice.
        usage: Token counts so far, as sent by the server (cumulative, not a delta).
        logprobs: Of the new tokens.
        id: The answer's id.
        model: The answering model.
        raw: The decoded event.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: list[ToolCallDelta] = field(default_factory=list)
    index: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: Any = None
    id: str = ""
    model: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)
