"""Chat and text generation by a language model: the taught one, which has known answers."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.torch_models import need, write_random

need("torch", "transformers")

from shared_core import (  # noqa: E402
    APITimeoutError,
    AsyncRouterClient,
    BadRequestError,
    ContextLengthError,
    LocalModelError,
    LocalModels,
    ModelNotFoundError,
    RouterClient,
    StreamError,
    UnsupportedFeatureError,
)

ANSWERS = {
    "What is the capital of France?": "The capital of France is Paris.",
    "Say hello.": "Hello! How can I help you today?",
    "Think: is 7 prime?": "<think>\n7 has no divisor but 1 and 7.\n</think>\n\nYes, 7 is prime.",
}
FRANCE = "What is the capital of France?"
STORY = "Tell me a long story."


def _function(name: str, description: str, **properties: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


WEATHER = _function("get_weather", "Current weather of a city", city="string")
TIME = _function("get_time", "Local time of a city", city="string")


@pytest.fixture(scope="module")
def client(taught: Path) -> RouterClient:
    return RouterClient(local=LocalModels(chat=taught, device="cpu"))


@pytest.mark.parametrize("prompt", ANSWERS)
def test_the_taught_answers(client: RouterClient, prompt: str) -> None:
    answer = client.chat.create(prompt, temperature=0)
    assert answer.text == ANSWERS[prompt]
    assert answer.finish_reason == "stop"
    assert answer.model == "local/taught"
    assert answer.provider == "local"
    assert answer.system_fingerprint == "local-cpu-float32"
    assert answer.headers["x-local-device"] == "cpu"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("prompt", [*ANSWERS, "Write unicode.", STORY])
def test_a_stream_brings_the_same_in_pieces(client: RouterClient, prompt: str) -> None:
    whole = client.chat.create(prompt, temperature=0)
    with client.chat.stream(prompt, temperature=0, include_usage=True) as stream:
        pieces = [chunk.text for chunk in stream if chunk.text]
        answer = stream.result()
    assert "".join(pieces) == answer.text == whole.text
    assert len(pieces) > 5
    assert not any("\ufffd" in piece for piece in pieces)
    assert answer.usage == whole.usage
    assert answer.finish_reason == "stop"


def test_a_stream_comes_while_it_is_written(client: RouterClient) -> None:
    with client.chat.stream(STORY, temperature=0) as stream:
        first = next(iter(stream.text_deltas()))
        assert first
        assert any(thread.name == "hfrouter-local" for thread in threading.enumerate())
    _wait_for_quiet()


def _wait_for_quiet() -> None:
    until = time.monotonic() + 10
    while any(thread.name == "hfrouter-local" for thread in threading.enumerate()):
        assert time.monotonic() < until, "a model goes on for nobody"
        time.sleep(0.01)


def test_a_dropped_stream_ends_the_work(client: RouterClient) -> None:
    stream = client.chat.stream(STORY, temperature=0)
    next(iter(stream))
    del stream
    _wait_for_quiet()
    assert client.chat.create(FRANCE, temperature=0).text == ANSWERS[FRANCE]


@pytest.mark.anyio
async def test_the_async_client_streams_and_does_not_block_the_loop(taught: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.002)
            ticks += 1

    async with AsyncRouterClient(local=LocalModels(chat=taught)) as client:
        ticking = asyncio.create_task(tick())
        whole = await client.chat.create(STORY, temperature=0)
        between = ticks
        async with client.chat.stream(STORY, temperature=0) as stream:
            text = "".join([piece async for piece in stream.text_deltas()])
        ticking.cancel()
        assert text == whole.text
        assert between >= 5
        assert ticks - between >= 5
        answers = await asyncio.gather(
            *(client.chat.create(prompt, temperature=0) for prompt in list(ANSWERS) * 3)
        )
        assert [answer.text for answer in answers] == list(ANSWERS.values()) * 3


@pytest.mark.anyio
async def test_a_cancelled_call_ends_the_work(taught: Path) -> None:
    async with AsyncRouterClient(local=LocalModels(chat=taught)) as client:
        task = asyncio.create_task(client.chat.create(STORY, temperature=0))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        _wait_for_quiet()


def test_tools_are_called_and_their_results_read(client: RouterClient) -> None:
    tools = [WEATHER, TIME]
    question = {"role": "user", "content": "Weather and time in Paris?"}
    answer = client.chat.create([question], tools=tools, temperature=0)
    assert [(call.name, call.parse()) for call in answer.tool_calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {"city": "Paris"}),
    ]
    assert answer.finish_reason == "tool_calls"
    assert answer.text == ""
    with client.chat.stream([question], tools=tools, temperature=0) as stream:
        streamed = stream.result()
    assert [call.name for call in streamed.tool_calls] == ["get_weather", "get_time"]
    assert streamed.finish_reason == "tool_calls"
    results = ['{"temp_c": 21}', "12:30"]
    turns = [question, answer.message]
    turns += [
        {"role": "tool", "content": text, "tool_call_id": call.id}
        for text, call in zip(results, answer.tool_calls, strict=True)
    ]
    final = client.chat.create(turns, tools=tools, temperature=0)
    assert final.text == "It is 21 degrees and 12:30 in Paris."
    plain = client.chat.create(FRANCE, tools=[WEATHER], tool_choice="none", temperature=0)
    assert plain.text == ANSWERS[FRANCE]


def test_limits_and_stops_are_kept(client: RouterClient) -> None:
    cut = client.chat.create(FRANCE, temperature=0, max_tokens=3)
    assert (cut.text, cut.finish_reason) == ("The capital of", "length")
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 3
    stopped = client.chat.create(FRANCE, temperature=0, stop=["never", " France"])
    assert (stopped.text, stopped.finish_reason) == ("The capital of", "stop")
    with pytest.raises(ContextLengthError, match="4096 of the model"):
        client.chat.create(FRANCE, max_tokens=4096)
    with pytest.raises(ContextLengthError):
        client.chat.create("word " * 5000)


def test_a_seed_repeats_a_random_choice_and_leaves_the_programs_own(client: RouterClient) -> None:
    import torch

    options: dict[str, Any] = {"temperature": 2.0, "max_tokens": 12}
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    first = client.chat.create("xyz", seed=1, **options).text
    assert torch.equal(torch.rand(2), expected)
    assert client.chat.create("xyz", seed=1, **options).text == first
    others = {client.chat.create("xyz", seed=seed, **options).text for seed in range(2, 6)}
    assert others - {first}
    greedy = client.chat.create("xyz", temperature=0, max_tokens=12).text
    narrow = client.chat.create("xyz", extra_body={"top_k": 1}, max_tokens=12).text
    assert narrow == greedy


def test_a_timeout_ends_a_whole_answer(client: RouterClient) -> None:
    with pytest.raises(APITimeoutError, match=r"within 0\.05 s"):
        client.chat.create(STORY, temperature=0, timeout=0.05)
    with client.chat.stream(STORY, temperature=0, timeout=30) as stream:
        assert stream.result().text.startswith("Part 1")


def test_a_timeout_ends_the_wait_for_a_turn(client: RouterClient, taught: Path) -> None:
    from shared_core.local.loading import language_model

    model = language_model(LocalModels(chat=taught, device="cpu"), str(taught))
    with model._lock:  # somebody else's long answer
        with pytest.raises(APITimeoutError):
            client.chat.create(FRANCE, temperature=0, timeout=0.2)
        with pytest.raises((APITimeoutError, StreamError)):
            client.chat.stream(FRANCE, temperature=0, timeout=0.2).result()
        _wait_for_quiet()


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"response_format": "json_object"}, "response_format"),
        ({"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"extra_body": {"grammar": "x"}}, "grammar"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_kept_is_refused(
    client: RouterClient, params: dict[str, Any], param: str, stream: bool
) -> None:
    begin = client.chat.stream if stream else client.chat.create
    given = dict(params)
    with pytest.raises(UnsupportedFeatureError) as caught:
        begin(given.pop("messages", FRANCE), **given)
    assert caught.value.param == param
    assert caught.value.operation == "chat"


def test_what_asks_for_nothing_special_is_accepted(client: RouterClient) -> None:
    answer = client.chat.create(
        [{"role": "user", "content": [{"type": "text", "text": FRANCE}]}],
        temperature=0,
        n=1,
        logprobs=False,
        presence_penalty=0,
        response_format={"type": "text"},
        user="me",
        extra_body={"repetition_penalty": 1.0},
    )
    assert answer.text == ANSWERS[FRANCE]


def test_variables_of_the_template_are_passed_on(client: RouterClient) -> None:
    usual = client.chat.create(FRANCE, temperature=0)
    options = {"chat_template_kwargs": {"enable_thinking": False}}
    quiet = client.chat.create(FRANCE, temperature=0, max_tokens=1, extra_body=options)
    none = client.chat.create(FRANCE, temperature=0, max_tokens=1, reasoning_effort="none")
    assert usual.usage is not None
    assert quiet.usage is not None
    assert none.usage is not None
    assert quiet.usage.prompt_tokens == none.usage.prompt_tokens > usual.usage.prompt_tokens


def test_text_generation_continues_a_prompt(client: RouterClient) -> None:
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    found = client.tasks.text_generation(prompt, do_sample=False, details=True)
    assert found.text == ANSWERS[FRANCE]
    assert found.details is not None
    assert found.details.finish_reason == "eos_token"
    stream = client.tasks.text_generation_stream(prompt, do_sample=False, max_new_tokens=4)
    pieces = list(stream)
    assert "".join(piece.text for piece in pieces) == "The capital of France"
    assert pieces[-1].generated_text == "The capital of France"
    assert pieces[-1].details is not None
    assert pieces[-1].details.finish_reason == "length"
    full = client.tasks.text_generation(
        prompt, do_sample=False, stop=[" France"], return_full_text=True
    )
    assert full.text == f"{prompt}The capital of"
    for name, value in (("best_of", 2), ("frequency_penalty", 1.0), ("watermark", True)):
        with pytest.raises(UnsupportedFeatureError, match=name):
            client.tasks.text_generation(prompt, **{name: value})
    assert client.tasks.text_generation(prompt, truncate=1, max_new_tokens=1, best_of=1).text


def test_another_model_is_never_passed_off(client: RouterClient) -> None:
    for call in (client.chat.create, client.tasks.text_generation):
        with pytest.raises(ModelNotFoundError, match="it has local/taught"):
            call("x", model="openai/gpt-oss-20b")
    assert {model.id for model in client.models.list()} >= {"local/taught"}


def test_a_model_without_a_chat_template_says_so(tmp_path: Path) -> None:
    folder = write_random(tmp_path / "base", "LMHeadModel", is_decoder=True)
    with RouterClient(local=LocalModels(chat=folder)) as client:
        with pytest.raises(UnsupportedFeatureError, match="no chat template"):
            client.chat.create("Hello")
        assert client.tasks.text_generation("hello", max_new_tokens=2, seed=1) is not None


def test_tools_need_a_template_that_has_them(taught: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "toolless"
    shutil.copytree(taught, folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with RouterClient(local=LocalModels(chat=folder)) as client:
        with pytest.raises(UnsupportedFeatureError, match="no tools in the form"):
            client.chat.create("Hello", tools=[WEATHER])
        (folder / "chat_template.jinja").unlink()
        assert client.chat.create("Hello", max_tokens=1, temperature=0) is not None


def test_a_template_that_refuses_is_an_error_of_ours(taught: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "strict"
    shutil.copytree(taught, folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no system here') }}")
    with RouterClient(local=LocalModels(chat=folder)) as client:
        with pytest.raises(LocalModelError, match="no system here"):
            client.chat.create("Hello")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_tokens", "a"), ("max_tokens", [1]), ("temperature", "hot"), ("temperature", {})),
        *(("top_k", 1.5), ("top_k", True), ("min_p", "a"), ("seed", "a"), ("stop", 5)),
        *(("stop", ["a", 1]), ("chat_template_kwargs", "a"), ("chat_template_kwargs", [1])),
        ("messages", [{"role": "assistant", "content": "x", "tool_calls": 5}]),
    ],
)
def test_a_value_of_the_wrong_type_is_a_bad_request(taught: Path, name: str, value: Any) -> None:
    with RouterClient(local=LocalModels(chat=taught)) as client:
        with pytest.raises(BadRequestError, match="must be") as caught:
            client.chat.create("Hello", extra_body={name: value})
    assert (caught.value.operation, caught.value.model) == ("chat", "local/taught")
    assert (caught.value.param or "").removeprefix("max_new_") in ("tokens", name)


@pytest.mark.parametrize(
    "parameters", [{"truncate": "a"}, {"truncate": -1}, {"stop": 5}, {"max_new_tokens": "a"}]
)
def test_text_generation_checks_types_too(taught: Path, parameters: dict[str, Any]) -> None:
    with RouterClient(local=LocalModels(chat=taught)) as client:
        with pytest.raises(BadRequestError, match="must be") as caught:
            client.tasks.call("text-generation", "Hello", parameters=parameters)
    assert caught.value.param in parameters
