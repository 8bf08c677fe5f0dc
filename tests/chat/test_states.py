"""States that a reader keeps beside a store: made once, and gone with their memory."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Document, Memory
from agentmem.chat.answerers import ChatAnswerer
from agentmem.chat.reader import FALLBACK_HITS, Answer, MemoryReader
from agentmem.context.format import reader_line
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.reader.reader import Reading, StatesReader
from agentmem.results import Preparation
from tests.support.language_models import reading_model, tiny_lm, tiny_tokenizer

DAY = datetime(2026, 5, 1, tzinfo=UTC)
SAID = ("I booked the train to Lyon.", "My dog is called Rex.", "It leaves at 9:40.")
QUESTION = "when does my train leave?"


def tiny_reader(seed: int = 0, ratio: int = 1, **options: Any) -> MemoryReader:
    """A reader that has kept nothing yet, as in a process of its own."""
    model = reading_model(tiny_lm(seed=seed, **options))
    return MemoryReader(StatesReader(model, tiny_tokenizer(), ratio=ratio))


class Passes:
    """Counts the memories that are read one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        usual = StatesReader._made

        def made(reader: StatesReader, memories: Any) -> Any:
            self.count += len(memories)
            return usual(reader, memories)

        monkeypatch.setattr(StatesReader, "_made", made)

    def taken(self) -> int:
        count, self.count = self.count, 0
        return count


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    return Passes(monkeypatch)


def fill(memory: Memory) -> tuple[int, ...]:
    ids: tuple[int, ...] = ()
    for day, text in enumerate(SAID):
        ids += memory.add(text, user_id="ana", created_at=DAY + timedelta(days=day)).ids
    return ids


def ask(memory: Memory, reader: MemoryReader, **options: Any) -> Answer:
    found = memory.recall(QUESTION, user_id="ana", k=3)
    return reader.answer(QUESTION, found, mode="states", max_tokens=4, **options)


def traces(reader: MemoryReader, memory: Memory, *ids: int) -> dict[int, bytes]:
    """Bytes that only the states of these memories have."""
    found = {}
    for chunk in memory.list():
        if chunk.id in ids:
            line = reader_line(chunk)  # type: ignore[arg-type]  # as of a hit
            found[chunk.id] = reader.states.make_states([line])[0][-200:-150]
    return found


def held(place: Path, wanted: dict[int, bytes]) -> set[int]:
    raw = b"\0".join(file.read_bytes() for file in place.rglob("*") if file.is_file())
    return {id for id, trace in wanted.items() if trace in raw}


def test_another_process_makes_no_pass_over_memories(
    place: Path, model: ModelBundle, passes: Passes
) -> None:
    with Memory(place, model=model) as memory:
        fill(memory)
        first = ask(memory, tiny_reader())
        assert passes.taken() == 3
    with Memory(place, model=model) as memory:
        assert ask(memory, tiny_reader()) == first
        assert passes.taken() == 0
        memory.add("The train was late.", user_id="ana")
        memory.recall(QUESTION, user_id="ana")
        reader = tiny_reader()
        reader.answer(QUESTION, memory.recall(QUESTION, user_id="ana"), mode="states")
        assert passes.taken() == 1
        assert reader.states.kept_bytes == 0


def test_a_memory_in_memory_keeps_them_too(model: ModelBundle, passes: Passes) -> None:
    with Memory(":memory:", model=model) as memory:
        ids = fill(memory)
        first = ask(memory, tiny_reader())
        assert memory.stats().states_bytes > 0
        passes.taken()
        assert ask(memory, tiny_reader()) == first
        assert passes.taken() == 0
        memory.forget(ids)
        assert memory.stats().states_bytes == 0


def test_compressed_states_are_kept_beside_whole_ones(memory: Memory, passes: Passes) -> None:
    fill(memory)
    first = ask(memory, tiny_reader(ratio=4))
    assert passes.taken() == 3
    assert ask(memory, tiny_reader(ratio=4)) == first
    assert passes.taken() == 0
    whole = ask(memory, tiny_reader())
    assert passes.taken() == 3
    assert ask(memory, tiny_reader()) == whole
    assert ask(memory, tiny_reader(ratio=4)) == first
    assert passes.taken() == 0


def test_another_reader_makes_its_own(memory: Memory, passes: Passes) -> None:
    fill(memory)
    one, other = tiny_reader(), tiny_reader(seed=5)
    answers = [ask(memory, reader) for reader in (one, other)]
    assert passes.taken() == 6
    assert [ask(memory, tiny_reader(seed=seed)) for seed in (0, 5)] == answers
    assert passes.taken() == 0


def test_hits_without_a_store_are_kept_in_this_process(memory: Memory, passes: Passes) -> None:
    fill(memory)
    reader = tiny_reader()
    hits = list(memory.recall(QUESTION, user_id="ana", k=3))
    for _ in range(2):
        reader.answer(QUESTION, hits, mode="states", max_tokens=4)
    assert passes.taken() == 3
    assert reader.states.kept_bytes > 0
    assert memory.stats().states_bytes == 0
    ask(memory, reader)
    assert passes.taken() == 0
    assert memory.stats().states_bytes > 0  # put there now


