"""A LangChain chain that streams. ``--local`` runs it in this process, without a token."""

import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_hfrouter import ChatHFRouter

local = "--local" in sys.argv
model = ChatHFRouter(local=True) if local else ChatHFRouter(model="openai/gpt-oss-120b")
prompt = ChatPromptTemplate.from_messages([("system", "Use this: {facts}"), ("user", "{question}")])
chain = prompt | model | StrOutputParser()

facts = "The dome opens at dusk. Soup is served on Mondays."
for piece in chain.stream({"facts": facts, "question": "When does the dome open?"}):
    print(piece, end="", flush=True)
print()
