"""Settings: order of sources, validation, where the token may go, copies."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from shared_core import RouterClient
from shared_core.config.secrets import HiddenURL, Secret
from shared_core.config.settings import Limits, Settings, TLSSettings
from shared_core.errors import InvalidSettingError, MissingTokenError

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWx"


@pytest.fixture(autouse=True)
def away_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))


def resolve(**given: Any) -> Settings:
    given.setdefault("env", {"HF_HOME": "/nonexistent"})
    return Settings.resolve(**given)


def refused(**given: Any) -> InvalidSettingError:
    with pytest.raises(InvalidSettingError) as caught:
        resolve(**given)
    return caught.value


def test_defaults() -> None:
    settings = resolve()
    assert settings.base_url == "https://router.huggingface.co/v1"
    assert settings.hub_url == "https://huggingface.co"
    assert (settings.timeout, settings.connect_timeout) == (300.0, 10.0)
    assert settings.bill_to is None
    assert settings.proxy is None
    assert settings.user_agent.startswith("hfrouter/")
    assert set(settings.sources.values()) == {"default"}


def test_environment_then_argument() -> None:
    env = {
        "HUGGINGFACE_BASE_URL": " http://gpu:8080/v1/ ",
        "HF_ENDPOINT": "https://hub.corp.test",
        "HF_BILL_TO": "acme",
    }
    settings = resolve(env=env)
    assert settings.base_url == "http://gpu:8080/v1"
    assert settings.hub_url == "https://hub.corp.test"
    assert settings.bill_to == "acme"
    assert settings.sources["base_url"] == "environment variable HUGGINGFACE_BASE_URL"
    settings = resolve(env=env, base_url="http://other:1/v1", bill_to="me")
    assert settings.base_url == "http://other:1/v1"
    assert settings.bill_to == "me"
    assert settings.sources["base_url"] == "argument"


def test_empty_values_count_as_absent() -> None:
    env = {"HUGGINGFACE_BASE_URL": " ", "HF_ENDPOINT": "", "HF_BILL_TO": ""}
    assert set(resolve(env=env, base_url="").sources.values()) == {"default"}


def test_reads_the_real_environment_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_BILL_TO", "acme")
    assert Settings.resolve().bill_to == "acme"


@pytest.mark.parametrize(
    "url",
    [
        "router.huggingface.co/v1",
        "ftp://h/v1",
        "file:///etc/passwd",
        "http://",
        "http://h:99999/v1",
        "http://h:0/v1",
        "http://h:x/v1",
        "http://h/v1\r\nX-Evil: 1",
        "http://h/a b",
        "http://h\\evil/v1",
        "http://h/v1#frag",
        "http://[::1/v1",
        "http://router.huggingface.co/v1",
        7,
    ],
)
@pytest.mark.parametrize("setting", ["base_url", "hub_url"])
def test_bad_urls_name_the_setting(url: Any, setting: str) -> None:
    error = refused(**{setting: url})
    assert error.setting == setting
    assert setting in str(error)
    assert "\r" not in str(error)


def test_bad_value_names_the_variable_it_came_from() -> None:
    error = refused(env={"HUGGINGFACE_BASE_URL": "nonsense"})
    assert "environment variable HUGGINGFACE_BASE_URL" in str(error)
    assert error.source == "environment variable HUGGINGFACE_BASE_URL"


def test_password_in_a_url_is_refused_without_showing_it() -> None:
    for value in ("https://ann:s3cret@h/v1", "https://s3cret@h/v1"):
        assert "s3cret" not in str(refused(base_url=value))


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "ä", " a", "a\x00", "\x7f", 5])
def test_bill_to_must_be_a_header_value(value: Any) -> None:
    assert refused(bill_to=value).setting == "bill_to"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "s3cret\r\nX-B: 1"},
        {"X-A": "s3crét"},
        {"X A": "s3cret"},
        {"X-A\n": "s3cret"},
        {"": "s3cret"},
        {"X-A": b"s3cret"},
        {"Host": "s3cret"},
        {"content-length": "s3cret"},
        {"X-A": "1", "x-a": "s3cret"},
        [("X-A", "s3cret")],
    ],
)
def test_bad_headers_are_refused_without_showing_them(headers: Any) -> None:
    error = refused(default_headers=headers)
    assert "default_headers" in str(error)
    assert "s3cret" not in str(error)


def test_headers_show_their_names_only() -> None:
    settings = resolve(default_headers={"X-Api-Key": SecretStr("s3cret"), "X-Team": "blue"})
    assert settings.default_headers["X-Api-Key"] == "s3cret"
    assert "s3cret" not in repr(settings)
    assert "X-Api-Key" in repr(settings)


def test_pickles_leave_the_values_of_headers_behind_and_say_so() -> None:
    settings = resolve(default_headers={"X-S": "any", "X-Scale-Up-Timeout": "600"})
    twin = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(settings))))
    assert dict(twin.default_headers) == {"X-Scale-Up-Timeout": "600"}
    assert "X-S (not pickled)" in repr(twin)
    assert twin.describe_sources()["default_headers"] == "a pickle, without the values of X-S"
    assert resolve(default_headers=twin.default_headers).default_headers.lost == ("X-S",)
    assert "default_headers" not in settings.describe_sources()


def test_headers_go_where_they_were_meant_to_go() -> None:
    gateway = resolve(base_url="https://gateway.test/v1")
    assert gateway.at_home("https://gateway.test/v1/chat/completions")
    assert not gateway.at_home("https://huggingface.co/api/models")
    assert not gateway.at_home("https://api.endpoints.huggingface.cloud/v2/endpoint/me")
    named = resolve(base_url="https://gateway.test/v1", hub_url="https://hub.test")
    assert named.at_home("https://hub.test/api/models")
    assert not named.at_home("https://other.test/")
    router = resolve()
    assert router.at_home("https://router.huggingface.co/v1/models")
    assert router.at_home("https://huggingface.co/api/models")
    assert not router.at_home("http://huggingface.co/api/models")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "30"])
def test_bad_timeouts(value: Any) -> None:
    assert refused(timeout=value).setting == "timeout"


def test_timeouts() -> None:
    assert resolve(timeout=None).timeout is None
    assert resolve(timeout=5).timeout == 5.0
    settings = resolve(timeout=httpx.Timeout(7.0, connect=2.0))
    assert (settings.timeout, settings.connect_timeout) == (7.0, 2.0)
    assert resolve(timeout=5, connect_timeout=1).connect_timeout == 1.0


def test_user_agent_is_put_in_front() -> None:
    assert resolve(user_agent="app/1").user_agent.startswith("app/1 hfrouter/")
    assert refused(user_agent="a\r\nb").setting == "user_agent"


def test_limits_and_tls_are_checked() -> None:
    for name in Limits.__slots__:
        with pytest.raises(InvalidSettingError, match=name):
            Limits(**{name: 0})
    with pytest.raises(InvalidSettingError, match="insecure_tls"):
        TLSSettings(insecure_tls="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="insecure_tls"):
        TLSSettings(insecure_tls=1)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="min_version"):
        TLSSettings(min_version="TLSv1.0")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="client_cert"):
        TLSSettings(client_key="k.pem")
    with pytest.raises(InvalidSettingError, match="ca_file"):
        TLSSettings(ca_file=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="ssl_context"):
        TLSSettings(ssl_context=ssl.create_default_context(), ca_file="ca.pem")
    assert refused(tls={"insecure_tls": True}).setting == "tls"
    assert refused(limits={}).setting == "limits"


def test_verification_is_on_by_default() -> None:
    tls = resolve().tls
    assert tls.insecure_tls is False
    assert tls.min_version == "TLSv1.2"


def test_ssl_context_is_shared_by_copies_and_not_pickled() -> None:
    tls = TLSSettings(ssl_context=ssl.create_default_context())
    assert copy.deepcopy(tls) is tls
    with pytest.raises(TypeError, match="ca_file"):
        pickle.dumps(tls)
    plain = TLSSettings(ca_file="ca.pem", min_version="TLSv1.3")
    assert pickle.loads(pickle.dumps(plain)) == plain


def test_proxy_hides_its_credentials() -> None:
    settings = resolve(proxy="http://ann:p%40ss@proxy.corp:3128")
    assert settings.proxy is not None
    assert settings.proxy.get_secret_value() == "http://ann:p%40ss@proxy.corp:3128"
    assert str(settings.proxy) == "http://proxy.corp:3128"
    for shown in (repr(settings), repr(pickle.dumps(settings))):
        assert "p%40ss" not in shown
    assert settings.redact("says ann:p%40ss or p@ss") == "says *** or ***"
    assert pickle.loads(pickle.dumps(settings)).proxy == HiddenURL("http://proxy.corp:3128")
    assert resolve(proxy=settings.proxy).proxy is settings.proxy
    assert "s3cret" not in str(refused(proxy="gopher://u:s3cret@h"))


@pytest.mark.parametrize(
    "url",
    ["ftp://ann:s3cret@h", "http://ann:s3cret@h /x", "http://ann:s3cret@", "ann:s3cret", ""],
)
def test_a_hidden_proxy_is_checked_as_well(url: str) -> None:
    error = refused(proxy=HiddenURL(url))
    assert error.setting == "proxy"
    assert "s3cret" not in str(error)


def test_a_hidden_proxy_is_read_as_text_is() -> None:
    hidden = resolve(proxy=HiddenURL("http://ann:s3cret@proxy.corp:3128/"))
    assert hidden.proxy == resolve(proxy="http://ann:s3cret@proxy.corp:3128/").proxy
    assert hidden.sources["proxy"] == "argument"


@pytest.mark.parametrize(
    ("base_url", "env", "proxy"),
    [
        (None, {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (None, {"https_proxy": "p:1"}, "http://p:1"),
        (None, {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        (None, {"HTTP_PROXY": "http://p:1"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x.test, .huggingface.co"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "face.co"}, "http://p:1"),
        (None, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "huggingface.co:443"}, None),
        (None, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "huggingface.co:444"}, "http://p:1"),
        ("http://[fd00::1]:8080/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "fd00::1"}, None),
        ("http://[fd00::1]/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "[fd00::1]:80"}, None),
        (
            "http://[fd00::1]:8080/v1",
            {"HTTP_PROXY": "http://p:1", "NO_PROXY": "[fd00::1]:80"},
            "http://p:1",
        ),
        ("http://gpu:1/v1", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("http://gpu:1/v1", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://gpu:1/v1", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ("http://127.0.0.1:1/v1", {"http_proxy": "http://p:1"}, None),
        ("http://localhost:1/v1", {"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_proxy_of_the_environment(
    base_url: str | None, env: dict[str, str], proxy: str | None
) -> None:
    found = resolve(base_url=base_url, env=env).proxy
    assert (found and found.get_secret_value()) == proxy


def test_bad_proxy_of_the_environment_is_named() -> None:
    error = refused(env={"HTTPS_PROXY": "ftp://p:1"})
    assert "environment variable HTTPS_PROXY" in str(error)


# ---------------------------------------------------------------- where the token may go


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://router.huggingface.co/v1/chat/completions", True),
        ("https://router.huggingface.co:443/hf-inference/models/a/b", True),
        ("https://huggingface.co/api/whoami-v2", True),
        ("https://HuggingFace.co/api", True),
        ("http://router.huggingface.co/v1", False),
        ("https://huggingface.co.evil.test/", False),
        ("https://evilhuggingface.co/", False),
        ("https://huggingface.co@evil.test/", False),
        ("https://fal.media/files/x.png", False),
        ("https://replicate.delivery/x", False),
        ("not a url", False),
        ("https://[bad", False),
    ],
)
@pytest.mark.parametrize("ambient", [True, False])
def test_token_goes_to_the_hub_and_the_router_only(url: str, goes: bool, ambient: bool) -> None:
    settings = resolve(env={"HF_TOKEN": TOKEN}) if ambient else resolve(api_key=TOKEN)
    token = settings.token_for(url)
    assert (token == Secret(TOKEN)) is goes
    assert (token is None) is not goes


def test_token_goes_to_the_servers_that_were_configured() -> None:
    settings = resolve(
        api_key=TOKEN, base_url="http://gpu:8080/v1", env={"HF_ENDPOINT": "https://hub.corp.test"}
    )
    assert settings.token_for("http://gpu:8080/v1/chat/completions") is not None
    assert settings.token_for("https://hub.corp.test/api/models") is not None
    assert settings.token_for("http://gpu:8081/v1") is None
    assert settings.token_for("https://gpu:8080/v1") is None


def test_token_is_required_on_huggingface_only() -> None:
    settings = resolve()
    assert settings.token_for("https://router.huggingface.co/v1/models") is None
    with pytest.raises(MissingTokenError):
        settings.token_for("https://router.huggingface.co/v1/chat/completions", required=True)
    local = resolve(base_url="http://127.0.0.1:8080/v1")
    assert local.token_for("http://127.0.0.1:8080/v1/chat/completions", required=True) is None


# ------------------------------------------------------------------------- life of settings


def test_copies_share_and_pickles_forget_the_token() -> None:
    settings = resolve(api_key=TOKEN, base_url="http://gpu:1/v1", bill_to="acme", timeout=3)
    assert copy.deepcopy(settings) is settings
    data = pickle.dumps(settings)
    assert TOKEN.encode() not in data
    twin = pickle.loads(data)
    assert (twin.base_url, twin.bill_to, twin.timeout) == ("http://gpu:1/v1", "acme", 3.0)
    assert twin.sources["bill_to"] == "argument"
    assert twin.token.origin == "argument (not pickled)"
    assert twin.token.get() is None


def test_settings_show_no_secret_and_say_their_sources() -> None:
    settings = resolve(api_key=TOKEN)
    assert TOKEN not in repr(settings) + str(settings)
    assert settings.describe_sources()["token"] == "argument"
    assert settings.redact(f"echo {TOKEN}") == "echo ***"
    with pytest.raises(AttributeError):
        settings.base_url = "x"  # type: ignore[misc]


def test_redact_hides_secret_headers_but_not_every_word() -> None:
    settings = resolve(
        default_headers={"X-Api-Key": "secret", "X-S": "hunter2-hunter2", "X-Team": "blue"}
    )
    assert settings.redact("secret hunter2-hunter2 of blue") == "*** *** of blue"


def test_a_derived_client_looks_for_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corp:3128")
    client = RouterClient()
    assert client.settings.sources["proxy"] == "environment variable HTTPS_PROXY"
    assert client.with_options(base_url="http://127.0.0.1:8080/v1").settings.proxy is None
    client = RouterClient(proxy="http://ann:s3cret@mine:1")
    kept = client.with_options(timeout=5).settings.proxy
    assert kept is not None
    assert kept.get_secret_value() == "http://ann:s3cret@mine:1"


@pytest.mark.parametrize("setting", ["base_url", "hub_url", "endpoints_url"])
def test_credentials_in_a_query_are_refused(setting: str) -> None:
    with pytest.raises(InvalidSettingError, match=rf"{setting} .*query \(api-key\)") as caught:
        resolve(**{setting: "https://gateway.test/v1?api-key=s3cret-s3cret"})
    assert "s3cret" not in str(caught.value)
    assert "default_headers" in str(caught.value)
    kept = "https://gateway.test/v1?api-version=2026-01-01"
    assert getattr(resolve(**{setting: kept}), setting) == kept
