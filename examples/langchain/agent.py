"""An agent that calls a tool on its own (needs the package langchain)."""

from langchain.agents import create_agent
from langchain_core.tools import tool

from langchain_hfrouter import ChatHFRouter


@tool
def get_weather(city: str) -> str:
    """Current weather of a city"""
    return '{"temp_c": 21}'


model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0)
agent = create_agent(model, tools=[get_weather])

state = agent.invoke({"messages": [("user", "What is the weather in Paris?")]})
for message in state["messages"]:
    message.pretty_print()
