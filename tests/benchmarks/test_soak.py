"""The soak: what it does, that it notices what is lost, and that it notices what blocks."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from pathlib import Path

import pytest
import typer

from agentmem import AsyncMemory
from agentmem.models.bundle.load import ModelBundle
from benchmarks.report.tables import render
from benchmarks.soak.__main__ import main
from benchmarks.soak.conversation import Seen
from benchmarks.soak.heartbeat import Heartbeat, Late
from benchmarks.soak.study import alone, check, turns_of

WRONG = ("lost", "altered", "back", "not_recalled")
SAID = [f"Note {n}: parcel {7 * n} is in room {n}." for n in range(60)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two conversations, as `agentmem.evaluation.datasets` reads them."""
    file = tmp_path / "said.jsonl"
    lines = [
        {
            "id": id,
            "messages": [
                {"id": str(n), "name": "Ana", "content": text} for n, text in enumerate(SAID)
            ],
            "questions": [],
        }
        for id in ("a", "b")
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def test_all_that_was_acknowledged_is_there(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "soak.json"
    out.parent.mkdir()
    with pytest.raises(typer.Exit) as ended:
        main(data, out, sessions=3, turns=4, think=0.01, forgets=1.0, window=4, closed=2, seed=1)
    assert ended.value.exit_code == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert (result["task"], result["config"]["sessions"]) == ("soak", 3)
    paced, closed = result["results"]["paced"], result["results"]["closed"]
    assert (paced["turns"], paced["acknowledged"]) == (12, 24)
    assert (closed["turns"], closed["acknowledged"]) == (6, 12)
    assert paced["forgotten"] > 0
    for run in (paced, closed):
        assert [run[name] for name in WRONG] == [0] * 4
        assert run["heartbeat"]["beats"] > 0
        assert all(one["beats"] > 0 for one in run["controls"])
        assert len(run["controls"]) == len(os.sched_getaffinity(0))
    shown = render(out.parent)["soak"]
    for word in ("with pauses", "without pause", "| 24 |", "an idle process"):
        assert word in shown


def test_what_is_lost_altered_or_back_again_is_noticed(place: Path, model: ModelBundle) -> None:
    async def checked() -> dict[str, int]:
        async with AsyncMemory(place, model=model) as memory:
            first = await memory.add(SAID[:9], user_id="ana")
            kept = dict(zip(first.sources, (("ana", text) for text in SAID[:9]), strict=True))
            right = await check(memory, Seen(kept=dict(kept)))
            assert [right[name] for name in WRONG] == [0] * 4
            await memory.forget([first.ids[0]], user_id="ana")
            kept[first.sources[1]] = ("ana", "something else")
            kept[first.sources[2]] = ("bo", SAID[2])
            del kept[first.sources[3]]
            return await check(memory, Seen(kept=kept))

    found = asyncio.run(checked())
    assert found.pop("not_among_first") == 2
    assert found == {"lost": 1, "altered": 1, "back": 1, "not_recalled": 2}


def test_what_blocks_the_event_loop_is_noticed() -> None:
    async def blocked() -> Heartbeat:
        heartbeat = Heartbeat()
        async with heartbeat.beating():
            await asyncio.sleep(0.02)
            time.sleep(0.2)  # noqa: ASYNC251 (that is what it is about)
            await asyncio.sleep(0.02)
        return heartbeat

    found = asyncio.run(blocked()).summary()
    assert found["over"] >= 1
    assert found["late_ms"]["max"] > 150
    assert any(one["ms"] > 150 for one in found["over_with_a_core"])


def test_what_the_garbage_collector_takes_is_told_apart() -> None:
    async def collected() -> Heartbeat:
        heartbeat = Heartbeat()
        async with heartbeat.beating():
            await asyncio.sleep(0.02)
            for number in range(200_000):
                circle: list[object] = [number]
                circle.append(circle)
            gc.collect()
            await asyncio.sleep(0.02)
        return heartbeat

    gc.disable()
    try:
        found = asyncio.run(collected()).summary()
    finally:
        gc.enable()
    assert 1 < found["longest_collection_but_for_cores_ms"] <= found["longest_collection_ms"]
    assert found["longest_collection_ms"] <= found["late_ms"]["max"]


def test_a_beat_is_late_alone_if_it_had_a_core_and_nothing_else_was_late() -> None:
    own = [
        Late(1.0, 0.03, queued_s=0.0, collected_s=0.0),
        Late(2.0, 0.03, queued_s=0.025, collected_s=0.0),
        Late(3.0, 0.03, queued_s=0.0, collected_s=0.0),
    ]
    assert alone(own, []) == 2
    assert alone(own, [Late(3.02, 0.05, queued_s=0.0, collected_s=0.0)]) == 1
    assert alone(own, [Late(3.04, 0.05, queued_s=0.0, collected_s=0.0)]) == 2


def test_conversations_begin_at_places_of_their_own(data: Path) -> None:
    from agentmem.evaluation.datasets import read_conversations

    conversations = read_conversations(data).conversations
    first, other, next_part = (turns_of(conversations, number, 5) for number in (0, 1, 2))
    assert first == other
    assert first == list(zip(SAID[0:10:2], SAID[1:10:2], strict=True))
    assert next_part == list(zip(SAID[10:20:2], SAID[11:20:2], strict=True))
