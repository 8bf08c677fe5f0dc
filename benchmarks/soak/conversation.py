"""One user's conversation: turns that recall, store, and sometimes forget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentmem import AsyncMemory
from agentmem.errors import InputError


@dataclass(frozen=True, slots=True)
class Plan:
    """How conversations go.

    Attributes:
        sessions: How many go on at the same time.
        turns: Turns of each: what the user says, and a reply.
        think_s: How long a turn takes the model and the user on average, in seconds, half of it
            between what is said and the reply; 0: the next begins at once.
        forgets: Share of turns after which an earlier message is forgotten.
        window: How many messages a chat loop sends.
        seed: Of all random choices.
    """

    sessions: int
    turns: int
    think_s: float
    forgets: float
    window: int
    seed: int


@dataclass(slots=True)
class Seen:
    """What happened in all conversations.

    Attributes:
        context_s: How long each `context` took, in seconds, as its caller sees it.
        observe_s: How long each `observe` took.
        forget_s: How long each `forget` took.
        kept: User and text of every message that was acknowledged and not forgotten, by source id.
        forgotten: How many were forgotten.
        turns: How many turns there were.
    """

    context_s: list[float] = field(default_factory=list)
    observe_s: list[float] = field(default_factory=list)
    forget_s: list[float] = field(default_factory=list)
    kept: dict[int, tuple[str, str]] = field(default_factory=dict)
    forgotten: int = 0
    turns: int = 0


async def converse(
    memory: AsyncMemory,
    number: int,
    said: Sequence[tuple[str, str]],
    plan: Plan,
    seen: Seen,
    after_turn: Callable[[], None],
) -> None:
    """Have one conversation.

    Args:
        memory: The memory.
        number: Of the conversation.
        said: What the user says, and the reply, turn by turn.
        plan: How it goes.
        seen: Gets what happens.
        after_turn: Called after each turn.

    Raises:
        InputError: a call of the memory failed.
    """
    chance = random.Random(f"{plan.seed} {number}")
    user = f"user {number}"
    session = memory.session(user_id=user, session_id="soak")
    messages: list[dict[str, Any]] = []
    own: list[int] = []
    await asyncio.sleep(chance.uniform(0, plan.think_s))
    for text, reply in said[: plan.turns]:
        # What it has sent before, a chat loop may forget.
        messages = [*messages[1 - plan.window :], {"role": "user", "content": text}]
        began = time.perf_counter()
        await session.context(messages)
        seen.context_s.append(time.perf_counter() - began)
        await _pause(chance, plan)
        began = time.perf_counter()
        receipt = await session.observe(messages, reply)
        seen.observe_s.append(time.perf_counter() - began)
        if receipt is None or session.error is not None:
            raise InputError(f"a turn of {user} failed: {session.error!r}")
        messages.append({"role": "assistant", "content": reply})
        new = receipt.sources[-2:]
        seen.kept |= zip(new, ((user, text), (user, reply)), strict=True)
        own += [id for id in new if id not in own]
        if len(own) > plan.window and chance.random() < plan.forgets:
            gone = own.pop(chance.randrange(len(own) - 2))
            began = time.perf_counter()
            await memory.forget(user_id=user, where={"source_id": gone})
            seen.forget_s.append(time.perf_counter() - began)
            del seen.kept[gone]
            seen.forgotten += 1
        seen.turns += 1
        after_turn()
        await _pause(chance, plan)


async def _pause(chance: random.Random, plan: Plan) -> None:
    await asyncio.sleep(chance.uniform(0, plan.think_s))
