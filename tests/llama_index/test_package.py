"""The package: lazy, light, thin, and clear about what is missing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import Any

import pytest

import llama_index_hfrouter
from tests.helpers.servers import ROOT

PACKAGE = ROOT / "llama_index_hfrouter"


def run(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.rule("lazy")
def test_public_names() -> None:
    assert dir(llama_index_hfrouter) == ["HFRouter", "HFRouterEmbedding", "HFRouterRerank"]
    for name in llama_index_hfrouter.__all__:
        assert getattr(llama_index_hfrouter, name).__name__ == name
    with pytest.raises(AttributeError, match="HFRouters"):
        llama_index_hfrouter.HFRouters  # noqa: B018


@pytest.mark.rule("lazy")
def test_a_missing_framework_names_the_install_command() -> None:
    message = run(
        "import json, sys; sys.modules['llama_index'] = None\n"
        "import llama_index_hfrouter\n"
        "try: llama_index_hfrouter.HFRouter\n"
        "except ImportError as error: print(json.dumps(str(error)))"
    )
    assert "pip install 'hfrouter[llama-index]'" in message


@pytest.mark.rule("light")
def test_importing_loads_at_most_twenty_modules_and_no_package() -> None:
    loaded = run(
        "import json, sys, llama_index.core\n"
        "before = set(sys.modules)\n"
        "from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank\n"
        "HFRouter('a/b'), HFRouterEmbedding('a/b'), HFRouterRerank('a/b')\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert len(loaded) <= 20
    ours = {"llama_index_hfrouter", "shared_core"}
    assert {name.partition(".")[0] for name in loaded} <= ours


@pytest.mark.rule("lazy")
def test_importing_the_package_loads_nothing_else() -> None:
    loaded = run(
        "import json, sys\nbefore = set(sys.modules)\nimport llama_index_hfrouter\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert "llama_index" not in loaded
    assert "shared_core" not in loaded


def imports(path: Any) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.rule("no-multimodal", "memory-and-pydantic", "cache-keys", "agent-context")
def test_the_page_says_what_cannot_be_done() -> None:
    page = (ROOT / "docs" / "llama-index.md").read_text(encoding="utf-8")
    for words in (
        "There is no multimodal embedding class",
        "With pydantic 2.14, core 0.14 cannot write `SimpleChatStore`",
        "do not share one cache between models",
    ):
        assert words in " ".join(page.split())
    assert not [name for name in llama_index_hfrouter.__all__ if "Modal" in name]


@pytest.mark.rule("own-wire")
@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_only_root_names_of_the_core_and_no_http(path: Any) -> None:
    found = imports(path)
    assert not {name for name in found if name.startswith("shared_core.")}
    assert not {"httpx", "ssl", "socket", "urllib.request", "requests"} & found
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
