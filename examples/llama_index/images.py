"""A picture in the question: an address is passed on, a file is sent along."""

import sys

from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock

from llama_index_hfrouter import HFRouter

if len(sys.argv) > 1:
    image = ImageBlock(path=sys.argv[1])
else:
    image = ImageBlock(url="https://huggingface.co/front/assets/huggingface_logo.svg")

llm = HFRouter("google/gemma-3-27b-it")
question = ChatMessage(role="user", blocks=[TextBlock(text="What is on this picture?"), image])
print(llm.chat([question]).message.content)
