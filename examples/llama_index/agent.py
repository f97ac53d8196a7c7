"""An agent that calls two tools at once and streams its answer."""

import asyncio

from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool

from llama_index_hfrouter import HFRouter


def get_weather(city: str) -> str:
    return '{"temp_c": 21}'


def get_time(city: str) -> str:
    return "12:30"


TOOLS = [
    FunctionTool.from_defaults(get_weather, description="Current weather of a city"),
    FunctionTool.from_defaults(get_time, description="Local time of a city"),
]


async def main() -> None:
    agent = FunctionAgent(tools=TOOLS, llm=HFRouter("openai/gpt-oss-120b", temperature=0))
    run = agent.run(user_msg="Weather and time in Paris?")
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"[{event.tool_name} {event.tool_kwargs} -> {event.tool_output}]")
        elif isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
    await run
    print()


asyncio.run(main())