def test_without_a_cache_they_are_kept_in_this_process(
    place: Path, model: ModelBundle, passes: Passes
) -> None:
    with Memory(place, model=model, cache_bytes=0) as memory:
        fill(memory)
        reader = tiny_reader()
        assert ask(memory, reader) == ask(memory, reader)
        assert passes.taken() == 3
        assert memory.stats().states_bytes == 0
        with pytest.raises(InputError, match="keeps no states: .*cache_bytes=0"):
            memory.prepare(reader)
    with pytest.raises(InputError, match="cache_bytes must be 0 or more, got -1"):
        Memory(place, model=model, cache_bytes=-1)
    with pytest.raises(TypeError, match="cache_bytes"):
        Memory(place, model=model, cache_bytes=1.5)  # type: ignore[arg-type]


def test_reading_as_text_keeps_nothing(memory: Memory) -> None:
    fill(memory)
    reader = tiny_reader()
    reader.answer(QUESTION, memory.recall(QUESTION, user_id="ana"), mode="text", max_tokens=2)
    assert memory.stats().states_bytes == reader.states.kept_bytes == 0


def test_they_go_with_their_memory(memory: Memory, place: Path, passes: Passes) -> None:
    ids = fill(memory)
    reader = tiny_reader()
    wanted = traces(reader, memory, *ids)
    ask(memory, reader)
    assert held(place, wanted) == set(ids)
    stale = memory.recall(QUESTION, user_id="ana", k=3)
    assert memory.forget([ids[0]]).purged
    assert held(place, wanted) == set(ids[1:])
    memory.update(ids[1], text="My cat is called Rex.")
    assert held(place, wanted) == {ids[2]}
    memory.update(ids[2], metadata={"seen": True})
    assert held(place, wanted) == {ids[2]}
    # Hits of before are still read, and nothing comes back.
    tiny_reader().answer(QUESTION, stale, mode="states", max_tokens=2)
    assert held(place, wanted) == {ids[2]}
    passes.taken()
    ask(memory, tiny_reader())
    assert passes.taken() == 1  # the new text
    memory.forget(user_id="ana")
    assert held(place, wanted) == set()


def test_two_memories_of_one_text(memory: Memory, place: Path, passes: Passes) -> None:
    reader = tiny_reader()
    for user in ("ana", "bob"):
        memory.add(SAID[0], user_id=user, created_at=DAY)
        found = memory.recall(QUESTION, user_id=user)
        reader.answer(QUESTION, found, mode="states", max_tokens=2)
    assert passes.taken() == 2
    memory.forget(user_id="ana")
    tiny_reader().answer(
        QUESTION, memory.recall(QUESTION, user_id="bob"), mode="states", max_tokens=2
    )
    assert passes.taken() == 0


def test_a_file_that_cannot_be_used_fails_no_answer(
    memory: Memory, place: Path, passes: Passes, caplog: pytest.LogCaptureFixture
) -> None:
    fill(memory)
    first = ask(memory, tiny_reader())
    (place / "states.db").write_bytes(b"garbage" * 5000)
    assert ask(memory, tiny_reader()) == first
    assert "no states are read from" in caplog.text
    passes.taken()
    assert ask(memory, tiny_reader()) == first
    assert passes.taken() == 0
    (place / "states.db").unlink()
    (place / "states.db").mkdir()
    for _ in range(2):
        assert ask(memory, tiny_reader()) == first
    assert memory.verify().ok
    assert memory.stats().states_bytes >= 0


