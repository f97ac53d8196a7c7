"""Sentence embeddings by BERT-family encoders, in NumPy.

Reads a sentence-transformers folder (``config.json``, ``model.safetensors``,
``tokenizer.json`` and, where present, ``sentence_bert_config.json``,
``config_sentence_transformers.json``, ``1_Pooling/config.json``, ``modules.json``) and
computes what the original computes: all-MiniLM-L6-v2 agrees to better than 1e-6.

The weights are only read, so an encoder may be used from several threads at once.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared_core.local.embedder import Direction, too_long
from shared_core.local.erf import Floats, gelu
from shared_core.local.failures import LocalModelError, missing_extra

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENS_PER_BATCH = 1024
"""Padded tokens computed at once: larger gains nothing, smaller wastes calls (measured)."""


def _tanh_gelu(x: Floats) -> Floats:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    x *= np.float32(0.5) * (np.float32(1.0) + np.tanh(inner))
    return x


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0.0), out=x)


# Names as in the "hidden_act" of a BERT configuration; the tanh form is that of GPT-2.
_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "gelu": gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": _relu,
}


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """What the folder's configuration files say.

    Attributes:
        hidden_size: Length of a vector.
        layers: Number of transformer layers.
        heads: Attention heads per layer.
        activation: Name of the activation in the feed-forward part.
        epsilon: Of the layer norms.
        max_tokens: Longest input in tokens, special tokens included.
        pooling: How token vectors become one: ``"mean"``, ``"cls"`` or ``"max"``.
        normalize: Whether the model itself ends with a normalisation to length 1.
        prompts: Named texts put before an input.
        default_prompt: Name of the prompt used when none is asked for.
    """

    hidden_size: int
    layers: int
    heads: int
    activation: str = "gelu"
    epsilon: float = 1e-12
    max_tokens: int = 512
    pooling: str = "mean"
    normalize: bool = True
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    @classmethod
    def read(cls, folder: Path) -> EncoderConfig:
        """Read the configuration files of *folder*.

        Raises:
            LocalModelError: A needed file is missing or broken, or the architecture is
                not one that this module computes.
        """
        model = _read_json(folder / "config.json", required=True)
        kind = model.get("model_type", "bert")
        activation = model.get("hidden_act", "gelu")
        if kind != "bert" or activation not in _ACTIVATIONS:
            raise LocalModelError(
                f"{folder} holds a model of type {kind!r} with activation {activation!r}; "
                "NumPy computes BERT encoders only.",
                guidance="Set LocalModels(..., backend='sentence-transformers'), or use a BERT "
                "model such as sentence-transformers/all-MiniLM-L6-v2.",
            )
        modules = _modules(folder)
        sentence = _read_json(folder / "sentence_bert_config.json")
        prompts = _read_json(folder / "config_sentence_transformers.json")
        positions = int(model.get("max_position_embeddings", 512))
        try:
            return cls(
                hidden_size=int(model["hidden_size"]),
                layers=int(model["num_hidden_layers"]),
                heads=int(model["num_attention_heads"]),
                activation=activation,
                epsilon=float(model.get("layer_norm_eps", 1e-12)),
                max_tokens=min(int(sentence.get("max_seq_length") or positions), positions),
                pooling=_pooling(folder),
                normalize="Normalize" in modules,
                prompts=dict(prompts.get("prompts") or {}),
                default_prompt=prompts.get("default_prompt_name"),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise LocalModelError(f"{folder / 'config.json'} is not usable: {exc!r}.") from None


def _read_json(path: Path, *, required: bool = False) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise LocalModelError(f"{path} is missing.")
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise LocalModelError(f"{path} is not valid JSON: {exc}.") from None
    return value if isinstance(value, dict) else {"items": value}


def _modules(folder: Path) -> list[str]:
    """Return the class names of the pipeline; without a list: the usual three."""
    items = _read_json(folder / "modules.json").get("items")
    if not items:
        return ["Transformer", "Pooling", "Normalize"]
    names = [str(item.get("type", "")).rsplit(".", 1)[-1] for item in items]
    unknown = sorted(set(names) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise LocalModelError(
            f"{folder} has a further module after the encoder: {', '.join(unknown)}.",
            guidance="NumPy computes Transformer, Pooling and Normalize only; set "
            "LocalModels(..., backend='sentence-transformers').",
        )
    return names


def _pooling(folder: Path) -> str:
    config = _read_json(folder / "1_Pooling" / "config.json")
    flags = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
    }
    chosen = [name for flag, name in flags.items() if config.get(flag)]
    other = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    if config.get("pooling_mode") in flags.values():
        return str(config["pooling_mode"])
    if len(chosen) == 1 and len(other) == 1:
        return chosen[0]
    if not config:
        return "mean"
    raise LocalModelError(
        f"{folder / '1_Pooling'} asks for a pooling that local mode lacks: {', '.join(other)}.",
        guidance="Supported: mean, cls or max, one at a time; more with "
        "LocalModels(..., backend='sentence-transformers').",
    )


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Floats
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        y: Floats = x @ self.weight.T
        y += self.bias
        return y


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Floats
    bias: Floats
    epsilon: float

    def __call__(self, x: Floats) -> Floats:
        x -= x.mean(axis=-1, keepdims=True)
        variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
        x /= np.sqrt(variance + np.float32(self.epsilon))
        x *= self.weight
        x += self.bias
        return x


@dataclass(frozen=True, slots=True)
class _Layer:
    query_key_value: _Linear
    attention_output: _Linear
    attention_norm: _Norm
    intermediate: _Linear
    output: _Linear
    output_norm: _Norm


class Encoder:
    """A loaded model.

    Attributes:
        folder: Where it was read from.
        config: What its configuration says.
        device: ``"cpu"``.
    """

    device = "cpu"

    def __init__(self, folder: Path, config: EncoderConfig, tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.config = config
        self._tokenizer = tokenizer
        self._activation = _ACTIVATIONS[config.activation]
        self._read_weights(folder / "model.safetensors")

    @classmethod
    def load(cls, folder: str | Path) -> Encoder:
        """Read a model folder.

        Raises:
            ImportError: ``safetensors`` or ``tokenizers`` is not installed.
            LocalModelError: The folder does not hold a usable model.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as exc:
            raise missing_extra(exc) from None
        folder = Path(folder)
        config = EncoderConfig.read(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise LocalModelError(f"{path} is missing.")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as exc:  # noqa: BLE001 - the library raises bare Exception
            raise LocalModelError(f"{path} cannot be read: {exc}.") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(folder, config, tokenizer)

    def _read_weights(self, path: Path) -> None:
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
        except ImportError as exc:
            raise missing_extra(exc) from None
        if not path.is_file():
            raise LocalModelError(f"{path} is missing; weights in another format are not read.")
        try:
            raw = load_file(path)
        except (SafetensorError, ValueError, KeyError) as exc:
            raise LocalModelError(f"{path} cannot be read: {exc}.") from None
        tensors = {
            name.removeprefix("bert."): np.ascontiguousarray(value, dtype=np.float32)
            for name, value in raw.items()
            if value.dtype.kind == "f"
        }
        try:
            self._build(tensors)
        except KeyError as exc:
            raise LocalModelError(f"{path} has no tensor {exc.args[0]!r}.") from None

    def _build(self, tensors: dict[str, Floats]) -> None:
        def linear(*names: str) -> _Linear:
            weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
            return _Linear(weight, np.concatenate([tensors[f"{name}.bias"] for name in names]))

        def norm(name: str) -> _Norm:
            return _Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"], self.config.epsilon)

        self._words = tensors["embeddings.word_embeddings.weight"]
        self._positions = (
            tensors["embeddings.position_embeddings.weight"]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = norm("embeddings.LayerNorm")
        self._layers = []
        for number in range(self.config.layers):
            start = f"encoder.layer.{number}."
            attention = f"{start}attention.self."
            self._layers.append(
                _Layer(
                    linear(f"{attention}query", f"{attention}key", f"{attention}value"),
                    linear(f"{start}attention.output.dense"),
                    norm(f"{start}attention.output.LayerNorm"),
                    linear(f"{start}intermediate.dense"),
                    linear(f"{start}output.dense"),
                    norm(f"{start}output.LayerNorm"),
                )
            )

    def tokens(
        self, text: str, *, truncate: bool = True, direction: Direction = "right"
    ) -> list[int]:
        """Return the token ids of *text*, special tokens included.

        Args:
            text: Any text.
            truncate: Whether a text above the model's limit is cut.
            direction: Which end is cut off.

        Raises:
            ContextLengthError: The text is above the limit and *truncate* is False.
        """
        ids: list[int] = self._tokenizer.encode(text).ids
        limit = self.config.max_tokens
        if len(ids) <= limit:
            return ids
        if not truncate:
            raise too_long(len(ids), limit)
        if direction == "left":
            return ids[:1] + ids[len(ids) - limit + 1 :]
        return ids[: limit - 1] + ids[-1:]

    def encode(self, inputs: Sequence[Sequence[int]], *, normalize: bool = True) -> Floats:
        """Return one vector per list of token ids, in the given order.

        Args:
            inputs: From :meth:`tokens`.
            normalize: Whether vectors are brought to length 1.

        Returns:
            A matrix of shape (number of inputs, ``config.hidden_size``).
        """
        vectors = np.empty((len(inputs), self.config.hidden_size), np.float32)
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        start = 0
        while start < len(order):
            end = start + 1
            while (
                end < len(order) and (end + 1 - start) * len(inputs[order[end]]) <= TOKENS_PER_BATCH
            ):
                end += 1
            members = order[start:end]
            vectors[members] = self._pooled([inputs[index] for index in members])
            start = end
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.maximum(lengths, np.float32(1e-12))
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Return normalised vectors of *texts*, cut at the model's limit."""
        return self.encode([self.tokens(text) for text in texts])

    @property
    def normalizes(self) -> bool:
        """Whether the model itself ends with a normalisation to length 1."""
        return self.config.normalize

    @property
    def prompts(self) -> Mapping[str, str]:
        """Named texts put before an input."""
        return self.config.prompts

    @property
    def turn(self) -> AbstractContextManager[None]:
        """Nothing to wait for: calls compute side by side."""
        return contextlib.nullcontext()

    @property
    def default_prompt(self) -> str | None:
        """Name of the prompt used when none is asked for."""
        return self.config.default_prompt

    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str = "",
        truncate: bool = True,
        direction: Direction = "right",
    ) -> tuple[Floats, int]:
        """Return one vector per text and the tokens read; see :class:`Embedder`."""
        inputs = [
            self.tokens(prompt + text, truncate=truncate, direction=direction) for text in texts
        ]
        return self.encode(inputs, normalize=False), sum(map(len, inputs))

    def _pooled(self, batch: Sequence[Sequence[int]]) -> Floats:
        longest = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), longest), np.int64)
        mask = np.zeros((len(batch), longest), np.float32)
        for row, values in enumerate(batch):
            ids[row, : len(values)] = values
            mask[row, : len(values)] = 1.0
        states = self._states(ids, mask)
        if self.config.pooling == "cls":
            first: Floats = states[:, 0]
            return first
        if self.config.pooling == "max":
            states[mask == 0.0] = -np.inf
            largest: Floats = states.max(axis=1)
            return largest
        total: Floats = np.einsum("bld,bl->bd", states, mask)
        total /= mask.sum(axis=1, keepdims=True)
        return total

    def _states(self, ids: NDArray[np.int64], mask: Floats) -> Floats:
        """Return the last layer's token vectors, shape (batch, length, hidden size)."""
        batch, length = ids.shape
        width = self.config.hidden_size
        # Rows of all inputs together: one large matrix product per dense part.
        x = (self._words[ids] + self._positions[:length]).reshape(-1, width)
        x = self._norm(x)
        bias = ((np.float32(1.0) - mask) * np.float32(-1e9))[:, None, None, :]
        for layer in self._layers:
            attended = layer.attention_output(self._attend(layer, x, bias, batch))
            attended += x
            x = layer.attention_norm(attended)
            y = layer.output(self._activation(layer.intermediate(x)))
            y += x
            x = layer.output_norm(y)
        return x.reshape(batch, length, width)

    def _attend(self, layer: _Layer, x: Floats, bias: Floats, batch: int) -> Floats:
        heads = self.config.heads
        size = self.config.hidden_size // heads
        split = layer.query_key_value(x).reshape(batch, -1, 3, heads, size)
        query, key, value = split.transpose(2, 0, 3, 1, 4)
        scores = (query * np.float32(1.0 / math.sqrt(size))) @ key.transpose(0, 1, 3, 2)
        scores += bias
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        joined: Floats = (scores @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        return joined
