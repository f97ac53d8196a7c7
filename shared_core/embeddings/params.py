"""Keywords of the calls of ``client.embeddings``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from shared_core.callbacks import Callback
    from shared_core.embeddings.request import Progress


class _CallParams(TypedDict, total=False):
    """Keywords of every call."""

    model: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    bill_to: str | None
    timeout: float | None
    scale_up_timeout: float | None
    callbacks: Sequence[Callback]


class TEIParams(_CallParams, total=False):
    """Keywords of what only TEI serves; as for :class:`EmbeddingParams`."""

    truncate: bool | None
    truncation_direction: str | None
    prompt_name: str | None
    prompt: str | None
    batch_size: int
    concurrency: int
    progress: Progress | None


class EmbeddingParams(TEIParams, total=False):
    """Keywords of an embedding call. What is left out is not sent.

    Attributes:
        model: Embedding model; the client's ``embedding_model``, then ``model``, by default.
        dialect: ``"hf-inference"``, ``"tei"`` or ``"openai"``; by default the base URL decides.
        provider: ``"hf-inference"``, ``"together"``, ``"scaleway"`` or ``"deepinfra"``; by
            default the client's, else hf-inference on the router.
        normalize: Have the server scale the vectors to length 1.
        truncate: Have the server cut texts that are too long.
        truncation_direction: ``"right"`` or ``"left"``: the side that is cut.
        prompt_name: Name of a prompt in the model's configuration, put first by the server.
        prompt: Text put before each text by us, as it stands.
        dimensions: Length of the vectors, where the model can shorten them.
        encoding_format: ``"float"`` or ``"base64"``; base64 is smaller and faster to read.
        pooling: ``"mean"`` or ``"cls"``: makes one vector of token vectors, which are refused
            without it. The mean includes padding, because no mask comes with the answer.
        batch_size: Texts per request, default 32.
        concurrency: Requests at once, default 1; only the asynchronous client uses more.
        extra_body: Body fields of the server's own; they win over all others.
        extra_headers: Headers of this call.
        bill_to: Organisation that pays for this call.
        timeout: Seconds to wait for each request; None waits for ever.
        scale_up_timeout: Seconds for which a dedicated endpoint may hold a request while it
            starts from zero (``X-Scale-Up-Timeout``), 1 to 86,400; otherwise it answers 503.
        progress: Called as ``progress(done, total)`` after each request. What it raises ends
            the call.
        callbacks: Told of the requests of this call, besides the client's own.
    """

    dialect: str | None
    provider: str | None
    normalize: bool | None
    dimensions: int | None
    encoding_format: str | None
    pooling: str | None


class SimilarityParams(_CallParams, total=False):
    """Keywords of a sentence similarity call; as for :class:`EmbeddingParams`."""

    dialect: str | None
    provider: str | None
