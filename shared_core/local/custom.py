"""A task of the caller's own, for models that no pipeline runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared_core.errors import InvalidSettingError

if TYPE_CHECKING:
    from shared_core.local.torch.parts import LocalParts

_NO_ANSWER = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)
"""Functions whose call returns before anything is done."""


@dataclass(frozen=True, slots=True)
class LocalTask:
    """How a model of this process is loaded and asked, in two functions of yours.

    For ``LocalModels(tasks={"my-task": LocalTask(...)})``. The model is loaded at the first call
    and stays for the process; one call runs at a time, with the asynchronous client in another
    thread. ``run`` may ask the client, in its own thread also for the same task; ``load`` only
    for models that are loaded. Two that are equal share one loaded model, so keep the functions
    at the top of a module. Neither may be asynchronous or a generator.

    Example:
        >>> def load(parts):
        ...     model = parts.moved(parts.model("AutoModelForKeypointDetection"))
        ...     return parts.load("AutoImageProcessor"), model
        >>> def run(loaded, image, parameters):
        ...     processor, model = loaded
        ...     inputs = processor(image.to_pil(), return_tensors="pt").to(model.device)
        ...     return model(**inputs).keypoints[0]
        >>> task = LocalTask("magic-leap-community/superpoint", load, run)

    Attributes:
        source: Folder, or id on the Hub, as for the other models of ``LocalModels``.
        load: Given a :class:`~shared_core.LocalParts`, returns whatever ``run`` needs.
        run: Given that, the inputs and the parameters of a call (a dict), returns the answer: a
            JSON value that may hold tensors, arrays, and images of Pillow or ``Media`` (written
            as base64), or one image or ``Media``, which is answered as a file. Inputs are the
            JSON value of the request; a file in it is a ``Media``. A ``ValueError`` becomes a
            ``BadRequestError``, another error an ``InternalServerError``.
    """

    source: str | os.PathLike[str]
    load: Callable[[LocalParts], Any]
    run: Callable[[Any, Any, dict[str, Any]], Any]

    def __post_init__(self) -> None:
        for name in ("load", "run"):
            if not callable(getattr(self, name)):
                raise InvalidSettingError(f"{name} of a LocalTask must be a function", setting=name)
            if not isinstance(getattr(self, name), Hashable):
                raise InvalidSettingError(
                    f"{name} of a LocalTask must be hashable: models are kept by it", setting=name
                )
            if any(kind(getattr(self, name)) for kind in _NO_ANSWER):
                raise InvalidSettingError(
                    f"{name} of a LocalTask must be a plain function, which returns: it is called "
                    "in a thread, without an event loop. It is asynchronous, or a generator.",
                    setting=name,
                )
