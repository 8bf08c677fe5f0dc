"""A memory in PostgreSQL: the verbs, and the way there and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.testing.postgres import PostgresServer
from tests.support.cli import Cli

TALK = [
    {"role": "user", "content": "I booked the 9:40 train to Lyon."},
    {"role": "assistant", "content": "Noted: the 9:40 to Lyon."},
    {"role": "user", "content": "My sister Clara lives in Berlin; she plays the cello."},
    {"role": "user", "content": "The meeting about the budget is on Friday."},
]
QUESTIONS = ["when is my train?", "who lives in Berlin?", "budget", "Clara"]


@pytest.fixture
def url(postgres: PostgresServer, tmp_path: Path) -> str:
    return postgres.url(tmp_path)


def test_a_recall_is_that_of_a_folder(url: str, tmp_path: Path, model: ModelBundle) -> None:
    with Memory(tmp_path / "s", model=model) as one, Memory(url, model=model) as other:
        for memory in (one, other):
            memory.add(TALK, user_id="ana", metadata={"tags": ["travel"]})
            memory.add("Ben's train is late.", user_id="ben")
            memory.update(memory.recall("budget", user_id="ana")[0].id, text="The budget is done.")
        for question in QUESTIONS:
            for scope in ({}, {"user_id": "ana"}):
                where = {"tags": {"contains": "travel"}} if scope else None
                hits, also = (
                    memory.recall(question, where=where, **scope) for memory in (one, other)
                )
                assert [hit.id for hit in also] == [hit.id for hit in hits]
                assert [hit.text for hit in also] == [hit.text for hit in hits]
                assert [hit.score for hit in also] == pytest.approx([hit.score for hit in hits])
        assert other.verify().ok
        assert other.forget(user_id="ben").ids == one.forget(user_id="ben").ids
        assert other.stats().memories == one.stats().memories


def test_an_archive_goes_there_and_back(url: str, tmp_path: Path, model: ModelBundle) -> None:
    with Memory(tmp_path / "s", model=model) as memory:
        memory.add(TALK, user_id="ana")
        texts = [chunk.text for chunk in memory.list()]
        memory.export(tmp_path / "there.amem")
    with Memory(url, model=model) as memory:
        memory.load(tmp_path / "there.amem")
        assert [chunk.text for chunk in memory.list()] == texts
        memory.export(tmp_path / "back.amem")
        with pytest.raises(InputError, match="pg_dump"):
            memory.backup(tmp_path / "backup")
    with Memory(tmp_path / "again", model=model) as memory:
        memory.load(tmp_path / "back.amem")
        assert [chunk.text for chunk in memory.list()] == texts


def test_it_can_be_awaited(url: str, model: ModelBundle) -> None:
    async def ask() -> list[str]:
        async with AsyncMemory(url, model=model) as memory:
            await asyncio.gather(*(memory.add(one["content"], user_id="ana") for one in TALK))
            return [hit.text for hit in await memory.recall("Clara", user_id="ana")]

    assert "Clara" in asyncio.run(ask())[0]


def test_the_commands_take_a_url(url: str, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.environment["AGENTMEM_STORE"] = url
    assert "there is no store" in cli.error(4, "stats")
    cli.ok("add", "The train leaves at 9:40.")
    assert "9:40" in cli.ok("recall", "train")
    assert cli.json("forget", "1", "--yes")["purged"] is False
    assert "no row of what was forgotten is left" in cli.ok("purge")
    assert "pg_dump" in cli.error(3, "backup", tmp_path / "copy")
