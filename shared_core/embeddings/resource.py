"""``client.embeddings``: what users call. NumPy is loaded by the first call, not before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shared_core.embeddings.params import EmbeddingParams, SimilarityParams, TEIParams
from shared_core.embeddings.request import EmbeddingOptions, check_texts, directed, options
from shared_core.embeddings.types import EmbeddingResult, SparseVector
from shared_core.flow import Flow

if TYPE_CHECKING:
    from typing import Unpack

    import numpy as np
    from numpy.typing import NDArray

    from shared_core.core import Core

T = TypeVar("T")


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

    def sparse(self, texts: str | Sequence[str], **params: Unpack[TEIParams]) -> list[SparseVector]:
        """Return one sparse vector per text, in order, e.g. of a SPLADE.

        For TEI (``/embed_sparse``) and for ``LocalModels(tasks={"embed-sparse": ...})``.

        Args:
            texts: One text, or several. None at all gives an empty list, and no request.
            **params: See :class:`TEIParams`.

        Raises:
            UnsupportedTaskError: The router and providers do not serve it; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed; see :meth:`create`.
        """
        found: list[SparseVector] = self._run(_embed(self._core, texts, params, "/embed_sparse"))
        return found

    def tokens(
        self, texts: str | Sequence[str], **params: Unpack[TEIParams]
    ) -> list[NDArray[np.float32]]:
        """Return the vectors of the tokens of each text, in order: shape ``(tokens, d)`` each.

        For TEI (``/embed_all``) and for ``LocalModels(tasks={"embed-all": ...})``. Tokens that
        the model adds, such as ``[CLS]``, are among them.

        Args:
            texts: One text, or several. None at all gives an empty list, and no request.
            **params: See :class:`TEIParams`.

        Raises:
            UnsupportedTaskError: The router and providers do not serve it; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed; see :meth:`create`.
        """
        found: list[NDArray[np.float32]] = self._run(
            _embed(self._core, texts, params, "/embed_all")
        )
        return found

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

    async def sparse(
        self, texts: str | Sequence[str], **params: Unpack[TEIParams]
    ) -> list[SparseVector]:
        """Return one sparse vector per text, in order; see :meth:`Embeddings.sparse`.

        Args:
            texts: One text, or several.
            **params: See :class:`TEIParams`.

        Raises:
            UnsupportedTaskError: The router and providers do not serve it; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed; see :meth:`Embeddings.create`.
        """
        flow = _embed(self._core, texts, params, "/embed_sparse")
        found: list[SparseVector] = await self._run(flow)
        return found

    async def tokens(
        self, texts: str | Sequence[str], **params: Unpack[TEIParams]
    ) -> list[NDArray[np.float32]]:
        """Return the vectors of the tokens of each text; see :meth:`Embeddings.tokens`.

        Args:
            texts: One text, or several.
            **params: See :class:`TEIParams`.

        Raises:
            UnsupportedTaskError: The router and providers do not serve it; nothing was sent.
            InvalidSettingError: An argument is refused; nothing was sent.
            APIError: A request failed; see :meth:`Embeddings.create`.
        """
        flow = _embed(self._core, texts, params, "/embed_all")
        found: list[NDArray[np.float32]] = await self._run(flow)
        return found

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


def _embed(core: Core, texts: str | Sequence[str], params: TEIParams, path: str) -> Flow[list[Any]]:
    """Check everything, then return the flow that asks TEI's route *path*."""
    found = check_texts(texts)
    given, provider, _ = _common(core, dict(params), TEIParams)
    from shared_core.embeddings import tei

    route = tei.address(core.settings.base_url, path, provider)
    return tei.embed(
        core,
        EmbeddingOptions(route=route, **given),
        found,
        path,
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
    for name in ("batch_size", "concurrency"):
        if params.get(name, ...) is None:
            del params[name]
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
