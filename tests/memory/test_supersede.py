"""Memories that supersede others: what comes first in a recall, and what is left of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle

Unchanged = Callable[[Memory], AbstractContextManager[None]]

CITIES = [
    ("I live in Paris, in the flat where I live with two cats.", "2023-02-01"),
    ("I moved to Rome last week!", "2024-06-01"),
    ("Since Monday home is Oslo.", "2025-09-01"),
]
OTHERS = [f"Note {number} on where the trains go." for number in range(12)]


@pytest.fixture
def cities(memory: Memory) -> list[int]:
    """Ids of three memories, each of which supersedes the one before it."""
    ids: list[int] = []
    for text, day in CITIES:
        last = ids[-1] if ids else None
        ids += memory.add(text, user_id="ana", created_at=day, supersedes=last).ids
    memory.add(OTHERS, user_id="ana", created_at="2025-10-01")
    return ids


def first(memory: Memory, query: str, **given: Any) -> list[int]:
    return [hit.id for hit in memory.recall(query, user_id="ana", **given)]


class TestOrder:
    def test_the_newest_comes_first_also_if_no_word_of_it_is_asked_for(
        self, memory: Memory, cities: list[int]
    ) -> None:
        paris, rome, oslo = cities
        found = first(memory, "Where do I live?", k=3, mode="lexical")
        assert found[:2] == [oslo, paris]
        assert rome not in found
        found = first(memory, "live Rome", mode="lexical", k=9)
        assert found.index(oslo) < found.index(rome)
        assert found.index(rome) < found.index(paris)

    @pytest.mark.parametrize("query", ["Where did I live before?", "my previous home in Oslo"])
    def test_the_old_one_comes_first_if_it_is_asked_for(
        self, memory: Memory, cities: list[int], query: str
    ) -> None:
        found = first(memory, query, k=15)
        assert found.index(cities[0]) < found.index(cities[2])
        assert found.index(cities[1]) < found.index(cities[2])

    @pytest.mark.parametrize(
        ("query", "held"),
        [
            ("Where did I live in 2023?", 0),
            ("Where did I live in July 2024?", 1),
            ("Where have I lived since October 2025?", 2),
        ],
    )
    def test_what_held_at_a_time_comes_first_of_them(
        self, memory: Memory, cities: list[int], query: str, held: int
    ) -> None:
        found = first(memory, query, k=15, now="2026-01-01")
        assert [id for id in found if id in cities][0] == cities[held]

    def test_the_caller_can_say_what_is_wanted(self, memory: Memory, cities: list[int]) -> None:
        query = "Where did I live before?"
        assert first(memory, query, mode="lexical", prefer="latest")[0] == cities[2]
        assert first(memory, "I live where?", mode="lexical", prefer="any", k=1) == cities[:1]
        with pytest.raises(InputError, match="unknown prefer 'newest'"):
            first(memory, query, prefer="newest")  # type: ignore[arg-type]

    def test_what_the_query_excludes_is_not_brought_in(
        self, memory: Memory, cities: list[int]
    ) -> None:
        hits = memory.recall("Where do I live?", user_id="ana", mode="lexical", until="2025-01-01")
        assert [hit.id for hit in hits][:2] == [cities[1], cities[0]]
        assert hits[0].superseded_by == (cities[2],)

    def test_hits_are_at_most_k_and_scores_descend(self, memory: Memory, cities: list[int]) -> None:
        for k in (1, 2, 5):
            hits = memory.recall("Where do I live?", user_id="ana", k=k)
            assert len(hits) == k
            scores = [hit.score for hit in hits]
            assert scores == sorted(scores, reverse=True)
        assert (
            memory.recall("Where do I live?", user_id="ana", k=1, mode="lexical")[0].id
            == (cities[2])
        )

    def test_the_best_chunk_of_a_document_comes_first(self, memory: Memory) -> None:
        (old,) = memory.add("The manual says: press the red knob.", user_id="ana").ids
        text = "\n\n".join(f"Part {n}. " + "It is about other things. " * 40 for n in range(4))
        new = memory.add(Document(text), user_id="ana", supersedes=old)
        assert len(new.ids) > 2
        hits = memory.recall("red knob", user_id="ana", mode="lexical")
        assert hits[0].id in new.ids
        assert [hit.id for hit in hits][1] == old


class TestHits:
    def test_they_say_what_they_supersede(self, memory: Memory, cities: list[int]) -> None:
        hits = {hit.id: hit for hit in memory.recall("live Rome Oslo", user_id="ana", k=15)}
        paris, rome, oslo = cities
        assert (hits[paris].supersedes, hits[paris].superseded_by) == ((), (rome,))
        assert (hits[rome].supersedes, hits[rome].superseded_by) == ((paris,), (oslo,))
        assert hits[oslo].to_dict()["supersedes"] == [rome]
        assert hits[oslo].to_dict()["superseded_by"] == []

    def test_they_do_not_tell_of_other_sessions_to_a_handle_of_one(self, memory: Memory) -> None:
        (old,) = memory.add("The code is 1234.", user_id="ana", session_id="a").ids
        (new,) = memory.add("The code is 9876.", user_id="ana", session_id="b", supersedes=old).ids
        (hit,) = memory.scoped(user_id="ana", session_id="a").recall("code")
        assert (hit.id, hit.superseded_by) == (old, ())
        assert [hit.id for hit in memory.recall("code", user_id="ana")] == [new, old]
        assert memory.scoped(user_id="ana", session_id="a").history(old)[0].id == hit.source.id


class TestStating:
    def test_history_is_the_same_from_each(self, memory: Memory, cities: list[int]) -> None:
        for id in cities:
            assert [one.text for one in memory.history(id)] == [text for text, _ in CITIES]
        (other,) = memory.add("Something else.", user_id="ana").ids
        assert [one.text for one in memory.history(other)] == ["Something else."]

    def test_it_can_be_undone(self, memory: Memory, cities: list[int]) -> None:
        memory.supersede(cities[1], cities[2], undo=True)
        assert len(memory.history(cities[0])) == 2
        assert len(memory.history(cities[2])) == 1
        with pytest.raises(InputError, match="nothing to undo"):
            memory.supersede(cities[1], cities[2], undo=True)

    def test_an_update_keeps_it(self, memory: Memory, cities: list[int]) -> None:
        (new,) = memory.update(cities[1], text="I moved to Milan last week!").ids
        assert len(memory.history(new)) == 3

    def test_what_is_forgotten_leaves_the_others_in_order(
        self, memory: Memory, cities: list[int]
    ) -> None:
        memory.forget([cities[1]])
        assert [one.chunks[0].id for one in memory.history(cities[0])] == [cities[0], cities[2]]
        memory.forget(user_id="ana")
        assert memory.verify().ok

    def test_an_id_outside_the_scope_is_unknown(
        self, memory: Memory, cities: list[int], unchanged: Unchanged
    ) -> None:
        (bobs,) = memory.add("I live in Bern.", user_id="bob").ids
        bob = memory.scoped(user_id="bob")
        with unchanged(memory):
            for verb in (
                lambda: bob.supersede(cities[0], bobs),
                lambda: bob.history(cities[0]),
                lambda: bob.add("I live in Basel.", supersedes=cities[0]),
                lambda: memory.add("I live in Basel.", user_id="bob", supersedes=cities[0]),
                lambda: memory.supersede(99, bobs),
            ):
                with pytest.raises(UnknownIdError):
                    verb()
            with pytest.raises(InputError, match="different users"):
                memory.supersede(cities[0], bobs)

    def test_several_messages_cannot_take_one_place(
        self, memory: Memory, cities: list[int], unchanged: Unchanged
    ) -> None:
        with unchanged(memory), pytest.raises(InputError, match="this has 2 parts"):
            memory.add(["one", "two"], user_id="ana", supersedes=cities[0])

    def test_a_retry_changes_nothing(self, memory: Memory) -> None:
        (old,) = memory.add("The code is 1234.", created_at="2026-01-01").ids
        new = [
            memory.add("The code is 9876.", created_at="2026-01-02", supersedes=old).ids
            for _ in range(2)
        ]
        assert new[0] == new[1]
        assert len(memory.history(old)) == 2


KILLED = """
import os, signal, sys
from agentmem import Memory
from agentmem.testing import tiny_model

memory = Memory(sys.argv[1], model=tiny_model())
(old,) = memory.add("The code is 1234.").ids
(new,) = memory.add("The code is 9876.", supersedes=old).ids
print(old, new, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_link_survives_with_its_memory(tmp_path: Path, model: ModelBundle) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "s")], stdout=subprocess.PIPE, check=False
    )
    old, new = map(int, done.stdout.split())
    with Memory(tmp_path / "s", model=model) as memory:
        assert [one.chunks[0].id for one in memory.history(new)] == [old, new]
        assert memory.verify().ok
