"""A prompt, a model and a parser, joined."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0)
prompt = ChatPromptTemplate.from_messages([("user", "What is the capital of {country}?")])
chain = prompt | model | StrOutputParser()

print(chain.invoke({"country": "France"}))
