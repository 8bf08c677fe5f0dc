"""Damaged rows and indexes: found by `verify`, reported by id, and never hiding other memories."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory, Recall
from agentmem.errors import CorruptRecordError, IncompatibleModelError, StoreError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_model

TEXTS = [f"Memory number {n} about trains to Lyon and back 🚆" for n in range(1, 8)]
BROKEN = 4


def run(place: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        assert connection.execute(statement, values).rowcount != 0
        connection.commit()


def flip(place: Path, column: str, at: float) -> None:
    """Flip one bit of a blob; ``at`` is the place in it, 0 to 1."""
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        query = f"SELECT {column} FROM chunks WHERE id = ?"
        blob = bytearray(connection.execute(query, (BROKEN,)).fetchone()[0])
        blob[round(at * (len(blob) - 1))] ^= 0x04
        connection.execute(f"UPDATE chunks SET {column} = ? WHERE id = ?", (bytes(blob), BROKEN))
        connection.commit()


@pytest.fixture(params=[False, True], ids=["text not kept", "text kept"])
def patched(
    request: pytest.FixtureRequest, place: Path, forgetful_model: ModelBundle
) -> Iterator[Memory]:
    """Seven memories with patches."""
    with Memory(place, model=forgetful_model, keep_text=request.param) as memory:
        memory.add(TEXTS, user_id="ana")
        assert memory.verify().ok
        yield memory


class TestDamagedRow:
    @pytest.fixture(
        params=[
            ("latents", 0.0),
            ("latents", 0.5),
            ("latents", 1.0),
            ("patch", 0.0),
            ("patch", 1.0),
        ],
        ids=lambda value: f"{value[0]} at {value[1]}",
    )
    def damaged(self, request: pytest.FixtureRequest, place: Path, patched: Memory) -> Memory:
        flip(place, *request.param)
        return patched

    def test_verify_names_it(self, damaged: Memory) -> None:
        found = damaged.verify()
        assert not found.ok
        assert {damage.id for damage in found.damage} == {BROKEN}
        assert found.checked == 6
        assert f"memory {BROKEN}" in found.damage[0].what

    def test_the_other_hits_are_read(self, damaged: Memory) -> None:
        for mode in ("hybrid", "vector", "lexical"):
            hits = damaged.recall("trains to Lyon", k=9, mode=mode)
            assert len(hits) == 7
            read_all_but_the_broken({hit.id: hit for hit in hits})

    def test_list_and_get_give_it_and_its_text_raises(self, damaged: Memory) -> None:
        read_all_but_the_broken({chunk.id: chunk for chunk in damaged.list()})
        chunk = damaged.get(BROKEN)
        assert chunk.scope.user_id == "ana"
        for use in (lambda: chunk.text, chunk.to_dict, lambda: chunk.latents):
            with pytest.raises(CorruptRecordError, match=f"memory {BROKEN}") as caught:
                use()
            assert caught.value.id == BROKEN
        with pytest.raises(CorruptRecordError):
            damaged.regenerated(BROKEN)

    def test_packing_it_says_so(self, damaged: Memory) -> None:
        found = damaged.recall("trains to Lyon", k=9)
        for budget in ({"max_tokens": 10_000}, {"max_positions": 10_000}):
            with pytest.raises(CorruptRecordError, match=f"memory {BROKEN}"):
                found.pack(**budget)

    def test_a_new_text_repairs_it(self, damaged: Memory) -> None:
        (new,) = damaged.update(BROKEN, text="as good as new").ids
        assert damaged.get(new).text == "as good as new"
        assert damaged.verify().ok


@pytest.mark.parametrize("change", ["tokens = tokens - 1", "tokens = tokens + 9", "tokens = 0"])
def test_tokens_that_do_not_fit_are_found(place: Path, patched: Memory, change: str) -> None:
    run(place, f"UPDATE chunks SET {change} WHERE id = ?", BROKEN)
    assert {damage.id for damage in patched.verify().damage} == {BROKEN}


def read_all_but_the_broken(chunks: dict[int, Any]) -> None:
    assert sorted(chunks) == list(range(1, 8))
    with pytest.raises(CorruptRecordError) as caught:
        _ = chunks[BROKEN].text
    assert caught.value.id == BROKEN
    for id, chunk in chunks.items():
        if id != BROKEN:
            assert chunk.text == TEXTS[id - 1]


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_a_flipped_bit_of_a_kept_text_is_found(place: Path, model: ModelBundle, at: float) -> None:
    with Memory(place, model=model, keep_text=True) as memory:
        memory.add(TEXTS)
        flip(place, "text", at)
        assert {damage.id for damage in memory.verify().damage} == {BROKEN}
        read_all_but_the_broken({hit.id: hit for hit in memory.recall("trains", k=9)})


@pytest.mark.parametrize("at", [0.0, 0.3, 1.0])
def test_a_damaged_embedding_does_not_affect_lexical_search(
    place: Path, patched: Memory, at: float
) -> None:
    flip(place, "key", at)
    assert {damage.id for damage in patched.verify().damage} == {BROKEN}
    found = patched.recall("Memory number 4", k=9)
    assert {hit.text for hit in found} == set(TEXTS)


@pytest.mark.parametrize("tokens", [0, -3, 1, 10**6])
def test_a_wrong_number_of_tokens_is_found(place: Path, memory: Memory, tokens: int) -> None:
    memory.add(TEXTS)
    run(place, "UPDATE chunks SET tokens = ? WHERE id = ?", tokens, BROKEN)
    assert {damage.id for damage in memory.verify().damage} == {BROKEN}
    read_all_but_the_broken({hit.id: hit for hit in memory.recall("trains", k=9)})


def test_a_text_that_another_chunk_should_have_is_found(place: Path, patched: Memory) -> None:
    """Checksums hold, the hash does not: the row of one memory with the latents of another."""
    run(
        place,
        "UPDATE chunks SET (latents, tokens, patch, text) = "
        "(SELECT latents, tokens, patch, text FROM chunks WHERE id = 1) WHERE id = ?",
        BROKEN,
    )
    assert {damage.id for damage in patched.verify().damage} == {BROKEN}
    read_all_but_the_broken({chunk.id: chunk for chunk in patched.list()})


def test_metadata_that_cannot_be_read_are_found(place: Path, memory: Memory) -> None:
    memory.add(TEXTS, metadata={"a": 1})
    run(place, "UPDATE sources SET metadata = x'ff00' WHERE id = ?", BROKEN)
    (damage,) = memory.verify().damage
    assert damage.id == BROKEN
    hits = {hit.id: hit for hit in memory.recall("trains", k=9)}
    assert {hit.text for hit in hits.values()} == set(TEXTS)
    with pytest.raises(CorruptRecordError, match="metadata of source 4"):
        _ = hits[BROKEN].metadata
    assert hits[1].metadata == {"a": 1}
    with pytest.raises(CorruptRecordError):
        memory.update(BROKEN, text="must not lose the metadata")
    memory.update(BROKEN, metadata={"a": 2})
    assert memory.verify().ok


def test_progress_of_verify_is_reported(memory: Memory) -> None:
    memory.add([f"note {n}" for n in range(600)])
    calls: list[tuple[int, int]] = []
    assert memory.verify(on_progress=lambda *done: calls.append(done)).checked == 600
    assert calls[-1] == (600, 600)


def results(memory: Memory) -> list[list[tuple[int, float, str]]]:
    def plain(found: Recall) -> list[tuple[int, float, str]]:
        return [(hit.id, hit.score, hit.text) for hit in found]

    modes: tuple[Any, ...] = ("hybrid", "vector", "lexical")
    return [plain(memory.recall("trains to Lyon, note 7", k=20, mode=mode)) for mode in modes]


CACHE_FAULTS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda file: file.unlink(),
    "emptied": lambda file: file.write_bytes(b""),
    "cut in the header": lambda file: file.write_bytes(file.read_bytes()[:30]),
    "cut in the middle": lambda file: file.write_bytes(file.read_bytes()[:-5000]),
    "cut at the end": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "garbage": lambda file: file.write_bytes(bytes(range(256)) * 100),
    "another number at its end": lambda file: file.write_bytes(file.read_bytes()[:-4] + b"abcd"),
    "folder deleted": lambda file: shutil.rmtree(file.parent),
    "a folder in its place": lambda file: [file.unlink(), file.mkdir()],  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("fault", CACHE_FAULTS.values(), ids=CACHE_FAULTS.keys())
def test_no_damage_to_the_index_cache_changes_a_result(
    place: Path, model: ModelBundle, fault: Callable[[Path], object]
) -> None:
    with Memory(place, model=model) as memory:
        memory.add(TEXTS + [f"note {n}" for n in range(100)])
        expected = results(memory)
    (cache,) = (place / "index").iterdir()
    with Memory(place, model=model) as memory:
        assert results(memory) == expected
        fault(cache)
        assert results(memory) == expected
    with Memory(place, model=model) as memory:
        assert results(memory) == expected
        memory.add("one more")
        assert memory.recall("one more", mode="vector")[0].text == "one more"


def test_the_cache_of_another_store_is_not_taken(place: Path, model: ModelBundle) -> None:
    other = place.with_name("other")
    for where, texts in ((place, TEXTS), (other, TEXTS[::-1])):
        with Memory(where, model=model) as memory:
            memory.add(texts)
            expected = results(memory)
    shutil.rmtree(other / "index")
    shutil.copytree(place / "index", other / "index")
    with Memory(other, model=model) as memory:
        assert results(memory) == expected


def test_reindex_makes_both_indexes_again(place: Path, memory: Memory) -> None:
    memory.add(TEXTS, user_id="ana")
    memory.add({"name": "Zoe", "content": "hello"})
    expected = results(memory)
    by_name = [hit.id for hit in memory.recall("Zoe", mode="lexical")]
    run(place, "INSERT INTO chunk_terms (chunk_terms) VALUES ('delete-all')")
    assert memory.recall("trains", mode="lexical").hits == ()
    assert {damage.id for damage in memory.verify().damage} == set(range(1, 9))
    memory.reindex()
    assert memory.verify().ok
    assert results(memory) == expected
    assert [hit.id for hit in memory.recall("Zoe", mode="lexical")] == by_name == [8]


def test_a_store_of_another_bundle_is_refused_by_name(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(TEXTS)
        expected = results(memory)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    other = tiny_model(seed=1)
    with pytest.raises(IncompatibleModelError) as caught:
        Memory(place, model=other)
    assert model.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)
    assert model.fingerprint != other.fingerprint
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    with Memory(place, model=model) as memory:
        assert results(memory) == expected


def test_a_closed_memory_says_so(place: Path, model: ModelBundle) -> None:
    memory = Memory(place, model=model)
    memory.add("x")
    memory.close()
    memory.close()
    for verb in (lambda: memory.add("y"), lambda: memory.recall("x"), memory.stats):
        with pytest.raises(StoreError, match="closed"):
            verb()
