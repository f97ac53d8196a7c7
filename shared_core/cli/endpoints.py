"""``hfrouter endpoints``: create, watch and end Inference Endpoints; machines and prices."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from shared_core import RouterClient
from shared_core.cli.options import seconds
from shared_core.cli.output import UsageError, note, table

if TYPE_CHECKING:
    from shared_core import Endpoint, EndpointInfo, Hardware

HEAD = ("NAME", "NAMESPACE", "STATE", "MODEL", "MACHINE", "ADDRESS")
MACHINES = ("VENDOR", "REGION", "MACHINE", "SIZE", "GPU GB", "$/HOUR", "STATUS")


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command's parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "endpoints",
        help="manage Inference Endpoints",
        description="Create, watch and end Inference Endpoints. The token needs the permission "
        "inference.endpoints.write. What changes something is never repeated by itself.",
    )
    command.add_argument("--endpoints-url", metavar="URL", help="another control plane")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _action(actions, "list", _list, "list endpoints")
    listing.add_argument("--all", action="store_true", help="of all your organisations too")
    for name, work, text in (
        ("get", _get, "show one endpoint"),
        ("pause", _pause, "end its machines until it is resumed"),
        ("resume", _resume, "start it after a pause"),
        ("scale-to-zero", _scale_to_zero, "end its machines until the next call"),
    ):
        _action(actions, name, work, text, named=True)
    _add_create(_action(actions, "create", _create, "create an endpoint; billed", named=True))
    ending = _action(actions, "delete", _delete, "delete an endpoint for good", named=True)
    ending.add_argument("--yes", action="store_true", help="really delete it")
    waiting = _action(actions, "wait", _wait, "wait until it answers", named=True)
    waiting.add_argument("--for", dest="patience", type=seconds, metavar="SECONDS", default=1800.0)
    logs = _action(actions, "logs", _logs, "print its log", named=True)
    logs.add_argument("--tail", type=int, metavar="N", help="the last N lines")
    logs.add_argument("--follow", action="store_true", help="go on as it is written")
    machines = _action(actions, "hardware", _hardware, "list machines with prices")
    machines.add_argument("--accelerator", metavar="KIND", help="only cpu, gpu or neuron")
    machines.add_argument("--vendor", metavar="NAME", help="only this cloud")
    deploying = _action(actions, "deploy", _deploy, "create one as recommended; billed")
    deploying.add_argument("repository", metavar="MODEL", help="a model of the catalog")
    deploying.add_argument("--name", help="name of the endpoint")
    deploying.add_argument("--accelerator", metavar="KIND", help="cpu, gpu or neuron")
    _action(actions, "catalog", _catalog, "list models with recommended settings")
    return command


def _action(
    actions: Any, name: str, work: Callable[..., int], text: str, *, named: bool = False
) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    if named:
        action.add_argument("name", metavar="NAME")
    action.add_argument("--namespace", metavar="NAME", help="user or organisation; default you")
    action.add_argument("--json", action="store_true", help="print JSON lines")
    action.set_defaults(work=work)
    return action


def _add_create(command: argparse.ArgumentParser) -> None:
    for name in ("repository", "vendor", "region", "accelerator"):
        command.add_argument(f"--{name}", required=True)
    for name in ("instance-type", "instance-size"):
        command.add_argument(f"--{name}", required=True)
    for name in ("task", "framework", "revision", "type"):
        command.add_argument(f"--{name}")
    for name in ("min-replica", "max-replica", "scale-to-zero-timeout"):
        command.add_argument(f"--{name}", type=int, metavar="N")
    command.add_argument("--image", metavar="JSON", help='e.g. {"vLLM": {"url": "..."}}')


CREATE = (
    "repository",
    "vendor",
    "region",
    "accelerator",
    "instance_type",
    "instance_size",
    "task",
    "framework",
    "revision",
    "type",
    "min_replica",
    "max_replica",
    "scale_to_zero_timeout",
)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    with RouterClient(endpoints_url=options.endpoints_url) as client:
        work: Callable[[RouterClient, argparse.Namespace], int] = options.work
        return work(client, options)


def _show(found: Iterable[EndpointInfo], options: argparse.Namespace) -> int:
    entries = list(found)
    if options.json:
        for info in entries:
            print(json.dumps(info.raw, ensure_ascii=False))
    elif entries:
        print(table(HEAD, [row(info) for info in entries]))
    return 0


def row(info: EndpointInfo) -> list[str]:
    """Return an endpoint's cells."""
    machine = " ".join(part for part in (info.instance_type, info.instance_size) if part)
    cells = (info.name, info.namespace, info.state, info.repository, machine, info.url)
    return [cell or "-" for cell in cells]


