"""Errors are LangChain's and ours at once, and say what to do."""

from langchain_core.exceptions import ModelAuthenticationError, ModelNotFoundError

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="no-such/model")
try:
    model.invoke("Hello")
except ModelNotFoundError as error:
    print("Not found:", error)
    print("Request id:", error.request_id)
except ModelAuthenticationError as error:
    print("Token:", error)
