"""docs/errors.md says what the code does."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from shared_core import errors
from tests.helpers.servers import ROOT


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("errors_doc", ROOT / "scripts" / "errors_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(writer: ModuleType) -> None:
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page(), (
        "run: python scripts/errors_doc.py"
    )


def test_page_names_every_class(writer: ModuleType) -> None:
    text = writer.page()
    public = [
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type)
        and issubclass(getattr(errors, name), errors.RouterError)
    ]
    assert len(public) > 40
    assert [name for name in public if f"`{name}`" not in text] == []
