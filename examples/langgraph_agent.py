"""A LangGraph agent whose store is agentmem: facts of one thread are found in all others.

Set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server that speaks the same protocol.
"""

import os
from uuid import uuid4

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from openai import OpenAI

from agentmem import Memory
from agentmem.integrations.langgraph import AgentMemStore

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
ANA = ("users", "ana", "facts")


def call_model(state: MessagesState, *, store: BaseStore) -> dict:
    """Answer with the facts that fit the last message, then keep that message as a fact."""
    text = str(state["messages"][-1].content)
    facts = "\n".join(item.value["text"] for item in store.search(ANA, query=text, limit=3))
    prompt = f"What the user said earlier:\n{facts}\n\n{text}" if facts else text
    messages = [{"role": "user", "content": prompt}]
    reply = OpenAI().chat.completions.create(model=MODEL, messages=messages)
    store.put(ANA, str(uuid4()), {"text": text})
    return {"messages": [("ai", reply.choices[0].message.content)]}


if __name__ == "__main__":
    with Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        builder = StateGraph(MessagesState).add_node(call_model).add_edge(START, "call_model")
        graph = builder.compile(store=AgentMemStore(memory))
        for text in ("My sister Marta lives in Porto.", "Where does my sister Marta live?"):
            result = graph.invoke({"messages": [("user", text)]})
            print("ana:", text)
            print("bot:", result["messages"][-1].content)
