"""Errors for answers with an error status; public through :mod:`shared_core.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from shared_core.error_base import (
    APIError,
    ErrorContext,
    clean,
    redact,
    safe_headers,
    safe_url,
    shorten,
)


class StatusContext(ErrorContext, total=False):
    """Keyword arguments of every :class:`APIStatusError`; all optional."""

    code: str | None
    type: str | None
    param: str | None
    server_message: str | None
    body: Any
    headers: Mapping[str, str]
    retry_after: float | None
    inference_provider: str | None
    intermediary: str | None


class APIStatusError(APIError):
    """The server answered with an error.

    Attributes:
        status_code: HTTP status; for an error object inside a 200, the status it stands for.
        code: Machine code of the error, as text, e.g. ``"model_not_found"``.
        type: Kind of error in the server's words, e.g. ``"validation"``.
        param: Request field the server complains about.
        server_message: The server's own words, redacted, up to 2,000 characters.
        body: The parsed JSON, or text; redacted and bounded.
        headers: Response headers with lower-case names, redacted, without cookies.
        retry_after: Seconds that the server asks to wait, or None.
        inference_provider: Who served the call (``x-inference-provider``), or None.
        intermediary: Name of the proxy or gateway that made the answer in the server's place,
            where ``Proxy-Status`` (RFC 9209) or Squid's own header says so; else None.
    """

    guidance = "The server refused the request; its reason is above."

    def __init__(
        self, message: str = "", *, status_code: int = 0, **context: Unpack[StatusContext]
    ) -> None:
        super().__init__(message, **_api_context(context))
        self.status_code = status_code
        self.code = context.get("code")
        self.type = context.get("type")
        self.param = context.get("param")
        self.server_message = context.get("server_message")
        self.body = context.get("body")
        self.headers = dict(context.get("headers") or {})
        self.retry_after = context.get("retry_after")
        self.inference_provider = context.get("inference_provider")
        self.intermediary = context.get("intermediary")

    def _facts(self) -> list[str]:
        facts = super()._facts()
        served = self.inference_provider
        if served and served != self.provider:
            facts.append(f"served by {shorten(served, 40)}")
        return facts


def _api_context(context: StatusContext) -> ErrorContext:
    names = ErrorContext.__optional_keys__
    return {name: value for name, value in context.items() if name in names}  # type: ignore[return-value]


class BadRequestError(APIStatusError):
    """400: the request is wrong for this server."""

    guidance = "Correct the request as the server says; repeating it unchanged will not help."


class ContextLengthError(BadRequestError):
    """Prompt plus max_tokens do not fit the model's context."""

    guidance = (
        "Shorten the prompt or the history, lower max_tokens, or use a model with a longer context "
        "(client.models.get(id) shows context_length per provider)."
    )


class ContentFilterError(BadRequestError):
    """The provider's content filter refused the prompt."""

    guidance = "Change the prompt, or choose another provider with provider=."


class UnsupportedParameterError(BadRequestError):
    """The provider does not know a field of the request."""

    guidance = "Remove the field that the server names (extra_body=), or choose another provider=."


class UnsupportedFeatureError(BadRequestError):
    """The model or provider lacks tools, structured output, vision or streaming."""

    guidance = (
        "Choose another provider= or model; client.models.get(id) shows supports_tools, "
        "supports_structured_output and input modalities."
    )
    failover = True


class ModelNotSupportedError(BadRequestError):
    """The model exists, but no provider that you have enabled serves it."""

    guidance = (
        "See client.models.get(id) for who serves it, drop provider=/policy= or the :suffix, or "
        "enable a provider at https://huggingface.co/settings/inference-providers. The model may "
        "also not be a chat model."
    )
    failover = True


class NotChatModelError(ModelNotSupportedError):
    """The model cannot chat: a base model, an embedding model, or no chat template."""

    guidance = (
        "Choose an instruct/chat model (client.models.list() lists them); for vectors use "
        "client.embeddings (HFRouterEmbeddings, HFRouterEmbedding)."
    )
    failover = False


class AuthenticationError(APIStatusError):
    """401: no token, or one that is wrong or expired."""

    guidance = (
        "Set a valid token with api_key= or HF_TOKEN; create one at "
        "https://huggingface.co/settings/tokens. `hfrouter doctor` checks it."
    )


class PaymentRequiredError(APIStatusError):
    """402: no credit on the billed account."""

    guidance = (
        "Buy credits or subscribe to PRO at https://huggingface.co/settings/billing, or bill an "
        "organisation with bill_to= (HF_BILL_TO)."
    )


class ProviderNotBillableError(PaymentRequiredError):
    """402: this provider cannot be billed to this account yet."""

    guidance = "Choose another provider with provider=, or leave it out for automatic routing."
    failover = True


class PermissionDeniedError(APIStatusError):
    """403: the token is known but may not do this."""

    guidance = (
        'Edit the token at https://huggingface.co/settings/tokens and give it "Make calls to '
        'Inference Providers" (inference.serverless.write); check bill_to= (HF_BILL_TO) too.'
    )


class GatedModelError(PermissionDeniedError):
    """403: the model's licence is not accepted yet."""

    guidance = "Log in to https://huggingface.co, open the model's page and accept its terms."


