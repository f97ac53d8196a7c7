"""What an embedding call gives back. NumPy is not imported here, only by what fills it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from shared_core.wire.messages import ENDPOINT_HEADER, Headers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Dialect = Literal["hf-inference", "tei", "openai"]
Pooling = Literal["mean", "cls"]


@dataclass(frozen=True, slots=True)
class EmbeddingUsage:
    """Tokens that the server counted, summed over the requests of one call.

    Attributes:
        prompt_tokens: Tokens of the input.
        total_tokens: Tokens billed; the same number with all known servers.
    """

    prompt_tokens: int = 0
    total_tokens: int = 0

    @property
    def completion_tokens(self) -> int:
        """Always 0: for callbacks that count the tokens of all operations alike."""
        return 0

    def __add__(self, other: EmbeddingUsage) -> EmbeddingUsage:
        return EmbeddingUsage(
            self.prompt_tokens + other.prompt_tokens, self.total_tokens + other.total_tokens
        )


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """A vector most of whose numbers are 0: the others, with their places.

    Attributes:
        indices: Places of the numbers, int64; with most models the ids of tokens.
        values: The numbers, float32, none of them 0.
    """

    indices: NDArray[np.int64]
    values: Matrix

    def todict(self) -> dict[int, float]:
        """Return place -> number, as Python's own."""
        return dict(zip(self.indices.tolist(), self.values.tolist(), strict=True))

    def dot(self, other: SparseVector) -> float:
        """Return the dot product, by which such vectors are compared."""
        there = other.todict()
        return float(sum(value * there.get(at, 0.0) for at, value in self.todict().items()))

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EmbeddingResult:
    """Vectors in the order of the texts, and how they came about.

    ``len(result)`` is the number of texts, ``result[i]`` the vector of text ``i``.

    Attributes:
        vectors: float32 matrix, C-contiguous, one row per text; ``(0, 0)`` for no texts.
        model: The model that the server says it used, else the one asked for.
        usage: Token counts; None when no answer carried any.
        request_ids: The server's id of each request that succeeded, in the order of the texts.
        provider: The provider that the server says it used, else the one asked for.
        headers: Response headers of the first request.
    """

    vectors: Matrix
    model: str | None = None
    usage: EmbeddingUsage | None = None
    request_ids: tuple[str, ...] = ()
    provider: str | None = None
    headers: Mapping[str, str] = field(default_factory=Headers)

    @property
    def endpoint(self) -> str | None:
        """Name of the endpoint that answered the first request, if the client has failover."""
        return self.headers.get(ENDPOINT_HEADER)

    @property
    def dimensions(self) -> int:
        """Length of each vector; 0 when there are none."""
        return int(self.vectors.shape[1])

    def normalized(self) -> Matrix:
        """Return the vectors scaled to length 1; zero vectors stay zero."""
        from shared_core.embeddings.similarity import normalize

        return normalize(self.vectors)

    def tolist(self) -> list[list[float]]:
        """Return the vectors as lists of Python floats."""
        rows: list[list[float]] = self.vectors.tolist()
        return rows

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.vectors)

    def __getitem__(self, index: Any) -> Any:
        return self.vectors[index]

    def __repr__(self) -> str:
        return (
            f"EmbeddingResult({len(self)} x {self.dimensions}, model={self.model!r}, "
            f"usage={self.usage!r}, provider={self.provider!r})"
        )
