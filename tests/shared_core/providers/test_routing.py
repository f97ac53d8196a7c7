"""The way to a provider: mapping, cache, keys of one's own, and refusals before the network."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any

import pytest

from shared_core import Job, MappingCache, ProviderMapping, RouterClient
from shared_core.config.providers import DIRECT, goes_direct, router_root
from shared_core.errors import (
    APIResponseValidationError,
    InvalidSettingError,
    ModelNotFoundError,
    UnsupportedTaskError,
)
from shared_core.providers.base import Route
from shared_core.providers.mapping import cache_of, read_mapping, use_cache
from shared_core.providers.registry import codec, providers_of, table
from shared_core.providers.routing import resolve_route, route_of
from tests.shared_core.providers.driving import TOKEN, answer, core, drive, options, text

FLUX = "acme/flux"
URL = f"https://huggingface.co/api/models/{FLUX}?expand[]=inferenceProviderMapping"


def entry(provider_id: str, task: str = "text-to-image", status: str = "live") -> dict[str, Any]:
    return {"providerId": provider_id, "task": task, "status": status}


MAPPING = {
    "fal-ai": entry("fal-ai/flux/dev", status="error"),
    "replicate": entry("acme/flux:9f2c"),
    "together": {**entry("acme/FLUX"), "adapter": "lora", "adapterWeightsPath": "w.safetensors"},
    "groq": entry("flux", "conversational"),
}
HUB = {"_id": "1", "id": FLUX, "inferenceProviderMapping": MAPPING}


def find(*answers: Any, engine: Any = None, **wanted: Any) -> Any:
    asked = {"model": FLUX, "task": "text-to-image", **wanted}
    return drive(resolve_route(engine or core(), **asked), *answers)


# --- the mapping ------------------------------------------------------------------------


def test_mapping_is_looked_up_once() -> None:
    engine = core()
    driven = find(answer(HUB), engine=engine, provider="replicate")
    (request,) = driven.requests
    assert (request.method, request.url, request.auth, request.idempotent) == (
        "GET",
        URL,
        True,
        True,
    )
    found: Route = driven.result
    assert (found.provider, found.provider_id, found.model, found.direct) == (
        "replicate",
        "acme/flux:9f2c",
        FLUX,
        False,
    )
    assert found.base == "https://router.huggingface.co/replicate"
    again = find(engine=engine, provider="together").result
    assert again.provider_id == "acme/FLUX"
    assert (again.mapping.adapter, again.mapping.adapter_weights_path) == ("lora", "w.safetensors")


def test_mapping_may_come_as_a_list() -> None:
    listed = [{"provider": "fal-ai", "hfModelId": FLUX, **entry("x/y")}, {"odd": 1}, 5]
    (found,) = read_mapping({"id": FLUX, "inferenceProviderMapping": listed})
    assert (found.provider, found.provider_id) == ("fal-ai", "x/y")
    assert read_mapping({"id": FLUX}) == ()
    assert read_mapping({"id": FLUX, "inferenceProviderMapping": {}}) == ()


def test_auto_takes_the_first_live_provider_that_serves_the_task() -> None:
    assert find(answer(HUB), provider="auto").result.provider == "replicate"
    only = {"fal-ai": MAPPING["fal-ai"], "groq": MAPPING["groq"]}
    hub = {**HUB, "inferenceProviderMapping": only}
    assert find(answer(hub), provider="auto").result.provider == "fal-ai"  # failing, but callable


def test_auto_may_lead_to_hf_inference() -> None:
    hub = {**HUB, "inferenceProviderMapping": {"hf-inference": entry(FLUX)}}
    found = find(answer(hub), provider="auto").result
    assert (found.provider, found.base) == (
        "hf-inference",
        "https://router.huggingface.co/hf-inference",
    )


def test_hf_inference_needs_no_lookup() -> None:
    assert find(provider=None).result.provider == "hf-inference"
    assert find(provider="hf-inference").requests == []


def test_similar_tasks_share_a_mapping() -> None:
    hub = {**HUB, "inferenceProviderMapping": {"together": entry("m", "sentence-similarity")}}
    found = find(answer(hub), task="feature-extraction", provider="together").result
    assert found.provider_id == "m"


def test_unhealthy_provider_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    engine = core()
    with caplog.at_level(logging.WARNING, "hfrouter"):
        find(answer(HUB), engine=engine, provider="fal-ai")
        find(engine=engine, provider="fal-ai")
    assert [record.getMessage() for record in caplog.records] == [
        f"fal-ai failed its last health check for {FLUX}"
    ]


def test_provider_id_by_hand_needs_no_lookup() -> None:
    found = find(provider="fal-ai", provider_id="fal-ai/my/model").result
    assert (found.provider_id, found.model) == ("fal-ai/my/model", FLUX)
    bare = find(provider="fal-ai", provider_id="fal-ai/x", model=None).result
    assert bare.model == "fal-ai/x"
    with pytest.raises(InvalidSettingError, match="provider_id needs provider"):
        find(provider="auto", provider_id="x")
    with pytest.raises(InvalidSettingError, match="cannot be the name"):
        find(provider="fal-ai", provider_id="a b")


def test_cache_can_be_filled_emptied_and_replaced() -> None:
    engine = core()
    cache = cache_of(engine)
    mine = ProviderMapping(provider="fal-ai", provider_id="mine", task="text-to-image")
    cache.set(FLUX, [mine])
    assert find(engine=engine, provider="fal-ai").result.provider_id == "mine"
    cache.forget(FLUX)
    assert find(answer(HUB), engine=engine, provider="fal-ai").result.provider_id != "mine"
    assert len(cache) == 1
    cache.forget()
    assert len(cache) == 0
    other = MappingCache()
    other.set(FLUX, [mine])
    use_cache(engine, other)
    assert find(engine=engine, provider="fal-ai").result.provider_id == "mine"
    with pytest.raises(InvalidSettingError, match="not a ProviderMapping"):
        cache.set(FLUX, [{"provider": "fal-ai"}])  # type: ignore[list-item]


def test_entries_age_and_those_by_hand_do_not() -> None:
    cache = MappingCache(max_age=60)
    mine = ProviderMapping(provider="p", provider_id="m")
    cache.keep("a/b", (mine,), 0.0)
    cache.set("c/d", [mine])
    assert cache.get("a/b", now=lambda: 59.0) == (mine,)
    assert cache.get("a/b", now=lambda: 60.0) is None
    assert cache.get("c/d", now=lambda: 1e9) == (mine,)
    cache.keep("c/d", (), 0.0)  # what was looked up does not replace what was set
    assert cache.get("c/d") == (mine,)


def test_cache_is_bounded_and_spares_entries_by_hand() -> None:
    cache = MappingCache()
    cache.set("mine/x", [])
    for number in range(1100):
        cache.keep(f"a/{number}", (), float(number))
    assert len(cache) <= 1001
    assert cache.get("mine/x") == ()
    assert cache.get("a/0", now=lambda: 1100.0) is None
    assert cache.get("a/1099", now=lambda: 1100.0) == ()


def test_cache_belongs_to_one_client() -> None:
    one, two = RouterClient(api_key=TOKEN), RouterClient(api_key=TOKEN)
    one.providers.mappings.set(FLUX, [])
    assert one.providers.mappings.get(FLUX) == ()
    assert two.providers.mappings.get(FLUX) is None
    assert copy.deepcopy(one).providers.mappings.get(FLUX) is None
    shared = MappingCache()
    one.providers.mappings = two.providers.mappings = shared
    assert one.providers.mappings is two.providers.mappings is shared
    with pytest.raises(InvalidSettingError, match="MappingCache"):
        one.providers.mappings = {}  # type: ignore[assignment]


def test_failures_of_the_lookup() -> None:
    gone = answer({"error": "Repository not found"}, 404, **{"x-error-code": "RepoNotFound"})
    with pytest.raises(ModelNotFoundError):
        find(gone, provider="fal-ai")
    for odd in ([], "x", None):
        with pytest.raises(APIResponseValidationError):
            find(answer(odd), provider="fal-ai")


# --- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "task", "offered"),
    [
        ("replicate", "text-generation", "together"),
        ("groq", "text-to-image", "fal-ai"),
        ("fal-ai", "tabular-regression", "hf-inference"),
        ("hf-inference", "text-to-video", "wavespeed"),
    ],
)
def test_unsupported_pair_is_refused_with_alternatives(
    provider: str, task: str, offered: str
) -> None:
    with pytest.raises(UnsupportedTaskError, match=f"{provider} does not serve {task}") as caught:
        find(provider=provider, task=task)
    assert offered in str(caught.value)


def test_chat_is_not_a_task() -> None:
    with pytest.raises(UnsupportedTaskError, match=r"client\.chat\.create"):
        find(provider="groq", task="conversational")


def test_task_that_nobody_serves() -> None:
    with pytest.raises(UnsupportedTaskError, match="your own"):
        codec("fal-ai", "mind-reading")


def test_misspelt_provider_is_named() -> None:
    with pytest.raises(InvalidSettingError, match="did you mean 'replicate'"):
        find(provider="replicat")
    with pytest.raises(InvalidSettingError, match="must be a name"):
        find(provider="a b")


def test_model_that_the_provider_does_not_serve() -> None:
    with pytest.raises(UnsupportedTaskError, match="wavespeed does not serve acme/flux") as caught:
        find(answer(HUB), provider="wavespeed")
    assert "fal-ai, replicate, together" in str(caught.value)
    with pytest.raises(UnsupportedTaskError) as caught:
        find(answer(HUB), provider="fal-ai", task="text-to-video")
    assert "together for text-to-image" in str(caught.value)
    with pytest.raises(UnsupportedTaskError, match="no provider serves") as caught:
        find(answer({"id": FLUX}), provider="auto")
    assert "provider_id" in str(caught.value)


@pytest.mark.parametrize("model", [None, "", "a b", "../x", "acme/flux:fastest"])
def test_model_that_cannot_be(model: str | None) -> None:
    with pytest.raises(InvalidSettingError, match="model"):
        find(provider="fal-ai", model=model)


def test_provider_as_suffix_of_the_model() -> None:
    found = find(answer(HUB), provider="fal-ai", model=f"{FLUX}:fal-ai").result
    assert found.model == FLUX


# --- keys -------------------------------------------------------------------------------


def test_key_of_the_provider_goes_to_its_own_host() -> None:
    engine = core(api_key="tog-1234567890abcdef", bill_to="acme")
    driven = find(answer(HUB), engine=engine, provider="together")
    assert driven.requests[0].auth is False  # the Hub must not see the provider's key
    assert (
        find(answer(HUB), engine=core(api_key="tog-123"), provider="auto").requests[0].auth is False
    )
    found: Route = driven.result
    assert (found.direct, found.base) == (True, "https://api.together.xyz")
    flow = codec("together", "text-to-image").flow(engine, found, text(), options(bill_to="acme"))
    request = next(flow).request  # type: ignore[union-attr]
    flow.close()
    assert request.url == "https://api.together.xyz/v1/images/generations"
    assert "X-HF-Bill-To" not in request.headers
    assert request.settings is not None
    assert request.settings.bill_to is None
    assert request.settings.token_for(request.url) is not None
    assert request.settings.token_for("https://elsewhere.test/") is None


def test_fal_has_a_host_for_queues_and_a_scheme_of_its_own() -> None:
    engine = core(api_key="fal-key-1234567890")
    for task, url in [
        ("text-to-image", "https://fal.run/fal-ai/x"),
        ("text-to-video", "https://queue.fal.run/fal-ai/x"),
    ]:
        found = find(engine=engine, provider="fal-ai", provider_id="fal-ai/x", task=task).result
        flow = codec("fal-ai", task).flow(engine, found, text(), options())
        request = next(flow).request  # type: ignore[union-attr]
        flow.close()
        assert (request.url, request.auth_scheme) == (url, "Key")
        assert request.settings is not None
        assert request.settings.token_for(request.url) is not None


def test_job_of_an_own_key_is_resumed_with_it() -> None:
    job = Job(
        provider="together",
        task="text-to-video",
        model="a/b",
        provider_id="m",
        status_url="https://api.together.xyz/v2/videos/j1",
        base="https://api.together.xyz",
        direct=True,
    )
    engine = core(api_key="tog-1234567890abcdef")
    found = route_of(engine, job)
    assert (found.direct, found.base) == (True, "https://api.together.xyz")
    flow = codec("together", "text-to-video").resume(engine, found, job, options())  # type: ignore[attr-defined]
    request = next(flow).request
    flow.close()
    assert request.url == job.status_url
    assert request.settings.token_for(request.url) is not None


@pytest.mark.parametrize("provider", sorted(DIRECT))
def test_who_goes_direct(provider: str) -> None:
    own = "sk-1234567890abcdef"
    assert goes_direct(core(api_key=own).settings, provider)
    assert goes_direct(core(api_key=lambda: own).settings, provider)
    assert not goes_direct(core().settings, provider)
    # Not a key that lay around, not past a gateway that was named, not unless asked to.
    assert not goes_direct(core(api_key=None, env={"HF_TOKEN": own}).settings, provider)
    assert not goes_direct(core(api_key=own, base_url="https://gw.test/v1").settings, provider)
    assert not goes_direct(core(api_key=own).settings, None)
    assert not goes_direct(core(api_key=own).settings, "auto")


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("https://router.huggingface.co/v1", "https://router.huggingface.co"),
        ("https://router.huggingface.co", "https://router.huggingface.co"),
        ("https://gw.test/hf/v1/chat/completions", "https://gw.test/hf"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
    ],
)
def test_providers_stand_behind_the_base(base: str, root: str) -> None:
    assert router_root(base) == root


# --- the table --------------------------------------------------------------------------


def test_table_is_that_of_the_protocol() -> None:
    rows = {(row.provider, row.task) for row in table()}
    assert ("fal-ai", "text-to-video") in rows
    assert ("cerebras", "conversational") in rows
    assert ("hf-inference", "fill-mask") in rows
    assert len(rows) == len(table())
    queued = {row.provider for row in table() if row.queued}
    assert queued == {
        "black-forest-labs",
        "fal-ai",
        "novita",
        "replicate",
        "together",
        "wavespeed",
        "zai-org",
    }


def test_every_row_has_a_codec() -> None:
    for row in table():
        if row.task != "conversational":
            assert hasattr(codec(row.provider, row.task), "flow"), row


def test_providers_of_a_task() -> None:
    assert providers_of("text-to-video") == [
        "fal-ai",
        "novita",
        "replicate",
        "together",
        "wavespeed",
    ]
    client = RouterClient(api_key=TOKEN)
    assert client.providers.of_task("text-to-3d") == []
    assert "text-to-speech" in client.providers.tasks("deepinfra")
    assert client.providers.tasks("groq") == []
    with pytest.raises(InvalidSettingError, match="did you mean 'groq'"):
        client.providers.tasks("grok")


def test_mappings_are_plain_data() -> None:
    (found,) = read_mapping({"id": FLUX, "inferenceProviderMapping": {"fal-ai": entry("x/y")}})
    assert json.loads(json.dumps(dict(found.raw))) == entry("x/y")
