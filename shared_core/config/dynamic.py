"""The options of a client that may change while it is in use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from shared_core.config.checks import refused, whole_number
from shared_core.config.validate import (
    check_header_value,
    check_model_id,
    check_route,
    check_timeout,
    check_url,
)
from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.resilience.pipeline import Resilience


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """What a :class:`ConfigStore` given to a client holds: ``RouterClient(config=store)``.

    None leaves an option as the client was built. There is no token here: pass a function as
    ``api_key=`` and it is asked for every request.

    Attributes:
        model: Chat model.
        embedding_model: Embedding model.
        provider: Serving provider; exclusive with ``policy``.
        policy: ``"fastest"``, ``"cheapest"`` or ``"preferred"``.
        base_url: Where chat and embeddings are served.
        bill_to: Organisation that pays.
        timeout: Seconds to wait for an answer.
        max_retries: Further attempts after a retryable failure; exclusive with the retry of
            ``resilience``.
        resilience: All policies at once. Their state (breakers, buckets) starts afresh.

    Raises:
        InvalidSettingError: A value is refused.
    """

    model: str | None = None
    embedding_model: str | None = None
    provider: str | None = None
    policy: str | None = None
    base_url: str | None = None
    bill_to: str | None = None
    timeout: float | None = None
    max_retries: int | None = None
    resilience: Resilience | None = None

    def __post_init__(self) -> None:
        for name in ("model", "embedding_model"):
            if getattr(self, name) is not None:
                check_model_id(getattr(self, name), strict=False, setting=name)
        check_route(self.provider, self.policy)
        if self.base_url is not None:
            check_url(self.base_url, setting="base_url")
        if self.bill_to is not None:
            check_header_value(self.bill_to, setting="bill_to")
        if self.timeout is not None:
            check_timeout(self.timeout)
        if self.max_retries is not None:
            whole_number(low=0)("max_retries", self.max_retries)
        if self.resilience is not None:
            self._check_resilience(self.resilience)

    def _check_resilience(self, policy: Any) -> None:
        # By duck type: this part of the package does not know the layers.
        if isinstance(policy, type) or not hasattr(policy, "rate_limit"):
            error = refused("resilience", "a Resilience", policy, show=False)
            error.guidance = (
                "A file cannot hold policies: store.update(resilience=Resilience(...)) sets them; "
                "max_retries can stand in a file."
            )
            raise error
        if self.max_retries and policy.retry is not None:
            raise InvalidSettingError(
                "retry is set twice: by max_retries, and by resilience.retry", setting="resilience"
            )

    def options(self) -> dict[str, Any]:
        """Return what is set, as keywords of a client."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
