"""Folders of tiny models of tables, sparse vectors and token vectors, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.helpers.torch_models import minilm_folder, write_random


def write_tapas(folder: Path, *, aggregates: bool = True) -> Path:
    """Write a Tapas that reads 64 tokens.

    Args:
        folder: Where to.
        aggregates: Whether it also says what is to be done with the cells.
    """
    import torch
    import transformers

    torch.manual_seed(7)  # points at some cells of the tests, not at none or all
    words = str(minilm_folder() / "vocab.txt")
    tokenizer = transformers.TapasTokenizer(words, model_max_length=64)
    what = {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"}
    more: dict[str, Any] = {}
    if aggregates:
        more = {"num_aggregation_labels": len(what), "aggregation_labels": what}
        more["no_aggregation_label_index"] = 0
    config = transformers.TapasConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        type_vocab_sizes=[3, 256, 256, 2, 256, 256, 10],
        initializer_range=0.5,
        **more,
    )
    transformers.TapasForQuestionAnswering(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tapex(folder: Path) -> Path:
    """Write a BART that reads single bytes, with the files of a TAPEX."""
    import torch
    import transformers
    from tokenizers import pre_tokenizers

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: at for at, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    told = {"tokenizer_class": "TapexTokenizer", "do_lower_case": True, "add_prefix_space": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    config = transformers.BartConfig(
        vocab_size=len(tokens),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=128,
        init_std=0.5,
    )
    model = transformers.BartForConditionalGeneration(config)
    ends = {"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0}
    model.generation_config = transformers.GenerationConfig(max_new_tokens=9, **ends)
    model.save_pretrained(folder)
    return folder


def write_splade(folder: Path) -> Path:
    """Write a SPLADE with a prompt of its own."""
    from sentence_transformers import SparseEncoder

    base = write_random(folder / "base", "ForMaskedLM")
    model = SparseEncoder(str(base), device="cpu", prompts={"query": "", "find": "find: "})
    model.save_pretrained(str(folder / "splade"))
    return folder / "splade"


def write_colbert(folder: Path) -> Path:
    """Write a late-interaction model whose queries have another prompt than documents."""
    import torch
    from sentence_transformers import MultiVectorEncoder

    base = write_random(folder / "base", "Model")
    torch.manual_seed(0)
    prompts = {"query": "query: ", "document": ""}
    model = MultiVectorEncoder(str(base), device="cpu", prompts=prompts)
    model.save_pretrained(str(folder / "colbert"))
    return folder / "colbert"


def write_clip_encoder(folder: Path) -> Path:
    """Write a CLIP as a folder of sentence-transformers, with vectors of length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize

    from tests.helpers.media_models import write_clip

    model = SentenceTransformer(str(write_clip(folder / "base")), device="cpu")
    model.append(Normalize())
    model.save_pretrained(str(folder / "clip"))
    return folder / "clip"
