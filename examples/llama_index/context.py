"""Save a conversation with an agent as JSON and go on with it later.

``Context.to_dict`` keeps the state of a workflow. With pydantic 2.14 core leaves the agent's
memory out of it (and warns), so its messages are saved beside it.
"""

import asyncio
import json
import warnings

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context

from llama_index_hfrouter import HFRouter


async def main() -> None:
    llm = HFRouter("openai/gpt-oss-120b", temperature=0)
    agent = FunctionAgent(llm=llm, system_prompt="Be brief.")
    context, memory = Context(agent), ChatMemoryBuffer.from_defaults(llm=llm)
    await context.store.set("visits", 1)
    print(await agent.run("I am Ada.", ctx=context, memory=memory))
    with warnings.catch_warnings(action="ignore"):
        state = context.to_dict()
    messages = [message.model_dump(mode="json") for message in memory.get_all()]
    saved = json.dumps({"state": state, "messages": messages})

    loaded = json.loads(saved)
    history = [ChatMessage.model_validate(message) for message in loaded["messages"]]
    memory = ChatMemoryBuffer.from_defaults(llm=llm, chat_history=history)
    context = Context.from_dict(agent, loaded["state"])
    print(await agent.run("Who am I?", ctx=context, memory=memory))
    print("visits:", await context.store.get("visits"))


asyncio.run(main())
