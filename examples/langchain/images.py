"""A picture in the question: an address is passed on, bytes are sent along."""

import base64
import sys
from pathlib import Path

from langchain_core.messages import HumanMessage

from langchain_hfrouter import ChatHFRouter

model = ChatHFRouter(model="google/gemma-3-27b-it")
picture = Path(sys.argv[1]) if len(sys.argv) > 1 else None
if picture is None:
    image = {"type": "image", "url": "https://huggingface.co/front/assets/huggingface_logo.svg"}
else:
    data = base64.b64encode(picture.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}

question = {"type": "text", "text": "What is on this picture?"}
print(model.invoke([HumanMessage([question, image])]).text)
