"""Failover of tasks: another provider is another language, and a job stays where it is."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from shared_core import (
    BreakerPolicy,
    Failover,
    FailoverEndpoint,
    FailoverEvent,
    InvalidSettingError,
    MissingTokenError,
    NoEndpointAvailableError,
    ProviderMapping,
    Resilience,
    ResponseEvent,
    RetryPolicy,
    RoundRobin,
    UnsupportedTaskError,
)
from shared_core.config.settings import Settings
from shared_core.core import Core
from shared_core.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    InternalServerError,
    JobFailedError,
    JobTimeoutError,
    ServiceUnavailableError,
    StreamInterruptedError,
)
from shared_core.providers.mapping import cache_of
from shared_core.resilience.pipeline import Pipeline, Tools
from shared_core.tasks.calls import calling
from shared_core.tasks.table import Table
from tests.helpers.fault_server import FaultServer, Fin, json_reply, reply, reset, sse
from tests.shared_core.providers.driving import PNG, TOKEN, Drive, answer, file
from tests.shared_core.resilience.helpers import MODEL, Caller, Clock, Recorder, failing, lower

IDS = {
    "fal-ai": "fal-ai/flux",
    "together": "acme/FLUX-T",
    "replicate": "acme/flux",
    "novita": "acme/flux-n",
    "featherless-ai": "acme/flux-f",
}
FAL, TOGETHER = "/fal-ai/fal-ai/flux", "/together/v1/images/generations"
PICTURE = {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}
BROKEN = answer({"error": "broken"}, status=503)


def mapped(task: str, **ids: str) -> list[ProviderMapping]:
    named = {**IDS, **ids}
    return [ProviderMapping(provider=p, provider_id=i, task=task) for p, i in named.items()]


class Engine:
    """A client's core on a clock that moves by hand."""

    def __init__(self, *failover: Any, task: str = "text-to-image", **more: Any) -> None:
        policy = failover[0] if isinstance(failover[0], Failover) else Failover.providers(*failover)
        self.clock = Clock()
        settings = {"api_key": TOKEN, "env": {}, **more.pop("settings", {})}
        self.recorder = Recorder()
        self.core = Core(Settings.resolve(**settings), callbacks=[self.recorder])
        tools = Tools(self.core.settings, (), self.clock, lower)
        self.core.pipeline = Pipeline(Resilience(failover=policy, **more), tools)
        cache_of(self.core).set(MODEL, mapped(task))
        self.driven = Drive()

    def call(self, spec: Any, *args: Any, answers: list[Any], **kwargs: Any) -> Any:
        flow = calling(self.core, spec, args, {"model": MODEL, **kwargs})
        return self.driven.run(flow, answers)

    def picture(self, *answers: Any, **kwargs: Any) -> Any:
        return self.call(Table.text_to_image.spec, "a cat", answers=list(answers), **kwargs)

    @property
    def urls(self) -> list[str]:
        host = "https://router.huggingface.co"
        return [request.url.removeprefix(host) for request in self.driven.requests]


# --- by hand ----------------------------------------------------------------------------


def test_the_request_is_made_anew_in_the_language_of_the_next_provider() -> None:
    engine = Engine("fal-ai", "together")
    made = engine.picture(BROKEN, answer(PICTURE), width=64, height=32)
    assert (made.content, made.endpoint) == (PNG, "together")
    assert engine.urls == [FAL, TOGETHER]
    first, second = (request.json for request in engine.driven.requests)
    assert first == {"prompt": "a cat", "image_size": {"width": 64, "height": 32}}
    assert (second["model"], second["width"]) == ("acme/FLUX-T", 64)
    (told,) = engine.recorder.of(FailoverEvent)
    assert (told.endpoint, told.target) == ("fal-ai", "together")
    (response,) = engine.recorder.of(ResponseEvent)
    assert (response.endpoint, response.provider) == ("together", "together")


def test_what_nobody_in_the_list_serves_is_refused_with_every_reason() -> None:
    engine = Engine("groq", "together", "fal-ai")
    with pytest.raises(NoEndpointAvailableError) as caught:
        engine.call(Table.text_classification.spec, "x", answers=[])
    assert engine.driven.requests == []
    assert [type(error) for error in caught.value.errors] == [UnsupportedTaskError] * 3
    for said in ("groq: groq does not serve", "together: together does not", "fal-ai: fal-ai does"):
        assert said in str(caught.value)


