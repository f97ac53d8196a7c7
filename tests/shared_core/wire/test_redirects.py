"""Redirects: neither token nor prompt leaves its origin."""

from __future__ import annotations

import traceback

import pytest

from shared_core.errors import RedirectRefusedError
from tests.helpers.fault_server import Certificates, FaultServer, empty_reply, json_reply, redirect
from tests.shared_core.wire.conftest import TOKEN, Caller


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_to_another_origin(caller: Caller, server: FaultServer, status: int) -> None:
    with FaultServer() as other:
        other.on("*", json_reply("stolen"))
        server.on("/x", redirect(other.url + "/take?a=1", status))
        with pytest.raises(RedirectRefusedError) as caught:
            caller.send(server.url + "/x", headers={"X-Secret": "1"})
        assert other.accepted == 0
    assert f"127.0.0.1:{other.port}" in str(caught.value)
    assert "neither token nor request may go" in str(caught.value)
    assert "a=1" not in str(caught.value)
    assert caught.value.status_code == status
    assert caught.value.location == other.url + "/take"


def test_get_with_a_token_stays_too(caller: Caller, server: FaultServer) -> None:
    with FaultServer() as other:
        server.on("/x", redirect(other.url))
        with pytest.raises(RedirectRefusedError):
            caller.send(server.url + "/x", method="GET")
        assert other.accepted == 0


def test_other_host_name_is_another_origin(caller: Caller, server: FaultServer) -> None:
    server.on("/x", redirect(f"http://localhost:{server.port}/y"))
    with pytest.raises(RedirectRefusedError):
        caller.send(server.url + "/x")
    assert len(server.requests) == 1


def test_public_get_may_go_elsewhere(caller: Caller, server: FaultServer) -> None:
    with FaultServer() as other:
        other.on("/y", json_reply("media"))
        server.on("/x", redirect(other.url + "/y"))
        answer = caller.send(server.url + "/x", method="GET", auth=False)
        assert answer.content == b'"media"'
        assert answer.url == other.url + "/y"
        assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("status", [307, 308])
def test_within_the_origin_method_and_body_stay(
    caller: Caller, server: FaultServer, status: int
) -> None:
    server.on("/old/x", redirect("../new?b=2", status))
    server.on("/new", lambda got: json_reply([got.method, got.json()["model"]]))
    answer = caller.send(server.url + "/old/x")
    assert answer.content == b'["POST", "a/b"]'
    assert answer.url == server.url + "/new?b=2"
    assert server.requests[1].headers["authorization"].startswith("Bearer ")
    assert server.accepted == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_post_is_not_turned_into_get(caller: Caller, server: FaultServer, status: int) -> None:
    server.on("/x", redirect("/y", status))
    with pytest.raises(RedirectRefusedError, match="into a GET"):
        caller.send(server.url + "/x")
    server.on("/y", json_reply("ok"))
    assert caller.send(server.url + "/x", method="GET").content == b'"ok"'


def test_loop_ends(caller: Caller, server: FaultServer) -> None:
    server.on("/x", redirect("/x"))
    with pytest.raises(RedirectRefusedError, match="more than 5 redirects"):
        caller.send(server.url + "/x")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://x/y", "http://[bad", "http://:80/x", "data:,x"],
)
def test_odd_locations(caller: Caller, server: FaultServer, location: str) -> None:
    server.on("/x", redirect(location))
    with pytest.raises(RedirectRefusedError, match="not an http address"):
        caller.send(server.url + "/x")


def test_credentials_in_the_location_do_not_show(caller: Caller, server: FaultServer) -> None:
    server.on("/x", redirect(f"http://u:pass-word@127.0.0.1:{server.port}/y"))
    with pytest.raises(RedirectRefusedError) as caught:
        caller.send(server.url + "/x")
    assert "pass-word" not in str(caught.value) + repr(caught.value.__dict__)


@pytest.mark.parametrize("status", [300, 304, 307])
def test_redirect_to_nowhere(caller: Caller, server: FaultServer, status: int) -> None:
    server.on("/x", empty_reply(status))
    with pytest.raises(RedirectRefusedError, match=f"{status}, .* names no address") as caught:
        caller.send(server.url + "/x")
    assert caught.value.status_code == status
    assert server.url.split("/")[2] in str(caught.value)


def test_token_in_the_location_does_not_show(caller: Caller, server: FaultServer) -> None:
    server.on("/x", lambda got: redirect(f"http://127.0.0.2:9/?{got.headers['authorization']}"))
    with pytest.raises(RedirectRefusedError) as caught:
        caller.send(server.url + "/x")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    own = [str(frame.locals) for frame in shown.stack if "/tests/" not in frame.filename]
    for text in (str(caught.value), repr(vars(caught.value)), *own):
        assert TOKEN not in text


def test_streams_obey_the_same_rules(caller: Caller, server: FaultServer) -> None:
    with FaultServer() as other:
        server.on("/x", redirect(other.url))
        with pytest.raises(RedirectRefusedError):
            caller.open(server.url + "/x")
        assert other.accepted == 0


def test_https_to_http(caller: Caller, certificates: Certificates, ca_file: str) -> None:
    from shared_core.config.settings import TLSSettings

    with FaultServer() as plain, FaultServer(tls=certificates.server()) as secure:
        caller.configure(base_url=secure.url, tls=TLSSettings(ca_file=ca_file))
        secure.on("/x", redirect(plain.url + "/y"))
        with pytest.raises(RedirectRefusedError, match="from https to http"):
            caller.send(secure.url + "/x")
        with pytest.raises(RedirectRefusedError, match="from https to http"):
            caller.send(secure.url + "/x", method="GET", auth=False)
        assert plain.accepted == 0
