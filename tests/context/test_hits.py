"""Hits and recalls as plain values: pickled, copied, printed, and independent of their memory."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Chunk, Hit, Memory, Message, Recall, pack
from agentmem.errors import CorruptRecordError, InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.records import Scope, SourceRecord
from agentmem_storage.store import Store
from tests.support.prompts import without_nonce

TEXT = "Booked the 9:40 to Lyon."
AT = datetime(2026, 2, 13, 9, 40, tzinfo=UTC)
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "replace": lambda thing: dataclasses.replace(thing),
}


@pytest.fixture
def found(memory: Memory) -> Recall:
    message = Message(TEXT, name="Ana", created_at=AT, metadata={"channel": "web"})
    memory.add([message, Message("Trains are late.", created_at=AT)], user_id="ana")
    return memory.recall("train to Lyon", user_id="ana")


@pytest.fixture(params=COPIES)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return COPIES[request.param]


def referred_to(thing: object) -> Iterator[object]:
    """Everything that can be reached from an object, short of classes and modules."""
    seen: set[int] = set()
    todo = [thing]
    while todo:
        one = todo.pop()
        if id(one) in seen or issubclass(type(one), type) or type(one).__name__ == "module":
            continue
        seen.add(id(one))
        yield one
        todo += gc.get_referents(one)


def test_a_copied_hit_is_equal_and_complete(found: Recall, copied: Callable[[Any], Any]) -> None:
    for hit in found:
        again = copied(hit)
        assert type(again) is Hit
        assert again.to_dict() == hit.to_dict()
        np.testing.assert_array_equal(again.latents, hit.latents)
        assert repr(again) == repr(hit)


def test_a_copied_recall_is_equal_and_complete(found: Recall, copied: Callable[[Any], Any]) -> None:
    again = copied(found)
    assert [hit.to_dict() for hit in again] == [hit.to_dict() for hit in found]
    assert (again.query, again.candidates) == (found.query, found.candidates)
    assert str(again) == str(found)


def test_a_copy_refers_to_no_model_and_no_store(
    found: Recall, copied: Callable[[Any], Any], model: ModelBundle
) -> None:
    if copied is copy.copy:
        pytest.skip("a shallow copy of a recall shares its hits")
    again = copied(found)
    shared = [copied(hit) for hit in again]
    kept = {type(one) for one in referred_to(shared)}
    assert not kept & {ModelBundle, Store}
    assert again.full_scope is None


def test_a_decoded_hit_releases_the_model(found: Recall) -> None:
    hit = found[0]
    assert ModelBundle in {type(one) for one in referred_to(hit)}
    _ = hit.text, hit.latents
    assert not {type(one) for one in referred_to(hit)} & {ModelBundle, Store}


def test_hits_outlive_their_memory(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(TEXT)
        data = pickle.dumps(memory.recall("Lyon"))
    (hit,) = pickle.loads(data)
    assert hit.text == TEXT
    assert hit.latents.shape == (hit.positions, 32)


def test_a_pickled_hit_is_small(found: Recall) -> None:
    assert all(len(pickle.dumps(hit)) < 20_000 for hit in found)


def test_asdict_gives_text_latents_and_plain_fields(found: Recall) -> None:
    plain = dataclasses.asdict(found)
    assert plain["query"] == "train to Lyon"
    by_text = {hit["text"]: hit for hit in plain["hits"]}
    hit = by_text[TEXT]
    assert hit["source"]["scope"] == {"user_id": "ana", "agent_id": None, "session_id": None}
    assert hit["source"]["metadata"] == {"channel": "web"}
    assert hit["latents"].dtype == np.int8
    assert set(hit) == {field.name for field in dataclasses.fields(Hit)}


def test_the_repr_shows_who_when_and_the_first_words(found: Recall) -> None:
    hit = next(hit for hit in found if hit.name == "Ana")
    scores = f"score={hit.score:.3f}, relevance={hit.relevance:.2f}"
    start = f"Hit({scores}, id={hit.id}, 'Ana', 2026-02-13 09:40, "
    assert repr(hit) == f"{start}'{TEXT}')"
    long = dataclasses.replace(hit, text="one two\n" * 1000)
    assert repr(long).startswith(f"{start}'one two one two")
    assert repr(long).endswith("…')")
    assert len(repr(long)) < 170


def test_a_printed_recall_has_a_line_for_each_hit(found: Recall, memory: Memory) -> None:
    first, *rest = str(found).splitlines()
    assert first == "Recall('train to Lyon', 2 of 2 memories)" == repr(found)
    assert [line.strip() for line in rest] == [repr(hit) for hit in found]
    assert str(memory.recall("train", user_id="bo")) == "Recall('train', 0 of 0 memories)"


def test_a_chunk_reads_like_a_hit(memory: Memory) -> None:
    memory.add(Message(TEXT, "assistant", created_at=AT))
    (chunk,) = memory.list()
    assert repr(chunk) == f"Chunk(id=1, 'assistant', 2026-02-13 09:40, '{TEXT}')"
    assert type(copy.deepcopy(chunk)) is Chunk


def test_a_damaged_hit_can_be_copied_and_still_says_so(
    place: Path, memory: Memory, copied: Callable[[Any], Any]
) -> None:
    if copied is COPIES["replace"]:
        pytest.skip("replace() needs every field")
    memory.add([TEXT, "sound"])
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        connection.execute("UPDATE chunks SET latents = zeroblob(20) WHERE id = 1")
        connection.commit()
    hits = {hit.id: hit for hit in memory.recall("Lyon sound")}
    again = copied(hits[1])
    for broken in (hits[1], again, copied(again)):
        assert "<damaged>" in repr(broken)
        for field in ("text", "latents", "positions"):
            with pytest.raises(CorruptRecordError) as caught:
                getattr(broken, field)
            assert caught.value.id == 1
    assert copied(hits[2]).text == "sound"


def test_an_unknown_attribute_is_an_error(found: Recall) -> None:
    with pytest.raises(AttributeError, match="'Hit' object has no attribute 'record'"):
        _ = found[0].record  # type: ignore[attr-defined]


def test_a_custom_hit_can_be_packed() -> None:
    source = SourceRecord(
        id=1,
        scope=Scope("ana"),
        kind="message",
        role="user",
        name="Ana",
        title=None,
        uri=None,
        created_at=AT,
        added_at=AT,
        chars=len(TEXT),
        chunk_ids=(1,),
        metadata={},
    )
    hit = Hit(
        id=1,
        text=TEXT,
        source=source,
        span=(0, len(TEXT)),
        tokens=9,
        positions=1,
        fidelity=1.0,
        latents=np.zeros((1, 32), dtype=np.int8),
        latents_fingerprint="none",
        embedding=None,
        text_hash=b"",
        text_stored=False,
        stored_bytes=0,
        patch_bytes=0,
        score=1.0,
        explain={},
    )
    context = pack([hit], max_tokens=100)
    assert without_nonce(context.to_text()) == f"<memories>\n[2026-02-13] Ana: {TEXT}\n</memories>"


class TestPackOfASequence:
    def test_a_part_of_a_recall(self, found: Recall) -> None:
        chosen = [hit for hit in found if "Lyon" in hit.text]
        context = pack(chosen, max_tokens=1000)
        assert context.hits == tuple(chosen)
        assert pack(found[:1], max_positions=100).vectors == (found[0],)

    def test_a_recall_and_its_hits_pack_alike(self, found: Recall, model: ModelBundle) -> None:
        def count(text: str) -> int:
            return len(model.tokenizer.encode(text))

        for budget in range(1, 200, 7):
            whole = found.pack(max_tokens=budget)
            part = pack(list(found), max_tokens=budget, count_tokens=count)
            assert part.hits == whole.hits == pack(found, max_tokens=budget).hits

    @pytest.mark.parametrize("counted", [None, "3", -1, float("nan")], ids=str)
    def test_a_counter_that_does_not_count(self, found: Recall, counted: Any) -> None:
        with pytest.raises(InputError, match="count_tokens returned"):
            found.pack(max_tokens=100, count_tokens=lambda text: counted)

    def test_a_copied_recall_packs(self, found: Recall) -> None:
        again = pickle.loads(pickle.dumps(found))
        assert again.pack(max_positions=100).to_text() == found.pack(max_positions=100).to_text()

    @pytest.mark.parametrize("part", [lambda found: found[:1], copy.deepcopy, list])
    def test_everything_needs_the_recall_itself(
        self, found: Recall, part: Callable[[Recall], Any]
    ) -> None:
        with pytest.raises(InputError, match="policy='auto' reads the store"):
            pack(part(found), max_tokens=1000, policy="auto")
