"""A folder of a tiny diffusion model with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers.torch_models import minilm_folder


def write_painter(folder: Path) -> Path:
    """Write a Stable Diffusion with MiniLM's tokenizer, whose images are 16 pixels wide."""
    import diffusers
    import torch
    import transformers

    torch.manual_seed(0)
    true = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=true.backend_tokenizer,
        pad_token="[PAD]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=16,
    )
    words = transformers.CLIPTextConfig(
        vocab_size=len(true),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        eos_token_id=102,
        pad_token_id=0,
        bos_token_id=101,
    )
    blocks: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    noise = diffusers.UNet2DConditionModel(
        **blocks,
        layers_per_block=1,
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
    )
    pixels = diffusers.AutoencoderKL(
        **blocks,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    diffusers.StableDiffusionPipeline(
        vae=pixels,
        text_encoder=transformers.CLIPTextModel(words),
        tokenizer=tokenizer,
        unet=noise,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder
