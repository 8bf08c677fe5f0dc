"""on_add and on_forget: told after the commit, and of no account to the write."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, ForgetReceipt, Memory, Receipt
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def memory(model: ModelBundle, told: list[Any]) -> Iterator[Memory]:
    with Memory(":memory:", model=model, on_add=told.append, on_forget=told.append) as opened:
        yield opened


def test_what_is_written_is_told_with_its_receipt(memory: Memory, told: list[Any]) -> None:
    receipt = memory.add("I like tea.", user_id="ana")
    changed = memory.update(receipt.ids[0], text="I like figs.")
    by_id = memory.add("The code is 1.", id="code")
    again = memory.add("The code is 2.", id="code")
    assert told == [receipt, changed, by_id, again]
    session = memory.session(user_id="ana")
    observed = session.observe([{"role": "user", "content": "I live in Lyon."}], "Noted.")
    assert told[-1] == observed
    memory.scoped(user_id="bo").add("I like rye.")
    assert len(told) == 6


def test_what_is_forgotten_is_told(model: ModelBundle, told: list[Any]) -> None:
    now = datetime(2026, 5, 3, tzinfo=UTC)
    with Memory(":memory:", model=model, clock=lambda: now, on_forget=told.append) as memory:
        memory.add("I like tea.", user_id="ana")
        memory.add("Till tomorrow.", user_id="bo", ttl=3600)
        done = memory.forget(user_id="ana")
        assert told == [done]
        now += timedelta(days=1)
        assert told == [done, memory.gc()]
    assert [one.ids for one in told] == [(1,), (2,)]


def test_what_changes_nothing_is_not_told(memory: Memory, told: list[Any]) -> None:
    memory.add("I like tea.", user_id="ana")
    told.clear()
    memory.add("I like tea.", user_id="ana")
    memory.forget(user_id="ana", dry_run=True)
    memory.forget(user_id="nobody")
    memory.gc()
    with pytest.raises(InputError):
        memory.add(" ")
    with pytest.raises(UnknownIdError):
        memory.forget([99])
    assert told == []


def test_a_hook_reads_what_was_written(model: ModelBundle, tmp_path: Path) -> None:
    """It is called after the commit: another connection sees what it is told of."""
    seen: list[str] = []

    def look(receipt: Receipt) -> None:
        with Memory(tmp_path / "s", model=model) as other:
            seen.append(other.get(receipt.ids[0]).text)

    with Memory(tmp_path / "s", model=model, on_add=look) as memory:
        memory.add("I like tea.")
    assert seen == ["I like tea."]


def test_what_a_hook_raises_is_logged_and_costs_nothing(
    model: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the queue is down")

    with Memory(":memory:", model=model, on_add=fail, on_forget=fail) as memory:
        with caplog.at_level(logging.ERROR):
            ids = memory.add("I like tea.").ids
            assert memory.get(ids[0]).text == "I like tea."
            assert memory.forget(ids).ids == ids
    assert [record.message.split()[0] for record in caplog.records] == ["on_add", "on_forget"]
    assert "the queue is down" in caplog.text


def test_a_hook_may_write(model: ModelBundle) -> None:
    def note(receipt: Receipt) -> None:
        if memory.count() < 3:
            memory.add(f"A note on {receipt.ids[0]}.")

    with Memory(":memory:", model=model, on_add=note) as memory:
        memory.add("I like tea.")
        assert [one.text for one in memory.list()] == [
            "I like tea.",
            "A note on 1.",
            "A note on 2.",
        ]


def test_asyncio(model: ModelBundle, told: list[Any]) -> None:
    async def work() -> tuple[Receipt, ForgetReceipt]:
        given: dict[str, Any] = {"model": model, "on_add": told.append, "on_forget": told.append}
        async with AsyncMemory(":memory:", **given) as memory:
            receipt = await memory.add("I like tea.")
            return receipt, await memory.forget(receipt.ids)

    assert tuple(told) == () != asyncio.run(work()) == tuple(told)


async def coroutine(_: object) -> None:
    """Nobody would await it."""


@pytest.mark.parametrize("name", ["on_add", "on_forget"])
@pytest.mark.parametrize(("hook", "said"), [(7, "function of a receipt"), (coroutine, "awaits")])
def test_what_is_no_hook(
    tmp_path: Path, model: ModelBundle, name: str, hook: Any, said: str
) -> None:
    make: Callable[..., Memory] = Memory
    with pytest.raises(InputError, match=f"{name}.*{said}"):
        make(tmp_path / "s", model=model, **{name: hook})
    assert not (tmp_path / "s").exists()


def test_a_memory_in_another_process_has_them_too(tmp_path: Path) -> None:
    with Memory(tmp_path / "s", on_add=print) as memory:
        with pickle.loads(pickle.dumps(memory)) as other:
            assert other._hooks == memory._hooks
