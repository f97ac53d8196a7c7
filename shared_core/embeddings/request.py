"""What an embedding request says. Pure: values in, :class:`WireRequest` out.

The texts go out exactly as given: nothing is stripped, and line feeds stay. Nothing is sent
that was not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shared_core.config.validate import split_model
from shared_core.embeddings.types import Dialect
from shared_core.embeddings.urls import Route, check_path_model, resolve, says_its_form
from shared_core.embeddings.urls import directed as own_host
from shared_core.errors import InvalidSettingError, UnsupportedTaskError
from shared_core.wire.messages import WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

DEFAULT_BATCH_SIZE = 32
"""Texts per request: the batch limit that TEI servers start with (``max_client_batch_size``)."""

_POOLINGS = ("mean", "cls")
_ENCODINGS = ("float", "base64")
_DIRECTIONS = ("left", "right")

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingOptions:
    """Options of one call, checked on construction.

    Attributes:
        route: Where the requests go.
        dialect: Form that the caller asked for; None or ``"auto"`` follows the address.
        model: Model id.
        normalize: Server scales the vectors to length 1.
        truncate: Server cuts texts that are too long.
        truncation_direction: ``"left"`` or ``"right"``: the side that is cut.
        prompt_name: Prompt of the model's own configuration that the server puts first.
        prompt: Text that is put before each text, here, as it stands.
        dimensions: Length of the vectors, for models that can shorten them.
        encoding_format: ``"float"`` or ``"base64"``: how vectors travel.
        pooling: ``"mean"`` or ``"cls"``: how token vectors become one vector.
        batch_size: Texts per request.
        concurrency: Requests at once (asynchronous client).
        extra_body: Further body fields; they win over all others.
        headers: Request headers of this call.
        timeout: Seconds to wait for each request; None waits for ever.
    """

    route: Route
    dialect: str | None = None
    model: str | None = None
    normalize: bool | None = None
    truncate: bool | None = None
    truncation_direction: str | None = None
    prompt_name: str | None = None
    prompt: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None
    pooling: str | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    concurrency: int = 1
    extra_body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            _check_text("model", self.model, filled=True)
            if not self.model.isprintable():
                raise _invalid("model", "must not hold control characters")
        for name in ("normalize", "truncate"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool):
                raise _invalid(name, f"must be True or False: {value!r}")
        for name in ("batch_size", "concurrency", "dimensions"):
            value = getattr(self, name)
            if value is None and name == "dimensions":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise _invalid(name, f"must be a whole number of at least 1: {value!r}")
        _check_choice("pooling", self.pooling, _POOLINGS)
        _check_choice("encoding_format", self.encoding_format, _ENCODINGS)
        direction = self.truncation_direction
        if isinstance(direction, str):
            direction = direction.lower()
        _check_choice("truncation_direction", direction, _DIRECTIONS)
        for name in ("prompt_name", "prompt"):
            value = getattr(self, name)
            if value is not None:
                _check_text(name, value, filled=name == "prompt_name")
        if self.prompt_name is not None and self.prompt is not None:
            raise _invalid(
                "prompt",
                "and prompt_name exclude each other",
                "prompt is literal text put first here; prompt_name is looked up by the server.",
            )
        if self.extra_body is not None and not isinstance(self.extra_body, Mapping):
            raise _invalid("extra_body", f"must be a mapping, not {type(self.extra_body).__name__}")
        _check_carried(self)


def options(
    base_url: str,
    *,
    provider: str | None,
    dialect: str | None,
    root: bool = False,
    **given: Any,
) -> EmbeddingOptions:
    """Return checked :class:`EmbeddingOptions` for a base URL.

    Args:
        base_url: Base URL of the settings.
        provider: Provider as asked for.
        dialect: Dialect as asked for.
        root: Whether *base_url* is the root of a server that answers there.
        **given: The other fields of :class:`EmbeddingOptions`.

    Raises:
        InvalidSettingError: A value is refused, or the dialect cannot carry it.
    """
    model = given.get("model")
    if model is not None:
        _check_text("model", model, filled=True)
    route = resolve(base_url, model=model, provider=provider, dialect=dialect, root=root)
    if route.model_required and not model:
        check_path_model(model)
    return EmbeddingOptions(route=route, dialect=dialect, **given)


def directed(given: EmbeddingOptions, settings: Settings) -> EmbeddingOptions:
    """Return *given* for the provider's own host, if the key of *settings* is the provider's.

    Args:
        given: Options of the call.
        settings: Where the key is.
    """
    route = own_host(given.route, settings)
    if route.settings is None:
        return given
    headers = {n: v for n, v in given.headers.items() if n != "X-HF-Bill-To"}
    return replace(given, route=route, headers=headers)  # the provider bills


def elsewhere(
    given: EmbeddingOptions,
    home: Settings,
    settings: Settings,
    model: str | None,
    provider: str | None,
) -> EmbeddingOptions:
    """Return *given* for an endpoint of failover, always with the model of the call.

    The caller's dialect holds at the client's own address and where the address does not say
    what is spoken there; elsewhere, and at another provider, the address or provider does.

    Args:
        given: Options of the call.
        home: The client's settings.
        settings: The endpoint's.
        model: The endpoint's model.
        provider: The endpoint's provider.

    Raises:
        UnsupportedTaskError: It is another model, serves no embeddings, or has no place for an
            option of the call.
    """
    root, url = False, settings.base_url
    dialect = None if says_its_form(url) else given.dialect
    if url == home.base_url:
        provider = provider_at(given.model, given.route.provider, model, provider)
        root = given.route.root
        dialect = given.dialect if provider == given.route.provider else None
    try:
        route = resolve(url, model=given.model, provider=provider, dialect=dialect, root=root)
        made = replace(given, route=route)
    except InvalidSettingError as error:
        raise UnsupportedTaskError(error.message, guidance=error.guidance) from error
    return directed(made, settings)


def provider_at(
    own_model: str | None, own_provider: str | None, model: str | None, provider: str | None
) -> str | None:
    """Return who is to be asked at an endpoint that has no address of its own.

    Args:
        own_model: Model of the call.
        own_provider: Provider of the call.
        model: The endpoint's model, maybe with a suffix.
        provider: The endpoint's provider.

    Raises:
        UnsupportedTaskError: It is another model.
    """
    name, suffix = (own_model, None) if model is None else split_model(model)
    if name != own_model:
        raise UnsupportedTaskError(
            f"{name} is another model: its vectors do not go with those of {own_model}"
        )
    return provider or suffix or own_provider


def check_texts(texts: str | Sequence[str]) -> list[str]:
    """Return the texts as a list, unchanged.

    Args:
        texts: One text, or several. Empty texts are allowed and sent as they are.

    Raises:
        InvalidSettingError: Something is not a string; the message says where.
    """
    if isinstance(texts, str):
        texts = [texts]
    if isinstance(texts, (bytes, bytearray, Mapping)) or not hasattr(texts, "__iter__"):
        raise _invalid("texts", f"must be a string or strings, not {type(texts).__name__}")
    found = list(texts)
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise _invalid("texts", f"[{index}] must be a string, not {type(text).__name__}")
        if not text.isascii() and not _is_unicode(text):
            raise _invalid("texts", f"[{index}] holds half a surrogate pair, which is not Unicode")
    return found


def build(given: EmbeddingOptions, texts: Sequence[str], *, single: bool = False) -> WireRequest:
    """Return the request for one batch.

    Args:
        given: Options of the call.
        texts: The texts of this batch, at least one.
        single: Whether the caller gave one bare string, which is then sent as one.
    """
    if given.prompt is not None:
        texts = [given.prompt + text for text in texts]
    carried: str | list[str] = texts[0] if single and len(texts) == 1 else list(texts)
    return WireRequest(
        url=given.route.url,
        headers={"Accept": "application/json", **given.headers},
        json=_body(given, carried),
        timeout=given.timeout,
        operation="embeddings",
        model=given.model,
        provider=given.route.provider,
        settings=given.route.settings,
    )


def _body(given: EmbeddingOptions, carried: str | list[str]) -> dict[str, Any]:
    dialect = given.route.dialect
    body: dict[str, Any]
    if dialect == "openai":
        body = {"model": given.model, "input": carried}
        fields = {"dimensions": given.dimensions, "encoding_format": given.encoding_format}
    else:
        body = {"inputs": carried}
        direction = given.truncation_direction
        if direction is not None:
            # TEI writes its enum with a capital, hf-inference without (reference, 5.1 and 5.4).
            direction = direction.capitalize() if dialect == "tei" else direction.lower()
        fields = {
            "normalize": given.normalize,
            "truncate": given.truncate,
            "truncation_direction": direction,
            "prompt_name": given.prompt_name,
            "dimensions": given.dimensions,
            "encoding_format": given.encoding_format if dialect == "hf-inference" else None,
        }
    body = {name: value for name, value in {**body, **fields}.items() if value is not None}
    body.update(given.extra_body or {})
    return body


def _check_carried(given: EmbeddingOptions) -> None:
    """Refuse what the dialect has no field for, instead of dropping it silently."""
    dialect: Dialect = given.route.dialect
    missing: dict[str, str] = {}
    if dialect == "openai":
        server = (
            "use provider='hf-inference'"
            if given.route.provider
            else "use dialect='tei' if the server is text-embeddings-inference"
        )
        missing = {
            "normalize": f"{server}, or take result.normalized(), which is computed here",
            "truncate": server,
            "truncation_direction": server,
            "prompt_name": f"{server}, or pass the text itself as prompt=",
        }
    elif dialect == "tei" and given.encoding_format == "base64":
        missing = {
            "encoding_format": "use dialect='openai', which text-embeddings-inference serves"
        }
    for name, alternative in missing.items():
        if getattr(given, name) is not None:
            raise _invalid(
                name,
                f"has no place in the {dialect} form of an embedding request",
                f"Leave {name} out; or {alternative}; or send a field of the server's own with "
                "extra_body.",
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(name: str, value: object, *, filled: bool) -> None:
    if not isinstance(value, str):
        raise _invalid(name, f"must be a string, not {type(value).__name__}")
    if filled and not value.strip():
        raise _invalid(name, "must not be empty")


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise _invalid(name, f"must be one of {', '.join(known)}: {value!r}")


def _invalid(name: str, what: str, guidance: str | None = None) -> InvalidSettingError:
    joint = "" if what.startswith("[") else " "
    return InvalidSettingError(f"{name}{joint}{what}", guidance=guidance, setting=name)
