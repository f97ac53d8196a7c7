"""The configuration store: whole or not at all, versions, watchers, rollback, files."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared_core.config.store import ConfigStore, Snapshot
from shared_core.errors import InvalidSettingError


@dataclass(frozen=True)
class Limits:
    low: int = 0
    high: int = 10
    names: tuple[str, ...] = ()
    table: Any = field(default=None)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


@pytest.mark.evidence("configuration", "model")
def test_a_change_is_seen_at_once_and_an_old_snapshot_stays_as_it_was() -> None:
    store = ConfigStore(Limits())
    before = store.snapshot
    after = store.update(low=3, high=5)
    assert store.value == Limits(3, 5)
    assert (store.version, after.version, after.source) == (2, 2, "update")
    assert after.changed == ("high", "low")
    assert before.value == Limits()
    assert "3" not in repr(after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 3, "hihg": 4}, "did you mean 'high'"),
        ({"low": 11}, "low must not be above high"),
        ({"names": ["a"]}, "names holds a list"),
        ({"table": {}}, "table holds a dict"),
    ],
)
def test_a_bad_change_is_refused_as_a_whole(changes: dict[str, Any], message: str) -> None:
    store = ConfigStore(Limits())
    with pytest.raises(InvalidSettingError, match=message):
        store.update(**changes)
    assert store.value == Limits()
    assert store.version == 1
    assert store.status.refused == 1
    assert message in str(store.status.last_error)
    store.update(low=1)
    assert store.status.last_error is None


def test_a_check_of_the_users_own_is_asked_first() -> None:
    def check(value: Limits) -> None:
        if value.high > 100:
            raise InvalidSettingError("high is above 100", setting="high")

    store = ConfigStore(Limits(), check=check)
    with pytest.raises(InvalidSettingError, match="above 100"):
        store.update(high=101)
    with pytest.raises(InvalidSettingError, match="above 100"):
        ConfigStore(Limits(high=200), check=check)


@pytest.mark.parametrize("raised", [KeyError("no"), AssertionError("no"), ZeroDivisionError("no")])
def test_whatever_a_check_raises_is_a_refusal(raised: Exception) -> None:
    def check(value: Limits) -> None:
        if value.high > 100:
            raise raised

    store = ConfigStore(Limits(), check=check)
    with pytest.raises(InvalidSettingError, match=rf"refused: {type(raised).__name__}\("):
        store.update(high=101)
    assert (store.value, store.status.refused) == (Limits(), 1)


@pytest.mark.parametrize("value", [None, {}, Limits, object()])
def test_only_frozen_dataclasses_are_configurations(value: Any) -> None:
    @dataclass
    class Loose:
        x: int = 1

    for wrong in (value, Loose()):
        with pytest.raises(InvalidSettingError, match="frozen dataclass"):
            ConfigStore(wrong)
        with pytest.raises(InvalidSettingError, match="configuration must be"):
            ConfigStore(Limits()).replace(wrong)


def test_nothing_new_makes_no_version() -> None:
    store = ConfigStore(Limits())
    seen: list[Snapshot[Limits]] = []
    store.watch(lambda _, new: seen.append(new))
    assert store.update(low=0) is store.snapshot
    assert store.version == 1
    assert seen == []


def test_rollback_goes_to_any_version_that_is_kept() -> None:
    store = ConfigStore(Limits(), keep=3)
    for high in (11, 12, 13):
        store.update(high=high)
    assert [snapshot.version for snapshot in store.history] == [2, 3, 4]
    assert store.rollback().value.high == 12
    assert store.rollback(3).version == 5 or store.value.high == 12
    with pytest.raises(InvalidSettingError, match="no version 1"):
        store.rollback(1)
    everything = ConfigStore(Limits(), keep=None)
    for high in range(11, 300):
        everything.update(high=high)
    assert everything.rollback(1).value == Limits()
    assert everything.snapshot.source == "rollback to 1"


def test_an_expected_version_protects_against_lost_updates() -> None:
    store = ConfigStore(Limits())
    store.update(expected_version=1, low=1)
    with pytest.raises(InvalidSettingError, match="version 2, not 1"):
        store.update(expected_version=1, low=2)
    with pytest.raises(InvalidSettingError, match="version 2, not 1"):
        store.replace(Limits(5), expected_version=1)


def test_a_change_that_came_between_is_built_upon() -> None:
    between: list[int] = []

    def check(value: Limits) -> None:
        if value.low == 1 and not between:
            between.append(1)
            store.update(high=20)

    store = ConfigStore(Limits(), check=check)
    store.update(low=1)
    assert store.value == Limits(1, 20)
    assert [snapshot.value for snapshot in store.history[1:]] == [Limits(0, 20), Limits(1, 20)]


def test_watchers_see_old_and_new_in_order_and_can_leave() -> None:
    store = ConfigStore(Limits())
    seen: list[tuple[int, int]] = []
    stop = store.watch(lambda old, new: seen.append((old.value.low, new.value.low)))
    store.update(low=1)
    store.update(low=2)
    stop()
    stop()
    store.update(low=3)
    assert seen == [(0, 1), (1, 2)]


def test_a_failing_watcher_is_reported_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store = ConfigStore(Limits())
    seen: list[int] = []

    def broken(old: Snapshot[Limits], new: Snapshot[Limits]) -> None:
        raise RuntimeError("no")

    store.watch(broken)
    store.watch(lambda _, new: seen.append(new.version))
    with caplog.at_level(logging.WARNING, "hfrouter"):
        store.update(low=1)
    assert seen == [2]
    assert store.value.low == 1
    assert store.status.watcher_errors == 1
    assert "broken raised RuntimeError at version 2" in caplog.text


def test_a_watcher_may_ask_for_rollback_and_all_hear_of_it() -> None:
    store = ConfigStore(Limits())
    seen: list[int] = []

    def veto(old: Snapshot[Limits], new: Snapshot[Limits]) -> None:
        if new.value.low == 7:
            raise RuntimeError("not seven")

    store.watch(veto, on_error="rollback")
    store.watch(lambda _, new: seen.append(new.value.low))
    store.update(low=7)
    assert store.value.low == 0
    assert store.version == 3
    assert seen == [7, 0]
    with pytest.raises(InvalidSettingError, match="on_error"):
        store.watch(veto, on_error="explode")  # type: ignore[arg-type]


def test_a_rollback_by_a_watcher_does_not_undo_a_later_change() -> None:
    store = ConfigStore(Limits())

    def changes_and_fails(old: Snapshot[Limits], new: Snapshot[Limits]) -> None:
        if new.version == 2:
            store.update(high=20)
            raise RuntimeError("no")

    store.watch(changes_and_fails, on_error="rollback")
    store.update(low=1)
    assert store.value == Limits(1, 20)


def test_a_watcher_may_change_the_configuration_again() -> None:
    store = ConfigStore(Limits())
    seen: list[int] = []

    def follow(old: Snapshot[Limits], new: Snapshot[Limits]) -> None:
        seen.append(new.version)
        if new.value.high < 13:
            store.update(high=new.value.high + 1)

    store.watch(follow)
    store.update(low=1)
    assert store.value.high == 13
    assert seen == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"low": 2, "names": ["a", "b"]}'),
        ("c.toml", 'low = 2\nnames = ["a", "b"]\n'),
        ("c.yaml", "low: 2\nnames: [a, b]\n"),
    ],
)
def test_a_file_replaces_the_whole(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    store = ConfigStore(Limits(high=50))
    store.update(high=99)
    snapshot = store.load(file)
    assert snapshot.value == Limits(2, 50, ("a", "b"))
    assert snapshot.source == f"file {file}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", "{nonsense secret-value", "not valid JSON"),
        ("c.toml", "low = = secret-value", "not valid TOML"),
        ("c.yaml", "low: [1,\nsecret-value: {", "not valid YAML"),
        ("c.json", "[1]", "must hold a table"),
        ("c.json", '{"lwo": 1}', "did you mean 'low'"),
        ("c.json", '{"low": 99}', "low must not be above high"),
        ("c.json", '{"api_key": "secret-value"}', "a token is not configuration"),
        ("c.ini", "low=1", "must end in"),
        ("missing.json", None, "No such file"),
        ("c.json", "[" * 100_000, "not valid JSON"),
        ("c.json", '{"low": 1}' + " " * 2**20, "larger than"),
    ],
)
def test_a_bad_file_changes_nothing(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text, encoding="utf-8")
    store = ConfigStore(Limits())
    store.update(low=4)
    with pytest.raises(InvalidSettingError, match=message) as caught:
        store.load(file)
    assert "secret-value" not in str(caught.value)
    assert store.value.low == 4
    assert message in str(store.status.last_error)


def test_an_empty_yaml_file_means_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.yml"
    file.write_text("# nothing\n", encoding="utf-8")
    store = ConfigStore(Limits())
    store.update(low=4)
    assert store.load(file).value == Limits()


def test_a_copy_has_the_values_and_no_watchers() -> None:
    store = ConfigStore(Limits())
    store.update(low=1)
    store.watch(lambda _old, _new: None)
    for twin in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert twin.value == Limits(1)
        assert twin.status.watchers == 0
        twin.update(low=2)
    assert store.value.low == 1


@pytest.mark.evidence("configuration", "threads")
def test_threads_never_see_a_mixture_and_lose_no_update() -> None:
    store = ConfigStore(Limits(0, 0), keep=None)
    versions: list[int] = []
    store.watch(lambda _, new: versions.append(new.version))
    stop, torn = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            value = store.value
            if value.low != value.high:
                torn.append(value)

    def write() -> None:
        done = 0
        while done < 100:
            now = store.snapshot
            n = now.value.low + 1
            try:
                store.update(expected_version=now.version, low=n, high=n)
            except InvalidSettingError:
                continue  # another thread was faster
            done += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert torn == []
    assert store.value == Limits(400, 400)
    assert versions == list(range(2, 402))


class StoreMachine(RuleBasedStateMachine):
    """The store against a list of values."""

    def __init__(self) -> None:
        super().__init__()
        self.store = ConfigStore(Limits(), keep=5)
        self.model = [Limits()]
        self.told: list[int] = []
        self.store.watch(lambda _, new: self.told.append(new.version))

    @rule(low=st.integers(0, 20), high=st.integers(0, 20))
    def update(self, low: int, high: int) -> None:
        if low > high:
            with pytest.raises(InvalidSettingError):
                self.store.update(low=low, high=high)
        else:
            self.store.update(low=low, high=high)
            if self.model[-1] != Limits(low, high):
                self.model.append(Limits(low, high))

    @precondition(lambda self: len(self.model) > 1)
    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        version = data.draw(st.integers(1, len(self.model)))
        if version <= len(self.model) - 5:
            with pytest.raises(InvalidSettingError):
                self.store.rollback(version)
        else:
            self.store.rollback(version)
            if self.model[version - 1] != self.model[-1]:
                self.model.append(self.model[version - 1])

    @invariant()
    def agrees(self) -> None:
        assert self.store.value == self.model[-1]
        assert self.store.version == len(self.model)
        assert self.told == list(range(2, len(self.model) + 1))
        assert [s.value for s in self.store.history] == self.model[-5:]


TestStoreMachine = pytest.mark.evidence("configuration", "property")(StoreMachine.TestCase)


@given(st.dictionaries(st.sampled_from(["low", "high"]), st.integers(-5, 5)))
def test_json_and_update_mean_the_same(tmp_path_factory: Any, values: dict[str, int]) -> None:
    file = tmp_path_factory.mktemp("c") / "c.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    by_file, by_call = ConfigStore(Limits()), ConfigStore(Limits())
    if values.get("low", 0) > values.get("high", 10):
        with pytest.raises(InvalidSettingError):
            by_file.load(file)
        return
    by_file.load(file)
    by_call.update(**values)
    assert by_file.value == by_call.value
