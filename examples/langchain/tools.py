"""Two tool calls in one answer, run by hand, and the answer after them."""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from langchain_hfrouter import ChatHFRouter


@tool
def get_weather(city: str) -> str:
    """Current weather of a city"""
    return '{"temp_c": 21}'


@tool
def get_time(city: str) -> str:
    """Local time of a city"""
    return "12:30"


tools = {"get_weather": get_weather, "get_time": get_time}
model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0).bind_tools(list(tools.values()))

messages = [HumanMessage("Weather and time in Paris?")]
answer = model.invoke(messages)
messages.append(answer)
for call in answer.tool_calls:
    print(call["name"], call["args"])
    messages.append(tools[call["name"]].invoke(call))
print(model.invoke(messages).text)
