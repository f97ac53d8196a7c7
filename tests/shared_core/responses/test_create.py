"""Whole responses, through both clients, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared_core import (
    AsyncRouterClient,
    Failover,
    FailoverEndpoint,
    FunctionCall,
    FunctionCallOutput,
    MCPApprovalRequest,
    MCPCall,
    MCPListTools,
    MCPTool,
    OutputMessage,
    ReasoningItem,
    Resilience,
    RetryPolicy,
    RouterClient,
    ToolArgumentsError,
    errors,
    parse_structured,
)
from shared_core.responses.request import responses_url
from tests.helpers.fault_server import FaultServer, html_reply, json_reply, sse

PATH = "/v1/responses"
WHOLE: dict[str, Any] = {
    "id": "resp_5f",
    "object": "response",
    "created_at": 1771000002,
    "status": "completed",
    "error": None,
    "model": "openai/gpt-oss-120b:groq",
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm."}],
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "Hi", "annotations": [{"type": "x"}]},
                {"type": "output_text", "text": " there"},
            ],
        },
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_3",
            "name": "get_time",
            "arguments": '{"tz":"UTC"}',
            "status": "completed",
        },
        {"id": "x_1", "type": "hologram", "beam": 1},
    ],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 21,
    },
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def create(request: pytest.FixtureRequest, server: FaultServer) -> Any:
    """``create(input, **params)`` of either client; options of the client as ``client=``."""

    def call(given: Any, *, client: dict[str, Any] | None = None, **params: Any) -> Any:
        options = {"api_key": "hf_test", "base_url": f"{server.url}/v1", **(client or {})}
        if request.param == "sync":
            with RouterClient("a/b", **options) as sync:
                return sync.responses.create(given, **params)

        async def go() -> Any:
            async with AsyncRouterClient("a/b", **options) as client:
                return await client.responses.create(given, **params)

        return asyncio.run(go())

    return call


def test_a_server_that_streams_unless_told_not_to(server: FaultServer, create: Any) -> None:
    begun = {"type": "response.created", "response": {**WHOLE, "output": []}}
    text = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"}
    ended = {"type": "response.completed", "response": WHOLE}
    server.on(PATH, sse(begun, text, ended, done=False, headers={"x-request-id": "r-1"}))
    response = create("Hello")
    assert (response.output_text, response.request_id) == ("Hi there", "r-1")
    assert response.usage is not None and response.usage.total_tokens == 21
    assert "stream" not in server.requests[0].json()
    server.on(PATH, sse(begun, text, done=False))
    with pytest.raises(errors.StreamInterruptedError) as caught:
        create("Hello")
    assert caught.value.partial is not None and caught.value.partial.output_text == "Hi"
    server.on(PATH, sse(begun, {"type": "response.failed", "response": {**WHOLE, "error": {}}}))
    with pytest.raises(errors.ResponseFailedError):
        create("Hello")
    server.on(PATH, json_reply(WHOLE, headers={"content-type": "text/event-stream"}))
    assert create("Hello").output_text == "Hi there"


def test_typed_items(server: FaultServer, create: Any) -> None:
    server.on(PATH, json_reply(WHOLE, headers={"x-inference-provider": "groq"}))
    response = create("Hello")
    reasoning, message, call, unknown = response.output
    assert isinstance(reasoning, ReasoningItem)
    assert reasoning.text == response.reasoning == "Hm."
    assert isinstance(message, OutputMessage)
    assert response.output_text == response.text == message.text == "Hi there"
    assert message.annotations == [{"type": "x"}]
    assert isinstance(call, FunctionCall)
    assert call.parse() == {"tz": "UTC"}
    assert (unknown.type, unknown.raw["beam"]) == ("hologram", 1)
    assert response.usage is not None
    assert (response.usage.cached_tokens, response.usage.reasoning_tokens) == (4, 3)
    assert response.usage.total_tokens == 21
    assert (response.finish_reason, response.provider) == ("tool_calls", "groq")
    (request,) = server.requests
    assert request.json() == {"model": "a/b", "input": "Hello"}
    assert request.headers["authorization"] == "Bearer hf_test"


def test_every_parameter(server: FaultServer, create: Any) -> None:
    server.on(PATH, json_reply(WHOLE))

    def get_time(tz: str) -> str:
        """Tell the time."""
        return tz

    create(
        "Hello",
        provider="groq",
        instructions="Be brief.",
        max_output_tokens=50,
        metadata={"who": "me"},
        reasoning_effort="low",
        reasoning_summary="auto",
        temperature=0,
        top_p=0.5,
        response_format={"title": "City", "type": "object", "properties": {}},
        tools=[
            get_time,
            MCPTool(
                "docs",
                "https://mcp.example.org/sse",
                allowed_tools=["find"],
                headers={"Authorization": "Bearer secret"},
                require_approval={"never": ["find"]},
            ),
        ],
        tool_choice="get_time",
        bill_to="acme",
        scale_up_timeout=600,
        extra_body={"truncation": "auto", "top_p": None},
    )
    (request,) = server.requests
    assert request.json() == {
        "model": "a/b:groq",
        "input": "Hello",
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "metadata": {"who": "me"},
        "temperature": 0,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "format": {
                "type": "json_schema",
                "name": "City",
                "schema": {"title": "City", "type": "object", "properties": {}},
            }
        },
        "tools": [
            {
                "type": "function",
                "name": "get_time",
                "description": "Tell the time.",
                "parameters": {
                    "type": "object",
                    "properties": {"tz": {"type": "string"}},
                    "required": ["tz"],
                },
            },
            {
                "type": "mcp",
                "server_label": "docs",
                "server_url": "https://mcp.example.org/sse",
                "allowed_tools": ["find"],
                "headers": {"Authorization": "Bearer secret"},
                "require_approval": {"never": {"tool_names": ["find"]}},
            },
        ],
        "tool_choice": {"type": "function", "name": "get_time"},
        "truncation": "auto",
    }
    assert request.headers["x-scale-up-timeout"] == "600"
    assert request.headers["x-hf-bill-to"] == "acme"


def test_history_and_tool_results(server: FaultServer, create: Any) -> None:
    server.on(PATH, json_reply(WHOLE))
    first = create("What time is it?")
    call = first.function_calls[0]
    create(["What time is it?", *first.to_input(), FunctionCallOutput(call.call_id, "12:00")])
    sent = server.requests[1].json()["input"]
    assert sent[0] == {"role": "user", "content": "What time is it?"}
    assert sent[1:5] == WHOLE["output"]
    assert sent[5] == {"type": "function_call_output", "call_id": "call_3", "output": "12:00"}


def test_other_kinds_of_tool_choice_pass(server: FaultServer, create: Any) -> None:
    server.on(PATH, json_reply(WHOLE))
    choice = {"type": "mcp", "server_label": "docs", "name": "search"}
    create("x", tools=[MCPTool("docs", "https://mcp.test/sse")], tool_choice=choice)
    assert server.requests[0].json()["tool_choice"] == choice


def test_mcp_items_and_approval(server: FaultServer, create: Any) -> None:
    wire = [
        {"id": "l", "type": "mcp_list_tools", "server_label": "d", "tools": [{"name": "find"}]},
        {
            "id": "c",
            "type": "mcp_call",
            "server_label": "d",
            "name": "find",
            "arguments": "{}",
            "output": "42",
            "error": {"message": "slow"},
        },
        {
            "id": "r",
            "type": "mcp_approval_request",
            "server_label": "d",
            "name": "drop",
            "arguments": {"a": 1},
        },
    ]
    server.on(PATH, json_reply({**WHOLE, "output": wire}))
    response = create("Find it")
    listed, called, asked = response.output
    assert isinstance(listed, MCPListTools)
    assert listed.tools == [{"name": "find"}]
    assert isinstance(called, MCPCall)
    assert (called.output, called.error) == ("42", "slow")
    assert isinstance(asked, MCPApprovalRequest)
    assert response.approval_requests == [asked]
    assert asked.arguments == '{"a":1}'
    create(asked.answer(False, "no"))
    assert server.requests[1].json()["input"] == [
        {
            "type": "mcp_approval_response",
            "approval_request_id": "r",
            "approve": False,
            "reason": "no",
        }
    ]


def test_failed_inside_a_200_is_an_error_with_what_arrived(
    server: FaultServer, create: Any
) -> None:
    failed = {
        **WHOLE,
        "status": "failed",
        "error": {"code": "server_error", "message": "the model went away"},
    }
    server.on(PATH, json_reply(failed, headers={"x-request-id": "r-1"}))
    with pytest.raises(errors.ResponseFailedError) as caught:
        create("Hello")
    error = caught.value
    assert "the model went away" in str(error)
    assert (error.code, error.request_id) == ("server_error", "r-1")
    assert error.partial.output_text == "Hi there"
    assert isinstance(error.error, errors.InternalServerError)


def test_failed_is_retried_on_request_only(server: FaultServer, create: Any) -> None:
    failed = {**WHOLE, "status": "failed", "error": {"code": "server_error", "message": "x"}}
    server.script(PATH, json_reply(failed), json_reply(WHOLE))
    policy = RetryPolicy(max_retries=1, initial_delay=0.001)
    assert create("Hello", client={"retry": policy}).output_text == "Hi there"
    assert len(server.requests) == 2


def test_incomplete_is_an_answer(server: FaultServer, create: Any) -> None:
    cut = {**WHOLE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    server.on(PATH, json_reply({**cut, "output": WHOLE["output"][:2]}))
    response = create("Hello")
    assert (response.status, response.finish_reason) == ("incomplete", "length")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply({"success": False, "error": "Unauthorized"}, 401), errors.AuthenticationError),
        (
            json_reply({"success": False, "error": [{"message": "bad input"}], "details": []}, 400),
            errors.BadRequestError,
        ),
        (json_reply({"error": {"message": "no", "code": 429}}), errors.RateLimitError),
        (json_reply({"object": "list"}), errors.APIResponseValidationError),
        (json_reply([1]), errors.APIResponseValidationError),
        (html_reply("<html>login</html>"), errors.APIResponseValidationError),
    ],
)
def test_errors(server: FaultServer, create: Any, reply: Any, kind: type[Exception]) -> None:
    server.on(PATH, reply)
    with pytest.raises(kind):
        create("Hello")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("given", "params", "named"),
    [
        ("", {}, "input"),
        ([], {}, "input"),
        ([1], {}, "input[0]"),
        ({"no": "type"}, {}, "input[0]"),
        ("x", {"max_output_tokens": 0}, "max_output_tokens"),
        ("x", {"max_tokens": 5}, "max_output_tokens"),
        ("x", {"temperature": 3}, "temperature"),
        ("x", {"metadata": {"a": "b" * 513}}, "metadata"),
        ("x", {"metadata": {"a": 1}}, "metadata"),
        ("x", {"tools": "abc"}, "tools"),
        ("x", {"tools": [MCPTool("d", "ftp://x")]}, "tools[0].server_url"),
        ("x", {"tools": [MCPTool("d", "https://x", require_approval="maybe")]}, "require_approval"),
        ("x", {"tool_choice": "required"}, "tool_choice"),
        ("x", {"extra_body": {"stream": True}}, "stream"),
        ("x", {"extra_body": {"model": None}}, "model"),
        ("x", {"scale_up_timeout": 0}, "scale_up_timeout"),
        ("x", {"extra_headers": {"Authorization": "x"}}, "api_key"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_sent(
    server: FaultServer, create: Any, given: Any, params: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.InvalidSettingError) as caught:
        create(given, **params)
    assert named in str(caught.value)
    assert server.requests == []


def test_mcp_headers_are_never_shown() -> None:
    tool = MCPTool("docs", "https://x", headers={"Authorization": "Bearer secret"})
    assert "secret" not in repr(tool)


def test_arguments_that_are_no_json() -> None:
    with pytest.raises(ToolArgumentsError):
        FunctionCall(name="f", arguments="{").parse()


def test_as_chat_completion(server: FaultServer, create: Any) -> None:
    text = {"type": "output_text", "text": '{"city":"Paris"}'}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [text]}
    server.on(PATH, json_reply({**WHOLE, "output": [message]}))
    completion = create("Hello").to_completion()
    assert parse_structured(completion, {"type": "object"}) == {"city": "Paris"}
    assert completion.finish_reason == "stop"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://h/v1", "https://h/v1/responses"),
        ("https://h", "https://h/v1/responses"),
        ("https://h/v1/chat/completions?a=1", "https://h/v1/responses?a=1"),
        ("https://h/v1/responses", "https://h/v1/responses"),
        ("https://h/x", "https://h/x/v1/responses"),
    ],
)
def test_address(base: str, url: str) -> None:
    assert responses_url(base) == url


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_real_server(llama_chat_url: str, kind: str) -> None:
    options: dict[str, Any] = {"api_key": "x", "base_url": f"{llama_chat_url}/v1"}
    question = "What is the capital of France?"
    if kind == "sync":
        with RouterClient("taught", **options) as client:
            response = client.responses.create(question, max_output_tokens=20)
    else:

        async def go() -> Any:
            async with AsyncRouterClient("taught", **options) as client:
                return await client.responses.create(question, max_output_tokens=20)

        response = asyncio.run(go())
    assert "Paris" in response.output_text
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.prompt_tokens > 5


def test_another_endpoint_answers_when_the_first_is_down(server: FaultServer, create: Any) -> None:
    with FaultServer() as other:
        server.on(PATH, json_reply({"error": "down"}, 503))
        other.on(PATH, json_reply(WHOLE))
        places = [
            FailoverEndpoint(f"{server.url}/v1"),
            FailoverEndpoint(f"{other.url}/v1", model="c/d"),
        ]
        resilience = Resilience(failover=Failover(places))
        response = create("Hello", client={"resilience": resilience})
        assert response.output_text == "Hi there"
        assert other.requests[0].json() == {"model": "c/d", "input": "Hello"}
        assert "authorization" not in other.requests[0].headers


def test_credentials_of_tools_that_a_server_repeats_are_not_kept(
    server: FaultServer, create: Any
) -> None:
    tool = MCPTool("docs", "https://mcp.test/sse", headers={"Authorization": "Bearer s3cret"})
    for status, error in (("completed", None), ("failed", {"message": "no"})):

        def repeat(request: Any, status: str = status, error: Any = error) -> Any:
            tools = request.json()["tools"]
            return json_reply({**WHOLE, "tools": tools, "status": status, "error": error})

        server.on(PATH, repeat)
        if error is None:
            kept = create("x", tools=[tool])
        else:
            with pytest.raises(errors.ResponseFailedError) as caught:
                create("x", tools=[tool])
            kept = caught.value.partial
        assert "s3cret" in server.requests[-1].body.decode()
        assert "s3cret" not in repr(kept)
        assert "s3cret" not in repr(kept.raw)
        assert kept.raw["tools"][0]["server_label"] == "docs"


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ({}, {"provider": "groq"}),
        ({"provider": "groq"}, {}),
        ({"provider": "groq"}, {"model": "openai/gpt-oss-20b:fastest"}),
    ],
)
def test_key_of_a_provider_is_not_sent_to_the_router(
    options: dict[str, Any], params: dict[str, Any]
) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(str(request.url))
        return httpx.Response(200, json=WHOLE)

    given: dict[str, Any] = {
        "api_key": "gsk_1234567890",
        "base_url": "https://router.huggingface.co/v1",
        **options,
    }

    async def awaiting() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as wire:
            client = AsyncRouterClient("a/b", http_client=wire, **given)
            with pytest.raises(errors.UnsupportedTaskError, match="groq's own"):
                await client.responses.stream("Hi", **params)

    with httpx.Client(transport=httpx.MockTransport(answer)) as wire:
        client = RouterClient("a/b", http_client=wire, **given)
        with pytest.raises(errors.UnsupportedTaskError, match=r"client\.chat"):
            client.responses.create("Hi", **params)
        asyncio.run(awaiting())
        assert sent == []
        # No provider is named: the router is asked, as it is with chat.
        bare = {**given, "provider": None}
        RouterClient("a/b", http_client=wire, **bare).responses.create("Hi")
    assert sent == ["https://router.huggingface.co/v1/responses"]
