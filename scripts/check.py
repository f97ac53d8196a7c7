#!/usr/bin/env python3
"""Format, lint and types, in under a minute; ``--fix`` repairs what can be repaired.

python3 scripts/check.py [--fix]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _environment import Environment, SetupError


def main() -> int:
    """Run every check, report each failure, return 1 if there was one."""
    fix = "--fix" in sys.argv[1:]
    environment = Environment()
    environment.prepare(groups=("test", "lint"))
    python = str(environment.python)
    checks = [
        [python, "-m", "ruff", "check", *(["--fix"] if fix else []), "."],
        [python, "-m", "ruff", "format", *([] if fix else ["--check"]), "."],
        [python, "-m", "mypy"],
        [python, "-m", "pyright", "--pythonpath", python],
    ]
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # do not ask the network for a newer one
    failed = [check[2] for check in checks if environment.run(*check, **quiet)]
    print(f"failed: {', '.join(failed)}" if failed else "lint and types: all good")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
