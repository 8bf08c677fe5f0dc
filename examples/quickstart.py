"""Quickstart: store a conversation, recall from it, and pack the hits for a chat API."""

from agentmem import Memory

with Memory(":memory:") as mem:
    mem.add(
        [
            {"role": "user", "content": "I booked the 9:40 train to Lyon, seat 23A."},
            {"role": "assistant", "content": "Noted. Shall I remind you an hour before?"},
        ],
        user_id="ana",
    )

    hits = mem.recall("when does my train leave?", user_id="ana", k=2)
    print(hits[0].text)  # exact, regenerated from the vectors
    print(hits[0].latents.shape, hits[0].latents.dtype, f"fidelity {hits[0].fidelity:.0%}")
    print(hits.pack(max_tokens=200).to_messages("openai"))
