"""Models of the Hub: which names are meant as such, and the download into the Hub's cache.

Nothing is downloaded unless a Hub id was named. The official ``huggingface_hub`` does it, so
its cache, its locks and its network settings (proxies, certificates) hold.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core.constants import HUB_URL, HUB_URL_VARIABLE
from shared_core.errors import (
    AuthenticationError,
    GatedModelError,
    ModelNotFoundError,
    NotFoundError,
    RouterError,
)
from shared_core.local.failures import INSTALL_HUB, LocalModelError, missing_extra

if TYPE_CHECKING:
    from shared_core.config.settings import Settings

# "org/name", maybe with "@" and a branch, tag or commit. What begins with a dot, a slash or
# "~" is a path.
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(?:@\w[\w./-]*)?", re.ASCII)
_YES = ("1", "on", "yes", "true")  # as huggingface_hub reads its switches

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
# The same weights for other programs, and copies in another layout.
_UNWANTED = ["onnx/*", "openvino/*", "original/*", "consolidated*", "*.gguf"]


def is_hub_id(source: str) -> bool:
    """Whether *source* names a model of the Hub: ``org/name`` or ``org/name@revision``.

    An existing folder of that name is a folder.
    """
    return _HUB_ID.fullmatch(source) is not None and not Path(source).is_dir()


def cache_folder() -> Path:
    """Return the Hub's cache folder, by the rules of the Hub's own client."""
    environment = os.environ
    if explicit := environment.get("HF_HUB_CACHE"):
        return Path(explicit).expanduser()
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(environment.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "hub"


def cached(source: str) -> Path | None:
    """Return the folder of a model of the Hub in the cache, None if it is not there.

    Args:
        source: ``org/name`` or ``org/name@revision``.
    """
    name, _, revision = source.partition("@")
    model = cache_folder() / f"models--{name.replace('/', '--')}"
    reference = model / "refs" / (revision or "main")
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = model / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def download(source: str, *, settings: Settings | None = None, code: bool = False) -> Path:
    """Return the folder of a model of the Hub, downloaded if it is not in the cache.

    Only weights in safetensors are fetched, never pickles. ``HF_HUB_OFFLINE=1`` takes what is
    in the cache and asks nobody.

    Args:
        source: ``org/name`` or ``org/name@revision``.
        settings: Where the Hub is and whether the token may go there; None: ``HF_ENDPOINT``,
            and the token that ``huggingface_hub`` finds.
        code: Whether Python files are fetched too, for models with code of their own.

    Raises:
        ImportError: ``huggingface_hub`` is not installed; names the command.
        ModelNotFoundError: There is no such model, or it is private.
        GatedModelError: Its licence is not accepted yet.
        AuthenticationError: The token is wrong.
        NotFoundError: There is no such revision.
        LocalModelError: The Hub cannot be reached, or failed, and the cache lacks the model.
    """
    try:
        from huggingface_hub import constants, snapshot_download
    except ImportError as exc:
        raise missing_extra(exc, INSTALL_HUB) from None
    name, _, revision = source.partition("@")
    offline = bool(constants.HF_HUB_OFFLINE) or _set("HF_HUB_OFFLINE")
    problem: RouterError
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            cache_dir=cache_folder(),
            allow_patterns=[*_WANTED, "*.py"] if code else _WANTED,
            ignore_patterns=_UNWANTED,
            local_files_only=offline,
            **_access(settings),
        )
    except Exception as exc:  # noqa: BLE001 - the library's errors follow two HTTP libraries
        problem = _translated(exc, name, revision, offline=offline)
    else:
        return Path(folder)
    raise problem  # outside: the library's error holds the request with the token


def _set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _YES


def hub_url(settings: Settings | None) -> str:
    """Return the address of the Hub: of the client, else of the environment."""
    if settings is not None:
        return settings.hub_url
    return os.environ.get(HUB_URL_VARIABLE) or HUB_URL


def _access(settings: Settings | None) -> dict[str, Any]:
    endpoint = hub_url(settings)
    if settings is None:
        return {"endpoint": endpoint}
    token = settings.token_for(endpoint)
    # False: we have looked in every place that the library knows.
    return {
        "endpoint": endpoint,
        "token": token.get_secret_value() if token is not None else False,
    }


def _translated(exc: Exception, name: str, revision: str, *, offline: bool) -> RouterError:
    from huggingface_hub import errors

    context: dict[str, Any] = {"operation": "models.download", "model": name}
    if isinstance(exc, errors.GatedRepoError):
        return GatedModelError(
            f"The licence of {name} is not accepted, or there is no token.",
            status_code=403,
            guidance=f"Accept it at https://huggingface.co/{name} and set HF_TOKEN.",
            **context,
        )
    if isinstance(exc, errors.RepositoryNotFoundError):
        return ModelNotFoundError(
            f"The Hub has no model {name}, or it is private and the token may not see it. "
            f"There is no folder {name!r} either.",
            status_code=404,
            **context,
        )
    if isinstance(exc, errors.RevisionNotFoundError):
        return NotFoundError(f"{name} has no revision {revision!r}.", status_code=404, **context)
    status = getattr(getattr(exc, "response", None), "status_code", None)
    if status == 401:
        return AuthenticationError("The Hub refuses the token.", status_code=401, **context)
    if isinstance(exc, errors.LocalEntryNotFoundError):
        why = "HF_HUB_OFFLINE is set" if offline else "the Hub cannot be reached"
        return LocalModelError(
            f"{name}{f'@{revision}' if revision else ''} is not complete in {cache_folder()}, "
            f"and {why}.",
            guidance="Connect once to download it, or give a folder with the model.",
        )
    told = f"the Hub answered {status}" if status else f"{type(exc).__name__}"
    return LocalModelError(
        f"{name} cannot be downloaded: {told}.",
        guidance="Try again later, or give a folder with the model.",
    )
