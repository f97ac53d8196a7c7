"""Model folders in the format of transformers, made on the spot: taught, true or random."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.servers import ROOT

ASSETS = ROOT / "tests" / "assets"
REASON = "PyTorch: {} is not installed; .ci/torch_tests runs these tests"


def need(*modules: str) -> None:
    """Skip the module that calls this where PyTorch or a library on it is missing.

    With ``HFROUTER_NEED_TORCH=1``, as .ci/torch_tests sets it, that is an error.
    """
    for name in modules:
        if importlib.util.find_spec(name) is None:
            if os.environ.get("HFROUTER_NEED_TORCH") == "1":
                raise ModuleNotFoundError(f"{name} is not installed")
            pytest.skip(REASON.format(name), allow_module_level=True)


def minilm_folder() -> Path:
    """Return the folder of the true all-MiniLM-L6-v2."""
    from shared_core.local import LocalModels

    return LocalModels().find()


_PLACES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Part of a layer in a GGUF file -> in Qwen3 of transformers."""


def _place(name: str) -> str:
    whole = {"token_embd.weight": "embed_tokens.weight", "output_norm.weight": "norm.weight"}
    if name in whole:
        return f"model.{whole[name]}"
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_PLACES[part]}.weight"


def _taught_tokenizer(told: dict[str, Any]) -> Any:
    from gguf import TokenType
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = told["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in told["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({token: at for at, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, told["tokenizer.ggml.token_type"], strict=True):
        if kind == TokenType.CONTROL:
            made.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == TokenType.USER_DEFINED:
            made.add_tokens([AddedToken(token, normalized=False)])
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **ends)
    tokenizer.chat_template = (ASSETS / "taught-qwen3.jinja").read_text(encoding="utf-8")
    return tokenizer


def write_taught(folder: Path) -> Path:
    """Write the taught chat model, as the GGUF of the assets has it, for transformers."""
    import torch
    from gguf import GGUFReader
    from transformers import Qwen3Config, Qwen3ForCausalLM

    reader = GGUFReader(ASSETS / "taught-qwen3.gguf")
    told = {key: field.contents() for key, field in reader.fields.items()}
    tokenizer = _taught_tokenizer(told)
    weights = {_place(tensor.name): torch.tensor(tensor.data) for tensor in reader.tensors}
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=told["qwen3.embedding_length"],
            intermediate_size=told["qwen3.feed_forward_length"],
            num_hidden_layers=told["qwen3.block_count"],
            num_attention_heads=told["qwen3.attention.head_count"],
            num_key_value_heads=told["qwen3.attention.head_count_kv"],
            head_dim=told["qwen3.attention.key_length"],
            max_position_embeddings=told["qwen3.context_length"],
            rope_theta=told["qwen3.rope.freq_base"],
            rms_norm_eps=told["qwen3.attention.layer_norm_rms_epsilon"],
            eos_token_id=told["tokenizer.ggml.eos_token_id"],
            bos_token_id=None,
            tie_word_embeddings=True,
        )
    )
    missing = model.load_state_dict(weights, strict=False)
    assert missing.missing_keys == ["lm_head.weight"]  # tied to the embeddings
    assert missing.unexpected_keys == []
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def write_random(folder: Path, head: str, **config: Any) -> Path:
    """Write a tiny BERT with random weights and MiniLM's tokenizer.

    Args:
        folder: Where to.
        head: What is on top of it, e.g. ``"ForMaskedLM"``.
        **config: Further settings, e.g. ``num_labels``.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    settings = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        **config,
    )
    tokenizer.model_max_length = 64
    getattr(transformers, f"Bert{head}")(settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_writer(folder: Path) -> Path:
    """Write a tiny BART with random weights and MiniLM's tokenizer, which turns text into text."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        decoder_start_token_id=101,
        forced_eos_token_id=102,
        pad_token_id=0,
        bos_token_id=101,
        eos_token_id=102,
    )
    transformers.BartForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
