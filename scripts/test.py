#!/usr/bin/env python3
"""Set up ``.venv`` with everything the tests need and run them; arguments go to pytest.

python3 scripts/test.py [--lowest] [-k name] [tests/some/folder] [--refuse-skips] [-n 0] ...

Two processes run the tests; ``-n 0`` is one. ``--lowest`` runs them in ``.venv-lowest``, with the
least versions of both frameworks and of every other package that ``pyproject.toml`` allows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _environment import Environment, SetupError


def main() -> int:
    """Set up and run pytest in the repository."""
    arguments = sys.argv[1:]
    lowest = "--lowest" in arguments
    arguments = [argument for argument in arguments if argument != "--lowest"]
    environment = Environment(lowest=lowest)
    environment.prepare(groups=("test",))
    # One thread per numeric library: more only spin against each other on a small machine.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments):
        # Two processes, a file in one of them: for two cores, and as few model servers.
        arguments = ["-n", "2", "--dist", "loadfile", *arguments]
    return environment.run(environment.python, "-m", "pytest", *arguments, **threads)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
