"""The console command ``hfrouter``.

Exit codes: 0 done; 1 the operation failed (network, server, or a check of ``doctor``);
2 wrong usage or configuration (an option, a folder, no token, a missing package);
130 interrupted with Ctrl-C; 141 the reader of the output went away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; ``sys.argv`` when None.

    Returns:
        The exit code.
    """
    from shared_core.cli.program import run

    return run(arguments)
