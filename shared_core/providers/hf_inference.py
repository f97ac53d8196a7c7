"""hf-inference: every task of the Hub on Hugging Face's own service, and on servers like it.

Protocol reference, 5.1, 5.2 and 6. One codec speaks for all tasks: the table below says what is
particular about each. The same form is understood by dedicated endpoints and TEI, so it is also
used when the model, or the base URL, is the address of a server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from shared_core.config.validate import is_hf_host
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.flow import Flow
from shared_core.media.output import Media
from shared_core.providers import server_forms
from shared_core.providers.answers import Remote, collect, decoded, read
from shared_core.providers.base import Codec
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Route, SendFirst
    from shared_core.tasks.spec import CallOptions, Payload

ENDPOINT_SUFFIX = ".endpoints.huggingface.cloud"
"""Host suffix of dedicated Inference Endpoints (protocol reference, section 0)."""

_PIPELINES = frozenset({"feature-extraction", "sentence-similarity"})
"""Tasks whose address names them (protocol reference, 6.1)."""

_RAW = frozenset(
    {
        "audio-classification",
        "automatic-speech-recognition",
        "audio-to-audio",
        "image-classification",
        "image-segmentation",
        "image-to-text",
        "object-detection",
        "image-to-image",
    }
)
"""Tasks whose file is the body as it stands when nothing else is to be said (6.1)."""

_IMAGES = frozenset({"text-to-image", "image-to-image"})
_SOUNDS = frozenset({"text-to-speech", "text-to-audio"})
_OTHER_FILES = frozenset(
    {
        "image-text-to-image",
        "text-to-video",
        "image-to-video",
        "image-text-to-video",
        "text-to-3d",
        "image-to-3d",
    }
)
"""Tasks that no hf-inference serves, and a server that speaks its form may."""

_FILES = _IMAGES | _SOUNDS | _OTHER_FILES
_MAYBE_FILES = frozenset({"audio-to-audio", "depth-estimation"})
"""Tasks that answer with JSON, or with one file."""

_ONE_OF_LIST = frozenset(
    {
        "summarization",
        "translation",
        "text2text-generation",
        "text-generation",
        "image-to-text",
        "table-question-answering",
        "automatic-speech-recognition",
        "depth-estimation",
    }
)
"""Tasks with one result, which some servers put into a list (6.2 to 6.5)."""

_LABELS = frozenset(
    {
        "text-classification",
        "token-classification",
        "zero-shot-classification",
        "image-classification",
        "zero-shot-image-classification",
        "object-detection",
        "zero-shot-object-detection",
        "audio-classification",
        "video-classification",
    }
)
"""Tasks with a list of results, which some servers put into a list once more (6.2)."""

_ANSWERS = frozenset(
    {"question-answering", "visual-question-answering", "document-question-answering"}
)
"""Tasks with several results, of which some servers give one without a list."""

_SEGMENT = re.compile(r"\w[\w.-]*", re.ASCII)


class HFInference(Codec):
    """The codec of every task on hf-inference and on servers that speak its form."""

    def begin(
        self, core: Core, route: Route, payload: Payload, options: CallOptions, send: SendFirst
    ) -> Flow[Flow[Any]]:
        """Send the request; see :class:`~shared_core.providers.base.Codec`."""
        request = build(core, route, payload, options)
        several = isinstance(payload.inputs, list)
        parse = read(request, lambda value: normalise(route.task, value, several=several), core)
        value = yield from send(request, parse)
        return collect(core, route, options, value, lambda download: download())


CODEC: Codec = HFInference()


# --- where ------------------------------------------------------------------------------


def address(base_url: str, model: str | None, task: str) -> str:
    """Return the URL of a call.

    * The model is a URL: that one. So is a base URL that names one model or one service, and
      the root of a dedicated endpoint.
    * The router, and any other base: ``/hf-inference/models/{model}``.

    Ranking has no route on hf-inference; servers have it at ``/rerank`` (TEI's form) and
    ``/v1/rerank`` (Cohere's form, if that is the address given). A server of one's own completes
    prompts at ``/v1/completions``, if its ``/v1`` base or that address is given.

    Args:
        base_url: The client's.
        model: Hub id or URL.
        task: Task id.

    Raises:
        InvalidSettingError: There is no model, or it is no Hub id.
        UnsupportedTaskError: The task has no route there.
    """
    if model is not None and "://" in model:
        parts = urlsplit(model)
        return _ranking_url(parts.geturl()) if task == "text-ranking" else model
    if task == "text-generation":
        if server_forms.completes(base_url):
            return base_url
        if server_forms.has_completions(base_url):
            return _with_path(base_url, urlsplit(base_url).path.rstrip("/") + "/completions")
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    if task == "text-ranking":
        if is_hf_host(parts.hostname):
            raise UnsupportedTaskError(
                "text-ranking has no route on hf-inference that anybody has written down",
                guidance="Use a TEI server or endpoint: model='https://...' or base_url=.",
            )
        return _ranking_url(base_url)
    own_host = (parts.hostname or "").endswith(ENDPOINT_SUFFIX)
    if own_host and path in ("", "/v1"):
        return _with_path(base_url, "/")
    if "/models/" in path or (own_host and not path.endswith("/hf-inference")):
        named = f"/pipeline/{task}"
        tail = named if task in _PIPELINES and "/pipeline/" not in path else ""
        return _with_path(base_url, path + (tail if "/models/" in path else ""))
    prefix = path.removesuffix("/v1").removesuffix("/hf-inference")
    if is_hf_host(parts.hostname):
        prefix = ""  # whatever else of the router the client is set to, e.g. a provider
    tail = f"/pipeline/{task}" if task in _PIPELINES else ""
    return _with_path(base_url, f"{prefix}/hf-inference/models/{_hub_id(model, task)}{tail}")


def _with_path(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _ranking_url(url: str) -> str:
    path = urlsplit(url).path.rstrip("/")
    if not path.endswith("/rerank"):
        path = path.removesuffix("/v1") + "/rerank"
    return _with_path(url, path)


def _hub_id(model: str | None, task: str) -> str:
    if not model:
        raise InvalidSettingError(
            f"no model given for {task}",
            setting="model",
            guidance="Pass model='org/name' of a model for this task; client.models.search("
            f"pipeline_tag={task!r}) finds some.",
        )
    segments = model.split("/")
    if len(segments) > 2 or not all(_SEGMENT.fullmatch(part) for part in segments):
        raise InvalidSettingError(
            f"model {model[:120]!r} is not a Hub id", setting="model", guidance="Write 'org/name'."
        )
    return model


# --- what is sent -----------------------------------------------------------------------


def build(
    core: Core, route: Route, payload: Payload, options: CallOptions, *, stream: bool = False
) -> WireRequest:
    """Return the request of a call.

    Args:
        core: Where the base URL comes from.
        route: Task and model.
        payload: The checked arguments.
        options: Headers, further fields, timeout.
        stream: Whether the answer is to come as events (text generation).

    Raises:
        InvalidSettingError: There is no model, or the payload has no form here.
        UnsupportedTaskError: The task has no route here.
    """
    settings = route.settings or core.settings
    url = address(settings.base_url, route.model, route.task)
    own = {"Accept": _accept(route.task, stream)}
    request = route.request(url, options, stream=stream)
    request.model = route.model or None
    if payload.binary is not None and _is_raw(route.task, payload, options):
        if payload.media_type:
            own["Content-Type"] = payload.media_type.replace("; ", ";")
        request.content = payload.binary
    else:
        own["Content-Type"] = "application/json"
        fields = server_forms.body(url, route.task, route.model, payload, stream=stream)
        if fields is None:
            fields = body(route.task, payload, stream=stream)
        request.json = options.merged(fields)
    request.headers = options.headers(own)
    return request


def _accept(task: str, stream: bool) -> str:
    if task in _IMAGES:
        return "image/png"
    if task in _SOUNDS:
        return "audio/*, application/json"
    if task in _OTHER_FILES:
        return "*/*"
    return "text/event-stream, application/json" if stream else "application/json"


def _is_raw(task: str, payload: Payload, options: CallOptions) -> bool:
    if payload.inputs is not None or payload.parameters or payload.extra or options.extra_body:
        return False
    return task in _RAW or task not in TASKS


def body(task: str, payload: Payload, *, stream: bool = False) -> dict[str, Any]:
    """Return the JSON body of a call, before ``extra_body``.

    Args:
        task: Task id.
        payload: The checked arguments.
        stream: Whether the answer is to come as events.
    """
    encode = _BODIES.get(task, _plain_body)
    fields = encode(payload)
    if task == "text-generation":
        fields["stream"] = stream
    return {**fields, **payload.extra}


def _plain_body(payload: Payload) -> dict[str, Any]:
    inputs = _file(payload) if payload.has_media and payload.inputs is None else payload.inputs
    if payload.has_media and isinstance(payload.inputs, dict):
        inputs = {"image": _file(payload), **payload.inputs}
    fields: dict[str, Any] = {"inputs": inputs}
    if payload.parameters:
        fields["parameters"] = payload.parameters
    return fields


def _file(payload: Payload) -> str:
    return payload.url if payload.url is not None else payload.base64_text()


def _features_body(payload: Payload) -> dict[str, Any]:
    return {"inputs": payload.inputs, **payload.parameters}  # parameters at the root (5.1)


def _visual_question_body(payload: Payload) -> dict[str, Any]:
    # As recorded, and as the official Python client sends it: the image stands there twice.
    image = _file(payload)
    asked = _object(payload, '{"question": "..."}')
    return {**_plain_body(payload), "inputs": image, "image": image, **asked}


def _ranking_body(payload: Payload) -> dict[str, Any]:
    asked = _object(payload, '{"query": "...", "texts": ["..."]}')
    return {**asked, **payload.parameters}  # TEI's form (5.4)


def _object(payload: Payload, example: str) -> dict[str, Any]:
    if isinstance(payload.inputs, dict):
        return payload.inputs
    found = "missing" if payload.inputs is None else f"{type(payload.inputs).__name__} here"
    raise InvalidSettingError(
        f"inputs must be an object for this task, and is {found}",
        guidance=f"Pass inputs={example}.",
        setting="inputs",
    )


_BODIES: dict[str, Callable[[Payload], dict[str, Any]]] = {
    "feature-extraction": _features_body,
    "visual-question-answering": _visual_question_body,
    "text-ranking": _ranking_body,
}


# --- what comes back --------------------------------------------------------------------


def normalise(task: str, value: Any, *, several: bool = False) -> Any:
    """Return an answer in the one shape that the task's result is read from.

    Args:
        task: Task id.
        value: JSON value, or a file.
        several: Whether a list was asked about, which is answered with a list.

    Raises:
        ValueError: The answer is of the wrong kind; the text says how.
    """
    if task in _FILES:
        return value if isinstance(value, Media) else _file_in_json(value)
    if isinstance(value, Media) and task not in _MAYBE_FILES and task in _JSON:
        raise ValueError(f"a file of type {value.media_type} came instead of JSON")
    if several:
        return value
    if task in _ONE_OF_LIST and isinstance(value, list) and len(value) == 1:
        return value[0]
    if task in _ANSWERS and isinstance(value, dict):
        return [value]
    if task in _LABELS:
        value = _unnested(value)
    if task == "text-ranking" and isinstance(value, dict):
        return server_forms.ranked_documents(value)
    if task == "text-generation" and isinstance(value, dict) and "choices" in value:
        from shared_core.providers.openai_like import generation

        return generation(value)
    if task == "zero-shot-classification":
        return _legacy_labels(value)
    return value


def _unnested(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return value[0]
    return value


def _legacy_labels(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        if "labels" not in value[0]:
            return value
        value = value[0]
    if not isinstance(value, dict):
        return value
    labels, scores = value.get("labels"), value.get("scores")
    if not isinstance(labels, list) or not isinstance(scores, list) or len(labels) != len(scores):
        raise ValueError("labels and scores are not lists of the same length")
    return [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]


def _file_in_json(value: Any) -> Media | Remote:
    """Return the file of ``{"data": [{"b64_json" or "url"}]}``, ``{"output": [url]}`` or alike."""
    found = value
    if isinstance(found, dict):
        found = next((found[name] for name in ("data", "images", "output") if name in found), found)
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        if isinstance(found.get("b64_json"), str):
            return decoded(found["b64_json"])
        found = found.get("url")
    if isinstance(found, str) and found[:8].lower().startswith(("https://", "http://", "data:")):
        return Remote(found)
    raise ValueError("the answer holds no file")


TASKS = (
    _RAW
    | _IMAGES
    | {"text-to-speech"}
    | _PIPELINES
    | _ANSWERS
    | _ONE_OF_LIST
    | {
        "text-classification",
        "token-classification",
        "fill-mask",
        "zero-shot-classification",
        "zero-shot-image-classification",
        "zero-shot-object-detection",
        "video-classification",
        "tabular-classification",
        "tabular-regression",
    }
)
"""Tasks that hf-inference has a documented form for."""

_JSON = TASKS - _FILES | {"text-ranking"}

CODECS: dict[str, Codec] = dict.fromkeys(sorted(TASKS), CODEC)
"""Task -> codec, for the registry."""
