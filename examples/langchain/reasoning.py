"""What a model thought, apart from what it said."""

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0, split_think=True)
answer = model.invoke("Think: is 7 prime?")

for block in answer.content_blocks:
    print(f"{block['type']}: {block.get('reasoning') or block.get('text')}")
