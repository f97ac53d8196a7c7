"""The token: order of places, files that are parsed and not executed, nothing shown."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared_core.config.secrets import Secret, TokenSource
from shared_core.config.token_files import hub_token_path, parse_assignments
from shared_core.errors import InvalidSettingError, MissingTokenError

NAMES = ("HF_TOKEN", "HUGGINGFACE_API_KEY", "HUGGINGFACEHUB_API_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project two folders deep, with every file that may hold a token."""
    project = tmp_path / "home" / "project"
    (project / "secret").mkdir(parents=True)
    (project / ".env").write_text("# mine\nOTHER=1\nHF_TOKEN='from-env-file'\n")
    (project / "secret" / "-secrets.sh").write_text('export HF_TOKEN="from-secrets"\n')
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "token").write_text("from-hub\n")
    (project / "deep" / "er").mkdir(parents=True)
    return project


def source(place: Path, value: Any = None, **env: str) -> TokenSource:
    env.setdefault("HF_HOME", str(place.parent.parent / "hub"))
    return TokenSource(value, env=env, cwd=place / "deep" / "er")


def value_of(token: Secret | None) -> str | None:
    return None if token is None else token.get_secret_value()


def test_order_of_the_places(place: Path) -> None:
    env = {name: f"from-{name}" for name in NAMES}
    found = source(place, "from-argument", **env)
    assert value_of(found.get()) == "from-argument"
    assert found.origin == "argument"
    for name in NAMES:
        found = source(place, **env)
        assert value_of(found.get()) == f"from-{name}"
        assert found.origin == f"environment variable {name}"
        del env[name]
    found = source(place)
    assert value_of(found.get()) == "from-env-file"
    assert found.origin == f"{place / '.env'} line 3"
    (place / ".env").unlink()
    found = source(place)
    assert value_of(found.get()) == "from-secrets"
    assert found.origin == f"{place / 'secret' / '-secrets.sh'} line 1"
    (place / "secret" / "-secrets.sh").unlink()
    found = source(place)
    assert value_of(found.get()) == "from-hub"
    assert found.origin == str(place.parent.parent / "hub" / "token")


def test_the_nearest_file_with_a_token_wins(place: Path) -> None:
    (place / "deep" / ".env").write_text("HF_TOKEN=nearer")
    assert value_of(source(place).get()) == "nearer"
    (place / "deep" / ".env").write_text("HF_TOKEN=\nPATH=x")
    assert value_of(source(place).get()) == "from-env-file"


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_empty_values_are_passed_over(place: Path, empty: str) -> None:
    found = source(place, empty, HF_TOKEN=empty, HUGGINGFACE_API_KEY="next")
    assert value_of(found.get()) == "next"


@pytest.mark.parametrize("switch", ["1", "true", "YES", " on "])
def test_implicit_tokens_can_be_switched_off(place: Path, switch: str) -> None:
    found = source(place, HF_TOKEN="x", HF_HUB_DISABLE_IMPLICIT_TOKEN=switch)
    assert found.get() is None
    with pytest.raises(MissingTokenError, match="HF_HUB_DISABLE_IMPLICIT_TOKEN is set"):
        found.require()
    found = source(place, "mine", HF_HUB_DISABLE_IMPLICIT_TOKEN=switch)
    assert value_of(found.get()) == "mine"
    found = source(place, HF_TOKEN="x", HF_HUB_DISABLE_IMPLICIT_TOKEN="0")
    assert value_of(found.get()) == "x"


def test_nothing_is_looked_up_before_it_is_needed(place: Path) -> None:
    found = source(place)
    assert found.origin is None
    assert repr(found) == "TokenSource(origin=None)"
    (place / ".env").write_text("HF_TOKEN=later")
    assert value_of(found.get()) == "later"


def test_a_missing_token_names_every_place_and_where_to_get_one(tmp_path: Path) -> None:
    found = TokenSource(env={"HF_HOME": str(tmp_path / "hub")}, cwd=tmp_path)
    with pytest.raises(MissingTokenError) as caught:
        found.require()
    text = str(caught.value)
    for part in (*NAMES, ".env", "secret/-secrets.sh", str(tmp_path / "hub" / "token"), "api_key"):
        assert any(part in place for place in caught.value.looked_at)
    for part in NAMES:
        assert part in text
    assert "https://huggingface.co/settings/tokens" in text
    assert "local=True" in text


def test_a_token_that_is_set_after_the_first_failure_is_found(tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path)}
    found = TokenSource(env=env, cwd=tmp_path)
    assert found.get() is None
    env["HF_TOKEN"] = "now"
    assert value_of(found.require()) == "now"


def test_values_are_stripped() -> None:
    assert value_of(TokenSource(" hf_x\r\n").get()) == "hf_x"
    assert value_of(TokenSource(SecretStr("hf_x\n")).get()) == "hf_x"


