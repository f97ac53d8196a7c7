"""Forms of servers of one's own that are neither hf-inference's nor TEI's. Pure.

* ``/v1/rerank`` and ``/v2/rerank``: documents instead of texts, as Cohere, Jina, vLLM and
  llama.cpp take them.
* ``/v1/completions``: prompts, as OpenAI's servers, TGI, vLLM and llama.cpp take them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared_core.config.validate import is_hf_host
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.tasks.spec import Payload


def completes(url: str) -> bool:
    """Whether *url* is an address of text completion."""
    path = _path(url)
    return path.endswith("/completions") and not path.endswith("/chat/completions")


def has_completions(url: str) -> bool:
    """Whether *url* is the ``/v1`` base of a server of one's own."""
    return _path(url).endswith("/v1") and not is_hf_host(urlsplit(url).hostname)


def ranks_documents(url: str) -> bool:
    """Whether *url* is an address of ranking by documents."""
    return _path(url).endswith(("/v1/rerank", "/v2/rerank"))


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def body(url: str, task: str, model: str, payload: Payload, *, stream: bool) -> Any:
    """Return the body for *url*, None if it speaks hf-inference's form.

    Args:
        url: Where the request goes.
        task: Task id.
        model: Hub id or URL, ``""`` for none; a Hub id is sent.
        payload: The checked arguments.
        stream: Whether the answer is to come as events.

    Raises:
        InvalidSettingError: A parameter is unknown there.
    """
    if task == "text-ranking" and ranks_documents(url):
        fields = _documents(payload)
    elif task == "text-generation" and completes(url):
        from shared_core.providers.openai_like import completion_body

        fields = {**completion_body(payload), **({"stream": True} if stream else {})}
    else:
        return None
    return {"model": model, **fields} if model and "://" not in model else fields


def _documents(payload: Payload) -> dict[str, Any]:
    given = dict(payload.parameters)
    fields = {"query": payload.inputs["query"], "documents": payload.inputs["texts"]}
    if "return_text" in given:
        fields["return_documents"] = given.pop("return_text")
    for name in given:
        raise InvalidSettingError(
            f"a server at /v1/rerank does not know {name}",
            setting=name,
            guidance="Leave it out, or give the address of a server in TEI's form: /rerank.",
        )
    return fields


def ranked_documents(value: dict[str, Any]) -> list[Any]:
    """Return ``[{"index", "relevance_score", "text"?}]`` of ``{"results": [...]}``.

    Raises:
        ValueError: There are no results.
    """
    results = value.get("results")
    if not isinstance(results, list):
        raise ValueError("the answer has no list of results")
    return [_with_text(result) for result in results]


def _with_text(result: Any) -> Any:
    document = result.get("document") if isinstance(result, dict) else None
    text = document.get("text") if isinstance(document, dict) else document
    return {**result, "text": text} if isinstance(text, str) else result
