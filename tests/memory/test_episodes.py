"""Episodes as people see them: in the order of adding, whole, each once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle


def fill(memory: Memory) -> None:
    for day in range(1, 8):
        said = [
            {"role": "user", "content": f"day {day}, line {n}", "created_at": f"2026-02-0{day}"}
            for n in range(day % 3 + 1)
        ]
        memory.add(said, user_id="ana" if day % 2 else "bo")


def test_each_memory_is_in_one_episode(memory: Memory) -> None:
    fill(memory)
    found = memory.episodes(limit=50)
    ids = [chunk.id for episode in found for chunk in episode.chunks]
    assert sorted(ids) == [chunk.id for chunk in memory.list()]
    newest = [episode.newest for episode in found]
    assert newest == sorted(newest, reverse=True)
    for episode in found:
        assert len({chunk.scope for chunk in episode.chunks}) == 1
        assert [chunk.order for chunk in episode.chunks] == sorted(
            chunk.order for chunk in episode.chunks
        )
        assert episode.started_at == episode.chunks[0].created_at
        assert episode.ended_at == episode.chunks[-1].created_at
    assert found[0].started_at == datetime(2026, 2, 7, tzinfo=UTC)
    shown = json.loads(json.dumps(found[0].to_dict()))
    assert shown["memories"][0]["text"] == found[0].chunks[0].text


def test_pages_of_a_scope(memory: Memory) -> None:
    fill(memory)
    seen, before = [], None
    while found := memory.episodes(user_id="ana", limit=2, before=before):
        assert len(found) <= 2
        seen += [episode.newest for episode in found]
        before = found[-1].newest
    assert seen == [episode.newest for episode in memory.episodes(user_id="ana")]
    assert all(one.scope.user_id == "bo" for one in memory.scoped(user_id="bo").episodes())
    assert memory.episodes(user_id="eve") == ()
    with pytest.raises(InputError, match="limit=0"):
        memory.episodes(limit=0)


def test_what_is_added_late_moves_its_episode_forward(memory: Memory) -> None:
    memory.add("early", created_at="2026-02-01T10:00", user_id="ana")
    memory.add("later", created_at="2026-02-03T10:00", user_id="ana")
    memory.add("early, too", created_at="2026-02-01T10:01", user_id="ana")
    first, second = memory.episodes()
    assert [chunk.text for chunk in first.chunks] == ["early", "early, too"]
    assert [chunk.text for chunk in second.chunks] == ["later"]


def test_more_than_one_step(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(memory)
    expected = [episode.newest for episode in memory.episodes(limit=50)]
    monkeypatch.setattr("agentmem.context.timeline._STEP", 3)
    assert [episode.newest for episode in memory.episodes(limit=50)] == expected


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(["one", "two"], user_id="ana")
            (episode,) = await memory.episodes()
        assert [chunk.text for chunk in episode.chunks] == ["one", "two"]

    asyncio.run(main())