def test_the_reason_of_the_only_endpoint_is_raised_itself() -> None:
    engine = Engine("groq")
    with pytest.raises(UnsupportedTaskError, match="groq does not serve text-classification"):
        engine.call(Table.text_classification.spec, "x", answers=[])


def test_a_provider_without_the_task_the_model_or_the_parameter_is_passed_over() -> None:
    engine = Engine("groq", "nscale", "novita", "together", task="text-generation")
    texts = answer({"choices": [{"text": "b", "finish_reason": "stop"}]})
    spec = Table.text_generation.spec
    made = engine.call(spec, "a", answers=[texts])
    assert (made.text, made.endpoint) == ("b", "novita")
    assert engine.recorder.of(FailoverEvent) == []
    with pytest.raises(NoEndpointAvailableError, match="leave return_full_text out"):
        engine.call(spec, "a", answers=[], return_full_text=True)


def test_an_endpoint_is_passed_over_after_a_failure_too() -> None:
    engine = Engine("fal-ai", "groq", "together")
    assert engine.picture(BROKEN, answer(PICTURE)).endpoint == "together"
    (told,) = engine.recorder.of(FailoverEvent)
    assert told.target == "together"


def test_the_cause_is_raised_when_the_others_cannot() -> None:
    engine = Engine("fal-ai", "groq")
    with pytest.raises(ServiceUnavailableError):
        engine.picture(BROKEN)


def test_one_sweep_is_one_attempt_of_retry() -> None:
    engine = Engine("fal-ai", "together", retry=RetryPolicy(max_retries=1))
    made = engine.picture(BROKEN, BROKEN, BROKEN, answer(PICTURE))
    assert made.endpoint == "together"
    assert engine.urls == [FAL, TOGETHER] * 2
    assert len(engine.driven.sleeps) == 1


def test_a_call_past_its_deadline_goes_nowhere_else() -> None:
    engine = Engine("fal-ai", "together", deadline=5.0)
    flow = calling(engine.core, Table.text_to_image.spec, ("a cat",), {"model": MODEL})
    next(flow)
    engine.clock.now += 6
    with pytest.raises(ServiceUnavailableError):
        flow.throw(ServiceUnavailableError("late", status_code=503))


def test_a_wrong_token_is_final() -> None:
    engine = Engine("fal-ai", "together")
    with pytest.raises(AuthenticationError):
        engine.picture(answer({"error": "who are you"}, status=401))
    assert engine.urls == [FAL]


def test_selectors_choose_among_providers() -> None:
    policy = Failover.providers("fal-ai", "together", selector=RoundRobin())
    engine = Engine(policy)
    fal = answer({"images": [{"url": "data:image/png;base64," + PICTURE["data"][0]["b64_json"]}]})
    names = [engine.picture(fal if at % 2 == 0 else answer(PICTURE)).endpoint for at in range(4)]
    assert names == ["fal-ai", "together"] * 2


def test_the_breaker_of_an_endpoint_sees_tasks() -> None:
    engine = Engine("fal-ai", "together", breaker=BreakerPolicy(minimum_calls=2))
    for _ in range(2):
        engine.picture(BROKEN, answer(PICTURE))
    assert engine.picture(answer(PICTURE)).endpoint == "together"
    assert engine.urls.count(FAL) == 2
    assert engine.core.pipeline is not None
    assert engine.core.pipeline.breakers is not None
    assert engine.core.pipeline.breakers["fal-ai"].state == "open"


def test_a_lookup_that_fails_moves_on_like_the_endpoint_itself() -> None:
    engine = Engine("together", "hf-inference")
    cache_of(engine.core).forget()
    made = engine.picture(APIConnectionError("no Hub"), file())
    assert made.endpoint == "hf-inference"
    assert engine.urls[1] == f"/hf-inference/models/{MODEL}"


def test_an_id_of_one_provider_is_not_sent_to_another() -> None:
    engine = Engine("together", "fal-ai")
    engine.picture(
        BROKEN,
        answer({"images": [{"url": "data:image/png;base64,AAAA"}]}),
        provider="together",
        provider_id="mine",
    )
    assert engine.driven.requests[0].json["model"] == "mine"
    assert engine.urls[1] == FAL


def test_models_may_name_their_provider() -> None:
    engine = Engine(Failover.models(f"{MODEL}:together", "other/model"))
    made = engine.picture(BROKEN, file())
    assert made.endpoint == "other/model"
    assert engine.urls == [TOGETHER, "/hf-inference/models/other/model"]


