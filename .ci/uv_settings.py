"""Print shell commands that give uv the settings of this interpreter's pip."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from _environment import pip_settings_for_uv

for name, value in pip_settings_for_uv(sys.executable).items():
    print(f"export {name}={shlex.quote(value)}")
