"""What each kind of task reads from a request."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from shared_core.local.call import LocalCall
from shared_core.local.task_table import Inputs
from shared_core.media.kinds import read_data_url, sniff
from shared_core.media.output import Media

_TEI_OTHERS = ("inputs", "parameters", "model")
"""Fields of TEI's requests that are no parameters."""

_SHORTEST_FILE = 32
"""Bytes of the shortest text in base64 that is looked at as a file: no format has less."""


def read(call: LocalCall, kind: Inputs) -> tuple[Any, dict[str, Any]]:
    """Return the inputs of a task, checked, and its parameters.

    Raises:
        BadRequestError: They are not what the task reads.
        UnsupportedFeatureError: A file is given by its address.
    """
    if call.request.json is None:  # a file as it stands
        content = call.request.content or b""
        if kind in ("image", "sound", "video"):
            return content, {}
        if kind in ("images", "anything"):
            return _media(content), {}
        raise call.bad("The task reads JSON, and was given a file.", "inputs")
    body = call.body()
    parameters = body.get("parameters") or {}
    if kind == "texts":  # of TEI, whose parameters stand beside the inputs
        rest = {name: body[name] for name in body if name not in _TEI_OTHERS}
        parameters = {**rest, **parameters}
    return _READERS[kind](call, body), parameters


def _texts(call: LocalCall, body: dict[str, Any]) -> list[str]:
    return call.texts(body.get("inputs"), "inputs")


def _text(call: LocalCall, body: dict[str, Any]) -> str:
    inputs = body.get("inputs")
    if not isinstance(inputs, str):
        raise call.bad("inputs must be a text.", "inputs")
    return inputs


def _question(call: LocalCall, body: dict[str, Any]) -> dict[str, str]:
    inputs, names = body.get("inputs"), ("question", "context")
    if not isinstance(inputs, dict) or not all(isinstance(inputs.get(n), str) for n in names):
        raise call.bad("inputs must have the texts question and context.", "inputs")
    return {name: inputs[name] for name in names}


def _table(call: LocalCall, body: dict[str, Any]) -> dict[str, Any]:
    inputs = body.get("inputs")
    query, table = (
        (inputs.get("query"), inputs.get("table")) if isinstance(inputs, dict) else (0, 0)
    )
    if not isinstance(query, str) or not isinstance(table, dict) or not table:
        raise call.bad("inputs must have the text query and the columns of a table.", "inputs")
    columns = list(table.values())
    if not all(isinstance(cells, list) and cells for cells in columns):
        raise call.bad("Every column of the table must be a list of cells.", "inputs")
    if len({len(cells) for cells in columns}) > 1:
        raise call.bad("The columns of the table must have the same number of cells.", "inputs")
    return {
        "query": query,
        "table": {name: [str(cell) for cell in cells] for name, cells in table.items()},
    }


def _file(call: LocalCall, body: dict[str, Any]) -> bytes:
    return decoded(call, _text(call, body))


def _image_question(call: LocalCall, body: dict[str, Any]) -> dict[str, Any]:
    """Return image and question, which stand in ``inputs``, or beside an image in ``inputs``."""
    inputs = body.get("inputs")
    asked = inputs if isinstance(inputs, dict) else {"image": inputs, **body}
    image, question = asked.get("image"), asked.get("question")
    if not isinstance(image, str) or not isinstance(question, str):
        raise call.bad("inputs must have an image, in base64, and the text question.", "inputs")
    return {"image": decoded(call, image), "question": question}


def decoded(call: LocalCall, encoded: str) -> bytes:
    """Return a file that stands in a request as base64.

    Raises:
        BadRequestError: It is no base64.
        UnsupportedFeatureError: It is an address.
    """
    if encoded.startswith(("http://", "https://")):
        raise call.unsupported(
            "Models in this process fetch nothing from an address.",
            "Pass the file itself: bytes or a path.",
            param="inputs",
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise call.bad("inputs must be a file in base64.", "inputs") from None


def _anything(call: LocalCall, body: dict[str, Any]) -> Any:
    """Return the JSON value with its files as :class:`Media`."""
    rest = {name: body[name] for name in body if name not in ("inputs", "parameters", "stream")}
    inputs = body.get("inputs")
    if "question" in rest:  # of an image, which may stand there twice
        inputs = {"image": inputs, **rest}
    return _with_files(inputs)


def _with_files(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_files(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_files(item) for item in value]
    return _maybe_file(value) if isinstance(value, str) else value


def _maybe_file(text: str) -> str | Media:
    """Return the file that *text* is: a data URL, or base64 of a file that is known."""
    try:
        if text[:5].lower() == "data:":
            kind, content = read_data_url(text)
            return _media(content, kind.partition(";")[0])
        # The first bytes tell, without decoding a long text that is none.
        start = base64.b64decode(text[:64], validate=True)
        if len(start) < _SHORTEST_FILE or sniff(start) is None:
            return text
        return _media(base64.b64decode(text, validate=True))
    except ValueError:
        return text


def _media(content: bytes, told: str | None = None) -> Media:
    return Media(content, sniff(content) or told or "application/octet-stream")


_READERS: dict[Inputs, Callable[[LocalCall, dict[str, Any]], Any]] = {
    "text": _text,
    "texts": _texts,
    "table": _table,
    "question": _question,
    "image": _file,
    "images": _anything,
    "image question": _image_question,
    "sound": _file,
    "video": _file,
    "anything": _anything,
}
