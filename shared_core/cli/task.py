"""``hfrouter task``: every task of the Hub, with files in and out."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_core import RouterClient, RouterError
from shared_core.cli.options import add_device, seconds, task_models
from shared_core.cli.output import UsageError, note, table

if TYPE_CHECKING:
    from shared_core import JobProgress, Media, TaskSpec

REPORT_EVERY = 10.0
"""Seconds after which a queued job that did not move is mentioned again."""

_CALL = ("provider", "provider_id", "poll_interval", "poll_deadline", "scale_up_timeout")
_FLAGS = ("fetch_urls", "allow_private_urls", "drop_unsupported")


_WITH_FILES_INSIDE = frozenset({"audio-to-audio", "depth-estimation", "image-segmentation"})
"""Tasks whose results are lists or objects that hold files: sounds, a depth map, masks."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser; that of the task itself is made when one is named."""
    command: argparse.ArgumentParser = commands.add_parser(
        "task",
        help="call any task: classify, translate, draw, transcribe ...",
        description="Call the task NAME and print its result as JSON. Its arguments are listed "
        "by 'hfrouter task NAME --help'.",
    )
    command.add_argument("--list", action="store_true", help="list the tasks")
    command.add_argument("name", nargs="?", metavar="NAME", help="e.g. summarization")
    command.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own")
    return command


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from shared_core import TASKS
    from shared_core.cli import signature

    if options.list:
        rows = [(name, row.summary.replace("``", "")) for name, row in TASKS.items()]
        print(table(("TASK", "WHAT IT DOES"), rows))
        return 0
    spec = _row(options.name, TASKS)
    given = _parser(spec).parse_args(options.arguments)
    options.debug = options.debug or given.debug
    target = _Target(given.out)
    if spec.binary_output or given.out is not None:
        target.check()
    call = {name: getattr(given, name) for name in _CALL if getattr(given, name) is not None}
    if given.parameter:
        call["extra_parameters"] = dict(given.parameter)
    call |= {name: getattr(given, name) for name in _FLAGS}
    common = {name: getattr(given, name) for name in ("base_url", "bill_to")}
    if given.timeout is not None:
        common["timeout"] = given.timeout
    model = given.model
    if given.local:
        common["local"] = task_models(spec.id, model, given.device)
        model = None
    elif given.device is not None:
        raise UsageError("--device is for models in this process: add --local.")
    inputs = signature.values(given, spec)
    with RouterClient(model, **common) as client:
        result = client.tasks.run(spec, **inputs, **call, progress=_Reporter())
    target.write(result)
    return 0


def _row(name: str | None, rows: Mapping[str, TaskSpec[..., Any]]) -> TaskSpec[..., Any]:
    """Return the row of a task.

    Raises:
        UsageError: There is none of this name, or no name.
    """
    if name is None:
        raise UsageError("task needs the name of one.\n'hfrouter task --list' lists them.")
    known = rows.get(name.replace("_", "-"))
    if known is None:
        near = difflib.get_close_matches(name.replace("_", "-"), rows, 1)
        hint = f"Do you mean {near[0]}? " if near else ""
        raise UsageError(f"There is no task {name!r}.\n{hint}'hfrouter task --list' lists them.")
    return known


