"""What the LLM and the embedding share: connection settings, clients, copies and pickles."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llama_index.core.schema import BaseComponent
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

if TYPE_CHECKING:
    from shared_core import AsyncRouterClient, LocalModels, RouterClient

_logger = logging.getLogger(__name__)

_SHARED_IN_COPIES = frozenset(
    {
        "api_key",
        "http_client",
        "http_async_client",
        "local",
        "tls",
        "retry",
        "resilience",
        "callbacks",
        "callback_manager",
        "rate_limiter",
        "embeddings_cache",
        "output_parser",
        "messages_to_prompt",
        "completion_to_prompt",
    }
)
_NEVER_PICKLED = frozenset({"api_key", "http_client", "http_async_client"})
_PASSED_ON = (
    "connect_timeout",
    "retry",
    "resilience",
    "hub_url",
    "proxy",
    "tls",
    "limits",
)
_HIDDEN = ("default_headers", "proxy")


class Clients:
    """The clients of one object, one per distinct set of settings. Copies start empty."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def get(self, kind: Callable[..., Any], options: dict[str, Any]) -> Any:
        """Return the client of this kind with these options, made on first use."""
        key = (kind, *((name, _hashable(value)) for name, value in options.items()))
        client = self._made.get(key)
        if client is None:
            client = self._made.setdefault(key, kind(**options))
        return client

    def __deepcopy__(self, memo: dict[int, Any]) -> Clients:
        return Clients()

    def __reduce__(self) -> tuple[Any, ...]:
        return Clients, ()


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):  # headers
        return SecretStr(repr(sorted(value.items())))
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, Hashable):
        return value
    return id(value)


def local_models(data: Mapping[str, Any]) -> LocalModels | None:
    """Return what the constructor keyword ``local`` asks for, or None.

    Raises:
        InvalidSettingError: It is neither True, a folder, nor ``LocalModels``.
    """
    local = data.get("local")
    if local is None or local is False:
        return None
    from shared_core import LocalModels

    return LocalModels.of(local)


def _refuse_credentials(name: str, address: Any) -> None:
    # The client refuses them too, but only when it is made: a repr or dump may come first.
    if isinstance(address, str) and "@" in address.partition("://")[2].partition("/")[0]:
        from shared_core import InvalidSettingError

        raise InvalidSettingError(
            f"{name} contains a user name or password",
            guidance="Pass the credential with api_key= instead.",
            setting=name,
        )


def _hide(values: dict[str, Any]) -> None:
    """Replace headers and a proxy by the core's objects, which show and pickle no secret.

    Raises:
        InvalidSettingError: The core refuses them.
    """
    for name in _HIDDEN:
        if values.get(name) is not None:
            from shared_core import Settings

            values[name] = getattr(Settings.resolve(env={}, **{name: values[name]}), name)


def missing(name: str) -> Exception:
    """Return the error for a model that was not named."""
    from shared_core import InvalidSettingError

    return InvalidSettingError(
        f"{name} is missing",
        guidance=f"Name a model of the Hub: {name}=..., or run offline with local=True.",
        setting=name,
    )


