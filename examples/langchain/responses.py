"""The Responses API instead of chat completions: the same tools, answers in blocks."""

from langchain.agents import create_agent
from langchain_core.tools import tool

from langchain_hfrouter import ChatHFRouter


@tool
def get_weather(city: str) -> str:
    """Current weather of a city"""
    return '{"temp_c": 21}'


model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0, use_responses_api=True)
for block in model.invoke("Think: is 7 prime?").content:
    print(block)

agent = create_agent(model, tools=[get_weather])
question = {"messages": [("user", "What is the weather in Paris?")]}
for piece, _ in agent.stream(question, stream_mode="messages"):
    print(piece.text, end="|")
