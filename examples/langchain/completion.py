"""A text that is continued, whole and streamed, by a provider that completes texts."""

from langchain_hfrouter import HFRouterLLM

llm = HFRouterLLM(
    model="mistralai/Mistral-7B-v0.1",
    provider="together",
    provider_id="mistralai/Mistral-7B-v0.1",  # saves looking it up
    max_tokens=20,
    stop=["\n"],
)
print("whole:", llm.invoke("Once upon a time"))
print("streamed:", end=" ")
for text in llm.stream("Once upon a time"):
    print(text, end="", flush=True)
print()
