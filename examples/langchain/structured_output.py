"""An answer as an object, and what is there of it while it is written."""

from pydantic import BaseModel

from langchain_hfrouter import ChatHFRouter


class Person(BaseModel):
    """A person."""

    name: str
    age: int


model = ChatHFRouter(model="openai/gpt-oss-120b", temperature=0)

print(model.with_structured_output(Person, method="json_schema").invoke("Give me a JSON person."))

checked = model.with_structured_output(Person, method="json_mode", include_raw=True)
result = checked.invoke("Give me a JSON person.")
print(result["parsed"] or result["parsing_error"])

for part in model.with_structured_output(method="json_mode").stream("Give me a JSON person."):
    print(part)
