"""Tools of an MCP server, called by the service itself after it was allowed to (Responses API)."""

from langchain_core.messages import HumanMessage

from langchain_hfrouter import ChatHFRouter
from shared_core import MCPTool

docs = MCPTool("docs", "https://mcp.example.org/sse", require_approval="always")
model = ChatHFRouter(model="openai/gpt-oss-120b", use_responses_api=True).bind_tools([docs])

messages = [HumanMessage("How do I install it?")]
answer = model.invoke(messages)
messages.append(answer)
for block in answer.content_blocks:
    if block["type"] == "non_standard" and block["value"]["type"] == "mcp_approval_request":
        print("May it call", block["value"]["name"], block["value"]["arguments"])
        allowed = {
            "type": "mcp_approval_response",
            "approval_request_id": block["value"]["id"],
            "approve": True,
        }
        messages.append(HumanMessage([allowed]))

answer = model.invoke(messages)
for block in answer.content_blocks:
    if block["type"] == "server_tool_result":
        print("it answered:", block["output"])
print(answer.text)
