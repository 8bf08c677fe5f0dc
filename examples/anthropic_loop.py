"""A chat with the client of Anthropic, streamed, that remembers the user.

Set ANTHROPIC_API_KEY; ANTHROPIC_BASE_URL is the address of another server.
"""

import os

from anthropic import Anthropic

import agentmem

MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-4-5")


def converse(memory: agentmem.Memory, session_id: str, text: str) -> None:
    """One conversation of one turn; the client recalls and stores by itself."""
    client = agentmem.wrap(Anthropic(), memory=memory, user_id="ana", session_id=session_id)
    messages = [{"role": "user", "content": text}]
    print("ana:", text)
    print("bot: ", end="")
    with client.messages.stream(model=MODEL, max_tokens=500, messages=messages) as stream:
        for piece in stream.text_stream:
            print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    with agentmem.Memory(":memory:") as memory:  # a folder in place of ":memory:" keeps it
        converse(memory, "monday", "My sister Marta lives in Porto.")
        converse(memory, "friday", "Where does my sister Marta live?")