def _list(client: RouterClient, options: argparse.Namespace) -> int:
    found = client.endpoints.list("*" if options.all else options.namespace)
    _show((endpoint.info for endpoint in found), options)
    note(f"{len(found)} endpoints")
    return 0


def _one(endpoint: Endpoint, options: argparse.Namespace) -> int:
    if endpoint.info.error_message:
        note(endpoint.info.error_message)
    return _show([endpoint.info], options)


def _get(client: RouterClient, options: argparse.Namespace) -> int:
    return _one(client.endpoints.get(options.name, namespace=options.namespace), options)


def _pause(client: RouterClient, options: argparse.Namespace) -> int:
    return _one(client.endpoints.pause(options.name, namespace=options.namespace), options)


def _resume(client: RouterClient, options: argparse.Namespace) -> int:
    return _one(client.endpoints.resume(options.name, namespace=options.namespace), options)


def _scale_to_zero(client: RouterClient, options: argparse.Namespace) -> int:
    return _one(client.endpoints.scale_to_zero(options.name, namespace=options.namespace), options)


def _create(client: RouterClient, options: argparse.Namespace) -> int:
    given: Any = {name: getattr(options, name) for name in CREATE}
    if options.image is not None:
        try:
            given["image"] = json.loads(options.image)
        except ValueError as error:
            raise UsageError(f"--image is not JSON: {error}") from None
    made = client.endpoints.create(options.name, namespace=options.namespace, **given)
    return _one(made, options)


def _delete(client: RouterClient, options: argparse.Namespace) -> int:
    if not options.yes:
        raise UsageError(f"{options.name} would be deleted for good\nAdd --yes to do so.")
    client.endpoints.delete(options.name, namespace=options.namespace)
    note(f"deleted {options.name}")
    return 0


def _wait(client: RouterClient, options: argparse.Namespace) -> int:
    last = ""

    def progress(info: EndpointInfo, elapsed: float) -> None:
        nonlocal last
        if info.state != last:
            note(f"{elapsed:6.0f} s  {info.state}  {info.message or ''}".rstrip())
            last = info.state

    endpoint = client.endpoints.wait(
        options.name, namespace=options.namespace, timeout=options.patience, progress=progress
    )
    return _one(endpoint, options)


def _logs(client: RouterClient, options: argparse.Namespace) -> int:
    if not options.follow:
        text = client.endpoints.logs(options.name, namespace=options.namespace, tail=options.tail)
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    with client.endpoints.follow_logs(
        options.name, namespace=options.namespace, tail=options.tail
    ) as lines:
        for line in lines:
            print(line, flush=True)
    return 0


def _hardware(client: RouterClient, options: argparse.Namespace) -> int:
    found = [
        machine
        for machine in client.endpoints.hardware(options.namespace)
        if options.accelerator in (None, machine.accelerator)
        and options.vendor in (None, machine.vendor)
    ]
    found.sort(key=lambda machine: machine.price_per_hour or 0.0)
    if options.json:
        for machine in found:
            place = {"vendor": machine.vendor, "region": machine.region}
            print(json.dumps({**place, **machine.raw}, ensure_ascii=False))
    elif found:
        print(table(MACHINES, [_machine(machine) for machine in found]))
    note(f"{len(found)} machines")
    return 0


def _machine(machine: Hardware) -> list[str]:
    price, memory = machine.price_per_hour, machine.gpu_memory_gb
    return [
        machine.vendor,
        machine.region,
        machine.instance_type or "-",
        machine.instance_size or "-",
        f"{memory:g}" if memory else "-",
        f"{price:.2f}" if price is not None else "-",
        machine.status or "-",
    ]


def _catalog(client: RouterClient, options: argparse.Namespace) -> int:
    for model in client.endpoints.catalog():
        print(json.dumps(model) if options.json else model)
    return 0


def _deploy(client: RouterClient, options: argparse.Namespace) -> int:
    made = client.endpoints.deploy(
        options.repository,
        name=options.name,
        namespace=options.namespace,
        accelerator=options.accelerator,
    )
    return _one(made, options)
