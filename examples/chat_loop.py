"""A chat that remembers, around any ``generate(messages) -> str``.

Put your own model behind `generate`: an API client, a local model, anything that takes messages
and returns text. Here a stand-in answers from what it was shown, so that the example runs offline.
"""

from collections.abc import Callable

from agentmem import Memory

Generate = Callable[[list[dict[str, str]]], str]


def reply(memory: Memory, generate: Generate, text: str) -> str:
    """Answer one message with what is remembered in view, then remember both sides.

    Only what was said is stored, never the memories that were put before it: a memory that is
    recalled must not come back as a new one.
    """
    recalled = memory.recall(text, k=5).pack(max_tokens=400).to_messages("openai")
    said = {"role": "user", "content": text}
    answer = generate([*recalled, said])
    memory.add([said, {"role": "assistant", "content": answer}])
    return answer


def parrot(messages: list[dict[str, str]]) -> str:
    """Stands in for a model: repeats the best memory it was shown."""
    shown = [m["content"] for m in messages if m["role"] == "system"]
    lines = [line for block in shown for line in block.splitlines() if "] user: " in line]
    return f"You told me: {lines[0].split('] user: ')[1]}" if lines else "I did not know that yet."


if __name__ == "__main__":
    with Memory(":memory:") as store:
        ana = store.scoped(user_id="ana")
        for line in ("My sister Marta lives in Porto.", "Where does my sister Marta live?"):
            print("ana:", line)
            print("bot:", reply(ana, parrot, line))