def _parser(spec: TaskSpec[..., Any]) -> argparse.ArgumentParser:
    from shared_core.cli import signature

    parser = argparse.ArgumentParser(
        prog=f"hfrouter task {spec.id}",
        description=spec.summary.replace("``", ""),
        allow_abbrev=False,
    )
    signature.add_arguments(parser, spec)
    group = parser.add_argument_group("the call")
    group.add_argument("--model", metavar="ID", help="Hub id, or the address of your own server")
    group.add_argument(
        "--local",
        action="store_true",
        help="answer in this process; --model is then a folder, or a Hub id that is downloaded",
    )
    add_device(group)
    group.add_argument("--provider", metavar="NAME", help="who serves it, e.g. fal-ai, or auto")
    group.add_argument("--provider-id", metavar="ID", help="the provider's own id of the model")
    group.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        type=_assignment,
        help="a further parameter of the model; VALUE is JSON or else text",
    )
    group.add_argument("--base-url", metavar="URL", help="another server")
    group.add_argument("--bill-to", metavar="ORG", help="organisation that pays")
    group.add_argument("--timeout", type=seconds, metavar="SECONDS", help="for each answer")
    for name, text in (
        ("--poll-interval", "between two questions about a queued job"),
        ("--poll-deadline", "that a queued job may take, default 600"),
        ("--scale-up-timeout", "that an endpoint may take to start"),
    ):
        group.add_argument(name, type=seconds, metavar="SECONDS", help=text)
    for name, text in (
        ("--fetch-urls", "download addresses here and send the bytes"),
        ("--allow-private-urls", "download from private addresses too"),
        ("--drop-unsupported", "once more without parameters that the model does not know"),
    ):
        group.add_argument(name, action="store_true", help=text)
    # A task without files has no such option, but the same code.
    parser.set_defaults(out=None)
    if _has_files(spec):
        group.add_argument("--out", metavar="FILE", help="where files go; - is standard output")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _has_files(spec: TaskSpec[..., Any]) -> bool:
    return spec.binary_output or spec.id in _WITH_FILES_INSIDE


def _assignment(word: str) -> tuple[str, Any]:
    name, sign, value = word.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class _Reporter:
    """Tells on stderr where a queued job stands: when that changes, and every ten seconds."""

    def __init__(self) -> None:
        self._last = ""
        self._next = 0.0

    def __call__(self, job: JobProgress) -> None:
        if job.status != self._last or job.elapsed >= self._next:
            self._last = job.status
            self._next = job.elapsed + REPORT_EVERY
            note(f"{job.provider}: {job.status} after {job.elapsed:.0f} s")


class _Target:
    """Where a result goes.

    Args:
        out: What ``--out`` says.
    """

    def __init__(self, out: str | None) -> None:
        self._out = out
        self._written = 0
        self._left = 0

    def check(self) -> None:
        """Refuse, before a call that may cost, to make a file that cannot be kept.

        Raises:
            UsageError: Nothing says where the file goes, or its folder does not exist.
        """
        if self._out is None and sys.stdout.isatty():
            raise UsageError(
                "The result is a file, which a terminal cannot show.\n"
                "Add --out FILE (without an ending it gets the right one), or redirect the output."
            )
        if self._out not in (None, "-"):
            folder = Path(str(self._out)).parent
            if not folder.is_dir() or Path(str(self._out)).is_dir():
                raise UsageError(f"--out {self._out}: not a file in a folder that exists.")

    def write(self, result: Any) -> None:
        """Write a result: a file as bytes, all else as JSON."""
        from shared_core import Media

        if isinstance(result, Media) and self._out in (None, "-"):
            sys.stdout.buffer.write(result.content)
            return
        several = not isinstance(result, Media)
        print(json.dumps(self._plain(result, several), ensure_ascii=False, indent=2))
        if self._left:
            note(f"{self._left} files are not shown; --out FILE writes them.")

    def _plain(self, value: Any, several: bool) -> Any:
        """Return *value* as JSON; files go to ``--out`` and leave their path."""
        from shared_core import Media

        if isinstance(value, Media):
            return self._file(value, several)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value) if field.compare]
            return {name: self._plain(getattr(value, name), several) for name in names}
        if isinstance(value, Mapping):
            return {str(name): self._plain(item, several) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item, several) for item in value]
        as_list = getattr(value, "tolist", None)  # NumPy
        return value if as_list is None else as_list()

    def _file(self, media: Media, several: bool) -> dict[str, Any]:
        facts: dict[str, Any] = {"media_type": media.media_type, "bytes": len(media.content)}
        if self._out in (None, "-"):
            self._left += 1
            return facts
        path = Path(str(self._out))
        self._written += 1
        if several:
            path = path.with_name(f"{path.stem}-{self._written}{path.suffix}")
        try:
            saved = media.save(path)
        except OSError as error:
            where = f"The provider keeps the file at {media.url}" if media.url else None
            raise RouterError(f"{path} cannot be written: {error}", guidance=where) from None
        return {"file": str(saved), **facts}
