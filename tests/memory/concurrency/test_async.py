"""`AsyncMemory`: the methods and errors of `Memory`, order of calls, and cancellation."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import (
    CorruptRecordError,
    InputError,
    NotAStoreError,
    StoreError,
    UnknownIdError,
)
from agentmem.models.base import MemoryModel
from agentmem.models.bundle.load import ModelBundle

TEXTS = [f"note {n} about trains to Lyon" for n in range(400)]
PATIENCE_S = 240  # on a busy machine; no test waits that long unless something is wrong


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_it_has_the_verbs_of_memory() -> None:
    assert public(AsyncMemory) == public(Memory) | {"open"}


@pytest.mark.parametrize("verb", sorted(public(Memory)))
def test_a_verb_is_called_as_that_of_memory(verb: str) -> None:
    theirs, ours = getattr(Memory, verb), getattr(AsyncMemory, verb)
    assert parameters(ours) == parameters(theirs)
    assert inspect.getdoc(ours)
    assert inspect.iscoroutinefunction(ours) or verb in ("as_tools", "list", "scoped", "session")


def test_it_is_opened_as_memory_is() -> None:
    assert parameters(AsyncMemory) == parameters(AsyncMemory.open) == parameters(Memory)


def test_what_is_added_is_found_and_comes_back(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            receipt = await memory.add(TEXTS[:70], user_id="ana")
            (hit, *_) = await memory.recall("note 7", user_id="ana", mode="lexical")
            assert hit.text == TEXTS[7]
            assert (await memory.get(receipt.ids[3])).text == TEXTS[3]
            assert [chunk.text async for chunk in memory.list(user_id="ana")] == TEXTS[:70]
            assert await memory.regenerated(receipt.ids[0]) == TEXTS[0]
            (new,) = (await memory.update(receipt.ids[0], text="changed")).ids
            assert (await memory.get(new)).text == "changed"
            assert (await memory.forget(ids=[new])).purged
            await memory.reindex()
            assert (await memory.verify()).checked == 69
            assert (await memory.stats()).memories == 69
            assert repr(memory) == f"AsyncMemory({str(place)!r})"

    asyncio.run(main())
    with Memory(place, model=model) as memory:
        assert [chunk.text for chunk in memory.list()] == TEXTS[1:70]


def test_errors_are_those_of_memory(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            with pytest.raises(InputError):
                await memory.add("")
            with pytest.raises(UnknownIdError):
                await memory.get(1)
            with pytest.raises(InputError, match="needs a condition"):
                await memory.forget()
            with pytest.raises(InputError, match="user_id must not be empty"):
                _ = [chunk async for chunk in memory.list(user_id="")]
        for call in (memory.add("late"), memory.stats(), memory.recall("late")):
            with pytest.raises(StoreError, match="closed"):
                await call
        await memory.close()  # twice does no harm

    asyncio.run(main())


def test_what_cannot_be_opened_leaves_no_thread(tmp_path: Path, model: ModelBundle) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotAStoreError):
        asyncio.run(AsyncMemory.open(tmp_path / "file", model=model))
    for thread in threading.enumerate():
        if "agentmem" in thread.name:
            thread.join(PATIENCE_S)  # it has been told to end
            assert not thread.is_alive()


def test_a_scoped_handle_stays_in_its_scope(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add("theirs", user_id="bob")
            async with memory.scoped(user_id="ana") as ana:
                await ana.add("mine")
                assert [chunk.text async for chunk in ana.list()] == ["mine"]
                with pytest.raises(InputError, match="bound to user_id='ana'"):
                    await ana.recall("theirs", user_id="bob")
            assert (await memory.stats()).memories == 2  # still open
        with pytest.raises(StoreError, match="closed"):
            await ana.add("late")

    asyncio.run(main())


class Held:
    """A part of a model that works as soon as ``go_on`` is set, and sets ``at_work`` before."""

    at_work, go_on = threading.Event(), threading.Event()

    def __init__(self, part: Any, *held: str, **parts: Any) -> None:
        self._part, self._held = part, held
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._held:
            return found

        def waiting(*args: Any, **options: Any) -> Any:
            self.at_work.set()
            assert self.go_on.wait(PATIENCE_S), "the event loop had no turn"
            return found(*args, **options)

        return waiting


@pytest.fixture
def holding() -> Iterator[tuple[threading.Event, threading.Event]]:
    """Both events of `Held`, neither of them set."""
    for event in (Held.at_work, Held.go_on):
        event.clear()
    yield Held.at_work, Held.go_on
    Held.go_on.set()


def test_reading_goes_on_beside_writing(
    place: Path, model: ModelBundle, holding: tuple[threading.Event, threading.Event]
) -> None:
    at_work, go_on = holding

    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(TEXTS[:3], user_id="ana")
        async with AsyncMemory(place, model=Held(model, "encode")) as memory:
            adding = asyncio.create_task(memory.add(TEXTS[3], user_id="ana"))
            assert await asyncio.to_thread(at_work.wait, PATIENCE_S)
            session = memory.session(user_id="ana", session_id="s")
            reads = (
                memory.recall("note 1", user_id="ana"),
                memory.stats(),
                session.context([{"role": "user", "content": "which note is about trains?"}]),
            )
            async with asyncio.timeout(PATIENCE_S):
                hits, stats, sent = await asyncio.gather(*reads)
                assert [chunk.text async for chunk in memory.list()] == TEXTS[:3]
            assert session.error is None
            assert (len(hits), stats.memories, len(sent)) == (3, 3, 2)
            assert not adding.done()
            go_on.set()
            await adding
            # What was acknowledged is seen by whatever is asked from then on.
            assert (await memory.stats()).memories == 4

    asyncio.run(main())


def test_writing_goes_on_beside_reading(
    place: Path, model: ModelBundle, holding: tuple[threading.Event, threading.Event]
) -> None:
    at_work, go_on = holding

    async def main() -> None:
        held = Held(model, embedder=Held(model.embedder, "embed_query"))
        async with AsyncMemory(place, model=held) as memory:
            await memory.add(TEXTS[:3])
            asked = asyncio.create_task(memory.recall("note 1"))
            assert await asyncio.to_thread(at_work.wait, PATIENCE_S)
            async with asyncio.timeout(PATIENCE_S):
                await memory.add(TEXTS[3])
                await memory.forget([1])
            assert not asked.done()
            go_on.set()
            assert len(await asked) == 3

    asyncio.run(main())


def test_closing_waits_for_what_reads(
    place: Path, model: ModelBundle, holding: tuple[threading.Event, threading.Event]
) -> None:
    at_work, go_on = holding

    async def main() -> None:
        held = Held(model, embedder=Held(model.embedder, "embed_query"))
        memory = await AsyncMemory.open(place, model=held)
        await memory.add(TEXTS[:3])
        asked = asyncio.create_task(memory.recall("note 1"))
        assert await asyncio.to_thread(at_work.wait, PATIENCE_S)
        closing = asyncio.create_task(memory.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="closed"):
            await memory.stats()
        go_on.set()
        await closing
        assert {hit.text for hit in await asked} == set(TEXTS[:3])

    asyncio.run(main())


def test_the_event_loop_is_free_while_the_models_work(
    place: Path, model: ModelBundle, holding: tuple[threading.Event, threading.Event]
) -> None:
    at_work, go_on = holding
    held = Held(
        model,
        "encode",
        embedder=Held(model.embedder, "embed_query"),
        codec=Held(model.codec, "look_up"),
    )

    async def main() -> None:
        async with AsyncMemory(place, model=held) as memory:
            for call in (
                lambda: memory.add(TEXTS[:9]),
                lambda: memory.recall("trains", k=9),
                memory.verify,
            ):
                at_work.clear()
                go_on.clear()
                running = asyncio.create_task(call())
                assert await asyncio.to_thread(at_work.wait, PATIENCE_S)
                assert not running.done()
                go_on.set()
                await running

    asyncio.run(main())


def test_texts_are_decoded_in_the_worker(place: Path, model: ModelBundle) -> None:
    class Watched:
        threads: set[str] = set()

        def __getattr__(self, name: str) -> Any:
            return getattr(model.codec, name)

        def look_up(self, *args: Any, **options: Any) -> list[list[int] | None]:
            self.threads.add(threading.current_thread().name)
            return model.codec.look_up(*args, **options)

    watched = MemoryModel(
        model.name, fingerprint=model.fingerprint, codec=Watched(), embedder=model.embedder
    )

    async def main() -> None:
        async with AsyncMemory(place, model=watched) as memory:
            (id, *_) = (await memory.add(TEXTS[:9])).ids
            assert (await memory.get(id)).text == TEXTS[0]
            assert {hit.text for hit in await memory.recall("trains", k=9)} == set(TEXTS[:9])
            assert [chunk.text async for chunk in memory.list()] == TEXTS[:9]

    asyncio.run(main())
    assert Watched.threads
    assert all(name.startswith("agentmem") for name in Watched.threads)


def test_damage_is_raised_where_the_text_is_used(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(TEXTS[:3])
            with closing(sqlite3.connect(place / "memory.db")) as connection:
                connection.execute("UPDATE chunks SET latents = zeroblob(20) WHERE id = 2")
                connection.commit()
            first, broken, third = [chunk async for chunk in memory.list()]
            assert (first.text, third.text) == (TEXTS[0], TEXTS[2])
            with pytest.raises(CorruptRecordError):
                _ = broken.text

    asyncio.run(main())


def test_calls_are_done_in_the_order_in_which_they_were_made(
    place: Path, model: ModelBundle
) -> None:
    async def main() -> list[str]:
        async with AsyncMemory(place, model=model) as memory:
            await asyncio.gather(*(memory.add(f"note {n}") for n in range(30)))
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(main()) == [f"note {n}" for n in range(30)]


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05])
def test_a_cancelled_add_is_whole_or_not_at_all(
    place: Path, model: ModelBundle, delay_s: float
) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add("what was there")
            running = asyncio.create_task(memory.add(TEXTS))
            waiting = asyncio.create_task(memory.add("and this"))
            await asyncio.sleep(delay_s)
            running.cancel()
            waiting.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)
            first, *texts = [chunk.text async for chunk in memory.list()]
            assert first == "what was there"
            # Cancelled before they begin, calls do nothing; once begun, they are whole.
            assert texts in ([], ["and this"], TEXTS, [*TEXTS, "and this"])
            assert waiting.cancelled() or "and this" in texts
            assert (await memory.verify()).ok
            receipt = await memory.add("life goes on")
            assert (await memory.recall("life goes on", mode="lexical"))[0].id == receipt.ids[0]

    asyncio.run(main())


def test_an_abandoned_listing_holds_nothing(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(TEXTS)
            async for chunk in memory.list():
                assert chunk.text == TEXTS[0]
                break
            assert (await memory.forget(before="2100-01-01")).purged

    asyncio.run(main())


def test_a_cancelled_opening_closes_what_it_opened(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        opening = asyncio.create_task(AsyncMemory.open(place, model=model))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())
    with Memory(place, model=model) as memory:
        memory.add("x")


def test_closing_waits_for_what_was_called_before(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        memory = await AsyncMemory.open(place, model=model)
        adding = asyncio.create_task(memory.add(TEXTS))
        await asyncio.sleep(0)
        await memory.close()
        assert len((await adding).ids) == len(TEXTS)

    asyncio.run(main())
    with Memory(place, model=model) as memory:
        assert memory.stats().memories == len(TEXTS)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Memory]]:
    """Each `Memory` that is opened, in order; all of them are closed in the end."""
    found: list[Memory] = []
    original = Memory.__init__

    def init(self: Memory, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        found.append(self)

    monkeypatch.setattr(Memory, "__init__", init)
    yield found
    for memory in found:
        with pytest.raises(StoreError, match="closed"):
            memory.add("x")


def test_two_blocks_at_once_open_a_store_once(
    place: Path, model: ModelBundle, opened: list[Memory]
) -> None:
    memory = AsyncMemory(place, model=model)
    first_has_ended = asyncio.Event()

    async def first() -> None:
        async with memory:
            await memory.add("first")
        first_has_ended.set()

    async def second() -> None:
        async with memory:
            await first_has_ended.wait()
            await memory.add("second")
            async with memory:
                assert [chunk.text async for chunk in memory.list()] == ["first", "second"]
            await memory.add("third")

    async def main() -> None:
        await asyncio.gather(second(), first())
        with pytest.raises(StoreError, match="is closed"):
            async with memory:
                pass

    asyncio.run(main())
    assert len(opened) == 1


def test_a_block_whose_opening_is_cancelled_leaves_the_others_theirs(
    place: Path, model: ModelBundle, opened: list[Memory]
) -> None:
    memory = AsyncMemory(place, model=model)

    async def write(text: str) -> None:
        async with memory:
            await memory.add(text)

    async def main() -> None:
        tasks = [asyncio.create_task(write(text)) for text in ("given up", "stays", "also")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert done[1:] == [None, None]

    asyncio.run(main())
    assert len(opened) == 1
    with Memory(place, model=model) as again:
        assert sorted(chunk.text for chunk in again.list()) == ["also", "stays"]


def test_if_all_are_cancelled_what_was_opened_is_closed(
    place: Path, model: ModelBundle, opened: list[Memory]
) -> None:
    memory = AsyncMemory(place, model=model)

    async def main() -> None:
        tasks = [asyncio.create_task(memory.__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done)
        with pytest.raises(StoreError, match="is closed"):
            async with memory:
                pass

    asyncio.run(main())
    writer = memory._workers._writer
    assert writer is not None
    writer.shutdown(wait=True)  # nobody waits for it
    assert len(opened) == 1


def test_closing_while_it_is_opened_closes_what_was_opened(
    place: Path, model: ModelBundle, opened: list[Memory]
) -> None:
    memory = AsyncMemory(place, model=model)

    async def main() -> None:
        task = asyncio.create_task(memory.__aenter__())
        await asyncio.sleep(0)
        await memory.close()
        with pytest.raises(StoreError, match="was closed while it was being opened"):
            await task

    asyncio.run(main())
    assert len(opened) == 1


def test_what_cannot_be_opened_is_told_to_all(tmp_path: Path, model: ModelBundle) -> None:
    (tmp_path / "memory.db").write_bytes(b"not a database, but something else" * 100)
    memory = AsyncMemory(tmp_path, model=model)

    async def main() -> None:
        tasks = [memory.__aenter__() for _ in range(2)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in done] == [NotAStoreError] * 2

    asyncio.run(main())
