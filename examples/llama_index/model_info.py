"""What a model can do at a provider, read from the router's list on request."""

from llama_index_hfrouter import HFRouter

llm = HFRouter("openai/gpt-oss-120b", provider="groq", bill_to="my-org")
print("assumed:", llm.metadata.context_window)
info = llm.load_model_info()
print("served by:", ", ".join(offer.name for offer in info.providers))
print("now:", llm.metadata.context_window, "tools:", llm.metadata.is_function_calling_model)
