"""Every documented error answer becomes its class, with the server's words and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared_core import errors
from shared_core.errors import APIStatusError, from_error_object, from_response

ROUTER = "https://router.huggingface.co/v1/chat/completions"
HUB = "https://huggingface.co/api/models/acme/m"
OWN = "http://127.0.0.1:8080/v1/chat/completions"


def answer(
    status: int, body: Any = b"", url: str = ROUTER, operation: str = "chat", **headers: str
) -> APIStatusError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_response(
        status=status, headers=named, content=content, operation=operation, model="acme/m", url=url
    )


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


ROWS: list[tuple[str, APIStatusError, type[APIStatusError], str, str]] = [
    (
        "router: unknown model",
        answer(
            400,
            error(
                "The requested model 'x/y' does not exist.",
                type="invalid_request_error",
                param="model",
                code="model_not_found",
            ),
        ),
        errors.ModelNotFoundError,
        "The requested model 'x/y' does not exist.",
        "model=",
    ),
    (
        "router: no provider",
        answer(
            400,
            error(
                "The requested model 'x/y' is not supported by any provider you have enabled.",
                type="invalid_request_error",
                param="model",
                code="model_not_supported",
            ),
        ),
        errors.ModelNotSupportedError,
        "not supported by any provider",
        "provider=",
    ),
    (
        "router: not a chat model",
        answer(
            400,
            error("The requested model 'gpt2' is not a chat model.", code="model_not_supported"),
        ),
        errors.NotChatModelError,
        "is not a chat model",
        "chat model",
    ),
    (
        "pass-through: unmapped id",
        answer(400, {"error": "Model not supported by provider hf-inference"}),
        errors.ModelNotSupportedError,
        "Model not supported by provider",
        "base_url",
    ),
    *(
        (
            f"novita: no {feature}",
            answer(
                400,
                {
                    "code": 400,
                    "reason": "INVALID_REQUEST_BODY",
                    "message": f"model features {feature} not support",
                    "metadata": {},
                },
            ),
            errors.UnsupportedFeatureError,
            feature,
            "provider=",
        )
        for feature in ("function calling", "structured outputs", "vision")
    ),
    (
        "nebius: image to a text model",
        answer(400, {"detail": "Invalid request. acme/m is not a multimodal model"}),
        errors.UnsupportedFeatureError,
        "multimodal",
        "modalities",
    ),
    (
        "fireworks: unknown field",
        answer(
            400,
            error(
                "Extra inputs are not permitted, field: 'top_k'",
                object="error",
                type="invalid_request_error",
                code="invalid_request_error",
            ),
        ),
        errors.UnsupportedParameterError,
        "top_k",
        "extra_body",
    ),
    (
        "echoed reasoning",
        answer(400, error("property 'messages.2.assistant.reasoning_content' is unsupported")),
        errors.UnsupportedParameterError,
        "reasoning_content",
        "Remove",
    ),
    (
        "hf-inference: unused model_kwargs",
        answer(
            400,
            {
                "error": "The following `model_kwargs` are not used by the model: ['stop'] (note)",
                "warnings": ["There was an inference error: ..."],
            },
        ),
        errors.UnsupportedParameterError,
        "['stop']",
        "extra_body",
    ),
    (
        "hf-inference: list of errors",
        answer(400, {"error": ["Error in `inputs.context`: field required", "and more"]}),
        errors.BadRequestError,
        "Error in `inputs.context`: field required; and more",
        "Correct",
    ),
    (
        "hf-inference: no stream",
        answer(400, {"error": ["Error in `stream`: `stream` is not supported for this model"]}),
        errors.UnsupportedFeatureError,
        "`stream` is not supported",
        "provider=",
    ),
    (
        "TEI: empty input",
        answer(400, {"message": "`inputs` cannot be empty", "code": 400, "type": "Empty"}),
        errors.BadRequestError,
        "cannot be empty",
        "Correct",
    ),
    (
        "bad token",
        answer(401, {"error": "Invalid credentials in Authorization header"}),
        errors.AuthenticationError,
        "Invalid credentials",
        "HF_TOKEN",
    ),
    ("TEI: 401 without a body", answer(401), errors.AuthenticationError, "401", "api_key="),
    (
        "Hub: missing or private",
        answer(401, {"error": "Repository not found"}, HUB, x_error_code="RepoNotFound"),
        errors.ModelNotFoundError,
        "Repository not found",
        "private",
    ),
    (
        "no credits",
        answer(
            402,
            {
                "error": "You have depleted your monthly included credits. Purchase pre-paid "
                "credits to continue using Inference Providers."
            },
        ),
        errors.PaymentRequiredError,
        "depleted",
        "bill_to=",
    ),
    (
        "no pay-as-you-go",
        answer(402, {"error": "Pay-as-you go is not enabled for provider fireworks-ai yet."}),
        errors.ProviderNotBillableError,
        "fireworks-ai",
        "provider=",
    ),
    (
        "token lacks the permission",
        answer(
            403,
            {
                "error": "This authentication method does not have sufficient permissions to call "
                "Inference Providers on behalf of user ann"
            },
        ),
        errors.PermissionDeniedError,
        "sufficient permissions",
        "inference.serverless.write",
    ),
    (
        "endpoint permission",
        answer(403, b"missing permissions: inference.endpoints.infer.write", OWN),
        errors.PermissionDeniedError,
        "missing permissions",
        "inference.endpoints.infer.write",
    ),
    (
        "CDN blocks",
        answer(403, b"error code: 1010"),
        errors.ClientBlockedError,
        "1010",
        "user_agent=",
    ),
    (
        "gated",
        answer(403, {"error": "Access is restricted"}, HUB, x_error_code="GatedRepo"),
        errors.GatedModelError,
        "restricted",
        "accept its terms",
    ),
    (
        "gated, without the header",
        answer(403, {"error": "Access to model a/b is restricted. You must have access to it."}),
        errors.GatedModelError,
        "restricted",
        "accept its terms",
    ),
    (
        "hf-inference: not deployed",
        answer(404, {"error": "Model x/y does not exist"}),
        errors.ModelNotFoundError,
        "Model x/y does not exist",
        "model=",
    ),
    ("wrong path", answer(404, b"Not Found"), errors.NotFoundError, "Not Found", "base_url"),
    (
        "Hub: no such file",
        answer(404, {"error": "Entry not found"}, HUB, x_error_code="EntryNotFound"),
        errors.NotFoundError,
        "Entry not found",
        "file name",
    ),
    (
        "vLLM: wrong name",
        answer(
            404,
            error("The model `m` does not exist.", type="NotFoundError", param="model", code=404),
            OWN,
        ),
        errors.ModelNotFoundError,
        "The model `m` does not exist.",
        "/v1/models",
    ),
    (
        "vLLM, old: keys at top level",
        answer(
            404,
            {
                "object": "error",
                "message": "The model `m` does not exist.",
                "type": "NotFoundError",
            },
            OWN,
        ),
        errors.ModelNotFoundError,
        "The model `m` does not exist.",
        "/v1/models",
    ),
    (
        "Ollama: not pulled",
        answer(404, error("model 'llama9' not found, try pulling it first"), OWN),
        errors.ModelNotFoundError,
        "pulling",
        "/v1/models",
    ),
    ("408", answer(408), errors.RequestTimeoutError, "408", "max_retries"),
    ("409", answer(409), errors.ConflictError, "409", "unchanged"),
    ("dead host", answer(410), errors.NotFoundError, "410", "HUGGINGFACE_BASE_URL"),
    ("too large", answer(413), errors.RequestTooLargeError, "413", "smaller"),
    (
        "TGI: wrong JSON shape",
        answer(422, b"Failed to deserialize the JSON body into the target type: messages: invalid"),
        errors.UnprocessableEntityError,
        "Failed to deserialize",
        "names",
    ),
    (
        "TGI: too long",
        answer(
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
                "4096. Given: 17 `inputs` tokens and 10000 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        errors.ContextLengthError,
        "must be <= 4096",
        "max_tokens",
    ),
    (
        "TEI: too long",
        answer(
            422,
            {
                "error": "Input validation error: `inputs` must have less than 512 tokens. "
                "Given: 600",
                "error_type": "Validation",
            },
        ),
        errors.ContextLengthError,
        "512",
        "Shorten",
    ),
    (
        "SGLang: too long",
        answer(
            400,
            {
                "object": "error",
                "message": "The input (9000 tokens) is longer than the model's context length "
                "(4096 tokens).",
                "type": "BadRequestError",
                "code": 400,
            },
        ),
        errors.ContextLengthError,
        "9000 tokens",
        "max_tokens",
    ),
    (
        "OpenAI: too long",
        answer(400, error("too long", code="context_length_exceeded")),
        errors.ContextLengthError,
        "too long",
        "max_tokens",
    ),
    (
        "llama.cpp: too long",
        answer(
            400,
            error("the request exceeds the context", code=400, type="exceed_context_size_error"),
            OWN,
        ),
        errors.ContextLengthError,
        "exceeds",
        "Shorten",
    ),
    (
        "content filter",
        answer(400, error("no", code="content_filter")),
        errors.ContentFilterError,
        "no",
        "prompt",
    ),
    (
        "TGI: no chat template",
        answer(
            422,
            {"error": "Template error: template not found", "error_type": "template_error"},
        ),
        errors.NotChatModelError,
        "template not found",
        "embeddings",
    ),
    (
        "TGI: no grammar",
        answer(
            422,
            {
                "error": "Input validation error: grammar is not supported",
                "error_type": "validation",
            },
        ),
        errors.UnsupportedFeatureError,
        "grammar",
        "supports_structured_output",
    ),
    (
        "TGI: tools",
        answer(422, {"error": "Tool error: no such function", "error_type": "tool_error"}),
        errors.UnprocessableEntityError,
        "no such function",
        "tool_choice",
    ),
    (
        "TGI: schema form",
        answer(422, b"Failed to deserialize: response_format: missing field `value`"),
        errors.UnprocessableEntityError,
        "missing field",
        "'value'",
    ),
    (
        "TGI: backend crashed",
        answer(
            424, {"error": "Request failed during generation: CUDA", "error_type": "generation"}
        ),
        errors.GenerationFailedError,
        "CUDA",
        "logs",
    ),
    (
        "log in first",
        answer(429, {"error": "Rate limit reached. Please log in or use a HF access token"}),
        errors.AnonymousRateLimitError,
        "log in",
        "HF_TOKEN",
    ),
    (
        "TGI: overloaded",
        answer(429, {"error": "Model is overloaded", "error_type": "overloaded"}),
        errors.RateLimitError,
        "overloaded",
        "max_retries",
    ),
    (
        "quota used up",
        answer(429, error("You exceeded your current quota", code="insufficient_quota")),
        errors.PaymentRequiredError,
        "quota",
        "billing",
    ),
    (
        "together: 500",
        answer(500, {"id": "x", **error("Internal server error", type="server_error", code=None)}),
        errors.InternalServerError,
        "Internal server error",
        "tool call without arguments",
    ),
    (
        "novita: 500",
        answer(
            500, {"message": "unknown error in the model inference server", "type": "server_error"}
        ),
        errors.InternalServerError,
        "unknown error",
        "max_retries",
    ),
    (
        "hf-inference: 500 with warnings only",
        answer(500, {"error": "", "warnings": ["There was an inference error: boom"]}),
        errors.InternalServerError,
        "boom",
        "max_retries",
    ),
    (
        "llama.cpp: 501",
        answer(501, error("This server does not support it", code=501, type="not_supported_error")),
        errors.NotImplementedByServerError,
        "does not support",
        "another",
    ),
    (
        "edge page",
        answer(
            502, b"<!DOCTYPE html><html><head><title>Hugging Face</title></head>" + b"x" * 65536
        ),
        errors.InternalServerError,
        "Hugging Face",
        "Try again",
    ),
    (
        "loading",
        answer(503, {"error": "Model x/y is currently loading", "estimated_time": 20.0}),
        errors.ModelLoadingError,
        "currently loading",
        "asks to wait 20 s.",
    ),
    (
        "llama.cpp: loading",
        answer(503, error("Loading model", code=503, type="unavailable_error"), OWN),
        errors.ModelLoadingError,
        "Loading model",
        "Wait",
    ),
    (
        "loading, nobody knows how long",
        answer(503, {"error": "Model x/y is currently loading"}),
        errors.ModelLoadingError,
        "currently loading",
        "max_retries",
    ),
    (
        "vLLM: too long",
        answer(
            400,
            error(
                "This model's maximum context length is 4096 tokens. However, you requested 9000.",
                type="BadRequestError",
                code=400,
            ),
            OWN,
        ),
        errors.ContextLengthError,
        "4096",
        "max_tokens",
    ),
    (
        "overloaded",
        answer(503, {"error": "overloaded"}),
        errors.ServiceUnavailableError,
        "overloaded",
        "X-Scale-Up-Timeout",
    ),
    (
        "LiteLLM: no such model",
        answer(
            400,
            error(
                "/chat/completions: Invalid model name passed in model=acme/m. Call `/v1/models`"
            ),
            OWN,
        ),
        errors.ModelNotFoundError,
        "Invalid model name",
        "client.models.list()",
    ),
    (
        "LiteLLM without a database: unknown key",
        answer(400, error("No connected db.", type="no_db_connection", code="400"), OWN),
        errors.BadRequestError,
        "No connected db",
        "api_key=",
    ),
    (
        "nginx: no client certificate",
        answer(400, b"<title>400 No required SSL certificate was sent</title>"),
        errors.BadRequestError,
        "No required SSL certificate",
        "client_cert=",
    ),
    (
        "nginx: http:// to https://",
        answer(400, b"<title>400 The plain HTTP request was sent to HTTPS port</title>"),
        errors.BadRequestError,
        "HTTPS port",
        "https://",
    ),
    ("504", answer(504), errors.GatewayTimeoutError, "504", "Stream"),
    ("Cloudflare 524", answer(524), errors.GatewayTimeoutError, "524", "Stream"),
    ("captive portal", answer(511), errors.NotImplementedByServerError, "511", "another"),
    ("proxy", answer(407), errors.ProxyAuthenticationError, "407", "proxy="),
]


@pytest.mark.parametrize(
    ("found", "kind", "words", "advice"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_row(found: APIStatusError, kind: type[APIStatusError], words: str, advice: str) -> None:
    assert type(found) is kind
    text = str(found)
    what, _, guidance = text.partition("\n")
    assert words in what
    assert advice in guidance
    assert str(found.status_code) in what
    assert "acme/m" in what
    assert len(text) <= 700


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_a_class(status: int) -> None:
    found = answer(status)
    assert type(found) is not APIStatusError
    assert found.status_code == status
    assert str(status) in str(found)


HEALS = {408, 424, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529}
STAYS = {400, 401, 402, 403, 404, 405, 407, 409, 410, 413, 422, 451, 501, 505, 508, 511}


@pytest.mark.parametrize("status", sorted(HEALS | STAYS))
def test_what_may_be_repeated(status: int) -> None:
    assert answer(status).retryable is (status in HEALS)


def test_tells_who_where_which_request_and_how_often() -> None:
    found = answer(500, {"error": "boom"}, x_request_id="req-1", x_inference_provider="novita")
    found.attempts = 3
    found.elapsed = 1.26
    assert str(found).startswith(
        "500 Internal Server Error from router.huggingface.co: boom (model acme/m, "
        "request id req-1, 3 attempts, 1.3 s, served by novita)\n"
    )
    assert found.request_id == "req-1"
    assert found.inference_provider == "novita"
    assert found.headers == {"x-request-id": "req-1", "x-inference-provider": "novita"}
    assert found.url == ROUTER


def test_names_where_the_settings_came_from() -> None:
    found = from_response(
        status=401,
        headers={},
        content=b"",
        url=ROUTER,
        sources={"token": "environment variable HF_TOKEN", "base_url": "default"},
    )
    assert "token came from environment variable HF_TOKEN" in str(found)
    assert "base_url came from" not in str(found)


def test_says_when_no_token_was_sent() -> None:
    found = from_response(status=401, headers={}, content=b"", sources={"base_url": "default"})
    assert "no token was sent" in str(found)


def test_request_id_in_order_of_precedence() -> None:
    assert answer(500, x_amzn_trace_id="Root=1", x_amz_cf_id="cf").request_id == "Root=1"
    assert answer(500, x_amz_cf_id="cf").request_id == "cf"


def test_keeps_the_body_for_the_frameworks() -> None:
    body = error("no", code="model_not_found", param="model", type="invalid_request_error")
    found = answer(400, body)
    assert found.body == body
    assert (found.code, found.param, found.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )
    assert found.server_message == "no"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (["first", {"message": "second"}], "first; second"),
        ("plain words", "plain words"),
        ({"error": "invalid_grant", "error_description": "expired"}, "invalid_grant: expired"),
        ({"detail": "not now"}, "not now"),
        (
            {"detail": [{"loc": ["body", "inputs", 0], "msg": "field required"}]},
            "body.inputs.0: field required",
        ),
        ({"errors": [{"message": "one"}, "two"]}, "one; two"),
        ({"error": {"error": {"message": "deep"}}}, "deep"),
        ({"error": {"message": {"detail": "odd"}}}, "odd"),
        ({"error": None, "message": "other place"}, "other place"),
        ({"status": "fail", "why": {"id": 7}}, '{"status": "fail", "why": {"id": 7}}'),
        ({"error": {"code": "E7"}}, '{"error": {"code": "E7"}}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_finds_the_words_in_every_shape(body: Any, words: str) -> None:
    assert answer(400, body).server_message == words


def test_falls_back_to_the_header_then_to_the_phrase() -> None:
    assert answer(402, {}, x_error_message="no credit").server_message == "no credit"
    assert answer(402, b"").server_message is None
    assert "402 Payment Required" in str(answer(402, b""))


@pytest.mark.parametrize("body", [b'{"error": {"message": "cut here', b'{"error":"Model x is lo'])
def test_reads_the_words_of_a_truncated_body(body: bytes) -> None:
    assert answer(400, body).server_message in ("cut here", "Model x is lo")


def test_html_gives_its_title_only() -> None:
    page = (
        b"<!-- x --><html><head><title>502 &amp; more</title></head><body><script>evil()</script>"
    )
    assert answer(502, page).server_message == "an HTML page: 502 & more"


@pytest.mark.parametrize(
    ("obj", "kind", "status"),
    [
        (
            {"error": {"message": "x", "http_status_code": 422}},
            errors.UnprocessableEntityError,
            422,
        ),
        ({"error": "x", "error_type": "overloaded"}, errors.RateLimitError, 429),
        ({"error": {"message": "x", "code": "429"}}, errors.RateLimitError, 429),
        ({"error": {"message": "x", "type": "rate_limit_exceeded"}}, errors.RateLimitError, 429),
        (
            {"error": {"message": "x", "code": "context_length_exceeded"}},
            errors.ContextLengthError,
            400,
        ),
        ({"error": {"message": "x"}}, errors.InternalServerError, 500),
        ({"message": "x", "type": "server_error"}, errors.InternalServerError, 500),
        ("x", errors.InternalServerError, 500),
    ],
)
def test_error_object_inside_a_200(obj: Any, kind: type[APIStatusError], status: int) -> None:
    found = from_error_object(obj, headers={"Retry-After": "2"}, operation="chat", url=OWN)
    assert type(found) is kind
    assert found.status_code == status
    assert "inside a 200" in str(found)
    assert found.retry_after is None  # providers send it with good answers too


def test_stream_event_error_says_the_kind() -> None:
    found = errors.stream_event_error(
        {"error": {"message": "slow down", "code": 429}}, headers={"x-request-id": "r"}, url=OWN
    )
    assert isinstance(found.error, errors.RateLimitError)
    assert found.status_code == 429
    assert found.request_id == "r"
    assert "slow down" in str(found)
    assert found.guidance == found.error.guidance
