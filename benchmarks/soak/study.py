"""Runs one soak, and checks what is left of it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from json import loads
from pathlib import Path
from typing import Any

import regex

from agentmem import AsyncMemory
from agentmem.context.recall import Recall
from agentmem.evaluation.conversations import Conversation
from agentmem.evaluation.metrics import latency_ms
from agentmem.models.bundle.load import load_bundle
from benchmarks.soak.conversation import Plan, Seen, converse
from benchmarks.soak.heartbeat import Heartbeat, Late

# Turns between two looks at the memory of the process.
_STEP = 1_000


def turns_of(
    conversations: Sequence[Conversation], number: int, turns: int
) -> list[tuple[str, str]]:
    """What is said in one conversation: pairs of successive turns, from a place of its own."""
    texts = [turn.content for turn in conversations[number % len(conversations)].turns]
    first = 2 * (number // len(conversations)) * turns
    return [
        (texts[(first + 2 * at) % len(texts)], texts[(first + 2 * at + 1) % len(texts)])
        for at in range(turns)
    ]


def soak(folder: Path, conversations: Sequence[Conversation], plan: Plan) -> dict[str, Any]:
    """Have all conversations at once on a new store; then read and recall what was kept.

    Args:
        folder: Of the store.
        conversations: What is said in them.
        plan: How they go.
    """
    return asyncio.run(_soak(folder, conversations, plan))


async def _soak(folder: Path, conversations: Sequence[Conversation], plan: Plan) -> dict[str, Any]:
    seen, heartbeat = Seen(), Heartbeat()
    resident: dict[str, float] = {}
    in_use: dict[str, float] = {}
    index: dict[str, float] = {}
    model = load_bundle()

    def after_turn() -> None:
        if seen.turns % _STEP == 0:
            resident[str(seen.turns)] = _resident_mib()
            in_use[str(seen.turns)] = _in_use_mib()
            # Messages are short: each is one chunk, with one embedding in float32.
            index[str(seen.turns)] = len(seen.kept) * 4 * model.embedder.dims / 2**20

    load = [os.getloadavg()[0]]
    async with AsyncMemory(folder, model=model, preload=True) as memory:
        await _warm_up(memory)
        began, cpu = time.perf_counter(), time.process_time()
        with ExitStack() as stack:
            controls = [stack.enter_context(_control(core)) for core in _cores()]
            async with heartbeat.beating():
                await asyncio.gather(
                    *(
                        converse(
                            memory,
                            number,
                            turns_of(conversations, number, plan.turns),
                            plan,
                            seen,
                            after_turn,
                        )
                        for number in range(plan.sessions)
                    )
                )
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        load.append(os.getloadavg()[0])
        checked = await check(memory, seen)
    return {
        "turns": seen.turns,
        "seconds": seconds,
        "turns_per_second": seen.turns / seconds,
        "cpu_ms_per_turn": cpu / seen.turns * 1e3,
        "load": {"before": load[0], "after": load[1]},
        "context_ms": latency_ms(seen.context_s),
        "observe_ms": latency_ms(seen.observe_s),
        "forget_ms": latency_ms(seen.forget_s) if seen.forget_s else None,
        "heartbeat": heartbeat.summary(),
        "controls": [one["summary"] for one in controls],
        # Late with a core, while nothing that idled on any core was late.
        "over_alone": alone(heartbeat.over, [Late(*o) for one in controls for o in one["over"]]),
        "resident_mib": resident,
        "in_use_mib": in_use,
        "index_mib": index,
        "acknowledged": len(seen.kept) + seen.forgotten,
        "forgotten": seen.forgotten,
        **checked,
    }


async def _warm_up(memory: AsyncMemory) -> None:
    """What a service does before it serves; see "Pauses" in docs/operations.md."""
    session = memory.session(user_id="warm-up", session_id="warm-up")
    for text in ("The tide is low.", "The tide is high."):
        await session.context([{"role": "user", "content": text}])
        await session.observe([{"role": "user", "content": text}], "Noted.")
    await memory.forget(user_id="warm-up")
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(*gc.get_threshold()[:2], 3)


async def check(memory: AsyncMemory, seen: Seen) -> dict[str, int]:
    """Compare what is stored with what was acknowledged, and recall each message by its text.

    What a recall by default does not have among its first hits, such as "Nice!", which answers
    nothing, must be the first by its vector or by its words. Messages that differ only in
    punctuation ("Gotta run, bye!") are the same to both.
    """
    stored: dict[int, str] = {}
    async for chunk in memory.list():
        stored[chunk.source.id] = stored.get(chunk.source.id, "") + chunk.text

    def within(hits: Recall, text: str) -> bool:
        found = (one for hit in hits for one in (hit.text, stored.get(hit.source.id, "")))
        return _words(text) in map(_words, found)

    later = missed = 0
    for id, (user, text) in seen.kept.items():
        if id in stored and not within(await memory.recall(text, user_id=user), text):
            later += 1
            by_vector = await memory.recall(text, user_id=user, k=1, mode="vector")
            by_words = await memory.recall(text, user_id=user, k=1, mode="lexical")
            missed += not (within(by_vector, text) or within(by_words, text))
    return {
        "lost": len(seen.kept.keys() - stored.keys()),
        "altered": sum(stored.get(id, text) != text for id, (_, text) in seen.kept.items()),
        "back": len(stored.keys() - seen.kept.keys()),
        "not_among_first": later,
        "not_recalled": missed,
    }


def _words(text: str) -> list[str]:
    return regex.findall(r"\w+", text.lower()) or [text]


def alone(own: Sequence[Late], idle: Sequence[Late]) -> int:
    """How many beats were late though they had a core, and idle processes were not late then.

    Args:
        own: The late beats of the process that is measured.
        idle: Those of processes that do nothing, one of them on each core.
    """
    return sum(one.had_a_core and not any(one.beside(other) for other in idle) for one in own)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


@contextmanager
def _control(core: int) -> Iterator[dict[str, Any]]:
    """What a process that idles on a core measures meanwhile; filled in when the block ends."""
    found: dict[str, Any] = {}
    command = [sys.executable, "-m", "benchmarks.soak.heartbeat", str(core)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield found
    finally:
        found |= loads(process.communicate()[0])


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _MallInfo(ctypes.Structure):
    """What `mallinfo2` of glibc 2.33 and later returns."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _in_use_mib() -> float:
    """What is allocated, without what the allocator keeps for later; not Python's small objects."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _MallInfo
    info = mallinfo()
    return float(info.uordblks + info.hblkhd) / 2**20
