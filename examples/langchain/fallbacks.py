"""Two providers for one model: with LangChain's fallbacks, and with the client's own failover."""

from langchain_core.exceptions import ModelAPIError, ModelPermissionDeniedError, ModelRateLimitError

from langchain_hfrouter import ChatHFRouter
from shared_core import Failover, Resilience

QUESTION = "Which moon of Saturn has lakes?"

# LangChain's way: any other model can stand in. Without exceptions_to_handle= it does so after
# every error, a wrong token too.
first = ChatHFRouter(model="Qwen/Qwen3-32B", provider="groq")
second = ChatHFRouter(model="Qwen/Qwen3-32B", provider="together")
errors = (ModelAPIError, ModelPermissionDeniedError, ModelRateLimitError)
answer = first.with_fallbacks([second], exceptions_to_handle=errors).invoke(QUESTION)
print("fallback:", answer.text, "by", answer.response_metadata["inference_provider"])

# The client's way: one object, which stays a chat model (bind_tools, agents), and knows which
# errors another provider may do without.
failover = Failover.providers("groq", "together")
model = ChatHFRouter(model="Qwen/Qwen3-32B", resilience=Resilience(failover=failover))
for chunk in model.stream(QUESTION):
    print(chunk.text, end="")
print()
print("failover: by", chunk.response_metadata["inference_provider"])
