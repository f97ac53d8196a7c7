"""Rules for agents; see README.md."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent

from tests.llama_index.conformance.base import (
    Conformance,
    add,
    run,
    times,
)
from tests.llama_index.stub_server import StubRouter, call, say


class AgentRules(Conformance):
    """Subclass and implement ``make``."""

    @pytest.mark.rule("function-agent", "two-tool-steps")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_function_agent(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A FunctionAgent takes two tool steps."""
        stub.chat(
            call(("add", {"a": 2, "b": 3})), call(("times", {"a": 5, "b": 4})), say("It is 20.")
        )

        async def main() -> str:
            agent = FunctionAgent(tools=[add, times], llm=model, streaming=streaming)
            return str(await agent.run(user_msg="(2 + 3) * 4?"))

        assert run(main) == "It is 20."

    @pytest.mark.rule("react-agent")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_react_agent(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A ReActAgent takes a tool step."""
        stub.chat(
            say('Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}\n'),
            say("Thought: I can answer without using any more tools.\nAnswer: It is 5."),
        )

        async def main() -> str:
            agent = ReActAgent(tools=[add], llm=model, streaming=streaming)
            return str(await agent.run(user_msg="2 + 3?"))

        assert run(main) == "It is 5."

    @pytest.mark.rule("cut-calls-run-nothing")
    @pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
    def test_a_cut_call_runs_no_tool(self, streaming: bool, model: Any, stub: StubRouter) -> None:
        """A tool does not run if the answer was cut off inside the arguments of its call."""
        ran: list[str] = []

        def delete(path: str = "/") -> str:
            """Delete a file."""
            ran.append(path)
            return "deleted"

        function = {"name": "delete", "arguments": '{"path": "/home/us'}
        torn = {"id": "c", "type": "function", "function": function}
        stub.chat(say(calls=[torn], finish="length"), say("Done."))

        async def main() -> None:
            agent = FunctionAgent(tools=[delete], llm=model, streaming=streaming)
            with contextlib.suppress(Exception):
                await agent.run(user_msg="Delete it.")

        run(main)
        assert stub.bodies
        assert "tools" in stub.bodies[0]
        assert ran == []
