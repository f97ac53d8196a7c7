"""Secrets that come back encoded, cut, or under a name that does not sound like one."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from shared_core.config.secrets import HiddenHeaders, HiddenURL, Secret

KEY = "sk-local/odd+key=0123456789"


@pytest.mark.parametrize("around", ["", "u:", "ab:", "abc:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_in_base64(around: str, encode: object) -> None:
    assert callable(encode)
    coded = encode(f"{around}{KEY}:more".encode()).decode()
    shown = Secret(KEY).redact(f"Authorization: Basic {coded}")
    assert "***" in shown
    left = shown.partition("Basic ")[2].partition("***")
    assert len(left[0]) <= len(around) * 4 // 3 + 4
    assert len(left[2]) <= 12


def test_percent_encoded() -> None:
    assert Secret(KEY).redact(f"/?key={quote(KEY, safe='')}&a=1") == "/?key=***&a=1"


@pytest.mark.parametrize("kept", [len(KEY) - 1, 12])
def test_cut_off(kept: int) -> None:
    assert Secret(KEY).redact(f"it was '{KEY[:kept]}'...") == "it was '***'..."
    assert Secret(KEY).redact(f"{KEY}{KEY[:kept]}…") == "******…"


def test_many_echoes_take_no_time() -> None:
    shown = Secret(KEY).redact((KEY + KEY[:20]) * 50_000)
    assert shown == "******" * 50_000


def test_what_only_begins_alike_stays() -> None:
    text = f"keys begin with {KEY[:9]}"
    assert Secret(KEY).redact(text) == text


def test_short_values_are_hidden_where_they_stand_alone() -> None:
    assert Secret("test").redact("key test, latest test-1") == "key ***, latest test-1"
    assert Secret("").redact("a") == "a"


def test_headers_of_any_name() -> None:
    headers = HiddenHeaders(
        {
            "X-S": "not-obviously-secret",
            "X-Key": "Bearer of-the-gateway-42",
            "Accept": "application/json",
            "X-Org": "openai",
        }
    )
    sent = json.dumps(dict(headers)) + " invalid key of-the-gateway-42"
    assert headers.redact(sent) == (
        '{"X-S": "***", "X-Key": "***", "Accept": "application/json", '
        '"X-Org": "openai"} invalid key ***'
    )


def test_copies_of_hidden_urls_keep_nothing() -> None:
    assert "pass-word" not in repr(HiddenURL("http://u:pass-word@h:1").__reduce__())
