"""What a model can do at a provider, read from the router's list on request."""

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="openai/gpt-oss-120b:groq")
print("shipped:", model.profile)
print("from the router:", model.refresh_profile())
