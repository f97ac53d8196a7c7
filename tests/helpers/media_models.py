"""Folders of tiny models of images and sound, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.5,
}
_SEEING: dict[str, Any] = {**_SMALL, "image_size": 32, "patch_size": 16}
SIZE = {"height": 32, "width": 32}
ANIMALS = {0: "cat", 1: "dog", 2: "owl"}
SOUNDS = {at: f"sound {at}" for at in range(7)}


def _labels(names: dict[int, str]) -> dict[str, Any]:
    return {"id2label": names, "label2id": {name: at for at, name in names.items()}}


def write_image_classifier(folder: Path) -> Path:
    """Write a vision transformer that tells ``ANIMALS`` apart."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(**_SEEING, **_labels(ANIMALS))
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size=SIZE).save_pretrained(folder)
    return folder


def write_detector(folder: Path) -> Path:
    """Write a YOLOS that finds ``ANIMALS``."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.YolosConfig(
        **{**_SEEING, "image_size": [32, 32]}, num_detection_tokens=4, **_labels(ANIMALS)
    )
    transformers.YolosForObjectDetection(config).save_pretrained(folder)
    size = {"shortest_edge": 32, "longest_edge": 64}
    transformers.YolosImageProcessor(size=size).save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """Write a CLIP with MiniLM's tokenizer."""
    import torch
    import transformers

    from tests.helpers.torch_models import minilm_folder

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    ends = {"bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    words = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64, **ends}
    config = transformers.CLIPConfig(text_config=words, vision_config=_SEEING, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"shortest_edge": 32}
    transformers.CLIPImageProcessor(size=size, crop_size=SIZE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_captioner(folder: Path) -> Path:
    """Write a vision transformer with BERT as its decoder, which describes images."""
    import torch
    import transformers

    from tests.helpers.torch_models import minilm_folder

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    ends = {"decoder_start_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    words = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**_SEEING), transformers.BertConfig(**words), **ends
    )
    model = transformers.VisionEncoderDecoderModel(config=config)
    model.generation_config = transformers.GenerationConfig(max_new_tokens=9, **ends)
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size=SIZE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_wav2vec2(folder: Path, head: str) -> Path:
    """Write a Wav2Vec2 that hears 16 kHz.

    Args:
        folder: Where to.
        head: ``"ForCTC"``, which writes letters, or ``"ForSequenceClassification"``, which tells
            ``SOUNDS`` apart.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"]
    own: dict[str, Any] = _labels(SOUNDS)
    if head == "ForCTC":
        own = {"vocab_size": len(letters), "pad_token_id": 0}
        vocabulary = folder / "vocab.json"
        vocabulary.write_text(json.dumps({letter: at for at, letter in enumerate(letters)}))
        transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
    config = transformers.Wav2Vec2Config(
        **_SMALL,
        conv_dim=[16, 16],
        conv_kernel=[10, 8],
        conv_stride=[10, 8],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        **own,
    )
    getattr(transformers, f"Wav2Vec2{head}")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=16_000).save_pretrained(folder)
    return folder


def write_whisper(folder: Path) -> Path:
    """Write a Whisper that hears 16 kHz and writes single bytes."""
    import torch
    import transformers

    torch.manual_seed(0)
    printable = [chr(at) for at in range(33, 127)]
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    times = [f"<|{at / 50:.2f}|>" for at in range(51)]
    vocabulary = {token: at for at, token in enumerate([*printable, *special, *times])}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[])
    end = vocabulary["<|endoftext|>"]
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_source_positions=50,
        max_target_positions=32,
        init_std=0.5,
        decoder_start_token_id=vocabulary["<|startoftranscript|>"],
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        max_initial_timestamp_index=50,
        decoder_start_token_id=vocabulary["<|startoftranscript|>"],
        eos_token_id=end,
        pad_token_id=end,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(chunk_length=1).save_pretrained(folder)
    return folder
