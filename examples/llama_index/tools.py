"""Tools without an agent: ask, call what the model wants, send the result back."""

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from llama_index_hfrouter import HFRouter


def get_weather(city: str) -> str:
    return '{"temp_c": 21}'


TOOL = FunctionTool.from_defaults(get_weather, description="Current weather of a city")
llm = HFRouter("openai/gpt-oss-120b", temperature=0)
messages = [ChatMessage(role="user", content="What is the weather in Paris?")]

answer = llm.chat_with_tools([TOOL], chat_history=messages)
messages.append(answer.message)
for call in llm.get_tool_calls_from_response(answer):
    result = TOOL(**call.tool_kwargs)
    print(f"[{call.tool_name} {call.tool_kwargs} -> {result}]")
    told = {"tool_call_id": call.tool_id}
    messages.append(ChatMessage(role="tool", content=str(result), additional_kwargs=told))
print(llm.chat_with_tools([TOOL], chat_history=messages).message.content)
