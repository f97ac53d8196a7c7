"""Headers and the proxy of every class: sent, but neither shown nor pickled."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from llama_index_hfrouter import HFRouter, HFRouterEmbedding, HFRouterRerank
from shared_core import InvalidSettingError

HEADER = "value-of-a-header-0123"
PASSWORD = "password-of-a-proxy-0123"
SECRETS: dict[str, Any] = {
    "default_headers": {"x-s": HEADER, "x-use-cache": "false"},
    "proxy": f"http://user:{PASSWORD}@127.0.0.1:9",
}
CLASSES = pytest.mark.parametrize("kind", [HFRouter, HFRouterEmbedding, HFRouterRerank])


def made(kind: Any) -> Any:
    return kind("a/b", base_url="http://127.0.0.1:1", **SECRETS)


def assigned(kind: Any) -> Any:
    model = kind("a/b", base_url="http://127.0.0.1:1")
    model.default_headers, model.proxy = SECRETS["default_headers"], SECRETS["proxy"]
    return model


def updated(kind: Any) -> Any:
    return kind("a/b", base_url="http://127.0.0.1:1").model_copy(update=SECRETS)


def copied(kind: Any) -> Any:
    return copy.deepcopy(made(kind))


@pytest.mark.rule("no-secrets-in-dumps")
@CLASSES
@pytest.mark.parametrize("make", [made, assigned, updated, copied])
def test_no_header_and_no_password_is_shown(kind: Any, make: Any) -> None:
    model = make(kind)
    settings = model._client().settings
    assert settings.default_headers["x-s"] == HEADER
    assert PASSWORD in settings.proxy.get_secret_value()
    shown = [
        repr(model),
        str(model),
        repr(vars(model)),
        repr(vars(model._clients)),
        repr(model.model_dump()),
        model.model_dump_json(),
        repr(model.to_dict()),
        model.to_json(),
        model.json(),
        pickle.dumps(model).decode("latin-1"),
    ]
    for text in shown:
        assert HEADER not in text
        assert PASSWORD not in text


@pytest.mark.rule("no-secrets-in-dumps")
@CLASSES
def test_a_restored_object_keeps_what_cannot_be_secret(kind: Any) -> None:
    restored = pickle.loads(pickle.dumps(made(kind)))
    assert restored.default_headers == {"x-use-cache": "false"}
    assert "x-s (not pickled)" in repr(restored.default_headers)
    assert str(restored._client().settings.proxy) == "http://127.0.0.1:9"


@pytest.mark.rule("header-injection")
@CLASSES
@pytest.mark.parametrize(
    "wrong",
    [{"default_headers": {"x-s": f"a\n{HEADER}"}}, {"proxy": f"ftp://user:{PASSWORD}@host"}],
    ids=["header", "proxy"],
)
def test_what_cannot_be_sent_is_refused_at_once_and_not_shown(kind: Any, wrong: Any) -> None:
    ((name, value),) = wrong.items()
    model = kind("a/b")
    for attempt in (
        lambda: kind("a/b", **wrong),
        lambda: setattr(model, name, value),
        lambda: model.model_copy(update=wrong),
    ):
        with pytest.raises(InvalidSettingError) as caught:
            attempt()
        assert str(caught.value.setting).startswith(name)
        assert HEADER not in repr(caught.value)
        assert PASSWORD not in repr(caught.value)


@pytest.mark.rule("own-http-clients", "callable-keys")
@CLASSES
def test_async_keys_and_clients_of_other_packages_are_refused_at_once(kind: Any) -> None:
    httpx2 = pytest.importorskip("httpx2", reason="httpx2: needs a newer h11 than the oldest")

    async def later() -> str:
        return "hf_x"

    for wrong, said in (
        ({"api_key": later}, "is async"),
        ({"http_client": httpx2.Client()}, r"httpx\.Client, not httpx2"),
        ({"http_async_client": httpx2.AsyncClient()}, r"httpx\.AsyncClient, not httpx2"),
    ):
        with pytest.raises(InvalidSettingError, match=said):
            kind("a/b", **wrong)
