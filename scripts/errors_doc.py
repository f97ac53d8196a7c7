"""Write docs/errors.md from the error classes and from what the parser makes of real answers.

Run ``python scripts/errors_doc.py`` after a change; a test compares the file with the code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared_core import errors  # noqa: E402

PAGE = ROOT / "docs" / "errors.md"

INTRO = """\
# Errors

<!-- Written by scripts/errors_doc.py; change the code, then run it. -->

Every error of this package is a `RouterError` from `shared_core` (or `shared_core.errors`).
`str(error)` says what happened, with host, model, request id and number of attempts, and on the
next line what to do. It is never longer than 700 characters, holds no token and no control
characters. Errors can be pickled and copied with all attributes.

```python
from shared_core import ModelLoadingError, RateLimitError, RouterClient, RouterError

client = RouterClient("openai/gpt-oss-120b")
try:
    print(client.chat.create("Hello").text)
except (RateLimitError, ModelLoadingError) as error:
    print("try again in", error.retry_after, "seconds")
except RouterError as error:
    print(error)
```

Through the adapters the same errors are also the framework's own: in LangChain a `RateLimitError`
is a `langchain_core.exceptions.ModelRateLimitError` too.

- **retry**: the same call may succeed when repeated. Nothing is repeated unless you set
  `max_retries` or a retry policy.
- **elsewhere**: another provider or endpoint may succeed.

"""

ATTRIBUTES = """\

## Attributes

| on | attributes |
|---|---|
| every error | `message`, `guidance`, `retryable`, `failover` |
| `APIError` | `operation`, `model`, `provider`, `host`, `url`, `request_id`, `attempts`, \
`elapsed` |
| `APIStatusError` | `status_code`, `code`, `type`, `param`, `server_message`, `body`, `headers`, \
`retry_after`, `inference_provider`, `intermediary` |
| `ModelLoadingError` | `estimated_time` |
| `APITimeoutError` | `phase`, `timeout`; also a `TimeoutError` |
| `APIConnectionError` | also a `ConnectionError`; `ConnectionLostError` has `maybe_processed` |
| `ProxyError` | `proxy_status`, `proxy_reached`, `retry_after` |
| `StreamError` | `partial`: what arrived until then; `StreamEventError` has `error` |
| `APIResponseValidationError` | `status_code`, `content_type`, `body`, `headers` |
| `InvalidSettingError` | `setting`, `source` |
| `MissingTokenError` | `looked_at` |
| `JobFailedError` | `job`, `status`, `server_message` |
| `JobTimeoutError` | `job`, `status`, `deadline`; also a `TimeoutError` |
| any error after a job was queued | `job`, for `client.providers.resume(error.job)` |
| `StructuredOutputError`, `ToolArgumentsError` | `text`: what the model wrote |

## Which answer becomes which error

The status decides, then the documented machine code, type or header; only where a server has
nothing but prose, a narrow pattern of it.

