"""Profiles, token counts and registration: all of it without asking anybody unasked."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from langchain_core import exceptions as lc
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField

import shared_core
from langchain_hfrouter import ChatHFRouter, HFRouterLLM, register
from langchain_hfrouter._profile_snapshot import FACTS
from langchain_hfrouter._profiles import best_method, model_id, of_entry, snapshot
from shared_core import CharacterCounter, WordCounter
from tests.helpers.fault_server import FaultServer, json_reply
from tests.helpers.servers import ROOT
from tests.langchain.conftest import PNG_BASE64
from tests.langchain.script import TOOL
from tests.langchain.stub_server import StubServer

pytestmark = pytest.mark.anyio

ENTRY = {
    "id": "openai/gpt-oss-120b",
    "object": "model",
    "created": 1_770_000_000,
    "owned_by": "openai",
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "providers": [
        {
            "provider": "groq",
            "status": "live",
            "context_length": 100_000,
            "supports_tools": True,
            "supports_structured_output": True,
        },
        {
            "provider": "novita",
            "status": "live",
            "context_length": 60_000,
            "supports_tools": True,
            "supports_structured_output": False,
        },
        {"provider": "down", "status": "error", "supports_tools": False},
    ],
}


@pytest.mark.rule("profile-of-a-router-id")
@pytest.mark.parametrize(
    "name", ["openai/gpt-oss-120b", "openai/gpt-oss-120b:groq", "openai/gpt-oss-120b:cheapest"]
)
def test_a_router_id_has_a_profile(name: str) -> None:
    profile = ChatHFRouter(model=name).profile
    assert profile is not None
    assert profile["max_input_tokens"] == 131_072
    assert profile["tool_calling"] is True


@pytest.mark.rule("profile-given-wins")
def test_an_unknown_model_has_none_and_a_given_one_wins() -> None:
    assert ChatHFRouter(model="nobody/knows").profile is None
    given: ModelProfile = {"max_input_tokens": 5}
    assert ChatHFRouter(model="openai/gpt-oss-120b", profile=given).profile == given


@pytest.mark.rule("profile-given-wins")
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.model_copy(update={"model": "Qwen/Qwen2.5-VL-7B-Instruct"}),
        lambda m: m.model_copy(update={"model_name": "Qwen/Qwen2.5-VL-7B-Instruct"}, deep=True),
        lambda m: _set(m, "model", "Qwen/Qwen2.5-VL-7B-Instruct"),
        lambda m: _set(copy.deepcopy(m), "model_name", "Qwen/Qwen2.5-VL-7B-Instruct"),
        lambda m: _set(pickle.loads(pickle.dumps(m)), "model", "Qwen/Qwen2.5-VL-7B-Instruct:x"),
        lambda m: configured(m, "Qwen/Qwen2.5-VL-7B-Instruct"),
    ],
)
def test_the_profile_follows_the_model(change: Any) -> None:
    for known in ("openai/gpt-oss-120b", "nobody/knows"):
        model = ChatHFRouter(model=known, api_key="t")
        assert change(model).profile["image_inputs"] is True
    given: ModelProfile = {"max_input_tokens": 5}
    own = ChatHFRouter(model="openai/gpt-oss-120b", api_key="t", profile=given)
    assert change(own).profile == given


def _set(model: ChatHFRouter, name: str, value: Any) -> ChatHFRouter:
    setattr(model, name, value)
    return model


def configured(model: ChatHFRouter, name: str) -> Any:
    runnable = model.configurable_fields(model=ConfigurableField(id="m"))
    return runnable.prepare({"configurable": {"m": name}})[0]


@pytest.mark.rule("profile-given-wins")
def test_a_refreshed_profile_stays_with_its_route(router: FaultServer) -> None:
    model = ChatHFRouter(
        model="openai/gpt-oss-120b", provider="groq", base_url=f"{router.url}/v1", api_key="t"
    )
    model.refresh_profile()
    kept = model.model_copy(update={"temperature": 1}).profile
    assert kept is not None
    assert kept["max_input_tokens"] == 100_000
    moved = model.model_copy(update={"provider": "novita"}).profile
    assert moved is not None
    assert moved["max_input_tokens"] == 131_072


def test_the_snapshot_has_known_keys_only() -> None:
    known = set(get_type_hints(ModelProfile))
    assert all(set(snapshot(model, None) or ()) <= known for model in FACTS)
    first = ChatHFRouter(model="openai/gpt-oss-120b").profile
    assert first is not None
    first["max_input_tokens"] = 1
    again = ChatHFRouter(model="openai/gpt-oss-120b").profile
    assert again is not None
    assert again["max_input_tokens"] == 131_072


def test_the_rows_of_the_snapshot_are_well_formed() -> None:
    for model, (context, traits) in FACTS.items():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model), model
        assert context is None or 8_192 <= context <= 2**20, model
        assert set(traits.split()) <= {"reasoning", "image", "video"}, model


@pytest.mark.parametrize(
    ("model", "context", "reasons", "sees"),
    [
        ("zai-org/GLM-5.1:novita", 202_752, True, False),
        ("moonshotai/Kimi-K2.5", 262_144, True, True),
        ("Qwen/Qwen3.6-35B-A3B", 262_144, True, True),
        ("deepseek-ai/DeepSeek-V4-Pro", 1_048_576, True, False),
        ("MiniMaxAI/MiniMax-M3:fastest", 524_288, True, True),
        ("google/gemma-3-4b-it", 131_072, False, True),
        ("openai/gpt-oss-20b", 131_072, True, False),
    ],
)
def test_models_of_2026_are_known(model: str, context: int, reasons: bool, sees: bool) -> None:
    profile = ChatHFRouter(model=model).profile
    assert profile is not None
    assert profile["max_input_tokens"] == context
    assert profile["tool_calling"] is True
    assert (profile["reasoning_output"], profile["image_inputs"]) == (reasons, sees)


@pytest.fixture
def router() -> Any:
    with FaultServer() as server:
        server.on("/v1/models/openai/gpt-oss-120b", json_reply(ENTRY))
        server.on("/v1/models", json_reply({"object": "list", "data": [ENTRY]}))
        yield server


@pytest.mark.rule("profile-of-a-provider")
@pytest.mark.parametrize(
    ("options", "context", "structured"),
    [
        ({"model": "openai/gpt-oss-120b"}, 60_000, False),
        ({"model": "openai/gpt-oss-120b:fastest"}, 60_000, False),
        ({"model": "openai/gpt-oss-120b:groq"}, 100_000, True),
        ({"model": "openai/gpt-oss-120b", "provider": "groq"}, 100_000, True),
        ({"model": "openai/gpt-oss-120b:novita"}, 60_000, False),
    ],
)
async def test_the_routers_list_knows_providers(
    router: FaultServer, options: Any, context: int, structured: bool
) -> None:
    model = ChatHFRouter(base_url=f"{router.url}/v1", api_key="t", **options)
    assert router.requests == []
    profile = model.refresh_profile()
    assert profile == await model.arefresh_profile()
    assert model.profile == profile
    assert profile is not None
    assert profile["max_input_tokens"] == context
    assert profile["structured_output"] is structured
    assert profile["tool_calling"] is True
    assert (profile["image_inputs"], profile["audio_inputs"]) == (True, False)
    assert best_method(profile) == ("json_schema" if structured else "function_calling")


def test_a_model_that_the_list_does_not_know(router: FaultServer) -> None:
    model = ChatHFRouter(model="no/model", base_url=f"{router.url}/v1", api_key="t")
    with pytest.raises(lc.ModelNotFoundError):
        model.refresh_profile()


@pytest.mark.rule("list-models")
async def test_the_list_of_models(router: FaultServer) -> None:
    model = ChatHFRouter(model="a/b", base_url=f"{router.url}/v1", api_key="t")
    (found,) = model.list_models()
    assert found.id == "openai/gpt-oss-120b"
    assert await model.alist_models() == [found]
    with FaultServer() as empty, pytest.raises(lc.ModelNotFoundError):
        ChatHFRouter(model="a/b", base_url=f"{empty.url}/v1", api_key="t").list_models()


def test_unknown_facts_stay_unknown() -> None:
    entry = shared_core.RouterModel(
        id="a/b", providers=(shared_core.ProviderInfo(name="x", status="live"),)
    )
    assert of_entry(entry, "a/b", None) == {}


@pytest.mark.parametrize(
    ("model", "id"), [("a/b:groq", "a/b"), ("a/b", "a/b"), ("b", "b"), ("http://x/y", "http://x/y")]
)
def test_suffixes_are_taken_off(model: str, id: str) -> None:
    assert model_id(model) == id


# --- tokens


@pytest.mark.rule("tokens-offline")
def test_tokens_are_counted_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = ChatHFRouter(model="a/b")
    assert model.get_num_tokens("") == 0
    assert model.get_num_tokens("12345678") == 2
    few = model.get_num_tokens_from_messages([HumanMessage("12345678")])
    image: Any = {"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"}
    more = model.get_num_tokens_from_messages(
        [
            HumanMessage(["12345678", image], name="ada"),
            AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "1"}]),
        ],
        tools=[TOOL],
    )
    assert few == 6
    assert more > few + 258
    with pytest.raises(ValueError, match="custom_get_token_ids"):
        model.get_token_ids("x")


class Encoding:
    def __init__(self, ids: list[int]) -> None:
        self.ids = ids


class Tokenizer:
    def encode(self, text: str) -> Encoding:
        return Encoding([len(word) for word in text.split()])


@pytest.mark.rule("tokenizers")
@pytest.mark.parametrize(
    ("tokenizer", "count"),
    [
        (CharacterCounter(1), 3),
        (WordCounter(1), 2),
        (len, 3),
        (Tokenizer(), 2),
    ],
)
def test_tokenizers_of_every_kind(tokenizer: Any, count: int) -> None:
    assert ChatHFRouter(model="a/b", tokenizer=tokenizer).get_num_tokens("a b") == count


@pytest.mark.rule("tokenizers")
def test_token_ids() -> None:
    assert ChatHFRouter(model="a/b", tokenizer=Tokenizer()).get_token_ids("a bcd") == [1, 3]
    custom = ChatHFRouter(model="a/b", custom_get_token_ids=lambda text: [1] * len(text))
    assert custom.get_token_ids("abc") == [1, 1, 1]
    assert custom.get_num_tokens("abc") == 3


@pytest.mark.rule("tokens-offline")
def test_a_completion_model_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert HFRouterLLM(model="a/b").get_num_tokens("12345678") == 2
    counting = HFRouterLLM(model="a/b", tokenizer=Tokenizer())
    assert (counting.get_num_tokens("a b"), counting.get_token_ids("a bcd")) == (2, [1, 3])


@pytest.mark.rule("tokenizers")
def test_a_tokenizer_file(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "hello": 1, "world": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    for where in (path, str(path), tmp_path):
        assert ChatHFRouter(model="a/b", tokenizer=where).get_num_tokens("hello world hello") == 3


# --- registration


@pytest.mark.rule("init-chat-model")
def test_init_chat_model_knows_us_on_request_only(
    monkeypatch: pytest.MonkeyPatch, stub: StubServer
) -> None:
    """Pain 6."""
    from langchain.chat_models import base, init_chat_model

    table = dict(base._BUILTIN_PROVIDERS)
    assert "hfrouter" not in table
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", table)
    register()
    register()
    model = init_chat_model(
        "hfrouter:org/model:groq", temperature=0, base_url=stub.base_url, api_key="t"
    )
    assert isinstance(model, ChatHFRouter)
    assert (model.model, model.temperature) == ("org/model:groq", 0)
    assert "stub" in model.invoke("Hello").text
    other = init_chat_model("org/model", model_provider="hfrouter")
    assert isinstance(other, ChatHFRouter)


@pytest.mark.rule("init-chat-model")
def test_registration_fails_clearly_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from langchain.chat_models import base

    monkeypatch.delattr(base, "_BUILTIN_PROVIDERS")
    with pytest.raises(RuntimeError, match="ChatHFRouter"):
        register()
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(ImportError, match="pip install langchain"):
        register()


@pytest.mark.rule("init-chat-model")
def test_registration_makes_entries_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    from typing import NamedTuple

    from langchain.chat_models import base

    class Entry(NamedTuple):
        module: str
        name: str
        make: Any

    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", {"x": Entry("a", "B", None)})
    register()
    entry = base._BUILTIN_PROVIDERS["hfrouter"]
    assert isinstance(entry, Entry)
    assert entry.name == "ChatHFRouter"


# --- footprint

SCRIPT = """
import sys
import langchain_core.language_models.chat_models, langchain_core.embeddings
before = set(sys.modules)
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
imported = set(sys.modules) - before
ChatHFRouter(model="a/b"), HFRouterEmbeddings(model="a/b")
made = set(sys.modules) - before
print(len(imported), len(made), sorted(name for name in made if "." not in name))
"""


@pytest.mark.rule("cheap-import")
def test_classes_bring_few_modules_over_langchains_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    imported, made, packages = done.stdout.split(" ", 2)
    assert int(imported) <= 10
    assert int(made) <= 35, packages
    assert "numpy" not in packages
