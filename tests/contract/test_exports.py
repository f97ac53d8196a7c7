"""The public surface: what each package exports, and that type checkers see the same."""

from __future__ import annotations

import importlib
import inspect

import pytest

from tests.contract.source import PACKAGES, imports
from tests.helpers.servers import ROOT


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_and_every_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(set(module.__all__))
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_dir_lists_exactly_the_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert {n for n in dir(module) if not n.startswith("_")} == {
        n for n in module.__all__ if not n.startswith("_")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package: str) -> None:
    module = importlib.import_module(package)
    seen = {name for found in imports(package) if found.typing_only for name in found.names}
    assert seen - {"Any", "TYPE_CHECKING"} == set(module.__all__) - {"__version__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_unknown_names_are_attribute_errors(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = module.NoSuchName


@pytest.mark.parametrize("package", PACKAGES)
def test_public_objects_have_docstrings(package: str) -> None:
    module = importlib.import_module(package)
    undocumented = [
        name
        for name in module.__all__
        if (inspect.isclass(thing := getattr(module, name)) or inspect.isfunction(thing))
        and not (thing.__doc__ or "").strip()
    ]
    assert undocumented == []


def test_version_is_the_same_everywhere() -> None:
    import tomllib

    import shared_core

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert shared_core.__version__ == project["version"]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
