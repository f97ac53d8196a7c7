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
    creating = _action(actions, "create", _create, "create an endpoint; billed", named=True)
    _add_fields(creating, needed=True)
    changing = _action(actions, "update", _update, "change what is named", named=True)
    _add_fields(changing, needed=False)
    ending = _action(actions, "delete", _delete, "delete an endpoint for good", named=True)
    ending.add_argument("--yes", action="store_true", help="really delete it")
    waiting = _action(actions, "wait", _wait, "wait until it answers", named=True)
    waiting.add_argument("--for", dest="patience", type=seconds, metavar="SECONDS", default=1800.0)
    logs = _action(actions, "logs", _logs, "print its log", named=True)
    logs.add_argument("--tail", type=int, metavar="N", help="the last N lines")
    logs.add_argument("--follow", action="store_true", help="go on as it is written")
    logs.add_argument("--replica", metavar="ID", help="of one machine only")
    logs.add_argument(
        "--structured", action="store_true", help="JSON entries, where the service has them"
    )
    for name, text in (
        ("level", "only entries of this level"),
        ("search", "only entries with this text"),
        ("since", "from then on, e.g. 2026-01-02T03:04:05Z"),
        ("until", "up to then"),
    ):
        logs.add_argument(f"--{name}", help=f"{text}; with --structured")
    logs.add_argument("--limit", type=int, metavar="N", help="entries at most; with --structured")
    _action(actions, "replicas", _replicas, "print its machines as JSON", named=True)
    metrics = _action(actions, "metrics", _metrics, "print measurements as JSON", named=True)
    metrics.add_argument("metric", nargs="?", help="one of them, e.g. hardware-cpu")
    metrics.add_argument("--params", metavar="JSON", help="body of the question")
    metrics.add_argument("--open", action="store_true", help="text for Prometheus instead")
    _action(actions, "quotas", _quotas, "print quotas as JSON")
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


NEEDED = ("repository", "vendor", "region", "accelerator", "instance_type", "instance_size")
TEXTS = ("task", "framework", "revision", "type", "domain", "path")
NUMBERS = ("min_replica", "max_replica", "scale_to_zero_timeout")


def _add_fields(command: argparse.ArgumentParser, *, needed: bool) -> None:
    for name in NEEDED:
        command.add_argument(_option(name), required=needed)
    for name in TEXTS:
        command.add_argument(_option(name))
    for name in NUMBERS:
        command.add_argument(_option(name), type=int, metavar="N")
    command.add_argument("--tag", action="append", dest="tags", help="may be repeated")
    command.add_argument("--image", metavar="JSON", help='e.g. {"vLLM": {"url": "..."}}')


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _json(options: argparse.Namespace, name: str) -> Any:
    """Return the JSON value of an option, None if it is not given.

    Raises:
        UsageError: It is not JSON.
    """
    text = getattr(options, name)
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise UsageError(f"{_option(name)} is not JSON: {error}") from None


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


def _fields(options: argparse.Namespace) -> Any:
    names = (*NEEDED, *TEXTS, *NUMBERS, "tags")
    return {name: getattr(options, name) for name in names} | {"image": _json(options, "image")}


def _create(client: RouterClient, options: argparse.Namespace) -> int:
    made = client.endpoints.create(options.name, namespace=options.namespace, **_fields(options))
    return _one(made, options)


def _update(client: RouterClient, options: argparse.Namespace) -> int:
    changed = client.endpoints.update(options.name, namespace=options.namespace, **_fields(options))
    return _one(changed, options)


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


ENTRY_FILTERS = ("level", "search", "since", "until", "limit")


def _logs(client: RouterClient, options: argparse.Namespace) -> int:
    place = {"namespace": options.namespace, "tail": options.tail, "replica": options.replica}
    filters = {name: getattr(options, name) for name in ENTRY_FILTERS}
    given = {name: value for name, value in filters.items() if value is not None}
    if options.structured:
        return _entries(client, options, place | given)
    if given:
        raise UsageError(f"{_option(next(iter(given)))} needs --structured")
    if not options.follow:
        text = client.endpoints.logs(options.name, **place)
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    with client.endpoints.follow_logs(options.name, **place) as lines:
        for line in lines:
            print(line, flush=True)
    return 0


def _entries(client: RouterClient, options: argparse.Namespace, query: Any) -> int:
    if not options.follow:
        return _print(client.endpoints.log_entries(options.name, **query))
    with client.endpoints.follow_log_entries(options.name, **query) as entries:
        for entry in entries:
            print(json.dumps(entry, ensure_ascii=False), flush=True)
    return 0


def _print(value: Any) -> int:
    """Print what the service sent: a list of JSON as lines."""
    for item in value if isinstance(value, list) else [value]:
        print(json.dumps(item, ensure_ascii=False))
    return 0


def _replicas(client: RouterClient, options: argparse.Namespace) -> int:
    return _print(client.endpoints.replicas(options.name, namespace=options.namespace))


def _metrics(client: RouterClient, options: argparse.Namespace) -> int:
    if options.open:
        if options.metric is not None or options.params is not None:
            raise UsageError("--open prints all measurements: leave the metric and --params out")
        print(client.endpoints.open_metrics(options.name, namespace=options.namespace), end="")
        return 0
    found = client.endpoints.metrics(
        options.name,
        options.metric,
        namespace=options.namespace,
        params=_json(options, "params"),
    )
    return _print(found)


def _quotas(client: RouterClient, options: argparse.Namespace) -> int:
    return _print(client.endpoints.quotas(options.namespace))


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
