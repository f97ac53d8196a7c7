"""Importing does nothing: no network, no file, no environment, no thread, few modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.contract.source import PACKAGES
from tests.helpers.servers import ROOT

#: Modules that `import langchain_hfrouter` may add to the framework's own.
MOST_MODULES = 20
# asyncio brings ssl, so ssl is not among them.
HEAVY = {"numpy", "httpx", "httpcore", "tqdm", "tokenizers", "safetensors", "torch"}

# Reads of the environment and opened files are charged to the nearest frame outside the
# standard library's os module; only those in our own files count. Source files that the
# import system opens do not.
WATCH = """
import _collections_abc, json, os, sys, threading
ours = tuple(os.path.join(os.getcwd(), p) + os.sep for p in %(packages)r)
noted = []
def note(what):
    frame = sys._getframe(2)
    passed = ('<frozen', os.__file__, _collections_abc.__file__)
    while frame and frame.f_code.co_filename.startswith(passed):
        frame = frame.f_back
    if frame and frame.f_code.co_filename.startswith(ours):
        noted.append(f'{what} in {frame.f_code.co_filename}:{frame.f_lineno}')
class Environ(type(os.environ)):
    def __getitem__(self, key):
        note(f'environ[{key}]'); return super().__getitem__(key)
    def __iter__(self):
        note('environ'); return super().__iter__()
os.environ.__class__ = Environ
def hook(event, args):
    if event.startswith('socket.') and event != 'socket.__new__' or event in (
            'subprocess.Popen', 'os.system', '_thread.start_new_thread'):
        noted.append(event)
    elif event == 'open' and not str(args[0]).endswith(('.py', '.pyc', '.so', '.pyd')):
        note(f'open({args[0]!r})')
sys.addaudithook(hook)
"""


def python(code: str) -> Any:
    """Run *code* in a fresh interpreter and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "statement",
    [
        "import shared_core",
        "from shared_core import RouterClient, AsyncRouterClient",
        "import shared_core\nfor name in shared_core.__all__: getattr(shared_core, name)",
        "import langchain_hfrouter",
        "import llama_index_hfrouter",
        "import shared_core.cli",
    ],
)
def test_import_does_nothing(statement: str) -> None:
    setup = WATCH % {"packages": PACKAGES}
    report = "print(json.dumps([noted, threading.active_count()]))"
    noted, threads = python(f"{setup}\n{statement}\n{report}")
    assert noted == []
    assert threads == 1


@pytest.mark.parametrize(
    "statement", ["import shared_core", "from shared_core import RouterClient"]
)
def test_import_of_the_core_loads_nothing_heavy(statement: str) -> None:
    loaded = python(f"import sys, json\n{statement}\nprint(json.dumps(list(sys.modules)))")
    assert HEAVY & set(loaded) == set()


@pytest.mark.parametrize(
    ("package", "framework"),
    [
        ("langchain_hfrouter", "langchain_core.language_models, langchain_core.embeddings"),
        ("llama_index_hfrouter", "llama_index.core.llms, llama_index.core.embeddings"),
    ],
)
def test_adapter_import_is_small(package: str, framework: str) -> None:
    script = (
        f"import sys, json, {framework}\n"
        "before = set(sys.modules)\n"
        f"import {package}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    added = python(script)
    assert package in added
    assert len(added) <= MOST_MODULES, added


@pytest.mark.parametrize(
    ("names", "package", "framework"),
    [
        (
            "ChatHFRouter, HFRouterEmbeddings",
            "langchain_hfrouter",
            "langchain_core.language_models.chat_models, langchain_core.embeddings, "
            "langchain_core.tools, langchain_core.output_parsers",
        ),
        (
            "HFRouter, HFRouterEmbedding",
            "llama_index_hfrouter",
            "llama_index.core.llms.function_calling, llama_index.core.embeddings",
        ),
    ],
)
def test_adapter_classes_load_nothing_heavy_of_their_own(
    names: str, package: str, framework: str
) -> None:
    script = (
        f"import sys, json, {framework}\n"
        "before = set(sys.modules)\n"
        f"from {package} import {names}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert HEAVY & set(python(script)) == set()


@pytest.mark.parametrize(
    ("package", "hidden", "extra"),
    [
        ("langchain_hfrouter", "langchain_core", "langchain"),
        ("llama_index_hfrouter", "llama_index", "llama-index"),
    ],
)
def test_missing_extra_names_the_install_command(package: str, hidden: str, extra: str) -> None:
    script = (
        "import sys, json\n"
        f"sys.modules[{hidden!r}] = None\n"
        "try:\n"
        f"    import {package}\n"
        f"    [getattr({package}, name) for name in {package}.__all__]\n"
        "except ImportError as error: print(json.dumps(str(error)))\n"
        "else: print(json.dumps('no error'))\n"
    )
    message = python(script)
    assert f"hfrouter[{extra}]" in message
    assert "pip install" in message
