"""A conversation, whole and streamed, with reasoning and token counts."""

from llama_index.core.llms import ChatMessage

from llama_index_hfrouter import HFRouter

llm = HFRouter("openai/gpt-oss-120b", policy="fastest", temperature=0)

answer = llm.chat([ChatMessage(role="user", content="Say hello.")])
print(answer.message.content)

for piece in llm.stream_chat([ChatMessage(role="user", content="Think: is 7 prime?")]):
    thought = piece.additional_kwargs.get("thinking_delta")
    print(thought or piece.delta, end="", flush=True)
print()
print(f"{piece.raw['usage']['total_tokens']} tokens")
