"""Parses the command line, runs one command, turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from shared_core import ConfigurationError, RouterError, __version__
from shared_core.cli import ask, chat, doctor, embed, endpoints, models, task
from shared_core.cli.options import computes_in_torch
from shared_core.cli.output import UsageError, complain, discard_output

FAILED, WRONG_USAGE, NO_READER = 1, 2, 141


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="hfrouter",
        description="Ask documents, chat, embed, call any task and look at models through the "
        "Hugging Face router, or offline with --local.",
        epilog="The token is taken from HF_TOKEN and the other documented places; "
        "'hfrouter doctor' says which. Exit codes: 0 done, 1 failed, 2 wrong usage or "
        "configuration, 130 interrupted.",
    )
    root.add_argument("--version", action="version", version=f"hfrouter {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (ask, chat, embed, task, models, endpoints, doctor):
        command = module.add(commands)
        command.set_defaults(run=module.run)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return root


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`shared_core.cli.main`."""
    options = argparse.Namespace(debug=False)
    try:
        parser().parse_args(arguments, options)
        if not computes_in_torch(options):
            # More than one BLAS thread makes small matrices slower, much so on a busy machine.
            for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ.setdefault(variable, "1")
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        discard_output()
        return NO_READER
    except (RouterError, UsageError, ImportError) as error:
        if options.debug:
            raise
        complain(str(error))
        usage = isinstance(error, ConfigurationError | UsageError | ImportError)
        return WRONG_USAGE if usage else FAILED
