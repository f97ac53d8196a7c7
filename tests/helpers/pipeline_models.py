"""Folders of tiny models with random weights, for pipelines that have no runner of their own."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import Any

from tests.helpers.torch_models import minilm_folder

_PIPELINE = '''"""Says how bright an image is."""

from transformers import Pipeline


class Brightness(Pipeline):
    _load_image_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_processor = False

    def _sanitize_parameters(self, **kwargs):
        return {}, {}, {}

    def preprocess(self, image):
        self.seen = image
        return self.image_processor(images=image, return_tensors="pt")

    def _forward(self, inputs):
        return inputs

    def postprocess(self, inputs):
        return {"pixels": inputs["pixel_values"].numel(), "grey": self.seen.convert("L")}
'''


def wav(sound: Any, rate: int = 48_000) -> bytes:
    """Return samples from -1 to 1 as a WAV file of 16 bits."""
    import numpy as np

    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.rint(np.asarray(sound) * 32768).astype("<i2").tobytes())
    return file.getvalue()


def add_pipeline(folder: Path, task: str) -> None:
    """Let the model in *folder* bring the code of a pipeline for *task*."""
    (folder / "brightness.py").write_text(_PIPELINE)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    made = {"impl": "brightness.Brightness", "pt": ["AutoModelForImageClassification"]}
    config["custom_pipelines"] = {task: {**made, "type": "image"}}
    file.write_text(json.dumps(config))


def write_masker(folder: Path) -> Path:
    """Write a SAM, which divides an image into parts."""
    import torch
    import transformers

    torch.manual_seed(0)
    side = {"image_size": 32, "patch_size": 16}
    seeing = {
        **side,
        "hidden_size": 16,
        "output_channels": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_pos_feats": 8,
        "window_size": 2,
        "global_attn_indexes": [0],
        "initializer_range": 0.5,
    }
    deciding = {"hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2}
    config = transformers.SamConfig(
        vision_config=seeing,
        prompt_encoder_config={**side, "hidden_size": 16, "mask_input_channels": 4},
        mask_decoder_config={**deciding, "iou_head_hidden_dim": 16, "num_hidden_layers": 1},
    )
    transformers.SamModel(config).save_pretrained(folder)
    padded = {"height": 32, "width": 32}
    transformers.SamImageProcessorPil(size={"longest_edge": 32}, pad_size=padded).save_pretrained(
        folder
    )
    return folder


def _keypoints() -> Any:
    import transformers

    return transformers.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 8, 8],
        decoder_hidden_size=16,
        descriptor_decoder_dim=16,
        keypoint_threshold=0.0,
        max_keypoints=12,
        initializer_range=0.5,
    )


def write_keypoints(folder: Path) -> Path:
    """Write a SuperPoint, which finds corners."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.SuperPointForKeypointDetection(_keypoints()).save_pretrained(folder)
    size = {"height": 48, "width": 64}
    transformers.SuperPointImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def write_matcher(folder: Path) -> Path:
    """Write a SuperGlue, which finds the same corners in two images."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.SuperGlueConfig(
        keypoint_detector_config=_keypoints(),
        hidden_size=16,
        keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        sinkhorn_iterations=3,
        initializer_range=0.5,
    )
    transformers.SuperGlueForKeypointMatching(config).save_pretrained(folder)
    size = {"height": 48, "width": 64}
    transformers.SuperGlueImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def write_clap(folder: Path) -> Path:
    """Write a CLAP with MiniLM's tokenizer, which hears 48 kHz."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token="[PAD]",
        model_input_names=["input_ids", "attention_mask"],
    )
    words = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
        "projection_dim": 16,
    }
    hearing = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "window_size": 4,
        "projection_dim": 16,
    }
    config = transformers.ClapConfig(text_config=words, audio_config=hearing, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16, max_length_s=1, truncation="rand_trunc"
    )
    transformers.ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder
