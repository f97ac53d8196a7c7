"""What errors never do: leak, grow, break the terminal, or fail themselves."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_core.errors import (
    APIResponseValidationError,
    APITimeoutError,
    MissingTokenError,
    ModelOutputError,
    NoEndpointAvailableError,
    ResponseTooLargeError,
    RouterError,
    StreamEventError,
    StreamInterruptedError,
    clean,
    from_error_object,
    from_response,
    redact,
)

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWx"

KEYS = ["error", "message", "detail", "code", "type", "errors", "loc", "msg", "param"]
KEYS += ["estimated_time", "warnings", "error_type", "http_status_code", "metadata", "raw"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
header_values = st.dictionaries(
    st.sampled_from(
        ["Retry-After", "RateLimit", "X-Request-Id", "X-Error-Code", "X-Error-Message", "Date"]
    ),
    st.text(max_size=40),
)


def check(error: RouterError) -> None:
    text = str(error)
    assert len(text) <= 700
    assert all(char.isprintable() or char == "\n" for char in text)
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == text
    assert str(copy.deepcopy(error)) == text


@given(st.integers(400, 599), json_values, header_values)
def test_any_json_becomes_a_sound_error(status: int, body: Any, headers: dict[str, str]) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    check(from_response(status=status, headers=headers, content=content))


@given(st.integers(400, 599), st.binary(max_size=200), header_values)
def test_any_bytes_become_a_sound_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    check(from_response(status=status, headers=headers, content=body))


@given(json_values)
def test_any_error_object_becomes_a_sound_error(obj: Any) -> None:
    check(from_error_object(obj))


def test_hostile_json() -> None:
    for body in (b"[" * 200_000, b'{"error":' * 100_000, b'{"error": ' + b"9" * 6000 + b"}"):
        check(from_response(status=500, headers={}, content=body))
    nested: Any = "x"
    for _ in range(400):
        nested = {"error": nested}
    check(from_response(status=500, headers={}, content=json.dumps(nested).encode()))


def test_hostile_text_takes_no_time() -> None:
    # Each of these would take minutes with a pattern that tries every combination.
    for body in (b"<!-- -->" * 240 + b"x", b"<title>" * 9000, b"Bearer " * 9000, b"a://" * 9000):
        check(from_response(status=502, headers={}, content=body))


def everything_of(error: BaseException) -> str:
    return repr((str(error), repr(error), error.args, vars(error))) + repr(pickle.dumps(error))


@pytest.mark.parametrize(
    "echo",
    [
        {"error": f"bad header: Authorization: Bearer {TOKEN}"},
        {
            "error": {
                "message": f"token {TOKEN} is wrong",
                "code": TOKEN,
                "type": TOKEN,
                "param": TOKEN,
            }
        },
        {"detail": [{"loc": [TOKEN], "msg": TOKEN}]},
        {TOKEN: {"deep": [TOKEN]}},
        TOKEN,
    ],
)
def test_an_echoed_token_is_hidden_everywhere(echo: Any) -> None:
    error = from_response(
        status=401,
        headers={"X-Error-Message": TOKEN, "X-Request-Id": TOKEN, "Set-Cookie": "a=b"},
        content=json.dumps(echo).encode(),
        url=f"https://user:pass@h.test/v1?token={TOKEN}",
    )
    shown = everything_of(error)
    assert TOKEN not in shown
    assert "pass@" not in shown
    assert "set-cookie" not in error.headers
    assert error.url == "https://h.test/v1"


def test_an_echoed_key_of_another_form_is_hidden_on_request() -> None:
    error = from_response(
        status=401,
        headers={"x-debug": "key=sk-123456"},
        content=b'{"error":{"message":"Incorrect key sk-123456","code":"sk-123456"}}',
        hide=lambda text: text.replace("sk-123456", "***"),
    )
    assert "sk-123456" not in everything_of(error)
    assert "Incorrect key ***" in str(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"x {TOKEN} y", "x *** y"),
        ("Authorization: Bearer abc.DEF-1", "Authorization: Bearer ***"),
        ("basic dXNlcjpwYXNz", "basic ***"),
        ('Bearer realm="Authentication required"', 'Bearer realm="Authentication required"'),
        ("no Bearer token was sent", "no Bearer token was sent"),
        ("http://user:secret@proxy:3128/", "http://proxy:3128/"),
        ("hf_hub and hf-inference", "hf_hub and hf-inference"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(st.text(max_size=30), st.text(max_size=30))
def test_redact_hides_given_values(before: str, after: str) -> None:
    assert "s3cr3t-value" not in redact(f"{before}s3cr3t-value{after}", ["s3cr3t-value", ""])


@given(st.text())
def test_clean_leaves_nothing_that_moves_a_cursor(text: str) -> None:
    shown = clean(text)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert clean(shown) == shown


def test_control_characters_are_escaped() -> None:
    error = from_response(
        status=400, headers={}, content=b'{"error":"\\u001b[31mred\\u202e\\u0000 \\ud800"}'
    )
    assert "\x1b" not in str(error)
    assert "\\x1b[31mred\\u202e\\x00 \\ud800" in str(error)


def test_long_texts_keep_the_advice() -> None:
    error = from_response(
        status=400,
        headers={"x-request-id": "r" * 500},
        content=json.dumps({"error": "word " * 5000}).encode(),
        model="m" * 500,
        url="https://" + "h" * 300 + "/v1",
    )
    assert len(str(error)) <= 700
    assert str(error).endswith("will not help.")
    assert error.server_message is not None
    assert len(error.server_message) <= 2000


def test_timeouts_and_lost_connections_are_builtin_kinds_too() -> None:
    error = APITimeoutError("no answer", phase="connect", timeout=1.5, url="http://h:1/v1")
    assert isinstance(error, TimeoutError)
    assert isinstance(error, ConnectionError)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.phase, twin.timeout, twin.host, str(twin)) == ("connect", 1.5, "h:1", str(error))


def test_attributes_set_later_survive_pickling() -> None:
    error = StreamInterruptedError("cut")
    error.attempts = 4
    error.add_note("seen in production")
    twin = pickle.loads(pickle.dumps(error))
    assert twin.attempts == 4
    assert twin.__notes__ == ["seen in production"]


def test_guidance_can_be_replaced_or_left_out() -> None:
    assert str(RouterError("a", guidance="")) == "a"
    assert str(RouterError("a", guidance="do b")) == "a\ndo b"
    assert "HF_TOKEN" in str(MissingTokenError("none"))


def retry_after(status: int = 429, **headers: str) -> float | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_response(status=status, headers=named, content=b"").retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1", 1.0),
        ("0", 0.0),
        ("2.5", 2.5),
        (" 3 ", 3.0),
        ("86400", 86400.0),
        ("nan", None),
        ("inf", None),
        ("-5", None),
        ("1e400", None),
        ("9" * 400, None),
        ("999999999999", None),
        ("soon", None),
        ("", None),
        ("Wed, 99 Foo 2026 00:00:00 GMT", None),
        ("Wed, 01 Jan 9999 00:00:00 GMT", None),
    ],
)
def test_retry_after_seconds(value: str, seconds: float | None) -> None:
    assert retry_after(Retry_After=value) == seconds


def test_retry_after_date_counts_from_the_servers_own_clock() -> None:
    date = "Sat, 21 Nov 2026 08:00:00 GMT"
    assert retry_after(Retry_After="Sat, 21 Nov 2026 08:00:07 GMT", Date=date) == 7.0
    assert retry_after(Retry_After="Sat, 21 Nov 2026 07:00:00 GMT", Date=date) == 0.0


def test_rate_limit_header_of_the_hub() -> None:
    assert retry_after(RateLimit='"api";r=0;t=55') == 55.0
    assert retry_after(RateLimit='"api";r=0;t=2') == 2.0
    assert retry_after(RateLimit='"api";r=0;t=0') == 1.0  # of whole seconds, not at once
    assert retry_after(RateLimit='"api";r=0;t=55', Retry_After="9") == 55.0
    assert retry_after(RateLimit='"api";r=10;t=55') is None
    assert retry_after(RateLimit='"api";r=0;t=junk') is None
    assert retry_after(503, RateLimit='"api";r=0;t=55') is None


def test_estimated_time_is_the_wait_of_a_loading_model() -> None:
    body = b'{"error":"Model x is currently loading","estimated_time":20.5}'
    error = from_response(status=503, headers={}, content=body)
    assert error.retry_after == 20.5
    error = from_response(status=503, headers={"Retry-After": "3"}, content=body)
    assert error.retry_after == 3.0
    for junk in ("NaN", "-1", '"soon"', "1e999"):
        body = b'{"error":"x","estimated_time":%s}' % junk.encode()
        assert from_response(status=503, headers={}, content=body).retry_after is None


def test_hide_reaches_every_text_but_what_the_model_wrote() -> None:
    inner = from_response(
        status=400,
        headers={"x-a": "s3cret"},
        content=b'{"error":{"message":"s3cret","list":["s3cret"]}}',
    )
    event = StreamEventError("says s3cret", error=inner, guidance="not s3cret")
    pool = NoEndpointAvailableError("all failed", errors=[event, ValueError("kept")])
    pool.hide(lambda text: text.replace("s3cret", "***"))
    assert "s3cret" not in repr((str(event), event.args, vars(event), vars(inner), str(inner)))
    assert inner.headers == {"x-a": "***"}
    assert str(event) == "says ***\nnot ***"
    output = ModelOutputError("bad", text="the model said s3cret")
    output.hide(lambda text: text.replace("s3cret", "***"))
    assert output.text == "the model said s3cret"


def test_an_unusable_answer_tells_its_status_once() -> None:
    error = APIResponseValidationError("an empty body", status_code=204)
    assert str(error).startswith("an empty body (status 204)\n")
    assert str(APIResponseValidationError("status 204, nothing", status_code=204)).count("204") == 1
    unread = ResponseTooLargeError("headers too large", status_code=0)
    assert "status" not in str(unread)