def test_after_the_store_is_closed_hits_are_still_read(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        fill(memory)
        found = memory.recall(QUESTION, user_id="ana", k=3)
        assert all(hit.text for hit in found)
        first = ask(memory, tiny_reader())
    assert tiny_reader().answer(QUESTION, found, mode="states", max_tokens=4) == first


def test_prepare_makes_what_is_missing(place: Path, model: ModelBundle, passes: Passes) -> None:
    with Memory(place, model=model) as memory:
        fill(memory)
        memory.add("Bob's own.", user_id="bob")
        seen: list[tuple[int, int]] = []
        done = memory.prepare(
            tiny_reader(), user_id="ana", on_progress=lambda n, of: seen.append((n, of))
        )
        assert done == Preparation(made=3, present=0, left_out=0, damaged=())
        assert seen == [(0, 3), (3, 3)]
        assert passes.taken() == 3
    with Memory(place, model=model) as memory:
        ask(memory, tiny_reader())
        assert memory.prepare(tiny_reader(), user_id="ana").present == 3
        assert passes.taken() == 0
        done = memory.prepare(tiny_reader())
        assert (done.made, done.present) == (1, 3)
        assert done.to_dict() == {"made": 1, "present": 3, "left_out": 0, "damaged": ()}
        late = memory.prepare(tiny_reader(seed=5), user_id="ana", since=DAY + timedelta(days=2))
        assert late.made == 1
        assert memory.scoped(user_id="ana").prepare(tiny_reader(seed=5)).present == 1


def test_prepare_goes_on_where_it_was_interrupted(
    memory: Memory, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem.chat.prepare._TOKENS", 1)
    fill(memory)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.prepare(tiny_reader(), on_progress=stop)
    assert passes.taken() == 2
    assert memory.prepare(tiny_reader()) == Preparation(1, 2, 0, ())
    assert passes.taken() == 1


def test_prepare_keeps_the_newest_where_not_all_have_room(
    place: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem.chat.prepare._TOKENS", 1)
    size = len(tiny_reader().states.make_states(["User (1 May 2026): My dog is called Ra."])[0])
    with Memory(place, model=model, cache_bytes=2 * (size // 4096 * 4096 + 8192)) as memory:
        ids = [memory.add(f"My dog is called R{n}.", created_at=DAY).ids[0] for n in "abc"]
        for present in (0, 2):
            done = memory.prepare(tiny_reader())
            assert (done.made, done.present, done.left_out) == (2 - present, present, 1)
        wanted = traces(tiny_reader(), memory, *ids)
        assert held(place, wanted) == set(ids[1:])


def test_what_prepare_leaves_out(memory: Memory, place: Path) -> None:
    ids = fill(memory)
    memory.add(Document("word " * 60), user_id="ana")
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        connection.execute("UPDATE chunks SET latents = zeroblob(20) WHERE id = ?", (ids[0],))
        connection.commit()
    reader = tiny_reader(max_position_embeddings=200)
    assert memory.prepare(reader) == Preparation(2, 0, 1, (ids[0],))


@pytest.mark.parametrize("reader", ["smollm2", None, ChatAnswerer(str)])
def test_prepare_takes_readers_alone(memory: Memory, reader: Any) -> None:
    with pytest.raises(TypeError, match=r"reader must be a MemoryReader, not .*from_pretrained"):
        memory.prepare(reader)


def test_the_day_that_is_read_depends_on_the_zone(memory: Memory, passes: Passes) -> None:
    east = timezone(timedelta(hours=12))
    memory.add("late at night", created_at=DAY + timedelta(hours=20))
    now = datetime(2026, 6, 1, tzinfo=east)
    assert memory.prepare(tiny_reader(), zone=east).made == 1
    passes.taken()
    tiny_reader().answer("late?", memory.recall("late", now=now), mode="states", max_tokens=2)
    assert passes.taken() == 0
    assert memory.prepare(tiny_reader()).made == 1


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def run() -> Preparation:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(list(SAID), user_id="ana")
            return await memory.prepare(tiny_reader(), user_id="ana")

    assert asyncio.run(run()).made == 3


class Scripted:
    """A reader that gives prepared readings, and notes what it is asked to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **readings: str | None) -> None:
        self.calls: list[tuple[str, int]] = []

        def read(
            reader: StatesReader, question: str, lines: list[str], *, mode: str, **options: Any
        ) -> Reading:
            self.calls.append((mode, len(lines)))
            text = readings[mode]
            if text is not None and options["on_text"] is not None:
                options["on_text"](text)
            shares = (1.0, *[0.0] * (len(lines) - 1)) if text else (0.0,) * len(lines)
            return Reading(text, 0.9 if text else 0.3 if mode == "states" else 0.4, shares)

        monkeypatch.setattr(StatesReader, "read", read)


@pytest.mark.parametrize(
    ("states", "text", "calls", "answer", "confidence"),
    [
        ("9:40", "never", [("states", 3)], "9:40", 0.9),
        (None, "9:40", [("states", 3), ("text", 3)], "9:40", 0.9),
        (None, None, [("states", 3), ("text", 3)], None, 0.3),
    ],
)
def test_fallback_to_text(
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    states: str | None,
    text: str | None,
    calls: Any,
    answer: str | None,
    confidence: float,
) -> None:
    ids = fill(memory)
    script = Scripted(monkeypatch, states=states, text=text)
    pieces: list[str] = []
    found = ask(memory, tiny_reader(), fallback="text", on_text=pieces.append)
    assert script.calls == calls
    assert (found.text, found.confidence) == (answer, confidence)
    assert "".join(pieces) == (answer or "")
    assert [one.id for one in found.citations] == ([ids[0]] if answer else [])
    script.calls.clear()
    assert ask(memory, tiny_reader()).text == states
    assert script.calls == [("states", 3)]


def test_a_fallback_reads_the_best(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.add([f"train number {n}" for n in range(12)])
    script = Scripted(monkeypatch, states=None, text="9")
    hits = memory.recall("train", k=12)
    found = tiny_reader().answer("train?", hits, mode="states", fallback="text")
    assert script.calls == [("states", 12), ("text", FALLBACK_HITS)]
    assert found.citations[0].id in {hit.id for hit in hits[:FALLBACK_HITS]}
    assert found.left_out == 0


def test_a_fallback_that_makes_no_sense(memory: Memory) -> None:
    fill(memory)
    hits = memory.recall(QUESTION, user_id="ana")
    with pytest.raises(InputError, match="unknown fallback 'states'"):
        tiny_reader().answer(QUESTION, hits, mode="states", fallback="states")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"fallback='text' is for mode='states'"):
        tiny_reader().answer(QUESTION, hits, mode="text", fallback="text")
