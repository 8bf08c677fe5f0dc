"""A chat loop with memory, around any ``generate(messages) -> str``.

Put your own model behind `generate`: an API client, a local model, anything that takes messages
and returns text. Here a stand-in answers from its prompt, so that the example runs offline.
"""

from collections.abc import Callable

from agentmem import Memory, Session

Generate = Callable[[list[dict[str, str]]], str]


def reply(session: Session, generate: Generate, text: str) -> str:
    """Answer one message with recalled memories in the prompt, then store both messages.

    Only the conversation is stored, never the recalled memories: they must not be stored again as
    new ones.
    """
    messages = [{"role": "user", "content": text}]
    answer = generate(session.context(messages, k=5, max_tokens=400))
    session.observe(messages, answer)
    return answer


def parrot(messages: list[dict[str, str]]) -> str:
    """A stand-in for a model: repeats the best memory in its prompt."""
    prompts = [m["content"] for m in messages[:-1]]
    lines = [line for block in prompts for line in block.splitlines() if "] user: " in line]
    return f"You told me: {lines[0].split('] user: ')[1]}" if lines else "I did not know that yet."


if __name__ == "__main__":
    with Memory(":memory:") as store:
        ana = store.session(user_id="ana", session_id="today")
        for line in ("My sister Marta lives in Porto.", "Where does my sister Marta live?"):
            print("ana:", line)
            print("bot:", reply(ana, parrot, line))
