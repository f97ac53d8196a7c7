"""Folders of tiny models that make sound of text, with random weights."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from tests.helpers.torch_models import minilm_folder

SPEAKER = [0.1 * at for at in range(8)]
"""The numbers of a speaker for SpeechT5."""
VOICE = "v2/en_speaker_0"
"""The voice of the Bark."""
RATE = 16_000


def _words(folder: Path) -> Any:
    """Write MiniLM's tokenizer, without what only BERT reads."""
    import transformers

    true = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=true.backend_tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[SEP]",
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_vits(folder: Path, speakers: int = 1, noise: float = 0.667) -> Path:
    """Write a VITS that reads small letters.

    Args:
        folder: Where to.
        speakers: How many it can be.
        noise: How much chance there is in what it says.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    letters = ["<pad>", "<unk>", " ", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({letter: at for at, letter in enumerate(letters)}))
    transformers.VitsTokenizer(str(vocabulary), phonemize=False).save_pretrained(folder)
    config = transformers.VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=17,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        duration_predictor_filter_channels=16,
        duration_predictor_num_flows=1,
        duration_predictor_flow_bins=4,
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        num_speakers=speakers,
        speaker_embedding_size=8 if speakers > 1 else 0,
        sampling_rate=RATE,
        noise_scale=noise,
        noise_scale_duration=noise,
        pad_token_id=0,
    )
    transformers.VitsModel(config).save_pretrained(folder)
    return folder


def write_speecht5(folder: Path, *, vocoder: bool = True) -> Path:
    """Write a SpeechT5, maybe with its vocoder in the folder of that name."""
    import sentencepiece
    import torch
    import transformers

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["abcdefghijklmnopqrstuvwxyz the dome opens"] * 5),
        model_writer=written,
        model_type="char",
        vocab_size=33,
        hard_vocab_limit=False,
        minloglevel=2,
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
    )
    (folder / "spm_char.model").write_bytes(written.getvalue())
    tokenizer = transformers.SpeechT5Tokenizer(str(folder / "spm_char.model"))
    extractor = transformers.SpeechT5FeatureExtractor(sampling_rate=RATE)
    transformers.SpeechT5Processor(extractor, tokenizer).save_pretrained(folder)
    config = transformers.SpeechT5Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_layers=2,
        speech_decoder_postnet_units=16,
        speaker_embedding_dim=len(SPEAKER),
        num_mel_bins=8,
        max_text_positions=30,
        max_speech_positions=200,
        conv_dim=[16, 16],
        conv_stride=[5, 2],
        conv_kernel=[10, 3],
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        initializer_range=0.5,
    )
    transformers.SpeechT5ForTextToSpeech(config).save_pretrained(folder)
    if vocoder:
        sound = transformers.SpeechT5HifiGanConfig(
            model_in_dim=8,
            upsample_initial_channel=16,
            upsample_rates=[4, 4],
            upsample_kernel_sizes=[8, 8],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
            sampling_rate=RATE,
            initializer_range=0.3,
        )
        transformers.SpeechT5HifiGan(sound).save_pretrained(folder / "vocoder")
    return folder


def _codec(codebooks: int) -> dict[str, Any]:
    """Return the settings of an EnCodec with so many codebooks of 32 entries."""
    import transformers

    return transformers.EncodecConfig(
        sampling_rate=RATE,
        num_filters=4,
        hidden_size=8,
        codebook_size=32,
        codebook_dim=8,
        upsampling_ratios=[4, 2],  # 2000 frames a second, 10 kbit/s for each codebook
        target_bandwidths=[10.0 * codebooks],
        num_lstm_layers=1,
    ).to_dict()


def _fill_codebooks(codec: Any) -> None:
    """Put random numbers into the codebooks of an EnCodec, which begin as zeros."""
    for layer in codec.quantizer.layers:
        layer.codebook.embed.normal_()


def write_encodec(folder: Path) -> Path:
    """Write an EnCodec."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.EncodecModel(transformers.EncodecConfig(**_codec(2)))
    _fill_codebooks(model)
    model.save_pretrained(folder)
    transformers.EncodecFeatureExtractor(sampling_rate=RATE).save_pretrained(folder)
    return folder


