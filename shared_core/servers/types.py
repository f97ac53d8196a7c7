"""What is known of a server after having asked it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ServerKind: TypeAlias = Literal["tgi", "tei", "vllm", "llama.cpp", "sglang", "openai"]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server, as it describes itself.

    Attributes:
        kind: ``"tgi"``, ``"tei"``, ``"vllm"``, ``"llama.cpp"``, ``"sglang"``, or ``"openai"``
            for any other with OpenAI's routes.
        base_url: Address that was asked, without the path of an operation.
        model: The model that it serves; of several the first.
        models: All that it serves.
        version: Of the server.
        healthy: Whether its health route answered 200; None where it has none.
        context_length: Tokens of prompt plus answer.
        max_input_tokens: Longest prompt.
        max_batch_size: Texts of one request (TEI, TGI).
        max_concurrent_requests: Requests at once.
        model_type: Of TEI: ``"embedding"``, ``"reranker"`` or ``"classifier"``.
        raw: Path -> what it answered there.
    """

    kind: ServerKind
    base_url: str
    model: str | None = None
    models: tuple[str, ...] = ()
    version: str | None = None
    healthy: bool | None = None
    context_length: int | None = None
    max_input_tokens: int | None = None
    max_batch_size: int | None = None
    max_concurrent_requests: int | None = None
    model_type: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def dialect(self) -> Literal["openai", "tgi", "llama.cpp"]:
        """What to pass as ``dialect=`` of a chat call."""
        if self.kind == "tgi":
            return "tgi"
        return "llama.cpp" if self.kind == "llama.cpp" else "openai"

    @property
    def embedding_dialect(self) -> Literal["openai", "tei"]:
        """What to pass as ``dialect=`` of an embedding call."""
        return "tei" if self.kind == "tei" else "openai"
