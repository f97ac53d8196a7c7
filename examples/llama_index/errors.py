"""What to catch. Every error says what happened and what to do about it."""

from llama_index_hfrouter import HFRouter
from shared_core import APIStatusError, InvalidSettingError, RouterError

try:
    HFRouter("openai/gpt-oss-120b", temprature=0)
except InvalidSettingError as error:
    print(error)

llm = HFRouter("openai/gpt-oss-120b", timeout=30, max_retries=2)
try:
    llm.complete("Hello", max_tokens=64, extra_body={"n": -1})
    print("the provider did not mind")
except APIStatusError as error:
    print(error.status_code, error.request_id, error)
except RouterError as error:
    print(error)