@pytest.mark.parametrize("bad", ["hf_schlüssel", "hf_a b", "hf_a\nb", "hf_\x00", "hf_\u200bx"])
def test_tokens_that_cannot_be_sent_are_refused_unseen(bad: str) -> None:
    for make in (lambda: TokenSource(bad), lambda: TokenSource(SecretStr(bad))):
        with pytest.raises(InvalidSettingError) as caught:
            make()
        assert bad not in str(caught.value)
        assert "schl" not in repr(vars(caught.value))
    found = TokenSource(env={"HF_TOKEN": bad})
    with pytest.raises(InvalidSettingError, match="environment variable HF_TOKEN") as caught:
        found.get()
    assert bad not in str(caught.value)


@pytest.mark.parametrize("bad", [5, b"hf_x", ["hf_x"]])
def test_arguments_of_another_type_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidSettingError, match="api_key"):
        TokenSource(bad)


def test_a_foreign_secret_type_must_hold_text() -> None:
    class Odd:
        def get_secret_value(self) -> int:
            return 5

    with pytest.raises(InvalidSettingError, match="must be text"):
        TokenSource(Odd())  # type: ignore[arg-type]


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    (tmp_path / "token").write_text("from-hub")
    found = TokenSource(env={"HF_TOKEN_PATH": str(tmp_path / "token")})
    assert value_of(found.get()) == "from-hub"


class TestCallable:
    def test_is_asked_for_every_request(self) -> None:
        answers = iter(["one", SecretStr("two"), " three\n"])
        found = TokenSource(lambda: next(answers))
        assert [value_of(found.get()) for _ in range(3)] == ["one", "two", "three"]
        assert found.origin == "argument (callable)"
        assert found.redact("three") == "***"

    def test_that_returns_nothing(self) -> None:
        found = TokenSource(lambda: None, env={"HF_TOKEN": "ambient"})
        assert found.get() is None
        with pytest.raises(MissingTokenError, match="callable"):
            found.require()

    def test_that_fails(self) -> None:
        def fail() -> str:
            raise KeyError("vault")

        with pytest.raises(InvalidSettingError, match="raised KeyError") as caught:
            TokenSource(fail).get()
        assert isinstance(caught.value.__cause__, KeyError)

    def test_that_returns_a_coroutine_or_something_else(self) -> None:
        bad: Callable[[], Any]
        for bad in (lambda: later(), lambda: 5):
            with pytest.raises(InvalidSettingError, match="not text"):
                TokenSource(bad).get()


def module_level_token() -> str:
    return "from-function"


