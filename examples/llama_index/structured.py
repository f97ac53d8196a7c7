"""An object instead of text, whole and as it grows. ``json_schema="off"`` uses tools."""

from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from llama_index_hfrouter import HFRouter


class Person(BaseModel):
    """A person."""

    name: str
    age: int


PROMPT = PromptTemplate("Give me a JSON person.")
llm = HFRouter("openai/gpt-oss-120b", temperature=0, json_schema="on")

person = llm.structured_predict(Person, PROMPT)
print(f"{person.name} is {person.age}")

for partial in llm.stream_structured_predict(Person, PROMPT):
    print(partial.model_dump())
