"""The message shapes of chat APIs and frameworks, one table per idea.

- `envelopes`: what contains messages: response objects, exports, the wrappers of LangChain
- `fields`: the fields of a message: role, time, id, content
- `block_types`: the types of the blocks of its content
- `blocks`: those blocks: texts, documents, calls, results
- `tool_messages`: messages of tools, and calls and results beside the content of others
- `tools`: tool calls and tool results
- `plain`: the text of results that have a structure of their own

Shapes are those of OpenAI (Chat Completions, Responses, Realtime), Anthropic, Google GenAI, AWS
Bedrock, LangChain, LlamaIndex, LiteLLM and Vercel's AI SDK. A shape that is not known keeps its
text if it has any, is counted as skipped if it has none, and is refused if it cannot be read.
"""
