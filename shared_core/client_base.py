"""What both clients share: constructor options in, settings and defaults out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from shared_core.config.settings import Settings
from shared_core.constants import LOCAL_URL
from shared_core.core import Core, Defaults

if TYPE_CHECKING:
    import httpx

    from shared_core.callbacks import Callback
    from shared_core.config.dynamic import ClientConfig
    from shared_core.config.settings import Limits, TLSSettings
    from shared_core.config.store import ConfigStore
    from shared_core.live import LiveCore
    from shared_core.local import LocalModels
    from shared_core.resilience.pipeline import Pipeline, Resilience
    from shared_core.resilience.retry import RetryPolicy

_UNSET: Any = object()
# Options that do not concern connections: a derived client that changes only these
# shares them.
_ABOVE_THE_WIRE = frozenset(
    {
        "model",
        "embedding_model",
        "provider",
        "policy",
        "max_retries",
        "retry",
        "resilience",
        "callbacks",
        "config",
    }
)


class ClientBase:
    """What both clients share: options in, settings and defaults out. Opens nothing."""

    _closes_with = "close"
    _wire: Any = None  # an instance has one of its own from its first call on

    def __init__(
        self,
        model: str | None = None,
        *,
        api_key: Any = None,
        base_url: str | None = None,
        provider: str | None = None,
        policy: str | None = None,
        embedding_model: str | None = None,
        bill_to: str | None = None,
        timeout: Any = _UNSET,
        connect_timeout: float | None = _UNSET,
        max_retries: int = 0,
        retry: RetryPolicy | None = None,
        resilience: Resilience | None = None,
        default_headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        hub_url: str | None = None,
        endpoints_url: str | None = None,
        proxy: str | None = None,
        tls: TLSSettings | None = None,
        limits: Limits | None = None,
        http_client: httpx.Client | httpx.AsyncClient | None = None,
        callbacks: Sequence[Callback] = (),
        local: bool | str | LocalModels | None = None,
        config: ConfigStore[ClientConfig] | None = None,
    ) -> None:
        """Resolve the settings. Arguments win over the environment.

        Args:
            model: Chat model used when a call names none, e.g. ``"openai/gpt-oss-120b:groq"``.
            api_key: Token: a string, a ``SecretStr``, or a callable that returns one. None
                looks in the environment, ``.env``, ``secret/-secrets.sh`` and the Hub's file.
            base_url: Where chat and embeddings are served, default the router.
            provider: Serving provider for every call; exclusive with ``policy``.
            policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.
            embedding_model: Embedding model used when a call names none.
            bill_to: Organisation that pays (``X-HF-Bill-To``).
            timeout: Seconds to wait for an answer, or between two meaningful events of a
                stream; None waits for ever. Default 300. An ``httpx.Timeout`` is tolerated.
            connect_timeout: Seconds to wait for a connection, default 10.
            max_retries: Further attempts after a retryable failure, default 0.
            retry: The whole retry policy; exclusive with ``max_retries``.
            resilience: Retry, circuit breaker, rate limit, failover, deadline, cache ...;
                nothing of it is on by default. See ``docs/resilience.md``.
            default_headers: Sent with every call.
            user_agent: Put before our own user agent.
            hub_url: The Hub, default ``https://huggingface.co``.
            endpoints_url: The control plane of Inference Endpoints, default
                ``https://api.endpoints.huggingface.cloud``.
            proxy: Proxy URL, for every address; by default those of the environment.
            tls: Certificates and TLS versions.
            limits: Size and connection limits.
            http_client: An httpx client of your own; never closed by us.
            callbacks: Told of requests, responses, chunks, retries and errors.
            local: True, an embedding model (folder or Hub id), or ``LocalModels``: answer in
                this process. No network and no token, but to download a Hub id.
            config: Options that may change while the client is in use; what it sets wins over
                the other arguments from the next call on. See
                ``docs/dynamic-configuration.md``.

        Raises:
            InvalidSettingError: A value is refused; the message names the setting.
        """
        options = {name: value for name, value in locals().items() if name != "self"}
        from shared_core.errors import InvalidSettingError

        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise InvalidSettingError(f"max_retries must be a whole number >= 0: {max_retries!r}")
        if max_retries and retry is not None:
            raise InvalidSettingError("max_retries and retry exclude each other: set one of them")
        if max_retries:
            from shared_core.resilience.retry import RetryPolicy

            retry = RetryPolicy(max_retries=max_retries)
        if retry is not None or resilience is not None:
            from shared_core.resilience.pipeline import resilience_of

            resilience = resilience_of(resilience, retry)
        if http_client is not None:
            self._check_http_client(http_client)
        if base_url is None and local not in (None, False):
            base_url = LOCAL_URL  # nothing is sent there; it decides the form of requests
        given = {
            "api_key": api_key,
            "base_url": base_url,
            "hub_url": hub_url,
            "endpoints_url": endpoints_url,
            "bill_to": bill_to,
            "default_headers": default_headers,
            "user_agent": user_agent,
            "proxy": proxy,
            "tls": tls,
            "limits": limits,
        }
        if timeout is not _UNSET:
            given["timeout"] = timeout
        if connect_timeout is not _UNSET:
            given["connect_timeout"] = connect_timeout
        settings = Settings.resolve(**given)
        # Secrets are kept in their wrappers only, here too.
        options["api_key"] = settings.token
        options["default_headers"] = settings.default_headers
        options["proxy"] = settings.proxy if proxy else None  # not that of the environment
        options["timeout"] = settings.timeout
        options["connect_timeout"] = settings.connect_timeout
        self._options = options
        self._local: LocalModels | None = None
        if local is not None and local is not False:
            from shared_core.local import resolve

            self._local = resolve(local)
            model = model or self._local.chat_model
            embedding_model = embedding_model or self._local.embedding_model
        self._http_client: Any = http_client
        self._live: LiveCore | None = None
        self._core = Core(
            settings,
            Defaults(model, embedding_model, provider, policy),
            callbacks=callbacks,
            resilience=resilience,
        )
        self._health: Any = None
        if config is not None:
            self._go_live(config)

    def _go_live(self, config: ConfigStore[ClientConfig]) -> None:
        from shared_core.live import LiveCore

        options = {**self._options, "config": None, "local": self._local}
        self._live = LiveCore(config, type(self), options, self._built)

    @property
    def _core(self) -> Core:
        return self._built if self._live is None else self._live.core()

    @_core.setter
    def _core(self, core: Core) -> None:
        self._built = core

    @property
    def settings(self) -> Settings:
        """The resolved settings; ``settings.sources`` says where each came from."""
        return self._core.settings

    @property
    def resilience(self) -> Pipeline | None:
        """The layers of this client with their state: breakers, limiters, endpoints; or None."""
        return self._core.pipeline

    def with_options(self, **changes: Any) -> Self:
        """Return a client like this one with some constructor options changed.

        Connections are shared when the changes do not concern them.

        Args:
            **changes: Any keyword of the constructor.

        Raises:
            InvalidSettingError: An option is unknown or its value is refused.
        """
        from shared_core.config.validate import unknown_keyword

        for name in changes:
            if name not in self._options:
                raise unknown_keyword(name, self._options)
        client = type(self)(**{**self._options, **changes})
        if changes.keys() <= _ABOVE_THE_WIRE:
            client._wire = self._connect()
        return client

    def _at(self, base_url: str, model: str | None) -> Self:
        """Return a client like this one for a server that serves one model."""
        return self.with_options(
            base_url=base_url, model=model, embedding_model=model, provider=None, policy=None
        )

    def _connect(self) -> Any:
        """Return what carries the calls, made at the first one.

        Threads whose first calls meet may each make one. The first in the dict is used by all,
        without a lock; the others have opened nothing yet.
        """
        wire = self._wire
        return self.__dict__.setdefault("_wire", self._new_wire()) if wire is None else wire

    def _new_wire(self) -> Any:
        raise AssertionError("each client makes its own wire")

    def _check_http_client(self, http_client: object) -> None:
        # By duck type: httpx itself may live in another module on another day.
        from shared_core.errors import InvalidSettingError

        wanted = self._closes_with
        given = type(http_client)
        # httpx2's clients look the same, and fail inside the first call.
        foreign = any(kind.__module__.partition(".")[0] == "httpx2" for kind in given.__mro__)
        if foreign or not hasattr(http_client, wanted):
            kind = "httpx.AsyncClient" if wanted == "aclose" else "httpx.Client"
            raise InvalidSettingError(
                f"http_client of {type(self).__name__} must be an {kind}, "
                f"not {given.__module__}.{given.__name__}",
                setting="http_client",
            )

    def __repr__(self) -> str:
        settings = self.settings
        where = "in this process" if self._local is not None else settings.base_url
        return f"<{type(self).__name__} {where}, model={self._core.defaults.model!r}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A client of the user's own is shared, not copied; connections of ours start empty.
        twin = type(self).__new__(type(self))
        twin._options = dict(self._options)
        twin._live = None
        twin._core = copy.deepcopy(self._built, memo)
        twin._local = self._local
        twin._http_client = self._http_client
        twin._health = None
        if self._live is not None:
            twin._go_live(self._live.store)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        if self._http_client is not None:
            raise TypeError(
                f"a {type(self).__name__} with an http_client of your own cannot be pickled: "
                "build it anew where it is needed"
            )
        return {"options": self._options, "core": self._built, "local": self._local}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._options = state["options"]
        self._live = None
        self._core = state["core"]
        self._local = state["local"]
        self._http_client = None
        self._health = None
        if self._options.get("config") is not None:
            self._go_live(self._options["config"])
