"""Folders of tiny chat models that see or hear: one taught the colours, the others random."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}
COLOUR = "Which colour?"
ORDER = "Which first?"
HELLO = "Say hello."
# Reads parts only, as templates of LLaVA and Idefics do: a text in their place is lost.
PARTS = """\
{% for m in messages %}{{ m.role }}: {% for p in m.content %}\
{% if p.type == 'text' %}{{ p.text }}{% else %}IMAGE{% endif %}{% endfor %}{{ '\\n' }}\
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"""
# Reads texts and parts, in the form of Qwen.
EITHER = """\
{% if tools %}<tools>{{ tools | tojson }}</tools> <tool_call>{% endif %}\
{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}\
{% if p.type == 'image' %}IMAGE{% elif p.type == 'audio' %}AUDIO{% else %}{{ p.text }}\
{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_WORDS: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": None,
}
_SIGHT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
_SIDES = {"height": 32, "width": 32}


def image(colour: str, size: tuple[int, int] = (48, 40)) -> bytes:
    """Return a PNG of one colour."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


def tone(pitch: int, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    """Return a WAV file of one tone."""
    import numpy as np

    file = io.BytesIO()
    times = np.arange(round(seconds * rate)) / rate
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.sin(times * 2 * np.pi * pitch) * 20_000).astype("<i2").tobytes())
    return file.getvalue()


def _tokenizer(template: str, *special: str, **names: Any) -> Any:
    """Return a tokenizer of single characters, and of *special*: a text tells its tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    letters = ["\n", *map(chr, range(32, 127))]
    made = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    made.decoder = decoders.Fuse()
    ends = ("<|im_start|>", "<|im_end|>", "<|pad|>")
    made.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*ends, *special)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|pad|>", **names
    )
    tokenizer.chat_template = template
    return tokenizer


def _words(tokenizer: Any) -> dict[str, Any]:
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return {**_WORDS, "vocab_size": len(tokenizer), "initializer_range": 0.1, **ends}


def _ids(tokenizer: Any, **tokens: str) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _saved(folder: Path, model: Any, processor: Any) -> Path:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_llava(folder: Path) -> Path:
    """Write a LLaVA (CLIP and Llama) that was taught to say which colour an image has."""
    import torch
    import transformers

    torch.manual_seed(0)
    template = PARTS.replace("IMAGE", "<image>")
    tokenizer = _tokenizer(template, "<image>")
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**{**_words(tokenizer), "initializer_range": 0.02}),
        vision_config=transformers.CLIPVisionConfig(**_SIGHT),
        vision_feature_layer=-1,
        image_seq_length=4,
        **_ids(tokenizer, image_token_id="<image>"),
    )
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=_SIDES),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    _teach(model, processor)
    return _saved(folder, model, processor)


def _lessons() -> Mapping[str, list[dict[str, Any]]]:
    from PIL import Image

    red, blue = (
        {"type": "image", "image": Image.open(io.BytesIO(image(colour)))} for colour in COLOURS
    )

    def text(words: str) -> dict[str, Any]:
        return {"type": "text", "text": words}

    return {
        " It is red.": [red, text(COLOUR)],
        " It is blue.": [blue, text(COLOUR)],
        " Red, then blue.": [red, text(" and "), blue, text(ORDER)],
        " Blue, then red.": [blue, text(" and "), red, text(ORDER)],
        " Hello!": [text(HELLO)],
    }


