"""What the chat model and the embeddings share: connection settings, clients, copies, pickles.

A model object holds settings; the clients behind it are made on the first call, live in a
private attribute, and are left out of copies of the settings, pickles and dumps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

if TYPE_CHECKING:
    from shared_core import AsyncRouterClient, RouterClient

_TOKEN_VARIABLES = (
    "HF_TOKEN",
    "HUGGINGFACE_API_KEY",
    "HUGGINGFACEHUB_API_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
)

# Changing one of these needs new clients.
_CONNECTION = (
    "api_key",
    "base_url",
    "timeout",
    "connect_timeout",
    "max_retries",
    "resilience",
    "bill_to",
    "default_headers",
    "user_agent",
    "hub_url",
    "proxy",
    "tls",
    "limits",
    "local",
    "event_callbacks",
)
# As a parameter of a call they would go into the body, a token among them.
_NOT_OF_CALLS = frozenset(_CONNECTION) - {"timeout", "bill_to"} | {
    "http_client",
    "http_async_client",
    "huggingfacehub_api_token",
    "hf_token",
    "endpoint_url",
}
_SHARED_IN_COPIES = (
    "http_client",
    "http_async_client",
    "event_callbacks",
    "local",
    "resilience",
    "tls",
    "rate_limiter",
    "cache",
    "callbacks",
    "custom_get_token_ids",
    "tokenizer",
)


def _token_of_environment() -> SecretStr | None:
    """Return the token variable that the core would find first, for display and dumps."""
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    for name in _TOKEN_VARIABLES:
        if value := os.environ.get(name, "").strip():
            return SecretStr(value)
    return None


def refuse_settings(given: Iterable[str], *more: str) -> None:
    """Refuse settings of the model object among the parameters of a call.

    Args:
        given: Names of the parameters.
        *more: Further names that only the model object has.

    Raises:
        InvalidSettingError: There is one.
    """
    for name in given:
        if name in _NOT_OF_CALLS or name in more:
            from shared_core import InvalidSettingError

            raise InvalidSettingError(
                f"{name} cannot be given to a call: set it on the model", setting=name
            )


def _hide(values: dict[str, Any]) -> None:
    """Replace headers and a proxy by the core's objects, which show and pickle no secret."""
    for name in ("default_headers", "proxy"):
        if values.get(name) is not None:
            from langchain_hfrouter._errors import dual_errors
            from shared_core import Settings

            with dual_errors:
                values[name] = getattr(Settings.resolve(env={}, **{name: values[name]}), name)


def _is_importable(key: Any) -> bool:
    """Whether *key* is a function that a pickle can name."""
    return callable(key) and "<" not in getattr(key, "__qualname__", "<")


