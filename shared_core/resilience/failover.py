"""Failover: other endpoints, providers or models, when the first does not do.

One attempt is one sweep: the endpoints are tried in the selector's order until one answers,
without waiting in between. What moves a call on is a named rule; everything else is final. An
endpoint that cannot do what is asked is passed over. An endpoint's token and headers go to that
endpoint alone. Once a piece of a stream was handed over, or a provider has taken a job, nothing
is tried elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shared_core.callbacks import FailoverEvent
from shared_core.config.secrets import HiddenHeaders, TokenSource
from shared_core.config.validate import check_header, check_url, is_hf_host, origin_of
from shared_core.errors import (
    APIError,
    APIStatusError,
    CircuitOpenError,
    InvalidSettingError,
    MissingTokenError,
    NoEndpointAvailableError,
    RateLimiterRejectedError,
    RouterError,
    UnsupportedTaskError,
)
from shared_core.flow import Flow
from shared_core.resilience.retry import maybe_done, never_done
from shared_core.resilience.selectors import Priority, Selector
from shared_core.wire.messages import Place, WireRequest

if TYPE_CHECKING:
    from shared_core.config.settings import Settings
    from shared_core.resilience.pipeline import CallInfo, Next, Tools

Rule = Literal["unreachable", "unavailable", "other-provider"]
Way: TypeAlias = "Callable[[Callable[..., Flow[Any]]], Flow[Any]]"
"""Makes the flow of one attempt at an endpoint; gets what sends its request."""

RULES: tuple[Rule, ...] = ("unreachable", "unavailable", "other-provider")


@dataclass(frozen=True, slots=True)
class FailoverEndpoint:
    """One place that can answer. What is left out is as the client has it.

    Attributes:
        base_url: Where it is; None: the client's own base URL.
        api_key: Its token, as for the client: text, ``SecretStr`` or a callable. None: the
            client's token at the client's own address and on huggingface.co, none elsewhere.
        model: Model to ask for there, maybe with a suffix: ``"openai/gpt-oss-120b:together"``.
        provider: Provider to pin there, ``"together"``.
        name: What events, breakers and answers call it; made from model, provider or host.
        headers: Sent to this endpoint alone. The client's ``default_headers`` go only to the
            client's own address.
        health_url: Address of a free GET that tells whether it works; by default ``/models``
            below a ``/v1``, else ``/health``.
    """

    base_url: str | None = None
    api_key: Any = field(default=None, repr=False)
    model: str | None = None
    provider: str | None = None
    name: str = ""
    headers: Mapping[str, str] | None = None
    health_url: str | None = None

    def __post_init__(self) -> None:
        for name in ("base_url", "health_url"):
            value = getattr(self, name)
            if value is not None:
                checked = check_url(value, setting=f"endpoint.{name}")
                object.__setattr__(self, name, checked)
        if self.api_key is not None and not isinstance(self.api_key, TokenSource):
            object.__setattr__(self, "api_key", TokenSource(self.api_key))
        if self.headers is not None and not isinstance(self.headers, HiddenHeaders):
            checked_headers = {
                name: check_header(name, value, setting="endpoint.headers")
                for name, value in self.headers.items()
            }
            object.__setattr__(self, "headers", HiddenHeaders(checked_headers))
        if not (self.base_url or self.model or self.provider):
            raise InvalidSettingError(
                "an endpoint needs a base_url, a model or a provider", setting="endpoint"
            )
        if not self.name:
            object.__setattr__(self, "name", self._made_up_name())
        check_header("x-hfrouter-endpoint", self.name, setting="endpoint.name")

    def _made_up_name(self) -> str:
        parts = [self.base_url.partition("://")[2].partition("/")[0]] if self.base_url else []
        parts += [part for part in (self.model, self.provider) if part]
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Failover:
    """Where else a call may go, and when. For chat, responses, tasks and embeddings; calls to the
    Hub have one place.

    Embeddings, and tasks whose results are compared (feature-extraction, sentence-similarity,
    text-ranking), are always made with the model of the call: vectors and scores of two models
    cannot be compared.

    Attributes:
        endpoints: The endpoints, at least one. The client's own is not among them by itself.
        selector: ``Priority()``, ``RoundRobin()``, ``Random()`` or ``Sticky()``.
        rule: What moves a call on. ``"unreachable"``: the endpoint provably did nothing (no
            connection, an open breaker, a limiter, 429, 503). ``"unavailable"``: also timeouts,
            5xx, 408, 424, lost, cut or half answers. ``"other-provider"``: also what another
            provider may do: a feature or model that is not supported there, a provider that
            cannot be billed, a blocked client. A wrong token or request is final in any case.
        repeat_lost_answers: Whether to go elsewhere when an answer was lost or timed out, which
            the first endpoint may have done and billed already.
    """

    endpoints: Sequence[FailoverEndpoint]
    selector: Selector = field(default_factory=Priority)
    rule: Rule = "unavailable"
    repeat_lost_answers: bool = True

    def __post_init__(self) -> None:
        endpoints = tuple(self.endpoints)
        object.__setattr__(self, "endpoints", endpoints)
        if not endpoints or not all(isinstance(one, FailoverEndpoint) for one in endpoints):
            raise InvalidSettingError(
                "failover.endpoints must be FailoverEndpoint objects, at least one",
                setting="failover.endpoints",
            )
        names = [one.name for one in endpoints]
        if len(set(names)) < len(names):
            raise InvalidSettingError(
                f"two endpoints have the same name: {names}; give each a name=",
                setting="failover.endpoints",
            )
        if self.rule not in RULES:
            raise InvalidSettingError(
                f"failover.rule must be one of {', '.join(RULES)}: {self.rule!r}",
                setting="failover.rule",
            )
        if not hasattr(self.selector, "order") or isinstance(self.selector, type):
            raise InvalidSettingError(
                "failover.selector must be an object such as RoundRobin()",
                setting="failover.selector",
            )

    @classmethod
    def providers(cls, *providers: str, selector: Selector | None = None) -> Failover:
        """Return the failover over *providers* for whatever model is asked for.

        Args:
            *providers: e.g. ``"groq", "together"``, in order.
            selector: ``Priority()`` by default.
        """
        endpoints = [FailoverEndpoint(provider=provider) for provider in providers]
        return cls(endpoints, selector or Priority(), "other-provider")

    @classmethod
    def models(cls, *models: str, selector: Selector | None = None) -> Failover:
        """Return the failover over *models*, maybe with suffixes.

        Args:
            *models: e.g. ``"openai/gpt-oss-120b:groq", "openai/gpt-oss-120b:together"``.
            selector: ``Priority()`` by default.
        """
        endpoints = [FailoverEndpoint(model=model) for model in models]
        return cls(endpoints, selector or Priority(), "other-provider")

    def moves_on(self, error: RouterError) -> bool:
        """Return whether another endpoint is tried after *error*."""
        if isinstance(error, CircuitOpenError | RateLimiterRejectedError):
            return True
        if not isinstance(error, APIError):
            return False
        if never_done(error):
            return error.failover
        if self.rule == "unreachable" or (maybe_done(error) and not self.repeat_lost_answers):
            return False
        if error.retryable:
            return True
        if isinstance(error, APIStatusError) and error.status_code < 500:
            return error.failover and self.rule == "other-provider"
        return error.failover


class Member:
    """An endpoint of a pool: its settings, and whether health checks find it well."""

    def __init__(self, endpoint: FailoverEndpoint, own: Settings | None) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.healthy = True
        self.settings = None if own is None else settings_of(endpoint, own)

    def way(self, request: WireRequest) -> Way:
        """Return what sends *request* to this endpoint.

        Raises:
            UnsupportedTaskError: The endpoint cannot do it.
            MissingTokenError: There is no key that may be sent there.
        """
        assert self.settings is not None
        if lost_key(self.endpoint):
            raise MissingTokenError(
                f"the endpoint {self.name} lost its api_key when it was pickled",
                guidance="Give the api_key of an endpoint as a module-level function, or build "
                "the client where it is used.",
            )
        reroute, rebuild, endpoint = request.reroute, request.rebuild, self.endpoint
        if reroute is not None:
            place = Place(
                name=self.name,
                settings=self.settings,
                own_address=endpoint.base_url is not None,
                model=endpoint.model,
                provider=endpoint.provider,
            )
            return lambda send: reroute(
                place, lambda made, begin: send(self._own(made, request), begin)
            )
        assert rebuild is not None
        made = self._own(rebuild(self.settings, endpoint.model, endpoint.provider), request)
        return lambda send: send(made, None)

    def _own(self, made: WireRequest, asked: WireRequest) -> WireRequest:
        """Return *made* with the settings of this endpoint.

        Raises:
            MissingTokenError: It goes to a provider's own host, with a key that is another's.
        """
        assert self.settings is not None
        settings = made.settings or self.settings  # a provider called directly has its own
        direct = origin_of(settings.base_url) != origin_of(self.settings.base_url)
        if direct and self.endpoint.api_key is None and made.provider != asked.provider:
            raise MissingTokenError(
                f"the client's key is not Hugging Face's, and may not be that of {made.provider}",
                guidance=f"Give the endpoint {self.name!r} an api_key of its own.",
            )
        return replace(made, settings=settings, expires=asked.expires)

    @property
    def health_url(self) -> str:
        """Address of a free request that tells whether the endpoint works."""
        if self.endpoint.health_url is not None:
            return self.endpoint.health_url
        assert self.settings is not None
        base = self.settings.base_url.partition("?")[0].rstrip("/")
        return f"{base}/models" if base.endswith("/v1") else f"{base}/health"

    def __repr__(self) -> str:
        return f"<Member {self.name!r} {'healthy' if self.healthy else 'unhealthy'}>"


def _no_token() -> None:
    return None


def lost_key(endpoint: FailoverEndpoint) -> bool:
    """Return whether the key of *endpoint* did not survive pickling."""
    token = endpoint.api_key
    return token is not None and token.origin == "argument (not pickled)"


def settings_of(endpoint: FailoverEndpoint, own: Settings) -> Settings:
    """Return the client's settings *own* as they hold for *endpoint*.

    The client's token and default headers stay at the client's address; its token also goes to
    huggingface.co.
    """
    url = endpoint.base_url or own.base_url
    scheme, host, _ = origin_of(url)
    at_home = origin_of(url) == origin_of(own.base_url)
    on_hf = scheme == "https" and is_hf_host(host)
    if lost_key(endpoint):
        token = TokenSource(_no_token)  # it would look around, and find somebody else's
    elif endpoint.api_key is not None:
        token = endpoint.api_key
    else:
        token = own.token if at_home or on_hf else TokenSource(_no_token)
    headers = dict(own.default_headers) if at_home else {}
    return replace(
        own,
        base_url=url,
        token=token,
        default_headers=HiddenHeaders({**headers, **(endpoint.headers or {})}),
        bill_to=own.bill_to if at_home or on_hf else None,
    )


class Pool:
    """The endpoints of a client, and the layer that chooses among them."""

    def __init__(self, policy: Failover, tools: Tools) -> None:
        self.policy = policy
        self._tools = tools
        self.members = tuple(Member(one, tools.settings) for one in policy.endpoints)
        self._names = [member.name for member in self.members]
        self._turn = 0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def redact(self, text: str) -> str:
        """Return *text* without the tokens and secret headers of all endpoints."""
        for member in self.members:
            if member.settings is not None:
                text = member.settings.redact(text)
        return text

    def sweep(self, request: WireRequest) -> list[Member]:
        """Return the endpoints in the order to try: unhealthy ones last, but never left out."""
        with self._lock:
            turn, self._turn = self._turn, self._turn + 1
        order = self.policy.selector.order(self._names, turn, request, self._tools.uniform)
        members = [self.members[at] for at in order]
        return sorted(members, key=lambda member: not member.healthy)

    def settings_of(self, name: str) -> Settings | None:
        """Return the settings of the endpoint *name*, None if there is none."""
        return next((one.settings for one in self.members if one.name == name), None)

    def layer(self, call: CallInfo, then: Next) -> Flow[Any]:
        """Try the endpoints until one answers."""
        asked = call.request
        if asked.rebuild is None and asked.reroute is None:
            return (yield from then(call))
        errors: list[tuple[str, RouterError]] = []
        failed: list[tuple[str, RouterError]] = []

        def sending(member: Member) -> Callable[..., Flow[Any]]:
            def send(request: WireRequest, begin: Any) -> Flow[Any]:
                if failed:
                    name, error = failed.pop()
                    told = {"endpoint": name, "target": member.name, "error": error}
                    call.tell("on_failover", FailoverEvent, **told)
                trace = call.trace
                trace.endpoint = member.name
                trace.model, trace.provider = request.model, request.provider
                context = replace(
                    call.context, model=request.model, provider=request.provider, url=request.url
                )
                begin = begin or call.begin
                return then(
                    replace(
                        call, request=request, context=context, begin=begin, endpoint=member.name
                    )
                )

            return send

        for member, way in self._ways(asked, errors):
            try:
                return (yield from way(sending(member)))
            except UnsupportedTaskError as error:
                errors.append((member.name, error))
            except RouterError as error:
                failed[:] = [(member.name, error)]
                errors += failed
                late = call.expires is not None and self._tools.clock() >= call.expires
                if late or not self.policy.moves_on(error):
                    raise
        raise verdict(errors)

    def _ways(
        self, request: WireRequest, errors: list[tuple[str, RouterError]]
    ) -> list[tuple[Member, Way]]:
        """Return the endpoints in order, each with its way; *errors* gets those that have none."""
        ways = []
        for member in self.sweep(request):
            try:
                ways.append((member, member.way(request)))
            except UnsupportedTaskError as error:
                errors.append((member.name, error))
        return ways


def verdict(errors: Sequence[tuple[str, RouterError]]) -> RouterError:
    """Return the error of a sweep in which every endpoint failed.

    The last cause of an exchange, a retryable one where there is any, so that retry can judge;
    where nothing was sent at all, :class:`NoEndpointAvailableError`.

    Args:
        errors: Name and error of each endpoint, in the order tried, those that were passed over
            among them.
    """
    causes = [error for _, error in errors if isinstance(error, APIError)]
    if causes:
        return next((error for error in reversed(causes) if error.retryable), causes[-1])
    if len(errors) == 1:
        return errors[0][1]
    waits = [getattr(error, "retry_after", None) for _, error in errors]
    known = [wait for wait in waits if wait is not None]
    none = NoEndpointAvailableError(
        "no endpoint may be called: "
        + "; ".join(f"{name}: {getattr(error, 'message', error)}" for name, error in errors),
        errors=[error for _, error in errors],
    )
    none.retry_after = min(known) if known else None
    return none
