"""Many questions at once, with asyncio: one connection pool, no threads."""

import asyncio

from llama_index_hfrouter import HFRouter

QUESTIONS = ["What is the capital of France?", "Say hello.", "Hello"]


async def main() -> None:
    llm = HFRouter("openai/gpt-oss-120b", temperature=0)
    answers = await asyncio.gather(*[llm.acomplete(question) for question in QUESTIONS])
    for question, answer in zip(QUESTIONS, answers, strict=True):
        print(f"{question} {answer.text}")


asyncio.run(main())
