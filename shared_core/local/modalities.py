"""What a language model reads beside text, as far as its folder says so without PyTorch."""

from __future__ import annotations

from pathlib import Path

from shared_core.local.hub import cached, is_hub_id
from shared_core.local.torch.parts import settings_in

PROCESSORS = ("processor_config.json", "preprocessor_config.json")
"""Files of a processor: without one, a model reads text only."""
_PARTS = {"vision_config": "image", "audio_config": "audio"}
"""Part of a configuration of transformers -> what is read with it."""


def modalities_of(source: str) -> list[str]:
    """Return ``["text"]``, with ``"image"`` and ``"audio"`` where they are known to be read.

    Nothing is downloaded: of a Hub id the cache is asked.

    Args:
        source: Folder or Hub id.
    """
    folder = cached(source) if is_hub_id(source) else Path(source).expanduser()
    if folder is None or not has_processor(folder):
        return ["text"]
    config = settings_in(folder / "config.json")
    return ["text", *(kind for part, kind in _PARTS.items() if part in config)]


def has_processor(folder: Path) -> bool:
    """Whether images or sound can be made ready for the model in *folder*."""
    return any((folder / name).is_file() for name in PROCESSORS)
