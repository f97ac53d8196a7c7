"""What every model in PyTorch needs: the library, the device, weights that are no pickles."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.errors import InternalServerError, InvalidSettingError, RouterError
from shared_core.local.failures import (
    INSTALL_SENTENCE_TRANSFORMERS,
    INSTALL_TRANSFORMERS,
    LocalModelError,
    missing_extra,
)

if TYPE_CHECKING:
    from shared_core.local.models import LocalModels

_PICKLES = {
    "pytorch_model*.bin": "model*.safetensors*",
    "adapter_model*.bin": "adapter_model*.safetensors",
}
"""Weights as a pickle -> the same in safetensors, or their index."""


def library(name: str) -> Any:
    """Return an optional library, imported now.

    Raises:
        ImportError: It is not installed; names the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        sentences = name == "sentence_transformers"
        command = INSTALL_SENTENCE_TRANSFORMERS if sentences else INSTALL_TRANSFORMERS
        raise missing_extra(exc, command) from None


def device_of(models: LocalModels) -> str | None:
    """Return the device to ask the library for; None is its own choice.

    Raises:
        LocalModelError: PyTorch cannot compute there.
        InvalidSettingError: There is no such kind of device.
    """
    torch = library("torch")
    asked = models.device
    if asked is None:
        return None
    present = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if asked == "auto":
        return str(present or "cpu")
    try:
        kind = torch.device(asked)
    except RuntimeError:
        raise InvalidSettingError(
            f"device is not one that PyTorch knows: {asked!r}",
            setting="device",
            guidance="Write 'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'.",
        ) from None
    try:
        torch.empty(1, device=kind)
    except (RuntimeError, AssertionError, NotImplementedError) as exc:
        reason = str(exc).strip().partition("\n")[0]
        raise LocalModelError(
            f"device={asked!r} cannot be used by PyTorch {torch.__version__}: {reason}",
            guidance=f"It sees {' and '.join(['cpu', *([str(present)] if present else [])])}. Set "
            "device='auto' or 'cpu', or install a build of PyTorch for your hardware.",
        ) from None
    return asked


def refuse_pickles(folder: Path) -> None:
    """Check that every part of a model has weights in safetensors where it has any.

    Raises:
        LocalModelError: There are weights only as a pickle, which can run any code, or an index
            of safetensors lists other files.
    """
    for pickled, safe in _PICKLES.items():
        for path in sorted(folder.glob(f"**/{pickled}")):
            if not any(path.parent.glob(safe)):
                raise _pickle(path)
    for index in sorted(folder.glob("**/*.safetensors.index.json")):
        for name in _listed(index):
            if not name.endswith(".safetensors"):
                raise _pickle(index.parent / name)
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise LocalModelError(
                    f"{index} lists weights outside of its folder: {name!r}.",
                    guidance="Choose a model that has all its weights in its own folder.",
                )


def _pickle(path: Path) -> LocalModelError:
    return LocalModelError(
        f"{path} is a pickle, which can run any code when it is read: only safetensors are loaded.",
        guidance="Convert the weights (save_pretrained writes safetensors) or choose a model that "
        "has model.safetensors.",
    )


def _listed(index: Path) -> set[str]:
    """Return the files that an index of weights names; none where it is broken."""
    try:
        return {str(name) for name in json.loads(index.read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


@contextmanager
def loading(folder: Path, library: str) -> Iterator[None]:
    """Turn what a library raises while it loads a model into our error.

    Raises:
        LocalModelError: The library could not do it.
    """
    try:
        yield
    except RouterError:
        raise
    except ImportError as exc:
        needed = " ".join(str(exc).split()).partition(" but it was not found")[0]
        raise LocalModelError(
            f"{library} cannot load {folder} for want of a library: {needed}",
            guidance="Install what it names with pip, e.g. pip install torchvision.",
        ) from exc
    except Exception as exc:
        raise LocalModelError(
            f"{library} cannot load {folder}: {type(exc).__name__}: {exc}",
            guidance="Is it a model for this task, complete and in safetensors? A model with code "
            "of its own needs trust_remote_code=True.",
        ) from exc


@contextmanager
def computing(what: str) -> Iterator[None]:
    """Turn what a model raises while it computes into our error.

    Raises:
        InternalServerError: It failed, e.g. for want of memory.
    """
    try:
        yield
    except (RouterError, ImportError):
        raise
    except Exception as exc:
        raise InternalServerError(
            f"{what} failed in this process: {type(exc).__name__}: {exc}",
            status_code=500,
            code="local_model_failed",
            guidance="Look at the cause above: a value that the model cannot take, too little "
            "memory, or the model itself. The same call fails again.",
        ) from exc


def prepare(
    name: str, folder: Path, models: LocalModels
) -> tuple[Any, str | None, dict[str, Any], dict[str, Any]]:
    """Check what every model needs before it is loaded.

    Args:
        name: The library.
        folder: Of the model.
        models: Device, type of weights, whether the model's own code may run.

    Returns:
        The library, the device (None: its own choice), keywords for whatever it reads from the
        folder, and those for the weights.

    Raises:
        ImportError: The library is not installed; names the command.
        LocalModelError: The weights are a pickle, or PyTorch cannot compute on the device.
        InvalidSettingError: There is no such kind of device, or type of weights.
    """
    package = library(name)
    refuse_pickles(folder)
    reading = {"local_files_only": True, "trust_remote_code": models.trust_remote_code}
    weights: dict[str, Any] = {"use_safetensors": True}
    if models.dtype is not None:
        _check_dtype(models.dtype)
        weights["dtype"] = models.dtype
    return package, device_of(models), reading, weights


def _check_dtype(name: str) -> None:
    torch = library("torch")
    if name != "auto" and not isinstance(getattr(torch, name, None), torch.dtype):
        raise InvalidSettingError(
            f"dtype is not one that PyTorch knows: {name!r}",
            setting="dtype",
            guidance="Write 'float32', 'float16', 'bfloat16' or 'auto'.",
        )


@contextmanager
def cut_at(tokenizer: Any, direction: str) -> Iterator[None]:
    """Let *tokenizer* cut texts at that end meanwhile; its owner holds its lock."""
    before = getattr(tokenizer, "truncation_side", None)
    if before is None or before == direction:
        yield
        return
    tokenizer.truncation_side = direction
    try:
        yield
    finally:
        tokenizer.truncation_side = before
