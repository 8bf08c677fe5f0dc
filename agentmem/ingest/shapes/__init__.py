"""The message shapes of chat APIs and frameworks, one table per idea.

- `envelopes`: what contains messages: response objects, exports, the wrappers of LangChain
- `fields`: the fields of a message: role, time, id, content
- `blocks`: the blocks of its content: texts, documents, calls, results
- `tools`: tool calls and tool results
- `plain`: the text of results that have a structure of their own

Shapes are those of OpenAI (Chat Completions, Responses, Realtime), Anthropic, Google GenAI, AWS
Bedrock, LangChain, LlamaIndex, LiteLLM and Vercel's AI SDK. A shape that is not known keeps its
text if it has any, is counted as skipped if it has none, and is refused if it cannot be read.
"""
