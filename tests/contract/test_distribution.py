"""What is shipped: the wheel and the source archive, built as a user would get them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.contract.source import PACKAGES, modules
from tests.helpers.servers import ROOT


def build(kind: str, folder: Path) -> Path:
    script = (
        f"import sys; from hatchling import build as backend\nbackend.build_{kind}(sys.argv[1])"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as archive:
        return archive.namelist()


def test_wheel_has_every_module_and_the_typing_markers(wheel: list[str]) -> None:
    expected = {str(path.relative_to(ROOT).as_posix()) for path in modules().values()}
    assert expected <= set(wheel)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel)


def test_wheel_has_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("entry_points.txt") for name in wheel)


def test_source_archive_can_be_built_from(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO"} <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert not any(name.startswith(("tests", ".ci")) for name in names)
