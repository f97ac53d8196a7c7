"""A ReAct agent: tools for models that cannot call tools by themselves."""

import asyncio

from llama_index.core.agent.workflow import ReActAgent, ToolCallResult

from llama_index_hfrouter import HFRouter


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def times(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


async def main() -> None:
    agent = ReActAgent(tools=[add, times], llm=HFRouter("openai/gpt-oss-120b", temperature=0))
    run = agent.run(user_msg="What is (2 + 3) * 4?")
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"[{event.tool_name} {event.tool_kwargs} -> {event.tool_output}]")
    print(await run)


asyncio.run(main())
