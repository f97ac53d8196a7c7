"""Every opt-in mechanism has every kind of evidence, and the docs say how it is misused.

A test names what it proves by ``@pytest.mark.evidence("retry", "model", "property")``: a mechanism,
then kinds. A kind must show in the test's own source, so that a mark cannot promise what the test
does not do.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.servers import ROOT

MECHANISMS = {
    "retry": ("resilience.md", "Retry"),
    "deadline": ("resilience.md", "Deadline"),
    "circuit-breaker": ("resilience.md", "Circuit breaker"),
    "rate-limiter": ("resilience.md", "Rate limiter"),
    "shared-rate-limit": ("resilience.md", "Rate limits of several processes"),
    "failover": ("resilience.md", "Failover"),
    "health-checks": ("resilience.md", "Health checks"),
    "streams": ("resilience.md", "Going on with a cut answer"),
    "presets": ("resilience.md", "Presets"),
    "cache": ("cache.md", "Cache"),
    "single-flight": ("cache.md", "Single flight"),
    "sqlite-store": ("cache.md", "A store in a file"),
    "redis-store": ("cache.md", "A store in Redis"),
    "budget": ("cache.md", "Budget"),
    "configuration": ("dynamic-configuration.md", "The store"),
    "callbacks": ("telemetry.md", "Events"),
    "metrics": ("telemetry.md", "Metrics in this process"),
    "prometheus": ("telemetry.md", "Prometheus"),
    "opentelemetry": ("telemetry.md", "OpenTelemetry"),
    "call-log": ("telemetry.md", "Logs"),
}
"""Mechanism -> the page and the heading that document it."""


@dataclass(frozen=True)
class Evidence:
    """One test that names a mechanism and kinds."""

    name: str
    source: str
    marks: tuple[str, ...]


SOCKETS = re.compile(r"\b(server|both|cutting|redis_url|file_store|cut_and_resumed|FaultServer)\b")
KINDS: dict[str, Callable[[Evidence], bool]] = {
    # The rules, without sockets: on a clock moved by hand where there is time in them.
    "model": lambda test: not SOCKETS.search(test.source),
    # Invariants over any input, by hypothesis; a state machine where there is state.
    "property": lambda test: "given(" in test.source or test.name.endswith(".TestCase"),
    # Over real sockets (or a real file), blocking ...
    "sync": lambda test: bool(SOCKETS.search(test.source)),
    # ... and asynchronous.
    "async": lambda test: (
        bool(SOCKETS.search(test.source))
        and bool(re.search(r"\basync def|asyncio\.run|\bboth\b|cut_and_resumed", test.source))
    ),
    "threads": lambda test: "threading.Thread(" in test.source,
    "tasks": lambda test: bool(re.search(r"\.(gather|create_task|ensure_future)\(", test.source)),
}
"""Kind -> whether a test's source can be evidence of it."""


def evidence_of(file: Path) -> Iterator[Evidence]:
    """Yield every use of ``pytest.mark.evidence`` in *file*, with the source it stands at."""
    text = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [one for one in node.decorator_list if isinstance(one, ast.Call)]
            name, target = node.name, ast.unparse(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            # TestMachine = pytest.mark.evidence(...)(Machine.TestCase)
            calls = [node.value.func] if isinstance(node.value.func, ast.Call) else []
            name = target = ast.unparse(node.value.args[0]) if node.value.args else ""
        else:
            continue
        for call in calls:
            if ast.unparse(call.func) == "pytest.mark.evidence":
                marks = tuple(ast.literal_eval(argument) for argument in call.args)
                yield Evidence(name, target, marks)


@cache
def evidence() -> tuple[Evidence, ...]:
    """Return all evidence in the tests."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return tuple(one for file in files for one in evidence_of(file))


def section(page: str, heading: str) -> str:
    """Return what stands under *heading* in *page*, with its subsections."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    until = r"(?=^\1 |^#{1,2} |\Z)"  # the next heading of this level or above
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?){until}", text, re.M | re.S)
    assert found, f"docs/{page} has no section {heading!r}"
    return found[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism_has_each_kind_of_evidence(mechanism: str, kind: str) -> None:
    found = [one.name for one in evidence() if one.marks[0] == mechanism and kind in one.marks[1:]]
    assert found, f"no test is marked as evidence of {mechanism}: {kind}"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_docs_say_how_it_is_misused(mechanism: str) -> None:
    assert "**Misuse.**" in section(*MECHANISMS[mechanism])


def test_marks_name_what_exists_and_what_the_source_shows() -> None:
    for one in evidence():
        mechanism, *kinds = one.marks
        assert mechanism in MECHANISMS, f"{one.name}: {mechanism}"
        assert kinds, f"{one.name} names no kind"
        for kind in kinds:
            assert kind in KINDS, f"{one.name}: {kind}"
            assert KINDS[kind](one), f"{one.name} does not show that it is evidence by {kind}"


def test_marks_are_found_at_functions_and_state_machines_only(tmp_path: Path) -> None:
    file = tmp_path / "test_x.py"
    file.write_text(
        '@pytest.mark.evidence("retry", "model")\n@pytest.mark.evidence("cache", "sync")\n'
        'def test_a(): ...\n@pytest.mark.parametrize("x", [1])\ndef test_b(): ...\n'
        'TestM = pytest.mark.evidence("retry", "property")(M.TestCase)\nTestN = N.TestCase\n'
        'pytestmark = pytest.mark.evidence("retry", "threads")\n'
    )
    assert sorted((one.name, one.marks) for one in evidence_of(file)) == [
        ("M.TestCase", ("retry", "property")),
        ("test_a", ("cache", "sync")),
        ("test_a", ("retry", "model")),
    ]


def test_a_mark_that_promises_too_much_is_seen() -> None:
    plain = Evidence("test_x", "def test_x(clock): assert clock() == 1", ())
    served = Evidence("test_y", "def test_y(server): client.chat.create('x')", ())
    assert [kind for kind, shows in KINDS.items() if shows(plain)] == ["model"]
    assert [kind for kind, shows in KINDS.items() if shows(served)] == ["sync"]
