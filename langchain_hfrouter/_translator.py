"""Standard content blocks (v1) of our messages, whole or streamed.

LangChain asks the translator registered under a message's ``model_provider``. Streamed
blocks carry unique string indexes that start with ``lc_``: core merges blocks by index, and
its own numbering would let text 0 and tool call 0 swallow each other.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types


def translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a whole message.

    Args:
        message: A message of ours.

    Raises:
        NotImplementedError: Its content is a list that is not ours; core's own reading serves.
    """
    blocks = _spoken(message)
    blocks.extend(_whole_call(call) for call in message.tool_calls)
    return cast("list[types.ContentBlock]", blocks)


def translate_content_chunk(message: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a chunk, or of several chunks added up.

    Args:
        message: A chunk of ours.

    Raises:
        NotImplementedError: Its content is a list that is not ours; core's own reading serves.
    """
    blocks = _spoken(message)
    if message.chunk_position == "last":
        blocks.extend(_whole_call(call) for call in message.tool_calls)
        blocks.extend(dict(bad) for bad in message.invalid_tool_calls)
        return cast("list[types.ContentBlock]", blocks)
    if isinstance(message.content, str):  # the blocks of lists have their index already
        for block in blocks:
            block["index"] = _INDEXES[block["type"]]
    for chunk in message.tool_call_chunks:
        block = {
            "type": "tool_call_chunk",
            "id": chunk.get("id"),
            "name": chunk.get("name"),
            "args": chunk.get("args"),
        }
        if chunk.get("index") is not None:
            block["index"] = f"lc_tc_{chunk['index']}"
        blocks.append(block)
    return cast("list[types.ContentBlock]", blocks)


_INDEXES = {
    "reasoning": "lc_rs_0",
    "text": "lc_txt_0",
    "audio": "lc_au_0",
    "refusal": "lc_rf_0",
}


def _spoken(message: AIMessage) -> list[dict[str, Any]]:
    if not isinstance(message.content, str):
        return _listed(message.content)
    blocks: list[dict[str, Any]] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
        if notes := _citations(message.additional_kwargs.get("annotations")):
            blocks[-1]["annotations"] = notes
    if sound := _audio(message.additional_kwargs.get("audio")):
        blocks.append(sound)
    if refusal := message.additional_kwargs.get("refusal"):
        blocks.append({"type": "refusal", "refusal": refusal})
    return blocks


_OF_RESPONSES = frozenset(
    {"text", "reasoning", "refusal", "server_tool_call", "server_tool_result", "non_standard"}
)


def _listed(content: list[Any]) -> list[dict[str, Any]]:
    """Return the content of an answer of the Responses API, which is standard blocks."""
    if not all(isinstance(b, dict) and b.get("type") in _OF_RESPONSES for b in content):
        raise NotImplementedError
    return [dict(block) for block in content]


def _audio(sound: Any) -> dict[str, Any] | None:
    """Return a sound in OpenAI's form as a block; it does not say what kind of file it is."""
    if not isinstance(sound, dict) or not isinstance(sound.get("data"), str):
        return None
    block = {"type": "audio", "base64": sound["data"], "mime_type": _kind_of_sound(sound)}
    if isinstance(sound.get("id"), str):
        block["id"] = sound["id"]
    if isinstance(sound.get("transcript"), str):
        block["extras"] = {"transcript": sound["transcript"]}
    return block


def _kind_of_sound(sound: dict[str, Any]) -> str:
    form = sound.get("format")
    if isinstance(form, str) and form:
        return f"audio/{'mpeg' if form == 'mp3' else form}"
    head = sound["data"][:8]
    starts = {
        "UklGR": "audio/wav",
        "SUQz": "audio/mpeg",
        "ZkxhQ": "audio/flac",
        "T2dnU": "audio/ogg",
    }
    return next((kind for start, kind in starts.items() if head.startswith(start)), "audio/wav")


def _citations(annotations: Any) -> list[dict[str, Any]]:
    """Return OpenAI's ``url_citation`` annotations as LangChain's citations."""
    found = []
    for item in annotations if isinstance(annotations, list) else ():
        inner = item.get("url_citation") if isinstance(item, dict) else None
        if isinstance(inner, dict):
            names = ("url", "title", "start_index", "end_index")
            found.append({"type": "citation", **{n: inner[n] for n in names if n in inner}})
    return found


def _whole_call(call: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call["id"], "name": call["name"], "args": call["args"]}
