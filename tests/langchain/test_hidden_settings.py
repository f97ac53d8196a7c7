"""Headers and the proxy of every class: sent, but neither shown nor pickled."""

from __future__ import annotations

import copy
import importlib.util
import pickle
from typing import Any

import pytest
from langchain_core.load import dumps
from pydantic import BaseModel

import langchain_hfrouter
from langchain_hfrouter import HFRouterRerank
from langchain_hfrouter._base import RouterConnection
from shared_core import InvalidSettingError

HEADER = "value-of-a-header-0123"
PASSWORD = "password-of-a-proxy-0123"
SECRETS: dict[str, Any] = {
    "default_headers": {"x-s": HEADER, "x-use-cache": "false"},
    "proxy": f"http://user:{PASSWORD}@127.0.0.1:9",
}
PUBLIC = [getattr(langchain_hfrouter, name) for name in langchain_hfrouter.__all__]
CLASSES = [c for c in PUBLIC if isinstance(c, type) and issubclass(c, RouterConnection)]
if importlib.util.find_spec("langchain_core.decisions") is not None:
    CLASSES.append(importlib.import_module("langchain_hfrouter.decisions").HFRouterDecisionModel)


def new(kind: Any, **options: Any) -> Any:
    given = {"model": "a/b", "base_url": "http://127.0.0.1:1/v1", **options}
    return kind(**given)


def made(kind: Any) -> Any:
    return new(kind, **SECRETS)


def assigned(kind: Any) -> Any:
    model = new(kind)
    model.default_headers, model.proxy = SECRETS["default_headers"], SECRETS["proxy"]
    return model


def updated(kind: Any) -> Any:
    return new(kind).model_copy(update=SECRETS)


def copied(kind: Any) -> Any:
    return copy.deepcopy(made(kind))


def test_every_kind_of_class_is_here() -> None:
    names = {kind.__name__ for kind in CLASSES}
    assert {"ChatHFRouter", "HFRouterEmbeddings", "HFRouterRerank", "HFRouterLLM"} < names
    assert sum(name.endswith("Tool") for name in names) >= 19


@pytest.mark.rule("secrets")
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("make", [made, assigned, updated, copied])
def test_no_header_and_no_password_is_shown(kind: Any, make: Any) -> None:
    model = make(kind)
    settings = model.sync_client().settings
    assert settings.default_headers["x-s"] == HEADER
    assert PASSWORD in settings.proxy.get_secret_value()
    shown = [
        repr(model),
        str(model),
        repr(vars(model)),
        repr(BaseModel.model_dump(model)),
        dumps(model),
        pickle.dumps(model).decode("latin-1"),
    ]
    for text in shown:
        assert HEADER not in text
        assert PASSWORD not in text


@pytest.mark.rule("secrets")
@pytest.mark.parametrize("kind", CLASSES)
def test_a_restored_object_keeps_what_cannot_be_secret(kind: Any) -> None:
    restored = pickle.loads(pickle.dumps(made(kind)))
    assert restored.default_headers == {"x-use-cache": "false"}
    assert str(restored.sync_client().settings.proxy) == "http://127.0.0.1:9"


@pytest.mark.rule("secrets")
@pytest.mark.parametrize(
    "wrong",
    [{"default_headers": {"x-s": f"a\n{HEADER}"}}, {"proxy": f"ftp://user:{PASSWORD}@host"}],
    ids=["header", "proxy"],
)
def test_what_cannot_be_sent_is_refused_at_once_and_not_shown(wrong: Any) -> None:
    ((name, value),) = wrong.items()
    model = new(HFRouterRerank)
    for attempt in (
        lambda: new(HFRouterRerank, **wrong),
        lambda: setattr(model, name, value),
        lambda: model.model_copy(update=wrong),
    ):
        with pytest.raises(InvalidSettingError) as caught:
            attempt()
        assert str(caught.value.setting).startswith(name)
        assert HEADER not in repr(caught.value)
        assert PASSWORD not in repr(caught.value)


@pytest.mark.rule("own-http-clients")
@pytest.mark.parametrize("kind", CLASSES)
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
            new(kind, **wrong)
