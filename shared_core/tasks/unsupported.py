"""Parameters that a model's backend does not know: left out on request (protocol, 6.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from shared_core.errors import UnsupportedParameterError
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Route
    from shared_core.tasks.spec import Payload

Ask: TypeAlias = "Callable[[Payload], Flow[tuple[Route, Any]]]"
"""Asks with a payload; returns where the answer came from and the normalised answer."""

_LIST = re.compile(r"`model_kwargs` are not used by the model: \[([^\]]*)\]")
_NAME = re.compile(r"['\"](\w+)['\"]")
_NESTED = ("generate_parameters", "generation_parameters")

_known: WeakKeyDictionary[Core, dict[str | None, frozenset[str]]] = WeakKeyDictionary()
"""Client -> model -> what it does not know."""


def named(error: UnsupportedParameterError) -> frozenset[str]:
    """Return the parameters that a refusal names; none if it names none."""
    found = _LIST.search(error.server_message or "")
    return frozenset(_NAME.findall(found[1])) if found else frozenset()


def without(payload: Payload, names: Collection[str]) -> Payload:
    """Return *payload* without the parameters *names*, also within those of a generation."""
    kept = {name: item for name, item in payload.parameters.items() if name not in names}
    for name in _NESTED:
        if isinstance(kept.get(name), dict):
            kept[name] = {key: item for key, item in kept[name].items() if key not in names}
            if not kept[name]:
                del kept[name]
    return replace(payload, parameters=kept)


def forgiving(core: Core, model: str | None, ask: Ask) -> Ask:
    """Return *ask*, which asks once more without the parameters that were refused.

    Args:
        core: The client that remembers them.
        model: The model for which it does.
        ask: What asks with a payload.

    Raises:
        UnsupportedParameterError: The refusal names none of the parameters that were sent.
        APIError: The call failed.
    """

    def asking(payload: Payload) -> Flow[tuple[Route, Any]]:
        models = _known.setdefault(core, {})
        payload = without(payload, models.get(model, ()))
        try:
            return (yield from ask(payload))
        except UnsupportedParameterError as error:
            names = named(error)
            rest = without(payload, names)
            if rest == payload:
                raise
        models[model] = models.get(model, frozenset()) | names
        return (yield from ask(rest))

    return asking