class RouterComponent(BaseComponent):
    """Settings of the connection. Secrets and live objects are in no dump, repr or pickle.

    Attributes:
        api_key: Token: a string, a ``SecretStr``, or a callable that returns one for each
            request. None looks in ``HF_TOKEN``, the other documented variables and files.
        base_url: Where requests go; None is the router.
        provider: Serving provider, e.g. ``"groq"``; exclusive with a policy.
        bill_to: Organisation that pays (``X-HF-Bill-To``).
        timeout: Seconds to wait for an answer, or between two meaningful events of a
            stream; None waits for ever.
        connect_timeout: Seconds to wait for a connection; the client's default when None.
        max_retries: Further attempts after a retryable failure.
        retry: The whole retry policy; exclusive with ``max_retries``.
        resilience: Further layers of the client: breaker, limits, failover ...
        hub_url: The Hub, for :meth:`HFRouter.load_model_info`.
        user_agent: Put before our own.
        proxy: Proxy URL, maybe with credentials.
        tls: Certificates and TLS versions (``TLSSettings``).
        limits: Size and connection limits (``Limits``).
        default_headers: Headers of every request, as a mapping; read-only afterwards.
        extra_body: Body fields of every request, merged last.
        http_client: An ``httpx.Client`` of your own for the sync methods.
        http_async_client: An ``httpx.AsyncClient`` of your own for the async methods.
        local: Answer in this process, without network and token: True, a model folder, or
            ``LocalModels``.
        callbacks: Told of requests, responses, chunks, retries and errors.
    """

    # An error of pydantic's would otherwise show a token of the wrong type.
    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: SecretStr | Callable[[], Any] | None = Field(default=None, exclude=True, repr=False)
    base_url: str | None = Field(default=None, description="Where requests go.")
    provider: str | None = Field(default=None, description="Serving provider.")
    bill_to: str | None = Field(default=None, description="Organisation that pays.")
    timeout: float | None = Field(default=300.0, gt=0, description="Seconds; None waits for ever.")
    max_retries: int = Field(default=0, ge=0, description="Attempts after the first.")
    connect_timeout: float | None = Field(default=None, gt=0)
    retry: Any = Field(default=None, exclude=True, repr=False)
    resilience: Any = Field(default=None, exclude=True, repr=False)
    hub_url: str | None = Field(default=None)
    user_agent: str | None = Field(default=None)
    proxy: Any = Field(default=None, exclude=True, repr=False)
    tls: Any = Field(default=None, exclude=True, repr=False)
    limits: Any = Field(default=None, exclude=True, repr=False)
    default_headers: Any = Field(default=None, exclude=True, repr=False)
    extra_body: dict[str, Any] | None = Field(default=None, description="Merged into the body.")
    http_client: Any = Field(default=None, exclude=True, repr=False)
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    local: Any = Field(default=None, exclude=True, repr=False)
    callbacks: Sequence[Any] = Field(default=(), exclude=True, repr=False)

    _clients: Clients = PrivateAttr(default_factory=Clients)

    keyword_aliases: ClassVar[dict[str, str]] = {
        "token": "api_key",
        "api_base": "base_url",
        "headers": "default_headers",
    }
    """Other names of constructor keywords, as ``HuggingFaceInferenceAPI`` and ``OpenAILike``
    call them."""

    def __init__(self, **data: Any) -> None:
        fields = type(self).model_fields
        accepted: dict[str, Any] = {}
        for name, value in data.items():
            field = self.keyword_aliases.get(name, name)
            if field not in fields:
                from shared_core import unknown_keyword

                raise unknown_keyword(name, [*fields, *self.keyword_aliases])
            if field in accepted:
                from shared_core import InvalidSettingError

                raise InvalidSettingError(
                    f"{name} and {field} are one setting, given twice", setting=name
                )
            accepted[field] = value
        for name in ("base_url", "hub_url", "model", "model_name"):
            _refuse_credentials(name, accepted.get(name))
        _hide(accepted)
        super().__init__(**accepted)
        # What the client refuses by type is refused here too, not at the first call.
        if callable(self.api_key) or self.http_client is not None:
            self._client()
        if self.http_async_client is not None:
            self._aclient()

    def __setattr__(self, name: str, value: Any) -> None:
        given = {name: value}
        _hide(given)
        super().__setattr__(name, given[name])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy.

        Args:
            update: Field values of the copy; only headers and a proxy are checked.
            deep: Whether to copy values too.

        Raises:
            InvalidSettingError: Headers or a proxy cannot be sent.
        """
        changes = dict(update or {})
        _hide(changes)
        return super().model_copy(update=changes, deep=deep)

    def _client(self) -> RouterClient:
        from shared_core import RouterClient

        client: RouterClient = self._clients.get(RouterClient, self._options(self.http_client))
        return client

    def _aclient(self) -> AsyncRouterClient:
        from shared_core import AsyncRouterClient

        client: AsyncRouterClient = self._clients.get(
            AsyncRouterClient, self._options(self.http_async_client)
        )
        return client

    def _options(self, http_client: Any) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in _PASSED_ON}
        return {
            **{name: value for name, value in given.items() if value is not None},
            "api_key": self.api_key,
            "base_url": self.base_url,
            "bill_to": self.bill_to,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": self.default_headers,
            "user_agent": f"{self.user_agent or ''} llama-index-hfrouter".lstrip(),
            "http_client": http_client,
            "callbacks": tuple(self.callbacks),
            "local": self.local,
        }

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        values = {
            name: value if name in _SHARED_IN_COPIES else copy.deepcopy(value, memo)
            for name, value in self.__dict__.items()
        }
        twin = self.model_copy(update=values)
        twin._clients = Clients()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        # Not BaseComponent's: that one deletes what it cannot pickle from the living object.
        state: dict[Any, Any] = BaseModel.__getstate__(self)
        fields = {n: v for n, v in self.__dict__.items() if n not in _NEVER_PICKLED}
        for name in [name for name, value in fields.items() if not _picklable(value)]:
            _logger.warning("%s.%s cannot be pickled and is left out", type(self).__name__, name)
            del fields[name]
        return {**state, "__dict__": fields, "__pydantic_private__": None}


def _picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a value's own code may raise anything
        return False
    return True
