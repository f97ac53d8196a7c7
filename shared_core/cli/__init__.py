"""The console command ``hfrouter``.

Exit codes: 0 done; 1 the operation failed (network, server, or a check of ``doctor``);
2 wrong usage or configuration (an option, a folder, no token, a missing package);
130 interrupted with Ctrl-C; 141 the reader of the output went away.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; ``sys.argv`` when None.

    Returns:
        The exit code.
    """
    try:
        from shared_core.cli.program import run

        return run(arguments)
    except BaseException as error:
        if not _is_interruption(error):
            raise
    if arguments is None:
        # Interrupted inside exec() (dataclasses use it), CPython 3.11 ends the process by
        # signal even after the exception was handled. Leave before it can.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    return INTERRUPTED


def _is_interruption(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind *error*; during an import it can come wrapped."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