def test_an_address_speaks_the_form_of_hf_inference() -> None:
    endpoints = [
        FailoverEndpoint("https://one.test/v1", api_key="key-1", name="one"),
        FailoverEndpoint("https://two.test", model="c/d", name="two"),
    ]
    engine = Engine(Failover(endpoints))
    labels = [{"label": "good", "score": 0.9}]
    spec = Table.text_classification.spec
    found = engine.call(spec, "x", answers=[BROKEN, answer(labels)], provider="together")
    assert found[0].label == "good"
    one, two = engine.driven.requests
    assert (one.url, two.url) == (
        f"https://one.test/hf-inference/models/{MODEL}",
        "https://two.test/hf-inference/models/c/d",
    )
    assert one.json == two.json == {"inputs": "x"}
    assert one.settings is not None
    assert two.settings is not None
    assert one.settings.token_for(one.url).get_secret_value() == "key-1"  # type: ignore[union-attr]
    assert two.settings.token_for(two.url) is None  # the client's token stays at home


def test_results_of_two_models_are_not_mixed() -> None:
    endpoints = [
        FailoverEndpoint(model="other/model"),
        FailoverEndpoint("https://own.test/v1", model="our-name", name="own"),
    ]
    engine = Engine(Failover(endpoints))
    spec = Table.sentence_similarity.spec
    assert engine.call(spec, "a", ["b"], answers=[answer([0.5])]) == [0.5]
    assert f"/models/{MODEL}/" in engine.driven.requests[0].url
    with pytest.raises(UnsupportedTaskError, match="do not compare"):
        Engine(Failover(endpoints[:1])).call(spec, "a", ["b"], answers=[])


def test_a_model_that_is_an_address_stays_there() -> None:
    engine = Engine("fal-ai", "together")
    labels = [{"label": "good", "score": 0.9}]
    spec = Table.text_classification.spec
    engine.call(spec, "x", answers=[answer(labels)], model="https://own.test/x")
    assert [request.url for request in engine.driven.requests] == ["https://own.test/x"]


# --- keys -------------------------------------------------------------------------------


def test_a_key_of_a_provider_goes_to_its_own_host() -> None:
    own = FailoverEndpoint(provider="together", api_key="tog-1234567890abcdef")
    engine = Engine(Failover([own, FailoverEndpoint(provider="fal-ai")]))
    fal = answer({"images": [{"url": "data:image/png;base64,AAAA"}]})
    assert engine.picture(BROKEN, fal).endpoint == "fal-ai"
    first, second = engine.driven.requests
    assert first.url == "https://api.together.xyz/v1/images/generations"
    for request, key in ((first, "tog-1234567890abcdef"), (second, TOKEN)):
        assert request.settings is not None
        token = request.settings.token_for(request.url)
        assert token is not None
        assert token.get_secret_value() == key


def test_the_key_of_one_provider_is_not_sent_to_another() -> None:
    engine = Engine("together", "fal-ai", settings={"api_key": "tog-1234567890abcdef"})
    with pytest.raises(MissingTokenError, match="may not be that of fal-ai"):
        engine.picture(BROKEN, provider="together")
    assert [one.url for one in engine.driven.requests] == [
        "https://api.together.xyz/v1/images/generations"
    ]


# --- jobs -------------------------------------------------------------------------------

QUEUED = {"id": "j1", "status": "queued"}


def video(engine: Engine, *answers: Any, **kwargs: Any) -> Any:
    spec = Table.text_to_video.spec
    return engine.call(spec, "a cat", answers=list(answers), **kwargs)


def test_a_job_is_submitted_elsewhere_and_followed_there() -> None:
    engine = Engine("fal-ai", "together", task="text-to-video")
    done = {
        "id": "j1",
        "status": "completed",
        "outputs": {"video_url": "data:video/mp4;base64,AAAA"},
    }
    made = video(engine, BROKEN, answer({"id": "j1"}), answer(done))
    assert (made.media_type, made.endpoint) == ("video/mp4", "together")
    assert engine.urls[1:] == ["/together/v2/videos", "/together/v2/videos/j1"]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ([BROKEN] * 4, ServiceUnavailableError),
        ([answer({"id": "j1", "status": "failed", "error": "no"})], JobFailedError),
    ],
)
def test_a_job_stays_with_the_provider_that_took_it(end: list[Any], kind: Any) -> None:
    engine = Engine("together", "fal-ai", task="text-to-video")
    with pytest.raises(kind) as caught:
        video(engine, answer({"id": "j1"}), *end)
    assert all("/together/" in url for url in engine.urls)
    assert caught.value.job.endpoint == "together"
    assert "'together' has taken the job" in str(caught.value)
    assert "client.providers.resume(error.job)" in str(caught.value)


