"""Parameters that a model's backend does not know: left out on request (protocol, 6.5)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from shared_core.errors import UnsupportedParameterError
from shared_core.flow import Flow

if TYPE_CHECKING:
    from shared_core.core import Core
    from shared_core.providers.base import Codec, Route
    from shared_core.tasks.spec import CallOptions, Payload

_LIST = re.compile(r"`model_kwargs` are not used by the model: \[([^\]]*)\]")
_NAME = re.compile(r"['\"](\w+)['\"]")
_NESTED = ("generate_parameters", "generation_parameters")

_known: WeakKeyDictionary[Core, dict[str, frozenset[str]]] = WeakKeyDictionary()
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


def forgiving(
    core: Core, codec: Codec, route: Route, payload: Payload, options: CallOptions
) -> Flow[Any]:
    """Return the normalised answer; asked once more without parameters that were refused.

    Raises:
        UnsupportedParameterError: The refusal names none of the parameters that were sent.
        APIError: The call failed.
    """
    models = _known.setdefault(core, {})
    payload = without(payload, models.get(route.model, ()))
    try:
        return (yield from codec.flow(core, route, payload, options))
    except UnsupportedParameterError as error:
        names = named(error)
        rest = without(payload, names)
        if rest == payload:
            raise
    models[route.model] = models.get(route.model, frozenset()) | names
    return (yield from codec.flow(core, route, rest, options))
