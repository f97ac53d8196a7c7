"""A chat model that calls an image model: the text is for the model, the artifact for you."""

from pathlib import Path

from langchain_core.messages import HumanMessage

from langchain_hfrouter import ChatHFRouter, TextToImageTool, TranslationTool

tools = [
    TextToImageTool(model="black-forest-labs/FLUX.1-schnell"),
    TranslationTool(model="facebook/nllb-200-distilled-600M"),
]
by_name = {tool.name: tool for tool in tools}
model = ChatHFRouter(model="openai/gpt-oss-120b").bind_tools(tools)

messages = [HumanMessage("Draw a lighthouse.")]
answer = model.invoke(messages)
messages.append(answer)
for call in answer.tool_calls:
    result = by_name[call["name"]].invoke(call)
    messages.append(result)
    print(call["name"], call["args"], "->", result.content)
    if hasattr(result.artifact, "save"):
        print("saved", result.artifact.save(Path("lighthouse")))
print(model.invoke(messages).text)
