"""The import rules of docs/architecture.md, read from the source."""

from __future__ import annotations

import ast

import pytest

from tests.contract.source import PACKAGES, Import, dotted, imports, modules, targets, tree


def part_of(module: str) -> str:
    """Return the part of ``shared_core`` that *module* belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


FOUNDATION = {"constants", "log", "errors", "closing"}
FOUNDATION |= {part for part in map(part_of, modules()) if part.startswith("error_")}
PLUMBING = FOUNDATION | {"config", "callbacks", "flow", "tokens", "wire.messages"}
DOMAIN = PLUMBING | {"core", "streaming", "wire.sse", "wire.json_text", "wire.fields"}

#: Part of ``shared_core`` -> the parts it may import at run time. Itself is always allowed.
MAY_IMPORT = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    "callbacks": FOUNDATION,
    "config": FOUNDATION,
    "tokens": FOUNDATION,
    "flow": FOUNDATION | {"wire.messages"},
    "wire": PLUMBING,
    "resilience": FOUNDATION | {"flow", "callbacks", "config", "wire.messages"},
    "core": PLUMBING | {"resilience"},
    "streaming": FOUNDATION | {"flow", "wire.messages"},
    "live": PLUMBING | {"core"},
    "telemetry": PLUMBING | {"resilience"},
    "media": PLUMBING | {"core"},
    "tasks": DOMAIN | {"media", "providers"},
    "providers": DOMAIN | {"media", "tasks.spec", "hub.parsing", "hub.types"},
    "chat": DOMAIN | {"media.kinds"},
    "embeddings": DOMAIN,
    "hub": DOMAIN,
    "responses": DOMAIN | {"chat"},
    "endpoints": DOMAIN | {"hub"},
    "servers": DOMAIN,
}
#: ``client`` composes everything, ``local`` answers for the network; neither knows the command.
COMPOSERS = {"client", "client_base", "local"}


def allowed(importer: str, target: str) -> bool:
    """Tell whether a part may import *target*, both dotted names in ``shared_core``."""
    part = part_of(importer)
    if part_of(target) == part:
        return True
    if part in COMPOSERS or part == "__init__":
        return part_of(target) != "cli"
    inside = target.removeprefix("shared_core.")
    return any(inside == name or inside.startswith(f"{name}.") for name in MAY_IMPORT[part])


def run_time_imports(package: str) -> list[Import]:
    """Return every import of *package* that is not for type checkers only."""
    names = [name for name in modules() if name.split(".")[0] == package]
    return [found for name in names for found in imports(name) if not found.typing_only]


def test_every_part_of_the_core_has_a_rule() -> None:
    parts = {part_of(name) for name in modules() if name.startswith("shared_core")}
    assert parts - COMPOSERS - {"__init__", "cli"} <= MAY_IMPORT.keys()


def test_core_parts_import_downward_only() -> None:
    wrong = [
        str(found)
        for found in run_time_imports("shared_core")
        if part_of(found.importer) != "cli"
        for target in targets(found)
        if target.startswith("shared_core.") and not allowed(found.importer, target)
    ]
    assert wrong == []


def test_domains_do_not_know_each_other_even_in_types() -> None:
    domains = {"chat", "embeddings", "hub"}
    wrong = [
        str(found)
        for name in modules()
        if part_of(name) in domains and name.startswith("shared_core")
        for found in imports(name)
        for target in targets(found)
        if part_of(target) in domains - {part_of(name)}
    ]
    assert wrong == []


def test_resilience_knows_no_domain_even_in_types() -> None:
    wrong = [
        str(found)
        for name in modules()
        if name.startswith("shared_core.resilience")
        for found in imports(name)
        for target in targets(found)
        if part_of(target) in {"chat", "embeddings", "hub", "local", "client"}
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["langchain_hfrouter", "llama_index_hfrouter"])
def test_adapters_import_root_names_of_the_core_only(package: str) -> None:
    names = [name for name in modules() if name.split(".")[0] == package]
    wrong = [
        str(found)
        for name in names
        for found in imports(name)
        for target in targets(found)
        if target != "shared_core" and target.split(".")[0] != package
    ]
    assert wrong == []


def test_command_line_uses_root_names_and_adapters_only() -> None:
    wrong = [
        str(found)
        for found in run_time_imports("shared_core")
        if part_of(found.importer) == "cli"
        for target in targets(found)
        if target not in PACKAGES and part_of(target) != "cli"
    ]
    assert wrong == []


def test_core_knows_no_adapter_and_no_framework() -> None:
    frameworks = {"langchain_core", "langchain", "llama_index", *PACKAGES[1:]}
    wrong = [
        str(found)
        for found in run_time_imports("shared_core")
        if found.module.split(".")[0] in frameworks and part_of(found.importer) != "cli"
    ]
    assert wrong == []


def test_only_the_wire_touches_http_libraries() -> None:
    libraries = {"httpx", "httpcore", "h11", "requests", "aiohttp", "urllib3", "socket"}
    wrong = [
        str(found)
        for package in PACKAGES
        for found in run_time_imports(package)
        if found.module.split(".")[0] in libraries and part_of(found.importer) != "wire"
    ]
    assert wrong == []


def test_token_is_unwrapped_in_one_module() -> None:
    # Configuration takes a caller's SecretStr apart to wrap its text in a Secret of ours;
    # everything after that stays wrapped until the wire writes the header, or until the
    # official client is handed it to download a model.
    callers = {module for module, name, _ in _calls() if name.endswith("get_secret_value")}
    assert callers <= {
        "shared_core.wire.http",
        "shared_core.config.secrets",
        "shared_core.config.settings",
        "shared_core.local.hub",
    }


def test_packages_never_run_an_event_loop() -> None:
    banned = {"asyncio.run", "anyio.run", "loop.run_until_complete", "nest_asyncio.apply"}
    wrong = [
        f"{module}:{line} {name}"
        for module, name, line in _calls()
        if name in banned and not module.startswith("shared_core.cli")
    ]
    assert wrong == []


def test_durations_are_measured_on_the_monotonic_clock() -> None:
    # The wall clock is read to understand dates that a server sends, and to date an answer
    # that is made here; nowhere else.
    reads_dates = {"shared_core.error_waits", "shared_core.local.shapes"}
    wrong = [
        f"{module}:{line}"
        for module, name, line in _calls()
        if name in {"time.time", "datetime.now", "datetime.datetime.now"}
        and module not in reads_dates
    ]
    assert wrong == []


def test_no_broad_exception_is_swallowed_in_silence() -> None:
    broad = {"", "Exception", "BaseException", "RouterError", "APIError"}
    wrong = [
        f"{module}:{node.lineno}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(statement, ast.Pass) for statement in node.body)
        and (node.type is None or dotted(node.type) in broad)
    ]
    assert wrong == []


def _calls() -> list[tuple[str, str, int]]:
    return [
        (module, dotted(node.func), node.lineno)
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
    ]