def test_questions_about_a_job_count_for_the_endpoint() -> None:
    engine = Engine("together", task="text-to-video", breaker=BreakerPolicy())
    with pytest.raises(ServiceUnavailableError):
        video(engine, answer({"id": "j1"}), *[BROKEN] * 4)
    assert engine.core.pipeline is not None
    assert list(engine.core.pipeline.breakers or ()) == ["together"]


# --- sockets ----------------------------------------------------------------------------


@pytest.fixture
def second() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest, server: FaultServer) -> Caller:
    entries = {
        provider: {"providerId": named, "task": task, "status": "live"}
        for provider, named, task in [
            ("fal-ai", "fal-ai/flux", "text-to-image"),
            ("together", "acme/FLUX-T", "text-to-image"),
        ]
    }
    hub = {"id": MODEL, "inferenceProviderMapping": entries}
    server.on(f"/api/models/{MODEL}", json_reply(hub))
    return Caller(request.param, server)


def test_the_mapping_is_looked_up_once_for_all_endpoints(caller: Caller) -> None:
    caller.server.on(FAL, reset()).on(TOGETHER, json_reply(PICTURE))
    made = caller.run(
        lambda client: client.tasks.text_to_image("a cat"), Failover.providers("fal-ai", "together")
    )
    assert (made.content, made.endpoint) == (PNG, "together")
    paths = [request.path for request in caller.server.requests]
    assert paths == [f"/api/models/{MODEL}", FAL, TOGETHER]


def test_a_whole_answer_that_cannot_be_read_is_final(caller: Caller) -> None:
    caller.server.on(FAL, json_reply({"odd": 1})).on(TOGETHER, json_reply(PICTURE))
    with pytest.raises(APIResponseValidationError, match="no images"):
        caller.run(
            lambda client: client.tasks.text_to_image("a cat"),
            Failover.providers("fal-ai", "together"),
        )
    assert caller.server.count(TOGETHER) == 0


def test_a_cut_job_is_resumed_at_its_endpoint(caller: Caller, second: FaultServer) -> None:
    done = {"id": "j1", "status": "completed"}
    done["outputs"] = {"video_url": f"{second.url}/media"}
    second.on("/together/v2/videos", json_reply({"id": "j1"}))
    second.on("/together/v2/videos/j1", json_reply({"id": "j1", "status": "in_progress"}))
    second.on("/media", reply(200, b"film", {"content-type": "video/mp4"}))
    caller.server.on("*", failing(503))
    endpoints = [
        FailoverEndpoint(provider="fal-ai"),
        FailoverEndpoint(second.url + "/v1", provider="together", api_key="key-2", name="gate"),
    ]
    hub = {"together": {"providerId": "acme/v", "task": "text-to-video", "status": "live"}}
    hub["fal-ai"] = {"providerId": "acme/v", "task": "text-to-video", "status": "live"}
    mapping = json_reply({"id": MODEL, "inferenceProviderMapping": hub})
    caller.server.on(f"/api/models/{MODEL}", mapping)
    fast = {"poll_interval": 0.01, "poll_deadline": 0.2}
    with pytest.raises(JobTimeoutError) as caught:
        caller.run(lambda client: client.tasks.text_to_video("a cat", **fast), Failover(endpoints))
    job = pickle.loads(pickle.dumps(caught.value.job))
    assert job.endpoint == "gate"
    second.on("/together/v2/videos/j1", json_reply(done))
    made = caller.run(lambda client: client.providers.resume(job), Failover(endpoints))
    assert made.content == b"film"
    keys = {one.headers.get("authorization") for one in second.requests if one.path != "/media"}
    assert keys == {"Bearer key-2"}
    with pytest.raises(InvalidSettingError, match="endpoint 'gate', which this client does not"):
        caller.run(lambda client: client.providers.resume(job), Failover.providers("fal-ai"))