class _Clients(dict[str, Any]):
    """The clients behind an object; two objects are equal whatever their connections are."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Clients)


class RouterConnection(BaseModel):
    """Connection settings of a model object."""

    # An error of pydantic's would otherwise show a token of the wrong type.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    api_key: SecretStr | Callable[[], Any] | None = Field(
        default_factory=_token_of_environment, exclude=True, repr=False
    )
    """Token: a string, a ``SecretStr``, or a callable that returns one, asked for every request.
    None looks in the environment, ``.env``, ``secret/-secrets.sh`` and the Hub's token file."""

    base_url: str | None = None
    """Where to send requests; ``HUGGINGFACE_BASE_URL``, then the router, by default."""

    timeout: float | None = 300.0
    """Seconds to wait for an answer, or between two meaningful events of a stream. None waits
    for ever. An ``httpx.Timeout`` is accepted: its ``read`` is taken."""

    connect_timeout: float | None = Field(default=10.0, exclude=True)
    """Seconds to wait for a connection."""

    max_retries: int = Field(default=0, ge=0)
    """Further attempts after a retryable failure: N means at most N + 1 requests."""

    resilience: Any = Field(default=None, exclude=True, repr=False)
    """``shared_core.Resilience``: breaker, rate limit, failover, cache, budget; None is off."""

    bill_to: str | None = Field(default=None, exclude=True)
    """Organisation that pays; ``HF_BILL_TO`` by default."""

    default_headers: Any = Field(default=None, exclude=True, repr=False)
    """Headers sent with every request, as a mapping."""

    user_agent: str | None = Field(default=None, exclude=True)
    """Put before our own user agent."""

    hub_url: str | None = Field(default=None, exclude=True)
    """The Hub, ``HF_ENDPOINT`` by default."""

    proxy: Any = Field(default=None, exclude=True, repr=False)
    """Proxy URL, maybe with credentials."""

    tls: Any = Field(default=None, exclude=True, repr=False)
    """``shared_core`` TLS settings: certificates and versions."""

    limits: Any = Field(default=None, exclude=True, repr=False)
    """``shared_core`` size and connection limits."""

    http_client: Any = Field(default=None, exclude=True, repr=False)
    """An ``httpx.Client`` of your own for synchronous calls; never closed by us."""

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """An ``httpx.AsyncClient`` of your own for asynchronous calls; never closed by us."""

    local: Any = None
    """True, a model folder, or ``LocalModels``: answer in this process, with no network."""

    event_callbacks: Any = Field(default=(), exclude=True, repr=False)
    """``shared_core.Callback`` objects, told of requests, responses, retries and errors."""

    _clients: _Clients = PrivateAttr(default_factory=_Clients)

    keyword_aliases: ClassVar[dict[str, str]] = {
        "huggingfacehub_api_token": "api_key",
        "hf_token": "api_key",
        "request_timeout": "timeout",
        "endpoint_url": "base_url",
    }
    """Other names of constructor keywords, as other packages call them."""

    def model_post_init(self, context: Any, /) -> None:
        """Let the other base class finish too: LangChain notes versions there.

        Args:
            context: Pydantic's.
        """
        super().model_post_init(context)

    local_model: ClassVar[str] = "chat_model"
    """Attribute of ``LocalModels`` that names the model when ``local`` is given alone."""

    @model_validator(mode="before")
    @classmethod
    def _accept_keywords(cls, values: Any) -> Any:
        """Translate other names, and refuse keywords that do not exist."""
        if not isinstance(values, Mapping):
            return values
        from langchain_hfrouter._errors import dual_errors
        from shared_core import InvalidSettingError, unknown_keyword

        accepted: dict[str, Any] = {}
        with dual_errors:
            for name, value in values.items():
                field = cls.keyword_aliases.get(name, name)
                if field not in cls.model_fields:
                    raise unknown_keyword(name, [*cls.model_fields, *cls.keyword_aliases])
                if field in accepted and accepted[field] != value:
                    raise InvalidSettingError(f"{name} and {field} are one setting, given twice")
                accepted[field] = value
            if accepted.get("local") and not accepted.get("model"):
                from shared_core import LocalModels

                models = LocalModels.of(accepted["local"])
                accepted["model"] = getattr(models, cls.local_model)
        timeout: Any = accepted.get("timeout")
        if not isinstance(timeout, int | float) and hasattr(timeout, "read"):
            accepted["timeout"] = timeout.read  # an httpx.Timeout
            accepted.setdefault("connect_timeout", getattr(timeout, "connect", None))
        return accepted

    @model_validator(mode="after")
    def _check_connection(self) -> Self:
        """Have the core check the settings now rather than at the first call."""
        _hide(vars(self))
        self.sync_client()
        if self.http_async_client is not None:
            self.async_client()
        return self

    def sync_client(self) -> RouterClient:
        """Return the core's client behind this object."""
        client: RouterClient | None = self._clients.get("sync")
        if client is None:
            from langchain_hfrouter._errors import dual_errors
            from shared_core import RouterClient

            with dual_errors:
                client = RouterClient(**self._client_options(), http_client=self.http_client)
            self._clients["sync"] = client
        return client

    def async_client(self) -> AsyncRouterClient:
        """Return the core's asynchronous client behind this object."""
        client: AsyncRouterClient | None = self._clients.get("async")
        if client is None:
            from langchain_hfrouter._errors import dual_errors
            from shared_core import AsyncRouterClient

            with dual_errors:
                client = AsyncRouterClient(
                    **self._client_options(), http_client=self.http_async_client
                )
            self._clients["async"] = client
        return client

    def _client_options(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in _CONNECTION}
        options["callbacks"] = tuple(options.pop("event_callbacks") or ())
        # A token that we only read from the environment is left for the core to find there:
        # it then knows, and errors say, where it came from.
        if options["api_key"] is not None and options["api_key"] == _token_of_environment():
            options["api_key"] = None
        return options

    def close(self) -> None:
        """Close the connections of synchronous calls. The object can be used again."""
        if "sync" in self._clients:
            self._clients["sync"].close()

    async def aclose(self) -> None:
        """Close the running loop's connections. The object can be used again."""
        if "async" in self._clients:
            await self._clients["async"].aclose()

    def __setattr__(self, name: str, value: Any) -> None:
        given = {name: value}
        _hide(given)
        super().__setattr__(name, given[name])
        if name.startswith("_"):
            return
        # LangChain keeps a serialised copy as its cache key; a changed model is another model.
        vars(self).pop("_serialized", None)
        if (name in _CONNECTION or name.startswith("http_")) and self.__pydantic_private__:
            self._clients = _Clients()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; connections are shared unless *update* concerns them.

        Args:
            update: Field values of the copy; only headers and a proxy are checked.
            deep: Whether to copy values too.

        Raises:
            InvalidSettingError: *update* names a field that does not exist, or headers or a
                proxy that cannot be sent.
        """
        changes = {self.keyword_aliases.get(k, k): v for k, v in (update or {}).items()}
        for name in changes:
            if name not in type(self).model_fields:
                from langchain_hfrouter._errors import dual_errors
                from shared_core import unknown_keyword

                with dual_errors:
                    raise unknown_keyword(name, type(self).model_fields)
        _hide(changes)
        copied = super().model_copy(update=changes, deep=deep)
        if any(name in _CONNECTION or name.startswith("http_") for name in changes):
            copied._clients = _Clients()
        return copied

    def __copy__(self) -> Self:
        copied = super().__copy__()
        vars(copied).pop("_serialized", None)
        copied._clients = _Clients(self._clients)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        for name in _SHARED_IN_COPIES:
            value = vars(self).get(name)
            if value is not None:
                memo[id(value)] = value
        memo[id(self._clients)] = _Clients()
        copied = super().__deepcopy__(memo)
        vars(copied).pop("_serialized", None)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        for name in ("http_client", "http_async_client"):
            if getattr(self, name) is not None:
                raise TypeError(f"a model with an {name} of your own cannot be pickled")
        state = dict(super().__getstate__())
        fields = {k: v for k, v in state["__dict__"].items() if k != "_serialized"}
        state["__dict__"] = fields
        if not _is_importable(self.api_key):
            fields["api_key"] = None  # secrets do not travel: the copy finds its own
            state["__pydantic_fields_set__"] = state["__pydantic_fields_set__"] - {"api_key"}
        state["__pydantic_private__"] = {
            **(state["__pydantic_private__"] or {}),
            "_clients": _Clients(),
        }
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        if self.api_key is None:
            vars(self)["api_key"] = _token_of_environment()


class LanguageModel(RouterConnection):
    """What both models that write share: dumps, and token counts.

    Tokens are counted offline; LangChain's own way needs a package and a download.
    """

    tokenizer: Any = Field(default=None, exclude=True, repr=False)
    """Counts tokens offline: the path of a ``tokenizer.json``, a token counter of ``shared_core``,
    a tokenizer object, or a function from text to a number. None estimates."""

    custom_get_token_ids: Callable[[str], list[int]] | None = Field(default=None, exclude=True)
    """LangChain's own hook: from text to token ids; it wins over ``tokenizer``."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether ``langchain_core.load`` can dump and load this class: yes."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Constructor keywords that are dumped as names of environment variables."""
        secrets = {"api_key": "HF_TOKEN"}
        if self.bill_to is not None:
            secrets["bill_to"] = "HF_BILL_TO"
        return secrets

    def get_token_ids(self, text: str) -> list[int]:
        """Return the token ids of *text*; needs ``custom_get_token_ids=`` or a tokenizer object.

        Args:
            text: The text.

        Raises:
            ValueError: There is no tokenizer that gives ids.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        from langchain_hfrouter import _tokens

        return _tokens.ids(self.tokenizer, text)

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of *text*, offline; an estimate unless there is a tokenizer.

        Args:
            text: The text.
        """
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        from langchain_hfrouter import _tokens

        return _tokens.count(self.tokenizer, text)
