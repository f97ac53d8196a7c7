"""``client.embeddings``: what users call. NumPy is loaded by the first call, not before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from shared_core.embeddings.request import (
    EmbeddingOptions,
    Progress,
    check_texts,
    directed,
    options,
)
from shared_core.embeddings.types import EmbeddingResult
from shared_core.flow import Flow

if TYPE_CHECKING:
    from typing import Unpack

    import numpy as np
    from numpy.typing import NDArray

    from shared_core.callbacks import Callback
    from shared_core.core import Core

T = TypeVar("T")


class EmbeddingParams(TypedDict, total=False):
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

    model: str | None
    dialect: str | None
    provider: str | None
    normalize: bool | None
    truncate: bool | None
    truncation_direction: str | None
    prompt_name: str | None
    prompt: str | None
    dimensions: int | None
    encoding_format: str | None
    pooling: str | None
    batch_size: int
    concurrency: int
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    bill_to: str | None
    timeout: float | None
    scale_up_timeout: float | None
    progress: Progress | None
    callbacks: Sequence[Callback]


class SimilarityParams(TypedDict, total=False):
    """Keywords of a sentence similarity call; as for :class:`EmbeddingParams`."""

    model: str | None
    dialect: str | None
    provider: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    bill_to: str | None
    timeout: float | None
    scale_up_timeout: float | None
    callbacks: Sequence[Callback]


class Embeddings:
    """Embeddings, blocking. Get it as ``client.embeddings``."""

    def __init__(self, core: Core, run: Callable[[Flow[Any]], Any], *, root: bool = False) -> None:
        """Keep what is needed to make a call.

        Args:
            core: Settings, defaults and the path of a call.
            run: Drives a flow to its result.
            root: Whether the base URL is the root of a server that answers there.
        """
        self._core = core
        self._run = run
        self._root = root

    def create(
        self, texts: str | Sequence[str], **params: Unpack[EmbeddingParams]
    ) -> EmbeddingResult:
        """Return one vector per text, in order.

        Args:
            texts: One text, or several. None at all gives a ``(0, 0)`` matrix, and no request.
            **params: See :class:`EmbeddingParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed. ``error.texts`` is the ``(start, end)`` of its texts,
                ``error.partial`` maps the number of a text to its vector for all that arrived.
        """
        result: EmbeddingResult = self._run(_create(self._core, texts, params, self._root))
        return result

    def embed_one(self, text: str, **params: Unpack[EmbeddingParams]) -> NDArray[np.float32]:
        """Return the vector of one text, shape ``(d,)``.

        Args:
            text: The text.
            **params: See :class:`EmbeddingParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The request failed.
        """
        return _only(self._run(_create(self._core, _one(text), params, self._root)))

    def similarity(
        self, source: str, sentences: Sequence[str], **params: Unpack[SimilarityParams]
    ) -> NDArray[np.float32]:
        """Return how similar each sentence is to *source*, computed by the server.

        For hf-inference and TEI. Vectors that you have are compared without a request by
        ``shared_core.embeddings.cosine``.

        Args:
            source: The sentence to compare with.
            sentences: What is compared; none gives no scores, and no request.
            **params: See :class:`SimilarityParams`.

        Raises:
            UnsupportedTaskError: The service speaks the OpenAI form; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The request failed.
        """
        scores: NDArray[np.float32] = self._run(
            _compare(self._core, source, sentences, params, self._root)
        )
        return scores


class AsyncEmbeddings:
    """Embeddings for asyncio. Get it as ``client.embeddings``."""

    def __init__(
        self, core: Core, run: Callable[[Flow[Any]], Awaitable[Any]], *, root: bool = False
    ) -> None:
        """Keep what is needed to make a call.

        Args:
            core: Settings, defaults and the path of a call.
            run: Drives a flow to its result.
            root: Whether the base URL is the root of a server that answers there.
        """
        self._core = core
        self._run = run
        self._root = root

    async def create(
        self, texts: str | Sequence[str], **params: Unpack[EmbeddingParams]
    ) -> EmbeddingResult:
        """Return one vector per text, in order; see :meth:`Embeddings.create`.

        Up to ``concurrency`` requests are under way at once. The first error ends the others.

        Args:
            texts: One text, or several.
            **params: See :class:`EmbeddingParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed; see :meth:`Embeddings.create`.
        """
        result: EmbeddingResult = await self._run(_create(self._core, texts, params, self._root))
        return result

    async def embed_one(self, text: str, **params: Unpack[EmbeddingParams]) -> NDArray[np.float32]:
        """Return the vector of one text, shape ``(d,)``.

        Args:
            text: The text.
            **params: See :class:`EmbeddingParams`.

        Raises:
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The request failed.
        """
        return _only(await self._run(_create(self._core, _one(text), params, self._root)))

    async def similarity(
        self, source: str, sentences: Sequence[str], **params: Unpack[SimilarityParams]
    ) -> NDArray[np.float32]:
        """Return how similar each sentence is to *source*; see :meth:`Embeddings.similarity`.

        Args:
            source: The sentence to compare with.
            sentences: What is compared.
            **params: See :class:`SimilarityParams`.

        Raises:
            UnsupportedTaskError: The service speaks the OpenAI form; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: The request failed.
        """
        flow = _compare(self._core, source, sentences, params, self._root)
        scores: NDArray[np.float32] = await self._run(flow)
        return scores


def _create(
    core: Core, texts: str | Sequence[str], params: EmbeddingParams, root: bool
) -> Flow[EmbeddingResult]:
    """Check everything, then return the flow that does it."""
    found = check_texts(texts)
    given = _options(core, dict(params), root)
    from shared_core.embeddings import plan

    return plan.embed(
        core,
        given,
        found,
        single=isinstance(texts, str),
        progress=params.get("progress"),
        callbacks=params.get("callbacks") or (),
    )


def _compare(
    core: Core, source: str, sentences: Sequence[str], params: SimilarityParams, root: bool
) -> Flow[Any]:
    from shared_core.embeddings import sentences as service

    callbacks = params.get("callbacks") or ()
    given, provider, dialect = _common(core, dict(params), SimilarityParams)
    base_url, model = core.settings.base_url, given["model"]
    target = service.address(base_url, model=model, provider=provider, dialect=dialect, root=root)
    return service.compare(core, target, source, sentences, callbacks=callbacks, **given)


def _options(core: Core, params: dict[str, Any], root: bool = False) -> EmbeddingOptions:
    given, provider, dialect = _common(core, params, EmbeddingParams)
    for name in ("batch_size", "concurrency"):
        if given.get(name, ...) is None:
            del given[name]
    base_url = core.settings.base_url
    found = options(base_url, provider=provider, dialect=dialect, root=root, **given)
    return directed(found, core.settings)


def _common(
    core: Core, params: dict[str, Any], known: Any
) -> tuple[dict[str, Any], str | None, str | None]:
    """Fill in defaults; return what the request needs, provider and dialect."""
    from shared_core.config.validate import check_timeout, unknown_keyword

    for name in params:
        if name not in known.__optional_keys__:
            raise unknown_keyword(name, known.__optional_keys__)
    for name in ("progress", "callbacks"):
        params.pop(name, None)
    defaults = core.defaults
    provider = params.pop("provider", None) or defaults.provider
    dialect = params.pop("dialect", None)
    params["model"] = params.get("model") or defaults.embedding_model or defaults.model
    own = (params.pop(name, None) for name in ("extra_headers", "bill_to", "scale_up_timeout"))
    params["headers"] = _headers(*own)
    params["timeout"] = check_timeout(params.get("timeout", core.settings.timeout))
    return params, provider, dialect


def _headers(
    extra: Mapping[str, str] | None, bill_to: str | None, held: float | None
) -> dict[str, str]:
    from shared_core.config.checks import number
    from shared_core.config.validate import check_header, check_header_value

    headers = dict(extra or {})
    for name, value in headers.items():
        check_header(name, value, setting="extra_headers")
    if bill_to is not None:
        headers["X-HF-Bill-To"] = check_header_value(bill_to, setting="bill_to")
    if held is not None:
        headers["X-Scale-Up-Timeout"] = f"{number(1, 86_400)('scale_up_timeout', held):.0f}"
    return headers


def _one(text: str) -> str:
    from shared_core.errors import InvalidSettingError

    if not isinstance(text, str):
        raise InvalidSettingError(
            f"text must be a string, not {type(text).__name__}",
            guidance="Use create() for several texts.",
            setting="text",
        )
    return text


def _only(result: EmbeddingResult) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = result.vectors[0]
    return vector