class ClientBlockedError(PermissionDeniedError):
    """403 from a provider's CDN, which blocks this client or address."""

    guidance = "Choose another provider with provider=, or another user_agent=."
    failover = True


class NotFoundError(APIStatusError):
    """404 or 410: nothing at this address."""

    guidance = (
        "Check base_url (HUGGINGFACE_BASE_URL): chat needs the /v1 base of the server, tasks need "
        "its host. The default is https://router.huggingface.co/v1."
    )


class ModelNotFoundError(NotFoundError):
    """The model does not exist there, or is private (status 400, 401 or 404)."""

    guidance = (
        "Check the spelling of model= on https://huggingface.co/models; client.models.list() shows "
        "what is served. A private model needs a token of its owner."
    )


class RequestTimeoutError(APIStatusError):
    """408: the server waited too long for the request."""

    guidance = "Try again or set max_retries; send smaller images or audio."
    retryable = True
    failover = True


class ConflictError(APIStatusError):
    """409: the request contradicts the state of the server."""

    guidance = "Look at the state of the resource; repeating the request unchanged will not help."


class RequestTooLargeError(APIStatusError):
    """413: the body is too big for the server."""

    guidance = "Send fewer texts at once (batch_size=), smaller images, or a URL instead of data."


class UnprocessableEntityError(APIStatusError):
    """422: the server understood the JSON but not what it asks for."""

    guidance = "Correct the field that the server names; extra_body= goes out unchanged."


class RateLimitError(APIStatusError):
    """429: too many requests, or a full queue."""

    guidance = "Wait (retry_after says how long, if known), set max_retries, or send less at once."
    retryable = True
    failover = True


class AnonymousRateLimitError(RateLimitError):
    """429 that only a token lifts."""

    guidance = "Send a token: api_key= or HF_TOKEN. Waiting helps little without one."
    retryable = False
    failover = False


class ProxyAuthenticationError(APIStatusError):
    """407: the proxy wants other credentials."""

    guidance = (
        "Put the user and password of the proxy into proxy= (http://user:password@host:port)."
    )


class RedirectRefusedError(APIStatusError):
    """3xx to a place where neither token nor prompt may go.

    Attributes:
        location: Where the server pointed, without query.
    """

    guidance = "Set base_url to the final address yourself if you trust it."

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 0,
        location: str = "",
        **context: Unpack[StatusContext],
    ) -> None:
        super().__init__(message, status_code=status_code, **context)
        self.location = safe_url(location)


class InternalServerError(APIStatusError):
    """5xx: the server or the provider failed."""

    guidance = "Try again, set max_retries, or choose another provider with provider=."
    retryable = True
    failover = True


class NotImplementedByServerError(InternalServerError):
    """501, 505 and other 5xx that will not heal."""

    guidance = "This server cannot do that; choose another model, server or provider=."
    retryable = False


class GenerationFailedError(InternalServerError):
    """424: the backend of a TGI or TEI server failed."""

    guidance = "Try again once or twice; if it persists, read the logs of the endpoint."


class ServiceUnavailableError(InternalServerError):
    """503: overloaded, in maintenance, or an endpoint that is scaling up."""

    guidance = (
        "Try again later or set max_retries. For an endpoint that scales from zero send "
        'default_headers={"X-Scale-Up-Timeout": "600"}.'
    )


class ModelLoadingError(ServiceUnavailableError):
    """503: the model is being loaded.

    Attributes:
        estimated_time: Seconds until it is ready, in the server's opinion, or None.
    """

    guidance = "Wait until it is loaded (estimated_time, if known), or set max_retries."

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 503,
        estimated_time: float | None = None,
        **context: Unpack[StatusContext],
    ) -> None:
        super().__init__(message, status_code=status_code, **context)
        self.estimated_time = estimated_time


class GatewayTimeoutError(InternalServerError):
    """504: the answer took longer than the gateway waits."""

    guidance = "Stream the answer, lower max_tokens, or choose a faster provider (policy=)."


class APIResponseValidationError(APIError):
    """A 2xx answer that is not what the protocol says.

    Attributes:
        status_code: HTTP status; 0 where none was read.
        content_type: Its content type.
        body: Beginning of the body as text, redacted.
        headers: Response headers, lower-case names, redacted.
    """

    guidance = (
        "Check base_url (HUGGINGFACE_BASE_URL); a proxy or a login page may have answered instead "
        "of the API."
    )

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 200,
        content_type: str | None = None,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.status_code = status_code
        self.content_type = content_type
        self.body = clean(redact(shorten(body, 2000)))
        self.headers = safe_headers(headers or {})

    def _facts(self) -> list[str]:
        known = not self.status_code or str(self.status_code) in self.message
        return [*([] if known else [f"status {self.status_code}"]), *super()._facts()]


class IncompleteResponseError(APIResponseValidationError):
    """A 2xx answer whose JSON ends in the middle: it was cut on the way."""

    guidance = "The answer was cut on the way; try again, or set max_retries."
    retryable = True


class ResponseTooLargeError(APIResponseValidationError):
    """A body, event or header over its limit; reading stopped there."""

    guidance = "Raise the limit with limits=Limits(max_body_bytes=...) if you trust the server."
