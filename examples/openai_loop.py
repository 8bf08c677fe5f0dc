"""A chat with the client of OpenAI that remembers the user from one conversation to the next.

Set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server that speaks the same protocol.
"""

import os

from openai import OpenAI

import agentmem

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


def converse(memory: agentmem.Memory, session_id: str, text: str) -> None:
    """One conversation of one turn; the client recalls and stores by itself."""
    client = agentmem.wrap(OpenAI(), memory=memory, user_id="ana", session_id=session_id)
    messages = [{"role": "user", "content": text}]
    reply = client.chat.completions.create(model=MODEL, messages=messages)
    print("ana:", text)
    print("bot:", reply.choices[0].message.content)


if __name__ == "__main__":
    with agentmem.Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        converse(memory, "monday", "My sister Marta lives in Porto.")
        converse(memory, "friday", "Where does my sister Marta live?")