class TestCopies:
    def test_deepcopy_keeps_the_token(self) -> None:
        assert value_of(copy.deepcopy(TokenSource("mine")).get()) == "mine"

    def test_pickle_drops_an_argument(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data = pickle.dumps(TokenSource("mine-secret"))
        assert b"mine-secret" not in data
        twin = pickle.loads(data)
        assert twin.origin == "argument (not pickled)"
        again = pickle.loads(pickle.dumps(twin))
        assert again.origin == "argument (not pickled)"
        monkeypatch.setenv("HF_TOKEN", "of-the-worker")
        assert value_of(twin.get()) == "of-the-worker"
        assert twin.origin == "environment variable HF_TOKEN"

    def test_pickle_drops_what_was_found(self, place: Path) -> None:
        found = source(place)
        found.get()
        data = pickle.dumps(found)
        assert b"from-env-file" not in data
        assert pickle.loads(data).origin is None

    def test_pickle_keeps_a_module_level_function_only(self) -> None:
        twin = pickle.loads(pickle.dumps(TokenSource(module_level_token)))
        assert value_of(twin.get()) == "from-function"
        secret = "closed-over"
        data = pickle.dumps(TokenSource(lambda: secret))
        assert pickle.loads(data).origin == "argument (not pickled)"


class TestSecret:
    def test_shows_nothing(self) -> None:
        secret = Secret("hf_value")
        shown = f"{secret} {secret!r} {[secret]} {secret:>20}"
        assert "hf_value" not in shown
        logging.getLogger("t").warning("%s", secret)

    def test_cannot_be_pickled_in_clear(self) -> None:
        with pytest.raises(TypeError):
            pickle.dumps(Secret("hf_value"))

    def test_copies_and_compares(self) -> None:
        secret = Secret("x")
        assert copy.deepcopy(secret) is secret
        assert copy.copy(secret) is secret
        assert secret == Secret("x")
        assert secret != Secret("y")
        assert secret != "x"
        assert len({secret, Secret("x")}) == 1


class TestFiles:
    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ("HF_TOKEN=abc", "abc"),
            ("export HF_TOKEN=abc", "abc"),
            ('  export   HF_TOKEN="abc"', "abc"),
            ("HF_TOKEN='a$b'", "a$b"),
            ('HF_TOKEN="abc" # note', "abc"),
            ("HF_TOKEN=abc # note", "abc"),
            ("HF_TOKEN=abc;export X=1", "abc"),
            ("HF_TOKEN = abc", "abc"),
            ('HF_TOKEN="a\\"b"', 'a"b'),
            ('HF_TOKEN=" abc "', "abc"),
            ("HF_TOKEN=", ""),
            ("HF_TOKEN=#abc", ""),
            ("HF_TOKEN=$(cat /etc/passwd)", None),
            ('HF_TOKEN="$OTHER"', None),
            ('HF_TOKEN="${OTHER}"', None),
            ("HF_TOKEN=`id`", None),
            ('HF_TOKEN="unclosed', None),
        ],
    )
    def test_values(self, line: str, value: str | None) -> None:
        (item,) = parse_assignments(line)
        assert (item.name, item.value, item.line) == ("HF_TOKEN", value, 1)

    def test_other_lines_are_passed_over(self) -> None:
        text = "#!/bin/sh\r\n\r\n# HF_TOKEN=no\r\necho HF_TOKEN\r\nexport HF_TOKEN=yes\r\n"
        (item,) = parse_assignments(text)
        assert (item.value, item.line) == ("yes", 5)
        assert "yes" not in repr(item)

    def test_the_last_assignment_counts(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("HF_TOKEN=one\nHF_TOKEN=two\n")
        found = TokenSource(env={"HF_HOME": str(tmp_path)}, cwd=tmp_path)
        assert value_of(found.get()) == "two"
        assert found.origin == f"{tmp_path / '.env'} line 2"

    def test_a_shell_expression_is_not_executed_and_said(self, tmp_path: Path) -> None:
        (tmp_path / "secret").mkdir()
        mark = tmp_path / "executed"
        (tmp_path / "secret" / "-secrets.sh").write_text(f"export HF_TOKEN=$(touch {mark})\n")
        found = TokenSource(env={"HF_HOME": str(tmp_path / "x")}, cwd=tmp_path)
        with pytest.raises(MissingTokenError) as caught:
            found.require()
        assert not mark.exists()
        assert any("not executed" in place for place in caught.value.looked_at)

    def test_huge_and_unreadable_files_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"HF_TOKEN=x\n" + b"#" * 2**20)
        (tmp_path / "token").mkdir()
        found = TokenSource(env={"HF_HOME": str(tmp_path)}, cwd=tmp_path)
        assert found.get() is None
        with pytest.raises(MissingTokenError) as caught:
            found.require()
        assert any("not readable" in place for place in caught.value.looked_at)

    def test_byte_order_mark_and_bad_bytes(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfHF_TOKEN=abc\nX=\xff\n")
        found = TokenSource(env={"HF_HOME": str(tmp_path)}, cwd=tmp_path)
        assert value_of(found.get()) == "abc"

    @given(st.text())
    def test_any_text_can_be_parsed(self, text: str) -> None:
        for item in parse_assignments(text):
            assert item.name.isidentifier()
            assert item.line >= 1

    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'")))
    def test_quoted_values_come_back(self, token: str) -> None:
        (item,) = parse_assignments(f"export HF_TOKEN='{token}'")
        assert item.value == token

    def test_place_of_the_hubs_token(self) -> None:
        home = Path.home()
        assert hub_token_path({"HF_TOKEN_PATH": "/a/t", "HF_HOME": "/b"}) == Path("/a/t")
        assert hub_token_path({"HF_HOME": "~/b"}) == home / "b" / "token"
        assert hub_token_path({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/token")
        assert hub_token_path({}) == home / ".cache" / "huggingface" / "token"


@pytest.mark.parametrize(
    ("value", "hubs"),
    [("hf_abc", True), ("hf_oauth_abc", True), ("eyJhbGciOi.e30.x", True), ("gsk_abc", False)],
)
def test_identities_are_never_taken_for_a_providers_key(value: str, hubs: bool) -> None:
    from shared_core.config.providers import goes_direct
    from shared_core.config.settings import Settings

    assert Secret(value).is_hub_token is hubs
    settings = Settings.resolve(api_key=value, env={})
    assert goes_direct(settings, "groq") is not hubs


def test_home_of_nobody() -> None:
    assert hub_token_path({"HF_TOKEN_PATH": "~no-such-user-here/token"}) is None


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_became_part_of_the_token_are_named(place: Path, quote: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"HF_TOKEN.* is in quotes") as caught:
        source(place, HF_TOKEN=f"{quote}hf_AbCdEfGhIjKl{quote}").get()
    assert "AbCdEf" not in str(caught.value)


async def later() -> str:
    return "hf_x"


class Later:
    async def __call__(self) -> str:
        return "hf_x"


@pytest.mark.parametrize("call", [later, Later(), partial(later)], ids=["def", "object", "partial"])
def test_an_async_callable_is_refused_at_once(call: Any) -> None:
    with pytest.raises(InvalidSettingError, match="is async") as caught:
        TokenSource(call)
    assert caught.value.setting == "api_key"
    assert "plain (not async) function" in str(caught.value)
