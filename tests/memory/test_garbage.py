"""A call leaves nothing that only the garbage collector finds, which stops all threads for it."""

from __future__ import annotations

import gc

from agentmem import Memory

# Each statement of SQLAlchemy that is built anew leaves some forty objects.
_FEW = 10


def test_a_turn_of_a_conversation_leaves_no_reference_cycles(memory: Memory) -> None:
    session = memory.session(user_id="ana", session_id="monday")

    def turn(number: int) -> None:
        said = [{"role": "user", "content": f"My locker is number {number}."}]
        session.context(said)
        session.observe(said, f"Number {number}, noted.")

    for number in range(8):
        turn(number)
    gc.collect()
    gc.disable()
    try:
        for number in range(8, 18):
            turn(number)
        left = gc.collect()
    finally:
        gc.enable()
    assert left / 10 < _FEW


def test_forgetting_leaves_few(memory: Memory) -> None:
    added = memory.add([f"Locker {number} is mine." for number in range(14)])
    for one in added.sources[:4]:
        memory.forget([one])
    gc.collect()
    gc.disable()
    try:
        for one in added.sources[4:]:
            memory.forget([one])
        left = gc.collect()
    finally:
        gc.enable()
    assert left / 10 < 5 * _FEW
