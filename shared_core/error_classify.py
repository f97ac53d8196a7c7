"""Which error class an error answer becomes: status first, then the documented details."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared_core import error_status as kinds
from shared_core.error_status import APIStatusError


@dataclass
class Facts:
    """What an error answer says, independent of its shape.

    Attributes:
        status: HTTP status, or what an error object inside a 200 stands for.
        message: The server's words on one line.
        code: ``error.code``, top-level ``code`` or ``reason``.
        type: ``error.type``, ``error_type`` or top-level ``type``.
        reason: Top-level ``reason`` (novita).
        param: ``error.param``.
        header_code: ``X-Error-Code`` of the Hub.
        inner_status: A status number inside the body.
        estimated_time: Seconds until a loading model is ready.
        html: Whether the body is an HTML page.
        operation: What was attempted.
        host: Host that answered.
    """

    status: int = 0
    message: str | None = None
    code: str | None = None
    type: str | None = None
    reason: str | None = None
    param: str | None = None
    header_code: str | None = None
    inner_status: int | None = None
    estimated_time: float | None = None
    html: bool = False
    operation: str = ""
    host: str = ""

    def words(self) -> set[str]:
        """Return code, type and reason in lower case."""
        return {word.lower() for word in (self.code, self.type, self.reason) if word}

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Whether the server's message matches *pattern*."""
        return self.message is not None and pattern.search(self.message) is not None


Verdict = tuple[type[APIStatusError], str | None]
"""The class, and guidance when the class's own does not fit."""

_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: kinds.BadRequestError,
    401: kinds.AuthenticationError,
    402: kinds.PaymentRequiredError,
    403: kinds.PermissionDeniedError,
    404: kinds.NotFoundError,
    407: kinds.ProxyAuthenticationError,
    408: kinds.RequestTimeoutError,
    409: kinds.ConflictError,
    410: kinds.NotFoundError,
    413: kinds.RequestTooLargeError,
    422: kinds.UnprocessableEntityError,
    424: kinds.GenerationFailedError,
    429: kinds.RateLimitError,
    501: kinds.NotImplementedByServerError,
    503: kinds.ServiceUnavailableError,
    504: kinds.GatewayTimeoutError,
    505: kinds.NotImplementedByServerError,
    506: kinds.NotImplementedByServerError,
    508: kinds.NotImplementedByServerError,
    510: kinds.NotImplementedByServerError,
    511: kinds.NotImplementedByServerError,
    524: kinds.GatewayTimeoutError,
}

