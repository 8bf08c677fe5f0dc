"""Many conversations at once on one store, with forgetting: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import ModelBundle

# What `Memory` calls of the packages below it; all of them read, write or compute.
WORK = (
    "agentmem.context.load.load_chunks",
    "agentmem.context.lookup.run_recall",
    "agentmem.writing.write_parts",
    "agentmem.editing.forget",
    "agentmem.verbs.upkeep.verify",
)


async def converse(memory: AsyncMemory, number: int, turns: int, kept: dict[int, str]) -> None:
    """One user's conversation: each turn reads, writes, and sometimes forgets an earlier one."""
    chance = random.Random(number)
    user = f"user {number}"
    session = memory.session(user_id=user, session_id=f"session {number}")
    own: dict[int, str] = {}
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        text = f"turn {turn} of {user}: parcel {number * 1000 + turn} is in room {turn}"
        messages.append({"role": "user", "content": text})
        sent = await session.context(messages)
        assert sent[-1] == messages[-1]
        receipt = await session.observe(messages)
        assert session.error is None
        assert receipt is not None
        own[receipt.ids[-1]] = text
        # A conversation of which everything is forgotten is unknown, and would be stored again.
        if len(own) > 1 and chance.random() < 0.2:
            gone = chance.choice(sorted(own))
            forgotten = await memory.forget([gone], user_id=user)
            assert forgotten.ids == (gone,)
            del own[gone]
        found = await memory.recall(text, user_id=user, k=3, mode="lexical")
        assert receipt.ids[-1] not in own or text in [hit.text for hit in found]
    kept |= own


@pytest.mark.parametrize(
    ("sessions", "turns"),
    [(5, 4), pytest.param(50, 100, marks=pytest.mark.slow)],
)
def test_concurrent_conversations(
    place: Path,
    model: ModelBundle,
    monkeypatch: pytest.MonkeyPatch,
    sessions: int,
    turns: int,
) -> None:
    threads: set[threading.Thread] = set()

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            threads.add(threading.current_thread())
            return work(*args, **kwargs)

        return call

    for name in WORK:
        monkeypatch.setattr(name, noting(resolve_name(name)))
    kept: dict[int, str] = {}

    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await asyncio.gather(
                *(converse(memory, number, turns, kept) for number in range(sessions))
            )
            assert (await memory.verify()).ok

    asyncio.run(main())
    # The event loop, which ran in this thread, has waited for no store and no model.
    assert threads
    assert threading.current_thread() not in threads
    with Memory(place, model=model) as memory:
        assert {chunk.id: chunk.text for chunk in memory.list()} == kept
