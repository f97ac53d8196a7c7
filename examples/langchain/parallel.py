"""Many calls at once in one event loop, without threads; ``max_retries`` is opt-in."""

import asyncio

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="openai/gpt-oss-120b:cheapest", temperature=0, max_retries=2)
questions = ["Say hello.", "What is the capital of France?"] * 10


async def main() -> None:
    answers = await asyncio.gather(*(model.ainvoke(question) for question in questions))
    print(len(answers), "answers:", {answer.text for answer in answers})


asyncio.run(main())