_CONTEXT_WORDS = {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"}
_FILTER_WORDS = {"content_filter", "content_policy_violation"}
# Prose of documented or measured shapes that carry no machine code of their own. llama.cpp says
# 500 where it means 400, hence its patterns count there too.
_TOO_LONG = re.compile(
    r"`inputs` tokens \+ `max_new_tokens` must be <="  # TGI
    r"|`inputs` must have less than \d+ tokens"  # TGI, TEI
    r"|^input \(\d+ tokens\) is too large to process"  # llama.cpp, embeddings
    r"|The input \(\d+ tokens\) is longer than the model's context length \(\d+ tokens\)"  # SGLang
    r"|maximum context length(?: is| of|:) \d+"  # vLLM, SGLang and providers on top of them
)
_NOT_CHAT = re.compile(
    r"(?i)is not a chat model"
    r"|does not support (?:the )?chat[ -]completions?"
    r"|you must provide a chat template"
    r"|chat_template is not set"
    r"|context does not support logits computation"  # llama.cpp with an embedding model
)
_NO_FEATURE = re.compile(
    r"model features? .{1,60} not support"  # novita
    r"|is not a multimodal model"  # nebius
    r"|grammar is not supported"  # TGI
    r"|`stream` is not supported for this model"  # hf-inference
    r"|^(?:image|audio|video) input is not supported"  # llama.cpp
)
_NO_FIELD = re.compile(
    r"Extra inputs are not permitted"  # fireworks
    r"|`model_kwargs` are not used by the model"  # hf-inference
    r"|property '[^']{1,80}' is unsupported"  # groq and others behind the router
)
_NOT_PARSED = re.compile(r"^Failed to parse (?:tools|messages|tool_choice)\b")  # llama.cpp
_NO_MODEL = re.compile(
    r"^Model \S+ does not exist"  # hf-inference
    r"|^Not Found: Model not found"
    r"|^model ['\"`]?\S+ not found"  # Ollama
    r"|^The model `[^`]+` does not exist"  # vLLM
    r"|Invalid model name passed in model="  # LiteLLM, with 400
)
_SAID = {
    "No required SSL certificate was sent": (  # nginx
        "The server wants a client certificate: tls=TLSSettings(client_cert=..., client_key=...)."
    ),
    "plain HTTP request was sent to HTTPS port": "Begin base_url with https://.",  # nginx
    "No connected db": "LiteLLM says this to a key that it does not know: check api_key=.",
}
"""Prose of a 400 -> what to do, where the class's own advice would mislead."""


def classify(facts: Facts) -> Verdict:
    """Return the error class for *facts*, and guidance of the case if it has its own."""
    rule = _RULES.get(facts.status)
    verdict = rule(facts) if rule is not None else None
    if verdict is not None:
        return verdict
    known = _BY_STATUS.get(facts.status)
    if known is not None:
        return known, None
    if facts.status >= 500:
        return kinds.InternalServerError, None
    if facts.status == 405:
        return kinds.BadRequestError, kinds.NotFoundError.guidance
    return (kinds.BadRequestError, None) if facts.status >= 400 else (APIStatusError, None)


def _bad_request(facts: Facts) -> Verdict | None:
    """400, 413 and 422 share their special cases: servers do not agree on the status."""
    words = facts.words()
    if words & _CONTEXT_WORDS or facts.says(_TOO_LONG):
        return kinds.ContextLengthError, None
    if words & _FILTER_WORDS:
        return kinds.ContentFilterError, None
    if words & {"template_error", "missing_template_variable"} or facts.says(_NOT_CHAT):
        return kinds.NotChatModelError, None
    if "tool_error" in words:
        return (
            kinds.UnprocessableEntityError,
            "Check tools= and tool_choice=: this server cannot use them so.",
        )
    if "model_not_found" in words:
        return kinds.ModelNotFoundError, None
    if "model_not_supported" in words:
        return kinds.ModelNotSupportedError, None
    if facts.message and facts.message.startswith("Model not supported by provider"):
        return kinds.ModelNotSupportedError, (
            "Use the /v1 base (base_url), where Hub ids work, or the provider's id of the model."
        )
    if facts.says(_NO_FEATURE):
        return kinds.UnsupportedFeatureError, None
    if facts.says(_NO_FIELD):
        return kinds.UnsupportedParameterError, None
    if facts.status == 400:
        return _said(facts)
    if facts.status == 422 and facts.message and "missing field `value`" in facts.message:
        return kinds.UnprocessableEntityError, (
            "This TGI server wants response_format in its own form: pass dialect='tgi', or "
            "{'type': 'json_object', 'value': schema}."
        )
    return None


def _said(facts: Facts) -> Verdict | None:
    """Judge a 400 by its prose alone."""
    if facts.says(_NO_MODEL):
        return _missing(facts)
    text = facts.message or ""
    for said, advice in _SAID.items():
        if said in text:
            return kinds.BadRequestError, advice
    return None


def _unauthorized(facts: Facts) -> Verdict | None:
    if facts.header_code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound"):
        return _missing(facts)
    return _gated(facts)


def _gated(facts: Facts) -> Verdict | None:
    text = facts.message or ""
    if facts.header_code == "GatedRepo" or re.match(r"Access to model \S+ is restricted", text):
        return kinds.GatedModelError, None
    return None


def _payment(facts: Facts) -> Verdict | None:
    if facts.message and facts.message.startswith("Pay-as-you go is not enabled for provider"):
        return kinds.ProviderNotBillableError, None
    return None


def _forbidden(facts: Facts) -> Verdict | None:
    gated = _gated(facts)
    if gated is not None:
        return gated
    text = facts.message or ""
    if facts.html or "error code: 1010" in text:
        return kinds.ClientBlockedError, None
    missing = re.search(r"missing permissions: ([\w.]{1,80})", text)
    if missing:
        return kinds.PermissionDeniedError, (
            f'Edit the token at https://huggingface.co/settings/tokens and add "{missing[1]}".'
        )
    return None


def _missing(facts: Facts) -> Verdict | None:
    if facts.header_code == "RepoNotFound":
        return kinds.ModelNotFoundError, None
    if facts.header_code in ("RevisionNotFound", "EntryNotFound"):
        return kinds.NotFoundError, "Check the revision or file name on the model's page."
    if "model_not_found" in facts.words() or facts.param == "model" or facts.says(_NO_MODEL):
        if "router.huggingface.co" in facts.host:
            return kinds.ModelNotFoundError, None
        return kinds.ModelNotFoundError, (
            "Check model=; GET /v1/models of that server (client.models.list()) shows its names."
        )
    if facts.says(_NOT_CHAT):
        return kinds.NotChatModelError, None
    return None


def _gone(facts: Facts) -> Verdict:
    return kinds.NotFoundError, (
        "This address is switched off. Set base_url (HUGGINGFACE_BASE_URL) to "
        "https://router.huggingface.co/v1."
    )


def _rate_limit(facts: Facts) -> Verdict | None:
    if "insufficient_quota" in facts.words():
        return kinds.PaymentRequiredError, None
    if facts.message and "Please log in or use a HF access token" in facts.message:
        return kinds.AnonymousRateLimitError, None
    return None


def _server_error(facts: Facts) -> Verdict | None:
    if facts.words() & _CONTEXT_WORDS or facts.says(_TOO_LONG):
        return kinds.ContextLengthError, None
    if facts.says(_NOT_CHAT):
        return kinds.NotChatModelError, None
    if facts.says(_NO_FEATURE):
        return kinds.UnsupportedFeatureError, None
    if facts.says(_NOT_PARSED):
        return kinds.BadRequestError, None
    if facts.status == 500 and facts.operation.startswith("chat"):
        return kinds.InternalServerError, (
            "Try again, set max_retries, or choose another provider=. If it persists, check the "
            "history: a tool call without arguments makes some providers fail so."
        )
    return None


def _unavailable(facts: Facts) -> Verdict | None:
    text = facts.message or ""
    loading = (
        facts.estimated_time is not None
        or re.match(r"Model \S+ is currently loading", text) is not None  # hf-inference
        or ("unavailable_error" in facts.words() and text.startswith("Loading model"))  # llama.cpp
    )
    return (kinds.ModelLoadingError, None) if loading else None


_RULES = {
    400: _bad_request,
    401: _unauthorized,
    402: _payment,
    403: _forbidden,
    404: _missing,
    410: _gone,
    413: _bad_request,
    422: _bad_request,
    429: _rate_limit,
    500: _server_error,
    501: _server_error,
    503: _unavailable,
}
