"""What the Hub and the router say about models and accounts: plain values.

Fields that are missing on the wire are None, fields that are not listed here stay in ``raw``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ModelState: TypeAlias = Literal["loaded", "warm", "loading", "unavailable"]


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """One provider's offer of one model.

    Attributes:
        name: Provider, as used in ``provider=`` and ``:suffix``.
        status: ``"live"``, ``"staging"``, ``"error"`` (last health check failed) or another.
        context_length: Tokens of prompt plus answer.
        input_price: US dollars per million prompt tokens.
        output_price: US dollars per million answer tokens.
        is_free: Whether calls are free for now.
        supports_tools: None means unknown.
        supports_structured_output: None means unknown.
        first_token_latency_ms: Milliseconds to the first token, as the router measured.
        throughput: Tokens per second, as the router measured.
        is_model_author: Whether the provider made the model.
        task: Task of the offer, e.g. ``"conversational"`` or ``"feature-extraction"``.
        provider_id: The provider's own name of the model.
        raw: The entries as they came.
    """

    name: str
    status: str | None = None
    context_length: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    is_free: bool = False
    supports_tools: bool | None = None
    supports_structured_output: bool | None = None
    first_token_latency_ms: float | None = None
    throughput: float | None = None
    is_model_author: bool = False
    task: str | None = None
    provider_id: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether the last health check was fine."""
        return self.status == "live"


@dataclass(frozen=True, slots=True)
class RouterModel:
    """A model that a router or server lists.

    Attributes:
        id: Id to call it by.
        owned_by: Organisation.
        created: Unix time.
        input_modalities: e.g. ``("text", "image")``.
        output_modalities: e.g. ``("text",)``.
        providers: Who serves it; empty for a server of one's own.
        context_length: What is safe with automatic routing: the smallest that a live
            provider reports; for vLLM and llama.cpp the server's own figure.
        raw: The entry as it came.
    """

    id: str
    owned_by: str | None = None
    created: int | None = None
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    providers: tuple[ProviderInfo, ...] = ()
    context_length: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def live_providers(self) -> tuple[ProviderInfo, ...]:
        """Providers whose last health check was fine."""
        return tuple(provider for provider in self.providers if provider.is_live)

    @property
    def is_free(self) -> bool:
        """Whether a live provider serves it free of charge for now."""
        return any(provider.is_free for provider in self.live_providers)

    @property
    def supports_tools(self) -> bool:
        """Whether a live provider says that it takes tools."""
        return any(provider.supports_tools for provider in self.live_providers)

    @property
    def supports_structured_output(self) -> bool:
        """Whether a live provider says that it takes JSON schemas."""
        return any(provider.supports_structured_output for provider in self.live_providers)

    def provider(self, name: str) -> ProviderInfo | None:
        """Return the offer of provider *name*, or None."""
        return next((provider for provider in self.providers if provider.name == name), None)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Whether a model can be called now, and through whom.

    Attributes:
        id: Model id.
        state: ``"loaded"``: a live provider of the router, or the server itself, answers chat
            with it. ``"warm"``: a provider serves it for its task, e.g. embeddings.
            ``"loading"``: on its way (the server says so, or providers are staging).
            ``"unavailable"``: nobody serves it.
        providers: Who serves it, live ones first.
        task: Pipeline tag on the Hub, e.g. ``"text-generation"``.
        estimated_time: Seconds until it is loaded, where the server says so.
        router: The router's entry, if it has one.
    """

    id: str
    state: ModelState
    providers: tuple[ProviderInfo, ...] = ()
    task: str | None = None
    estimated_time: float | None = None
    router: RouterModel | None = field(default=None, repr=False)

    @property
    def is_available(self) -> bool:
        """Whether a call can succeed now."""
        return self.state in ("loaded", "warm")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model's page on the Hub.

    Attributes:
        id: ``org/name``.
        pipeline_tag: Task.
        library: e.g. ``"transformers"``.
        tags: Tags.
        downloads: In the last 30 days.
        likes: Likes.
        gated: False, ``"auto"`` or ``"manual"``.
        private: Whether only its owner sees it.
        created_at: ISO 8601.
        last_modified: ISO 8601.
        inference: ``"warm"`` if a provider serves it.
        parameters: Number of weights.
        providers: Inference providers; only with ``expand=["inferenceProviderMapping"]``.
        raw: The entry as it came.
    """

    id: str
    pipeline_tag: str | None = None
    library: str | None = None
    tags: tuple[str, ...] = ()
    downloads: int | None = None
    likes: int | None = None
    gated: bool | str = False
    private: bool = False
    created_at: str | None = None
    last_modified: str | None = None
    inference: str | None = None
    parameters: int | None = None
    providers: tuple[ProviderInfo, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Organization:
    """An organisation of the user; ``can_pay`` says whether it has a payment method."""

    name: str
    fullname: str | None = None
    can_pay: bool | None = None


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Who the token belongs to and what it may do.

    Attributes:
        name: Account name.
        type: ``"user"``, ``"org"`` or ``"app"``.
        fullname: Display name.
        is_pro: Whether the account is PRO.
        can_pay: Whether it has a payment method.
        organizations: Organisations of the user; their names serve as ``bill_to``.
        token_name: Name of the token on the settings page.
        token_role: ``"read"``, ``"write"``, ``"fineGrained"`` ...
        can_call_inference_providers: Whether the token has the permission; None if unknown.
        billable: Accounts that a fine-grained token may call Inference Providers for.
        raw: The reply as it came.
    """

    name: str
    type: str | None = None
    fullname: str | None = None
    is_pro: bool = False
    can_pay: bool | None = None
    organizations: tuple[Organization, ...] = ()
    token_name: str | None = None
    token_role: str | None = None
    can_call_inference_providers: bool | None = None
    billable: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    def permits(self, permission: str) -> bool | None:
        """Return whether the token has a permission, for anybody; None if that is unknown.

        Args:
            permission: e.g. ``"inference.serverless.write"`` (Inference Providers),
                ``"inference.endpoints.write"`` (managing endpoints) or
                ``"inference.endpoints.infer.write"`` (calling them).
        """
        if self.token_role in ("write", "admin"):
            return True  # classic tokens may do whatever their owner may
        if self.token_role == "read":
            return permission.endswith((".read", "infer.write", "serverless.write"))
        auth = self.raw.get("auth")
        token = auth.get("accessToken") if isinstance(auth, dict) else None
        grants = token.get("fineGrained") if isinstance(token, dict) else None
        if not isinstance(grants, dict):
            return None
        scopes = grants.get("scoped")
        scoped = scopes if isinstance(scopes, list) else []
        allowed = [scope.get("permissions") for scope in scoped if isinstance(scope, dict)]
        lists = [grants.get("global"), *allowed]
        return any(permission in names for names in lists if isinstance(names, list))
