"""Tells from a model's configuration what kind of language model it is, and loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.local.failures import LocalModelError
from shared_core.local.modalities import has_processor
from shared_core.local.torch.language_model import LanguageModel
from shared_core.local.torch.loading import loading, prepare
from shared_core.local.torch.media_model import MediaModel
from shared_core.local.torch.pictures import pillow

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels

SEEING = ("AutoModelForMultimodalLM", "AutoModelForImageTextToText")
"""Classes of transformers for what reads more than text; the first has all of the second."""
KINDS = (*SEEING, "AutoModelForCausalLM", "AutoModelForSeq2SeqLM")
"""Those for all that writes text, in the order in which they are looked at."""


def load_language_model(folder: Path, models: LocalModels) -> LanguageModel:
    """Return the model in *folder*.

    Args:
        folder: Where it is.
        models: Device, type of weights, whether its own code may run.

    Raises:
        ImportError: A library is not installed; names the command.
        LocalModelError: The folder or the device cannot be used, or it is another kind of model.
    """
    package, device, reading, weights = prepare("transformers", folder, models)
    with loading(folder, "transformers"):
        config = package.AutoConfig.from_pretrained(folder, **reading)
        kind = _kind(package, folder, config)
        reads = _reads(kind, _class(package, kind, config)) if has_processor(folder) else None
    if reads and "image" in reads:
        pillow()
    with loading(folder, "transformers"):
        if reads:
            reader = _processor(package, folder, config, reading)
        else:
            reader = package.AutoTokenizer.from_pretrained(folder, **reading)
        model = getattr(package, kind).from_pretrained(folder, **reading, **weights).eval()
        if device is not None:
            model = model.to(device)
        if reads:
            return MediaModel(folder, model, reader, reads)
        return LanguageModel(folder, model, reader)


def _kind(package: Any, folder: Path, config: Any) -> str:
    """Return the class of transformers that loads the folder's model.

    Raises:
        LocalModelError: There is none that can be used here.
    """
    own_code = getattr(config, "auto_map", None) or {}
    listed = {kind: _class(package, kind, config) for kind in KINDS}
    found = [kind for kind in KINDS if listed[kind] is not None or kind in own_code]
    # Many configurations are listed for several: the folder says which model was saved.
    names = config.architectures or ()
    saved = [kind for kind in found if getattr(listed[kind], "__name__", None) in names]
    kind = next(iter(saved or found), None)
    reason = None
    if kind is None:
        reason = "transformers has no model of that type that writes text"
    elif getattr(listed[kind], "main_input_name", "input_ids") != "input_ids":
        reason = "it reads no text without an image, or none at all"
    elif hasattr(config, "talker_config"):
        reason = "it answers with speech too"
    if kind is None or reason:
        raise LocalModelError(
            f"{folder} is a {config.model_type!r}, which cannot chat or continue a text: {reason}.",
            guidance="Name another model, or give this one to tasks= for what it does.",
        )
    return kind


def _processor(package: Any, folder: Path, config: Any, reading: dict[str, Any]) -> Any:
    """Return the processor; without torchvision, without its part for videos.

    That part exists for torchvision only, and nobody needs it here.
    """
    try:
        return package.AutoProcessor.from_pretrained(folder, **reading)
    except ImportError:
        kind: Any = package.PROCESSOR_MAPPING.get(type(config), object)
        parts: list[str] = getattr(kind, "get_attributes", list)()
        if parts[-1:] != ["video_processor"]:  # elsewhere it cannot be left out of the arguments
            raise
    own = {"get_attributes": classmethod(lambda cls: parts[:-1])}
    without: Any = type(kind.__name__, (kind,), own)
    return without.from_pretrained(folder, **reading)


def _class(package: Any, kind: str, config: Any) -> Any:
    """Return the model's class; None if transformers does not have it."""
    return getattr(package, kind)._model_mapping.get(type(config), None)


def _reads(kind: str, listed: Any) -> frozenset[str]:
    """Return what the model reads beside text."""
    if listed is None:  # code of its own, which need not say
        return frozenset({"image"} if kind in SEEING else ())
    given = listed.input_modalities
    return frozenset([given] if isinstance(given, str) else given) & {"image", "audio"}