def _teach(model: Any, processor: Any) -> None:
    """Repeat the lessons until *model* knows them, some seconds."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids, labels, pixels = [], [], []
    for answer, content in _lessons().items():
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        told = processor.tokenizer(f"{answer}<|im_end|>", return_tensors="pt")["input_ids"][0]
        asked = prompt["input_ids"][0]
        ids.append(torch.cat([asked, told]))
        labels.append(torch.cat([torch.full_like(asked, -100), told]))  # only the answer counts
        pixels += [prompt["pixel_values"]] if "pixel_values" in prompt else []
    padding = processor.tokenizer.pad_token_id
    lessons = {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        "pixel_values": torch.cat(pixels),
    }
    lessons["attention_mask"] = (lessons["input_ids"] != padding).long()
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=8e-3)
    for _ in range(400):
        loss = model(**lessons).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.01:
            return
    raise AssertionError(f"the model did not learn its lessons: {loss.item()}")


def write_idefics3(folder: Path) -> Path:
    """Write an Idefics3, which sees an image in tiles, with random weights."""
    import torch
    import transformers

    torch.manual_seed(1)
    template = PARTS.replace("IMAGE", "<image>")
    tokenizer = _tokenizer(
        template, "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"
    )
    config = transformers.Idefics3Config(
        text_config=transformers.LlamaConfig(**_words(tokenizer)),
        vision_config={**_SIGHT, "initializer_range": 0.2},
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        **_ids(tokenizer, image_token_id="<image>"),
    )
    processor = transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        ),
        tokenizer,
        image_seq_len=1,
        chat_template=template,
    )
    return _saved(folder, transformers.Idefics3ForConditionalGeneration(config), processor)


def write_gemma3(folder: Path) -> Path:
    """Write a Gemma 3 with random weights, which transformers also lists as a text model."""
    import torch
    import transformers

    torch.manual_seed(2)
    template = EITHER.replace("IMAGE", "<start_of_image>")
    marks = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = _tokenizer(template, *marks.values(), extra_special_tokens=marks)
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**_words(tokenizer), sliding_window=64),
        vision_config={**_SIGHT, "vision_use_head": False},
        mm_tokens_per_image=4,
        **_ids(
            tokenizer,
            image_token_id="<image_soft_token>",
            boi_token_id="<start_of_image>",
            eoi_token_id="<end_of_image>",
        ),
    )
    processor = transformers.Gemma3Processor(
        transformers.Gemma3ImageProcessor(size=_SIDES),
        tokenizer,
        image_seq_length=4,
        chat_template=template,
    )
    model = transformers.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    return _saved(folder, model, processor)


def write_qwen2_audio(folder: Path) -> Path:
    """Write a Qwen2-Audio, which hears up to one second, with random weights."""
    import torch
    import transformers

    torch.manual_seed(3)
    template = EITHER.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    tokenizer = _tokenizer(template, "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    config = transformers.Qwen2AudioConfig(
        text_config=transformers.Qwen2Config(**_words(tokenizer)),
        audio_config={
            "num_mel_bins": 8,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "d_model": 16,
            "max_source_positions": 50,
            "initializer_range": 0.5,
        },
        **_ids(tokenizer, audio_token_id="<|AUDIO|>"),
    )
    processor = transformers.Qwen2AudioProcessor(
        transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1),
        tokenizer,
        chat_template=template,
    )
    return _saved(folder, transformers.Qwen2AudioForConditionalGeneration(config), processor)


def write_qwen2_vl(folder: Path) -> Path:
    """Write a Qwen2-VL, whose processor has a part for videos, with random weights."""
    import torch
    import transformers

    torch.manual_seed(5)
    pad = "<|image_pad|>"
    marks = ("<|vision_start|>", "<|vision_end|>", pad, "<|video_pad|>")
    template = EITHER.replace("IMAGE", f"<|vision_start|>{pad}<|vision_end|>")
    tokenizer = _tokenizer(template, *marks)
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    words = {name: value for name, value in _words(tokenizer).items() if name != "head_dim"}
    config = transformers.Qwen2VLConfig(
        text_config={**words, "rope_parameters": rope},
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 8,
            "initializer_range": 0.5,
        },
        **_ids(
            tokenizer,
            image_token_id=pad,
            video_token_id="<|video_pad|>",
            vision_start_token_id="<|vision_start|>",
            vision_end_token_id="<|vision_end|>",
        ),
    )
    transformers.Qwen2VLForConditionalGeneration(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.Qwen2VLImageProcessor(
        patch_size=8, min_pixels=16 * 16, max_pixels=64 * 64
    ).save_pretrained(folder)
    return folder


def write_mistral3(folder: Path) -> Path:
    """Write what transformers reads of a Mistral 3 before its weights."""
    import transformers

    transformers.Mistral3Config().save_pretrained(folder)
    _tokenizer(EITHER).save_pretrained(folder)
    told = {"image_processor_type": "PixtralImageProcessor", "processor_class": "PixtralProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder


def write_t5(folder: Path) -> Path:
    """Write a T5 with random weights."""
    import torch
    import transformers

    torch.manual_seed(4)
    tokenizer = _tokenizer("")
    tokenizer.chat_template = None
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        initializer_factor=5.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return _saved(folder, transformers.T5ForConditionalGeneration(config), tokenizer)


def write_bart(folder: Path, head: str) -> Path:
    """Write a BART with random weights, which transformers lists twice.

    Args:
        folder: Where to.
        head: ``"ForConditionalGeneration"``, or ``"ForCausalLM"``: the decoder alone.
    """
    import torch
    import transformers

    torch.manual_seed(6)
    tokenizer = _tokenizer("")
    tokenizer.chat_template = None
    config = transformers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=64,
        init_std=0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=None,
        decoder_start_token_id=tokenizer.pad_token_id,
        is_encoder_decoder=head == "ForConditionalGeneration",
    )
    return _saved(folder, getattr(transformers, f"Bart{head}")(config), tokenizer)
