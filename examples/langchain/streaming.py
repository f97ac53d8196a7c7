"""An answer while it is written, then its token counts and who served it."""

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="openai/gpt-oss-120b:fastest", temperature=0)

answer = None
for chunk in model.stream("Tell me a long story."):
    print(chunk.text, end="", flush=True)
    answer = chunk if answer is None else answer + chunk

assert answer is not None
print()
print(answer.usage_metadata)
print(answer.response_metadata["inference_provider"], answer.response_metadata["request_id"])