def write_musicgen(folder: Path, channels: int = 1) -> Path:
    """Write a MusicGen of one or two channels."""
    import torch
    import transformers

    torch.manual_seed(0)
    words = transformers.T5Config(
        vocab_size=len(_words(folder)),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=102,
    )
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=32,
        num_hidden_layers=1,
        ffn_dim=16,
        num_attention_heads=2,
        hidden_size=16,
        num_codebooks=2 * channels,
        audio_channels=channels,
        max_position_embeddings=64,
        initializer_factor=0.5,
    )
    config = transformers.MusicgenConfig(
        text_encoder=words.to_dict(),
        audio_encoder=_codec(2),
        decoder={**decoder.to_dict(), "pad_token_id": None, "bos_token_id": None},
        initializer_factor=0.5,
    )
    config.decoder.pad_token_id = config.decoder.bos_token_id = 32
    model = transformers.MusicgenForConditionalGeneration(config)
    _fill_codebooks(model.audio_encoder)
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "decoder_start_token_id"), 32)
    model.generation_config = transformers.GenerationConfig(
        max_length=20, do_sample=True, guidance_scale=3.0, **ends
    )
    model.save_pretrained(folder)
    return folder


def write_bark(folder: Path) -> Path:
    """Write a Bark that knows ``VOICE``."""
    import numpy as np
    import torch
    import transformers

    torch.manual_seed(0)
    _words(folder)
    small: dict[str, Any] = {"num_layers": 1, "num_heads": 2, "hidden_size": 16}
    small["block_size"] = 1024
    kinds = {
        "semantic_config": {"input_vocab_size": 31_100, "output_vocab_size": 64},
        "coarse_acoustics_config": {"input_vocab_size": 200, "output_vocab_size": 200},
        "fine_acoustics_config": {"input_vocab_size": 33, "output_vocab_size": 33},
    }
    config = transformers.BarkConfig(
        **{name: {**small, **kind} for name, kind in kinds.items()}, codec_config=_codec(8)
    )
    model = transformers.BarkModel(config)
    for part in (model.semantic, model.coarse_acoustics, model.fine_acoustics):
        for weights in part.parameters():  # great enough for the input to matter
            torch.nn.init.normal_(weights, std=0.5)
    _fill_codebooks(model.codec_model)
    model.generation_config = transformers.GenerationConfig()  # the true one cannot be saved
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(_BARK))
    voice, numbers = folder / "speaker_embeddings", np.random.default_rng(0)
    (voice / VOICE).parent.mkdir(parents=True)
    paths = {}
    for name, top, shape in (
        ("semantic_prompt", 50, (40,)),
        ("coarse_prompt", 32, (2, 60)),
        ("fine_prompt", 32, (8, 60)),
    ):
        paths[name] = f"speaker_embeddings/{VOICE}_{name}.npy"
        np.save(folder / paths[name], numbers.integers(0, top, shape))
    presets = {"repo_or_path": "nobody/is-asked", VOICE: paths}
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(presets))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "BarkProcessor"}))
    return folder


_BARK = {
    "model_type": "bark",
    "sample_rate": RATE,
    "codebook_size": 32,
    "semantic_config": {
        "max_new_tokens": 8,
        "text_encoding_offset": 64,
        "text_pad_token": 129,
        "semantic_infer_token": 31_000,
        "semantic_vocab_size": 50,
        "semantic_pad_token": 50,
        "eos_token_id": 50,
        "max_input_semantic_length": 256,
        "semantic_rate_hz": 50,
    },
    "coarse_acoustics_config": {
        "coarse_semantic_pad_token": 190,
        "coarse_infer_token": 191,
        "coarse_rate_hz": 75,
        "n_coarse_codebooks": 2,
        "max_coarse_input_length": 64,
        "max_coarse_history": 100,
        "sliding_window_len": 10,
        "semantic_vocab_size": 50,
    },
    "fine_acoustics_config": {
        "max_fine_history_length": 512,
        "max_fine_input_length": 1024,
        "n_fine_codebooks": 8,
    },
}