| status | from | answer | error |
|---|---|---|---|
"""

HF = "https://router.huggingface.co/v1/chat/completions"
# Who sends it, status, body, headers. The class is not written here: the parser is asked.
ANSWERS: list[tuple[str, int, Any, dict[str, str]]] = [
    ("router", 400, {"error": {"code": "model_not_found"}}, {}),
    ("router", 400, {"error": {"code": "model_not_supported"}}, {}),
    ("router", 400, {"error": {"message": "... is not a chat model."}}, {}),
    ("pass-through", 400, {"error": "Model not supported by provider hf-inference"}, {}),
    ("novita", 400, {"message": "model features function calling not support"}, {}),
    ("nebius", 400, {"detail": "... is not a multimodal model"}, {}),
    ("fireworks", 400, {"error": {"message": "Extra inputs are not permitted, field: 'x'"}}, {}),
    ("several", 400, {"error": "property 'messages.2.assistant.x' is unsupported"}, {}),
    ("hf-inference", 400, {"error": "The following `model_kwargs` are not used by the model"}, {}),
    ("hf-inference", 400, {"error": ["Error in `inputs.context`: field required"]}, {}),
    ("OpenAI-like", 400, {"error": {"code": "context_length_exceeded"}}, {}),
    ("llama.cpp", 400, {"error": {"type": "exceed_context_size_error"}}, {}),
    ("OpenAI-like", 400, {"error": {"code": "content_filter"}}, {}),
    ("router, Hub, TEI", 401, {"error": "Invalid credentials in Authorization header"}, {}),
    ("Hub", 401, {}, {"X-Error-Code": "RepoNotFound"}),
    ("router", 402, {"error": "You have depleted your monthly included credits."}, {}),
    ("router", 402, {"error": "Pay-as-you go is not enabled for provider x yet."}, {}),
    ("router", 403, {"error": "... does not have sufficient permissions ..."}, {}),
    ("endpoint", 403, "missing permissions: inference.endpoints.infer.write", {}),
    ("a CDN", 403, "error code: 1010", {}),
    ("Hub", 403, {}, {"X-Error-Code": "GatedRepo"}),
    ("hf-inference", 404, {"error": "Model x/y does not exist"}, {}),
    ("vLLM", 404, {"error": {"type": "NotFoundError", "param": "model"}}, {}),
    ("any", 404, "Not Found", {}),
    ("a proxy", 407, "", {}),
    ("any", 408, "", {}),
    ("any", 409, "", {}),
    ("a dead host", 410, "", {}),
    ("any", 413, "", {}),
    ("TGI", 422, "Failed to deserialize the JSON body into the target type: ...", {}),
    (
        "TGI",
        422,
        {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"},
        {},
    ),
    ("TGI", 422, {"error": "Template error: ...", "error_type": "template_error"}, {}),
    ("TGI", 422, {"error": "... grammar is not supported", "error_type": "validation"}, {}),
    ("TGI", 422, {"error": "Tool error: ...", "error_type": "tool_error"}, {}),
    ("TGI, TEI", 424, {"error": "...", "error_type": "generation"}, {}),
    ("hf-inference", 429, {"error": "... Please log in or use a HF access token"}, {}),
    ("TGI, TEI", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, {}),
    ("Hub", 429, {}, {"RateLimit": '"api";r=0;t=55'}),
    ("providers", 500, {"error": {"message": "Internal server error"}}, {}),
    ("llama.cpp", 500, {"error": {"message": "image input is not supported"}}, {}),
    (
        "llama.cpp",
        500,
        {"error": {"message": "the current context does not support logits computation"}},
        {},
    ),
    ("llama.cpp", 501, {"error": {"type": "not_supported_error"}}, {}),
    ("the edge", 502, "", {}),
    ("hf-inference", 503, {"error": "Model x is currently loading", "estimated_time": 20}, {}),
    (
        "llama.cpp",
        503,
        {"error": {"message": "Loading model", "type": "unavailable_error"}},
        {},
    ),
    ("any", 503, {"error": "overloaded"}, {}),
    ("the edge", 504, "", {}),
]


def tree(cls: type[errors.RouterError], depth: int = 0) -> Iterator[tuple[int, type]]:
    """Yield the public error classes below *cls* with their depth, in order of definition."""
    yield depth, cls
    for child in cls.__subclasses__():
        if getattr(errors, child.__name__, None) is child:  # not the adapters' own
            yield from tree(child, depth + 1)


def classes_table() -> str:
    """Return the table of all classes."""
    lines = ["| error | when | retry | elsewhere | what to do |", "|---|---|---|---|---|"]
    for depth, cls in tree(errors.RouterError):
        name = "&nbsp;&nbsp;" * depth + f"`{cls.__name__}`"
        when = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        marks = ("yes" if flag else "" for flag in (cls.retryable, cls.failover))
        lines.append(f"| {name} | {when} | {' | '.join(marks)} | {_cell(cls.guidance)} |")
    return "\n".join(lines) + "\n"


def answers_table() -> str:
    """Return the rows of the table of answers, classified by the parser itself."""
    lines = []
    for sender, status, body, headers in ANSWERS:
        content = body if isinstance(body, str) else json.dumps(body) if body else ""
        found = errors.from_response(
            status=status, headers=headers, content=content.encode(), operation="chat", url=HF
        )
        shown = [content] if content else []
        shown += [f"{name}: {value}" for name, value in headers.items()]
        what = _cell(" ".join(map(_code, shown))) or "(any body)"
        lines.append(f"| {status} | {sender} | {what} | `{type(found).__name__}` |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    """Return the whole page."""
    return INTRO + "## Classes\n\n" + classes_table() + ATTRIBUTES + answers_table()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
