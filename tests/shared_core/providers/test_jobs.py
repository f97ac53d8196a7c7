"""Queued jobs, driven by hand: every provider's queue, and a failure at every step."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from shared_core.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    InternalServerError,
    JobFailedError,
    JobTimeoutError,
    NotFoundError,
    RateLimitError,
)
from shared_core.media.output import Media
from shared_core.providers.base import Job, JobCodec, Route
from shared_core.providers.jobs import MOST_FAILURES, own_path
from shared_core.providers.registry import codec, table
from shared_core.providers.routing import route_of
from shared_core.tasks.spec import JobProgress
from tests.shared_core.providers.driving import (
    ROUTER,
    TOKEN,
    Clock,
    Drive,
    answer,
    core,
    drive,
    file,
    options,
)
from tests.shared_core.providers.scenes import MEDIA, SCENES, Scene

scenes = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
ONE_OF_EACH = [scene for scene in SCENES if scene.task in ("text-to-video", "text-to-image")]
a_scene = pytest.mark.parametrize("scene", ONE_OF_EACH, ids=lambda scene: scene.name)


def route(scene: Scene) -> Route:
    return Route(
        provider=scene.provider,
        task=scene.task,
        model="acme/model",
        provider_id=scene.provider_id,
        base=f"{ROUTER}/{scene.provider}",
    )


def flow(scene: Scene, clock: Clock | None = None, **given: Any) -> Any:
    queue = scene.queue
    if clock is not None:
        queue = dataclasses.replace(queue, clock=clock)
    return queue.flow(core(), route(scene), scene.payload, options(**given))


def story(scene: Scene, *middle: Any) -> list[Any]:
    """The answers of a job that is done at the second question, *middle* in between."""
    script = [answer(scene.accepted), answer(scene.waiting), *middle, answer(scene.done)]
    if scene.results is not None:
        script.append(answer(scene.results))
    return [*script, file(b"made" * 5, scene.media_type)]


def fail(flow: Any, *answers: Any) -> tuple[APIError, Drive]:
    driven = Drive()
    with pytest.raises(APIError) as caught:
        driven.run(flow, answers)
    assert driven.unused == []
    return caught.value, driven


# --- the whole way ----------------------------------------------------------------------


def test_scenes_show_every_queued_pair_there_is() -> None:
    queued = {(row.provider, row.task) for row in table() if row.queued}
    shown = {(scene.provider, scene.task) for scene in SCENES}
    # Speech recognition of replicate gives text, black-forest-labs is withdrawn: both elsewhere.
    elsewhere = {
        ("replicate", "automatic-speech-recognition"),
        ("black-forest-labs", "text-to-image"),
    }
    assert queued - elsewhere == shown


@scenes
def test_job_is_submitted_asked_for_and_fetched(scene: Scene) -> None:
    driven = drive(flow(scene), *story(scene))
    base = f"{ROUTER}/{scene.provider}"
    urls = [base + scene.submit, base + scene.status, base + scene.status]
    if scene.result is not None:
        urls.append(base + scene.result)
    assert [request.url for request in driven.requests] == [*urls, MEDIA]
    assert [request.method for request in driven.requests[:2]] == ["POST", "GET"]
    assert driven.sleeps == [scene.queue.interval] * 2
    found = driven.result
    if isinstance(found, list):
        found = found[0].get("mask") or found[0].get("blob")
    assert isinstance(found, Media)
    assert (found.content, found.media_type, found.url) == (b"made" * 5, scene.media_type, MEDIA)


@scenes
def test_token_goes_to_the_provider_and_not_to_the_media(scene: Scene) -> None:
    driven = drive(flow(scene), *story(scene))
    assert [request.auth for request in driven.requests[:-1]] == [True] * (len(driven.requests) - 1)
    assert driven.requests[-1].auth is False
    assert set(driven.requests[-1].headers) == {"Accept"}
    assert all(request.idempotent for request in driven.requests[1:])
    assert not driven.requests[0].idempotent


@a_scene
def test_job_done_at_once_is_not_asked_for(scene: Scene) -> None:
    first = {**scene.accepted, **scene.done}
    rest = [answer(scene.results)] if scene.results is not None else []
    if scene.provider == "novita":
        first = {"video": {"video_url": MEDIA}}  # what the older address answers
    driven = drive(flow(scene), answer(first), *rest, file(kind=scene.media_type))
    assert driven.sleeps == []


def test_progress_is_told_and_may_end_the_waiting() -> None:
    told: list[JobProgress] = []
    scene = SCENES[0]
    clock = Clock()
    driven = Drive(clock)
    driven.run(flow(scene, clock, progress=told.append, poll_interval=2.0), story(scene))
    assert [(p.status, p.polls, p.elapsed, p.job_id) for p in told] == [
        ("IN_QUEUE", 0, 0.0, "j1"),
        ("IN_PROGRESS", 1, 2.0, "j1"),
        ("COMPLETED", 2, 4.0, "j1"),
    ]

    def enough(progress: JobProgress) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        drive(flow(scene, progress=enough), answer(scene.accepted))


def test_fal_job_without_an_address_is_found_by_its_id() -> None:
    scene = SCENES[0]
    bare = {"request_id": "j/1", "status": "IN_QUEUE"}
    driven = drive(flow(scene), answer(bare), *story(scene)[2:])
    assert driven.requests[1].url == (
        f"{ROUTER}/fal-ai/fal-ai/wan/v2/requests/j%2F1/status?_subdomain=queue"
    )


# --- the deadline -----------------------------------------------------------------------


@a_scene
def test_deadline_ends_the_waiting_and_keeps_the_job(scene: Scene) -> None:
    clock = Clock()
    driven = Drive(clock)
    waiting = [answer(scene.waiting) for _ in range(3)]
    with pytest.raises(JobTimeoutError) as caught:
        driven.run(
            flow(scene, clock, poll_deadline=7.0, poll_interval=2.0),
            [answer(scene.accepted), *waiting],
        )
    error = caught.value
    assert driven.sleeps == [2.0, 2.0, 2.0, 1.0]  # never past the deadline
    assert isinstance(error, TimeoutError)
    assert error.job.id == "j1"
    assert error.job.status_url == f"{ROUTER}/{scene.provider}{scene.status}"
    assert (error.deadline, error.elapsed) == (7.0, 7.0)
    assert "job j1" in str(error)
    assert "resume(error.job)" in str(error)
    assert not error.retryable


def test_question_takes_no_longer_than_what_is_left() -> None:
    scene = SCENES[0]
    clock = Clock()
    driven = Drive(clock)
    driven.run(
        flow(scene, clock, poll_deadline=20.0, poll_interval=8.0, timeout=15.0), story(scene)
    )
    assert [request.timeout for request in driven.requests] == [15.0, 12.0, 4.0, 15.0, 15.0]


def test_without_deadline_it_waits_for_ever() -> None:
    scene = SCENES[0]
    clock = Clock()
    driven = Drive(clock)
    waiting = [answer(scene.waiting) for _ in range(500)]
    driven.run(
        flow(scene, clock, poll_deadline=None, poll_interval=60.0, timeout=None),
        [answer(scene.accepted), *waiting, *story(scene)[2:]],
    )
    assert clock.now == 501 * 60.0


# --- failures ---------------------------------------------------------------------------


def until(scene: Scene, step: str) -> list[Any]:
    """The answers before *step*."""
    before = {
        "poll": [answer(scene.accepted)],
        "result": [answer(scene.accepted), answer(scene.done)],
        "media": [answer(scene.accepted), answer(scene.done)],
    }[step]
    if step == "media" and scene.results is not None:
        before.append(answer(scene.results))
    return before


STEPS = [(scene, step) for scene in SCENES for step in scene.steps]
at_every_step = pytest.mark.parametrize(
    ("scene", "step"), STEPS, ids=[f"{scene.name}-{step}" for scene, step in STEPS]
)


def connection_lost() -> APIConnectionError:
    return APIConnectionError("the connection broke")


@at_every_step
def test_trouble_that_heals_costs_nothing_but_time(scene: Scene, step: str) -> None:
    rest = story(scene)[2:] if step == "poll" else []
    if step == "result":
        rest = [answer(scene.results), file(b"made" * 5, scene.media_type)]
    if step == "media":
        rest = [file(b"made" * 5, scene.media_type)]
    trouble = [answer({"error": "overloaded"}, 503), connection_lost(), answer({}, 500)]
    driven = drive(flow(scene), *until(scene, step), *trouble[:MOST_FAILURES], *rest)
    assert driven.result is not None
    assert len(driven.sleeps) >= MOST_FAILURES


@at_every_step
def test_trouble_that_stays_is_raised_with_the_job(scene: Scene, step: str) -> None:
    trouble = [answer({"error": "broken"}, 500) for _ in range(MOST_FAILURES + 1)]
    error, _ = fail(flow(scene), *until(scene, step), *trouble)
    assert isinstance(error, InternalServerError)
    check_job(error, scene, step)


@at_every_step
@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (401, AuthenticationError), (418, APIError)]
)
def test_refusal_is_raised_at_once_with_the_job(
    scene: Scene, step: str, status: int, kind: type[APIError]
) -> None:
    error, _ = fail(flow(scene), *until(scene, step), answer({"error": "no"}, status))
    assert isinstance(error, kind)
    check_job(error, scene, step)


@at_every_step
def test_lost_connection_is_raised_with_the_job(scene: Scene, step: str) -> None:
    trouble = [connection_lost() for _ in range(MOST_FAILURES + 1)]
    error, _ = fail(flow(scene), *until(scene, step), *trouble)
    assert isinstance(error, APIConnectionError)
    check_job(error, scene, step)


# An answer of these without a status means that the job is waiting.
NO_STATUS = ("together", "novita", "zai-org")


@at_every_step
def test_nonsense_is_raised_with_the_job(scene: Scene, step: str) -> None:
    for value in ([], "nonsense", 7, None, {"odd": 1}):
        if value == {"odd": 1} and step == "poll" and scene.provider in NO_STATUS:
            continue
        error, _ = fail(flow(scene), *until(scene, step), answer(value))
        assert isinstance(error, APIResponseValidationError)
        check_job(error, scene, step)


def check_job(error: APIError, scene: Scene, step: str) -> None:
    job = error.job
    assert isinstance(job, Job)
    assert (job.provider, job.task, job.id) == (scene.provider, scene.task, "j1")
    assert job.status_url == f"{ROUTER}/{scene.provider}{scene.status}"
    assert job.media_urls == ((MEDIA,) if step == "media" else ())
    assert "job j1" in str(error)
    twin = pickle.loads(pickle.dumps(error))
    assert twin.job == job


@scenes
def test_failed_job_says_why(scene: Scene) -> None:
    error, _ = fail(flow(scene), answer(scene.accepted), answer(scene.failed))
    assert isinstance(error, JobFailedError)
    assert error.server_message == "the worker fell over"
    assert "the worker fell over" in str(error)
    assert error.job.id == "j1"
    assert error.failover
    assert not error.retryable


@scenes
def test_refused_submission_has_no_job_and_is_not_repeated(scene: Scene) -> None:
    error, driven = fail(flow(scene), answer({"error": "slow down"}, 429))
    assert isinstance(error, RateLimitError)
    assert error.job is None
    assert len(driven.requests) == 1


@scenes
@pytest.mark.parametrize("value", [[], {}, {"id": 5}, "x", None], ids=repr)
def test_submission_with_nonsense_for_an_answer(scene: Scene, value: Any) -> None:
    error, _ = fail(flow(scene), answer(value))
    assert isinstance(error, APIResponseValidationError)


@scenes
def test_error_object_in_a_200_to_the_submission(scene: Scene) -> None:
    error, _ = fail(flow(scene), answer({"error": {"message": "no such model", "code": 404}}))
    assert "no such model" in str(error)


def test_result_with_an_error_is_a_failed_job() -> None:
    scene = SCENES[0]
    script = [answer(scene.accepted), answer(scene.done), answer({"error": "out of memory"})]
    error, _ = fail(flow(scene), *script)
    assert isinstance(error, JobFailedError)
    assert "out of memory" in str(error)


def test_pauses_grow_and_follow_the_server() -> None:
    scene = SCENES[0]
    trouble = [answer({}, 503), answer({}, 503), answer({}, 429, **{"retry-after": "9"})]
    driven = drive(
        flow(scene, poll_interval=1.0), *until(scene, "poll"), *trouble, *story(scene)[2:]
    )
    assert driven.sleeps == [1.0, 1.0, 2.0, 9.0]


def test_server_that_asks_for_a_long_wait_ends_the_waiting() -> None:
    scene = SCENES[0]
    busy = answer({}, 429, **{"retry-after": "3600"})
    error, driven = fail(flow(scene), *until(scene, "poll"), busy)
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 3600
    assert error.job.id == "j1"
    assert driven.sleeps == [scene.queue.interval]


def test_deadline_during_trouble_says_what_the_trouble_was() -> None:
    scene = SCENES[0]
    clock = Clock()
    driven = Drive(clock)
    with pytest.raises(JobTimeoutError, match=r"last question failed: .*overloaded") as caught:
        driven.run(
            flow(scene, clock, poll_deadline=3.0, poll_interval=2.0),
            [answer(scene.accepted), answer({"error": "overloaded"}, 503)],
        )
    assert caught.value.job.id == "j1"


# --- addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "https://h.test//x",
        "https://h.test/a/../b",
        "relative",
        "",
        None,
        7,
        "https://h.test/a b",
        "/\\x",
    ],
)
def test_odd_addresses_of_jobs_are_refused(address: Any) -> None:
    with pytest.raises(ValueError, match="address"):
        own_path(address)


def test_host_that_the_answer_names_is_not_asked() -> None:
    scene = SCENES[0]
    elsewhere = {**scene.accepted, "response_url": "https://evil.test/fal-ai/wan/requests/j1"}
    driven = drive(flow(scene), answer(elsewhere), *story(scene)[1:])
    assert all("evil.test" not in request.url for request in driven.requests)


@pytest.mark.parametrize(
    "url",
    [
        "http://media.example/x",
        "ftp://media.example/x",
        "file:///etc/passwd",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "https://[::1]/x",
        "https://user:pw@media.example/x",
        "https://",
        "",
    ],
)
def test_media_addresses_that_are_not_fetched(url: str) -> None:
    scene = SCENES[0]
    script = [answer(scene.accepted), answer(scene.done), answer({"video": {"url": url}})]
    error, _ = fail(flow(scene), *script)
    assert isinstance(error, APIResponseValidationError)


def test_media_within_the_answer_is_not_fetched() -> None:
    scene = next(scene for scene in SCENES if scene.task == "image-segmentation")
    inline = {"image": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    driven = drive(flow(scene), answer(scene.accepted), answer(scene.done), answer(inline))
    assert driven.result[0]["mask"].content == b"\x89PNG\r\n\x1a\n"


def test_page_in_place_of_a_file_is_noticed() -> None:
    scene = SCENES[0]
    script = [*until(scene, "media"), file(b"<html>gone</html>", "text/html; charset=utf-8")]
    error, _ = fail(flow(scene), *script)
    assert "is a web page" in str(error)


def test_echoed_token_is_not_kept_in_the_job() -> None:
    scene = SCENES[0]
    leaky = {**scene.accepted, "request_id": TOKEN}
    error, _ = fail(flow(scene), answer(leaky), answer({}, 404))
    assert "ttttt" not in repr(error.job)
    assert "ttttt" not in str(error)


# --- again, later -----------------------------------------------------------------------


@scenes
def test_job_is_resumed_from_its_error(scene: Scene) -> None:
    error, _ = fail(flow(scene), answer(scene.accepted), answer({"error": "no"}, 401))
    job = pickle.loads(pickle.dumps(error)).job
    engine = core()
    found = codec(job.provider, job.task)
    assert isinstance(found, JobCodec)
    again = found.resume(engine, route_of(engine, job), job, options())
    driven = drive(again, *story(scene)[1:])
    assert driven.requests[0].url == f"{ROUTER}/{scene.provider}{scene.status}"
    assert driven.sleeps == [scene.queue.interval]  # asked at once, then after a while
