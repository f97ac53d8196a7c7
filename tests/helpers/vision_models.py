"""Folders of tiny models of images, documents and videos, with random weights."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from tests.helpers.media_models import ANIMALS, SIZE

EDGES = {"shortest_edge": 32, "longest_edge": 64}
_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "initializer_range": 0.5,
}
_SEEING: dict[str, Any] = {**_SMALL, "image_size": 32, "patch_size": 16}
_LABELS: dict[str, Any] = {
    "id2label": ANIMALS,
    "label2id": {name: at for at, name in ANIMALS.items()},
}
_DETECTING: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_queries": 6,
    "init_std": 0.5,
}


def _tokenizer() -> Any:
    import transformers

    from tests.helpers.torch_models import minilm_folder

    return transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)


def _save(folder: Path, model: str, config: Any, *parts: Any) -> Path:
    """Write a model with weights that are the same every time, and its other parts."""
    import torch
    import transformers

    torch.manual_seed(0)
    getattr(transformers, model)(config).save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def random_image() -> Any:
    """Return an image of Pillow, 50 by 40 pixels, the same every time."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))


def video(frames: int) -> bytes:
    """Return an MP4 of 48 by 32 pixels that grows lighter; without frames it has only sound."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        if frames:
            pictures = container.add_stream("mpeg4", rate=10)
            pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
            for at in range(frames):
                pixels = np.full((32, 48, 3), at * 255 // frames, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode())
        else:
            sound = container.add_stream("aac", rate=16_000)
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.rate = 16_000
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return file.getvalue()


def write_segformer(folder: Path) -> Path:
    """Write a SegFormer, which says of each pixel which of ``ANIMALS`` it is."""
    import transformers as hf

    config = hf.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        hidden_sizes=[8, 16],
        num_attention_heads=[1, 2],
        sr_ratios=[2, 1],
        patch_sizes=[7, 3],
        strides=[4, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        initializer_range=0.5,
        **_LABELS,
    )
    processor = hf.SegformerImageProcessorPil(size=SIZE)
    return _save(folder, "SegformerForSemanticSegmentation", config, processor)


def write_maskformer(folder: Path) -> Path:
    """Write a MaskFormer, which finds single ``ANIMALS`` with their masks."""
    import transformers as hf

    config = hf.MaskFormerConfig(
        backbone_config=hf.SwinConfig(
            image_size=32,
            patch_size=2,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            window_size=2,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        decoder_config=hf.DetrConfig(**_DETECTING),
        fpn_feature_size=32,
        mask_feature_size=32,
        init_std=0.5,
        init_xavier_std=3.0,
        **_LABELS,
    )
    processor = hf.MaskFormerImageProcessorPil(size=EDGES)
    return _save(folder, "MaskFormerForInstanceSegmentation", config, processor)


def write_detr(folder: Path) -> Path:
    """Write a DETR that finds ``ANIMALS`` with their masks."""
    import transformers as hf

    config = hf.DetrConfig(
        backbone_config=hf.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        **_DETECTING,
        **_LABELS,
    )
    processor = hf.DetrImageProcessorPil(size=EDGES)
    return _save(folder, "DetrForSegmentation", config, processor)


def write_dpt(folder: Path) -> Path:
    """Write a DPT, which says how far each pixel is."""
    import transformers as hf

    config = hf.DPTConfig(
        **{**_SEEING, "num_hidden_layers": 4, "patch_size": 8, "initializer_range": 0.1},
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
    )
    processor = hf.DPTImageProcessorPil(size=SIZE)
    return _save(folder, "DPTForDepthEstimation", config, processor)


def write_glpn(folder: Path) -> Path:
    """Write a GLPN, which says how far each pixel is."""
    import transformers as hf

    config = hf.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
        initializer_range=0.5,
    )
    return _save(folder, "GLPNForDepthEstimation", config, hf.GLPNImageProcessorPil())


def write_owlvit(folder: Path) -> Path:
    """Write an OWL-ViT with MiniLM's tokenizer, which finds what is named."""
    import transformers as hf

    tokenizer = _tokenizer()
    ends = {"bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    words = {**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 64, **ends}
    config = hf.OwlViTConfig(text_config=words, vision_config=_SEEING, projection_dim=16)
    processor = hf.OwlViTImageProcessorPil(size=SIZE)
    return _save(folder, "OwlViTForObjectDetection", config, processor, tokenizer)


def write_grounding_dino(folder: Path) -> Path:
    """Write a Grounding DINO with MiniLM's tokenizer, which finds what is named."""
    import transformers as hf

    tokenizer = _tokenizer()
    config = hf.GroundingDinoConfig(
        backbone_config=hf.SwinConfig(
            image_size=32,
            patch_size=2,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=hf.BertConfig(**_SMALL, vocab_size=len(tokenizer)),
        **{**_DETECTING, "num_queries": 8, "decoder_layers": 2},
        num_feature_levels=4,
        encoder_n_points=2,
        decoder_n_points=2,
        max_text_len=32,
    )
    image = hf.GroundingDinoImageProcessorPil(size=EDGES)
    processor = hf.GroundingDinoProcessor(image, tokenizer)
    return _save(folder, "GroundingDinoForObjectDetection", config, processor)


def write_vilt(folder: Path) -> Path:
    """Write a ViLT, which answers questions about images with one of ``ANIMALS``."""
    import transformers as hf

    tokenizer = _tokenizer()
    config = hf.ViltConfig(**_SEEING, vocab_size=len(tokenizer), **_LABELS)
    image = hf.ViltImageProcessorPil(size={"shortest_edge": 32}, size_divisor=16)
    return _save(folder, "ViltForQuestionAnswering", config, hf.ViltProcessor(image, tokenizer))


def write_blip(folder: Path) -> Path:
    """Write a BLIP, which writes answers to questions about images."""
    import transformers as hf

    tokenizer = _tokenizer()
    words = {
        **_SMALL,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "encoder_hidden_size": 16,
        "bos_token_id": 101,
        "sep_token_id": 102,
        "eos_token_id": 102,
        "pad_token_id": 0,
    }
    config = hf.BlipConfig(text_config=words, vision_config=_SEEING, projection_dim=16)
    processor = hf.BlipProcessor(hf.BlipImageProcessorPil(size=SIZE), tokenizer)
    return _save(folder, "BlipForQuestionAnswering", config, processor)


def write_layoutlm(folder: Path) -> Path:
    """Write a LayoutLM with MiniLM's tokenizer, which finds answers among words with boxes."""
    import transformers as hf

    tokenizer = _tokenizer()
    tokenizer.model_max_length = 64
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = hf.LayoutLMConfig(**_SMALL, **sizes, max_2d_position_embeddings=1024)
    return _save(folder, "LayoutLMForQuestionAnswering", config, tokenizer)


def write_layoutlmv3(folder: Path) -> Path:
    """Write a LayoutLMv3, which looks at the page too, and knows single letters."""
    import transformers as hf

    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters += [chr(at) for at in (*range(33, 127), 0x120)]  # 0x120 stands for a space
    vocabulary = {token: at for at, token in enumerate(letters)}
    tokenizer = hf.LayoutLMv3TokenizerFast(vocab=vocabulary, merges=[], model_max_length=64)
    config = hf.LayoutLMv3Config(
        **_SMALL,
        vocab_size=len(tokenizer),
        max_position_embeddings=66,
        max_2d_position_embeddings=1024,
        coordinate_size=3,
        shape_size=2,
        input_size=32,
        patch_size=16,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        num_labels=2,
    )
    image = hf.LayoutLMv3ImageProcessorPil(size=SIZE)
    return _save(folder, "LayoutLMv3ForQuestionAnswering", config, image, tokenizer)


def write_donut(folder: Path) -> Path:
    """Write a Donut, which reads a page and writes an answer of a few words."""
    import torch
    import transformers as hf

    tokenizer = _tokenizer()
    tokenizer.add_tokens(
        ["<s_docvqa>", "<s_question>", "</s_question>", "<s_answer>", "</s_answer>"]
    )
    ends = {"decoder_start_token_id": 101, "eos_token_id": 102, "pad_token_id": 0}
    tokenizer.eos_token = "[SEP]"
    words = {
        "vocab_size": len(tokenizer),
        "d_model": 16,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "max_position_embeddings": 128,
        "init_std": 0.5,
    }
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        hf.DonutSwinConfig(
            image_size=[32, 32],
            patch_size=4,
            embed_dim=8,
            depths=[1, 1],
            num_heads=[1, 1],
            window_size=2,
            initializer_range=0.5,
        ),
        hf.MBartConfig(**words),
        **ends,
    )
    torch.manual_seed(0)
    model = hf.VisionEncoderDecoderModel(config=config)
    model.generation_config = hf.GenerationConfig(
        max_new_tokens=8,
        forced_eos_token_id=tokenizer.convert_tokens_to_ids("</s_answer>"),
        suppress_tokens=[tokenizer.sep_token_id],
        **ends,
    )
    model.save_pretrained(folder)
    hf.DonutImageProcessorPil(size=SIZE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_videomae(folder: Path) -> Path:
    """Write a VideoMAE that tells ``ANIMALS`` apart in four frames."""
    import transformers as hf

    config = hf.VideoMAEConfig(**_SEEING, num_frames=4, **_LABELS)
    processor = hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIZE)
    return _save(folder, "VideoMAEForVideoClassification", config, processor)


def write_vivit(folder: Path) -> Path:
    """Write a ViViT that tells ``ANIMALS`` apart in four frames."""
    import transformers as hf

    sizes = {"image_size": 32, "tubelet_size": [2, 16, 16], "num_frames": 4}
    config = hf.VivitConfig(**_SMALL, **sizes, **_LABELS)
    processor = hf.VivitImageProcessor(size={"shortest_edge": 32}, crop_size=SIZE)
    return _save(folder, "VivitForVideoClassification", config, processor)


def write_timesformer(folder: Path) -> Path:
    """Write a TimeSformer that tells ``ANIMALS`` apart, in as many frames as there are."""
    import transformers as hf

    config = hf.TimesformerConfig(**_SEEING, num_frames=4, **_LABELS)
    processor = hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIZE)
    return _save(folder, "TimesformerForVideoClassification", config, processor)


def write_swin2sr(folder: Path) -> Path:
    """Write a Swin2SR that makes images twice as large."""
    import transformers as hf

    config = hf.Swin2SRConfig(
        image_size=16,
        embed_dim=12,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
        upscale=2,
        initializer_range=0.5,
    )
    processor = hf.Swin2SRImageProcessorPil(size_divisor=4)
    return _save(folder, "Swin2SRForImageSuperResolution", config, processor)
