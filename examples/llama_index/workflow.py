"""Two agents in an AgentWorkflow: the first hands the question to the one that can calculate."""

import asyncio

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult

from llama_index_hfrouter import HFRouter


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def main() -> None:
    llm = HFRouter("openai/gpt-oss-120b", temperature=0)
    desk = FunctionAgent(name="desk", description="Greets.", llm=llm, can_handoff_to=["calculator"])
    calculator = FunctionAgent(name="calculator", description="Adds.", llm=llm, tools=[add])
    workflow = AgentWorkflow(agents=[desk, calculator], root_agent="desk")
    run = workflow.run(user_msg="What is 2 + 3?")
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"[{event.tool_name} {event.tool_kwargs}]")
    print(await run)


asyncio.run(main())