def test_callbacks_name_the_endpoint_of_a_list(caller: Caller, second: FaultServer) -> None:
    caller.server.on("*", failing(500))
    second.on("*", json_reply([{"label": "good", "score": 0.9}]))
    recorder = Recorder()
    endpoints = [
        FailoverEndpoint(one.url, name=n) for one, n in ((caller.server, "a"), (second, "b"))
    ]
    found = caller.run(
        lambda client: client.tasks.text_classification("x", callbacks=[recorder]),
        Failover(endpoints),
    )
    assert [one.label for one in found] == ["good"]
    assert [one.endpoint for one in recorder.of(ResponseEvent)] == ["b"]


# --- streams ----------------------------------------------------------------------------


def token(text: str, whole: str | None = None) -> dict[str, Any]:
    return {"token": {"id": 1, "text": text}, "generated_text": whole}


def two(caller: Caller, second: FaultServer) -> Failover:
    return Failover(
        [
            FailoverEndpoint(caller.server.url, name="a"),
            FailoverEndpoint(second.url, name="b", api_key="key-b"),
        ]
    )


def texts(client: Any) -> Any:
    return client.tasks.text_generation_stream("p")


@pytest.mark.parametrize(
    "broken",
    [
        failing(503),
        reset(),
        sse(end=Fin(), done=False),
        sse({"error": "overloaded", "error_type": "overloaded"}, done=False),
        sse(done=False),
    ],
)
def test_a_text_moves_on_before_its_first_token(
    caller: Caller, second: FaultServer, broken: Any
) -> None:
    caller.server.on("*", broken)
    second.on("*", sse(token("a"), token("b", "ab"), done=False))
    whole, stream = caller.stream(texts, two(caller, second))
    assert (whole.text, stream.endpoint) == ("ab", "b")
    assert second.requests[0].headers["authorization"] == "Bearer key-b"
    assert caller.server.wait_open(0)


def test_a_text_stays_after_its_first_token(caller: Caller, second: FaultServer) -> None:
    caller.server.on("*", sse(token("a"), delay=0.02, end=Fin(), done=False))
    with pytest.raises(StreamInterruptedError):
        caller.stream(texts, two(caller, second))
    assert second.requests == []


def test_a_text_is_streamed_by_another_provider_in_its_form(caller: Caller) -> None:
    entry = {"providerId": "acme/t", "task": "text-generation", "status": "live"}
    hub = {"id": MODEL, "inferenceProviderMapping": {"featherless-ai": entry}}
    caller.server.on(f"/api/models/{MODEL}", json_reply(hub))
    caller.server.on("*", failing(503))
    piece = {"choices": [{"text": "ab", "finish_reason": "stop"}]}
    caller.server.on("/featherless-ai/v1/completions", sse(piece))
    names = ("hf-inference", "groq", "featherless-ai")
    whole, stream = caller.stream(texts, Failover.providers(*names))
    assert (whole.text, stream.endpoint) == ("ab", "featherless-ai")
    assert caller.server.requests[-1].json()["model"] == "acme/t"


def test_a_text_is_retried_before_its_first_token(caller: Caller) -> None:
    caller.server.script("*", sse(end=Fin(), done=False), sse(token("a", "a"), done=False))
    retry = RetryPolicy(max_retries=1, initial_delay=0.001)
    endpoints = [FailoverEndpoint(caller.server.url, name="a")]
    whole, _ = caller.stream(texts, Failover(endpoints), retry=retry)
    assert whole.text == "a"


def test_the_failure_of_a_text_is_counted_by_the_breaker(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on("*", sse(end=Fin(), done=False))
    second.on("*", sse(token("a", "a"), done=False))
    breaker = BreakerPolicy(minimum_calls=2)
    policy = two(caller, second)
    if caller.kind == "sync":

        def steps(client: Any) -> Any:
            for _ in range(3):
                with texts(client) as stream:
                    stream.result()
            return client

        client = caller.run(steps, policy, breaker=breaker)
    else:

        async def asteps(client: Any) -> Any:
            for _ in range(3):
                async with texts(client) as stream:
                    await stream.result()
            return client

        client = caller.run(asteps, policy, breaker=breaker)
    assert client.resilience.breakers["a"].state == "open"
    assert len(caller.server.requests) == 2
    assert len(second.requests) == 3


def test_internal_errors_of_a_sweep_end_with_the_last_cause(
    caller: Caller, second: FaultServer
) -> None:
    caller.server.on("*", failing(503))
    second.on("*", failing(500))
    with pytest.raises(InternalServerError):
        caller.stream(texts, two(caller, second))
