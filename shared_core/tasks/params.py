"""Checks of the parameters of tasks, before anything is sent; each names what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from shared_core.config.checks import boolean, number, refused, text, whole_number
from shared_core.config.plain import plain
from shared_core.errors import InvalidSettingError
from shared_core.media.input import Kind, load
from shared_core.tasks.spec import Payload

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Frame(Protocol):
    """A pandas DataFrame, or what looks like one."""

    def to_dict(self, orient: Any) -> Any:
        """Return column -> cells, for the orientation ``"list"``."""
        ...


TableInput: TypeAlias = "Mapping[str, Sequence[Any] | NDArray[Any]] | Frame"
"""Column -> cells, all of the same length; a NumPy array will do for a column, and a pandas
DataFrame for the whole."""

Check: TypeAlias = Callable[[str, Any], Any]


def parameters(**given: tuple[Any, Check]) -> dict[str, Any]:
    """Return the parameters that are not None, each checked.

    Args:
        **given: Name -> value and its check.

    Raises:
        InvalidSettingError: One is refused; it is named.
    """
    return {name: check(name, value) for name, (value, check) in given.items() if value is not None}


def choice(*allowed: str) -> Check:
    """Return a check for one of a few words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise refused(name, f"one of {', '.join(allowed)}", value)
        return value

    return check


def texts(least: int = 1) -> Check:
    """Return a check for a list of texts, none of them empty."""

    def check(name: str, value: Any) -> list[str]:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise refused(name, "a list of texts", value, show=False)
        if len(value) < least:
            raise InvalidSettingError(
                f"{name} needs at least {least} text{'s' if least > 1 else ''}, not {len(value)}",
                setting=name,
            )
        return [text(f"{name}[{at}]", item) for at, item in enumerate(value)]

    return check


def options(name: str, value: Any) -> dict[str, Any]:
    """Return *value* if it is a dict of JSON values; entries that are None are left out."""
    if not isinstance(value, Mapping):
        raise refused(name, "a dict", value, show=False)
    return {key: item for key, item in plain(value, name).items() if item is not None}


def generation(name: str, value: Any) -> dict[str, Any]:
    """Return the parameters of a generation: those that are specified are checked, others kept."""
    given = options(name, value)
    for key, check in _GENERATION.items():
        if key in given:
            check(f"{name}.{key}", given[key])
    return given


def _early_stopping(name: str, value: Any) -> None:
    if not isinstance(value, bool) and value != "never":
        raise refused(name, "True, False or 'never'", value)


_ANY, _COUNT = number(-1e9, 1e9), whole_number(0)
_GENERATION: dict[str, Check] = {
    **dict.fromkeys(("do_sample", "use_cache"), boolean),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff", "penalty_alpha", "temperature"), _ANY),
    **dict.fromkeys(("top_p", "typical_p"), number(0, 1)),
    **dict.fromkeys(("max_length", "max_new_tokens", "min_length", "min_new_tokens"), _COUNT),
    **dict.fromkeys(("num_beam_groups", "num_beams", "top_k"), _COUNT),
    "early_stopping": _early_stopping,
}
"""Parameters of a generation that are specified (protocol reference, 6.4)."""


def grammar(name: str, value: Any) -> dict[str, Any]:
    """Return *value* if it is ``{"type", "value"}`` as TGI wants it (protocol reference, 6.5)."""
    given = options(name, value)
    if given.get("type") not in ("json", "json_object", "json_schema", "regex"):
        raise refused(f"{name}.type", "'json', 'json_schema' or 'regex'", given.get("type"))
    if "value" not in given:
        raise InvalidSettingError(f"{name} needs 'value': a schema, or an expression", setting=name)
    return given


def template(name: str, value: Any) -> str:
    """Return *value* if it is text with a place for the label, ``{}``."""
    if "{}" not in text(name, value):
        raise InvalidSettingError(f"{name} needs {{}} where the label goes", setting=name)
    return str(value)


def timestamps(name: str, value: Any) -> bool | str:
    """Return True, False, ``"word"`` or ``"char"``."""
    if isinstance(value, bool) or value in ("word", "char"):
        return value  # type: ignore[no-any-return]
    raise refused(name, "True, False, 'word' or 'char'", value)


def size(name: str, value: Any) -> dict[str, int]:
    """Return ``(width, height)`` or ``{"width", "height"}`` as the latter."""
    if isinstance(value, Mapping) and value.keys() == {"width", "height"}:
        value = (value["width"], value["height"])
    if not isinstance(value, str | bytes) and isinstance(value, Sequence) and len(value) == 2:
        width, height = value
        if _is_length(width) and _is_length(height):
            return {"width": width, "height": height}
    raise refused(name, "(width, height) in pixels", value)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def columns(name: str, value: Any) -> dict[str, list[str]]:
    """Return a table as column -> cells as text; a DataFrame has ``to_dict``.

    Raises:
        InvalidSettingError: It is no table: empty, or with columns of different lengths.
    """
    if not isinstance(value, Mapping) and hasattr(value, "to_dict"):
        value = value.to_dict("list")
    if not isinstance(value, Mapping) or not value:
        raise refused(name, "a dict of column -> list of cells", value, show=False)
    table = {}
    for column, cells in value.items():
        if hasattr(cells, "tolist"):  # NumPy, pandas
            cells = cells.tolist()
        if isinstance(cells, str | bytes) or not isinstance(cells, Sequence):
            raise refused(f"{name}[{column!r:.40}]", "a list of cells", cells, show=False)
        table[str(column)] = [_cell(f"{name}[{column!r:.40}]", cell) for cell in cells]
    lengths = {len(cells) for cells in table.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise InvalidSettingError(
            f"{name} has columns of {', '.join(map(str, sorted(lengths)))} cells; all need "
            "the same number, at least 1",
            setting=name,
        )
    return table


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, Mapping | list | tuple | bytes):
        raise refused(f"a cell of {name}", "text or a number", value, show=False)
    return str(plain(value, name)) if isinstance(value, str) else str(value)


def with_file(
    source: Any, field: str, kind: Kind, *, inputs: Any = None, given: dict[str, Any] | None = None
) -> Payload:
    """Return the payload of a task with a file.

    Args:
        source: What the caller gave for the file.
        field: Name of that parameter.
        kind: What sort of file the task wants.
        inputs: The rest of the input, if there is more than the file.
        given: Checked parameters.

    Raises:
        InvalidSettingError: The file cannot be used.
    """
    found = load(source, field, kind)
    return Payload(
        inputs=inputs,
        parameters=given or {},
        binary=found.content,
        media_type=found.media_type,
        url=found.url,
    )
