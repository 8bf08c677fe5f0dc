"""Pages that list the newest message first were stored in that order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.ingest.normalize import normalize
from agentmem.ingest.order import said_order
from agentmem.testing import tiny_model
from agentmem.types import Document, Message
from tests.support.cli import Cli


def said(text: str, time: Any, key: str = "created_at", role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text, key: time}


# A question and its answer have the same second.
NEWEST_FIRST = [
    said("answer", 20, role="assistant"),
    said("question", 20),
    said("hello", 10, role="assistant"),
    said("hi", 10),
]
IN_ORDER = ["hi", "hello", "question", "answer"]

LISTS: dict[str, Any] = {
    "a list": NEWEST_FIRST,
    "a page": {"object": "list", "data": NEWEST_FIRST},
    "a conversation": {"messages": NEWEST_FIRST},
    "strings": [
        said(one["content"], f"2026-01-01T00:00:{one['created_at']}Z") for one in NEWEST_FIRST
    ],
    "messages": [Message(one["content"], created_at=one["created_at"]) for one in NEWEST_FIRST],
}


@pytest.mark.parametrize("name", LISTS)
def test_times_decide(name: str, memory: Memory) -> None:
    receipt = memory.add(LISTS[name], user_id="ana")
    found = list(memory.list(user_id="ana"))
    assert [chunk.text for chunk in found] == IN_ORDER
    # The receipt has the order of the list.
    assert [memory.get(id, user_id="ana").text for id in receipt.ids] == IN_ORDER[::-1]
    again = memory.add(LISTS[name], user_id="ana")
    assert again.duplicates == receipt.ids


def test_conversations_one_after_another(memory: Memory) -> None:
    memory.add([said("c", 30), said("d", 40), said("a", 10), said("b", 20), said("b, too", 20)])
    assert [chunk.text for chunk in memory.list()] == ["a", "b", "b, too", "c", "d"]


@pytest.mark.parametrize(
    "messages",
    [
        [said("a", 20), "b", said("c", 10)],
        [said("a", 20), {"role": "user", "content": "b"}, said("c", 10)],
        ["a", "b", "c"],
        [said("a", 10), said("b", 10), said("c", 10)],
    ],
    ids=str,
)
def test_without_all_times_the_list_decides(messages: list[Any], memory: Memory) -> None:
    memory.add(messages)
    assert [chunk.text for chunk in memory.list()] == ["a", "b", "c"]


def test_the_parts_of_a_message_stay_together() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    later = {"role": "user", "content": blocks, "created_at": 20}
    found = normalize([later, said("first", 10), Document("a page", created_at=5)])
    assert [part.text for part in found.parts] == ["a page", "first", "one", "two"]
    assert found.indices == (3, 2, 0, 1)


def test_a_time_for_the_call_orders_nothing() -> None:
    found = normalize([said("a", 20), "b"], created_at=10)
    assert [part.text for part in found.parts] == ["a", "b"]


@given(st.lists(st.integers(0, 5)))
def test_the_order_is_one_by_time(times: list[int]) -> None:
    order = said_order([Message("x", created_at=time).created_at for time in times])  # type: ignore[arg-type]
    assert sorted(order) == list(range(len(times)))
    assert [times[at] for at in order] == sorted(times)


def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "page.jsonl"
    path.write_text("\n".join(map(json.dumps, NEWEST_FIRST)), "utf-8")
    cli.ok("add", "-f", path)
    listed = [json.loads(line)["text"] for line in cli.ok("list", "--json").splitlines()]
    assert listed == IN_ORDER


def test_asyncio() -> None:
    async def main() -> list[str]:
        async with AsyncMemory(":memory:", model=tiny_model()) as memory:
            await memory.add(NEWEST_FIRST)
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(main()) == IN_ORDER
