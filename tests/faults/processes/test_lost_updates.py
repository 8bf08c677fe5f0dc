"""What another writer changes, while a call decodes or encodes, is neither lost nor left over.

The other writer comes at a known moment: in place of the slow step, between reading and writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import agentmem.editing
import agentmem.writing
from agentmem import Document, Memory
from agentmem.errors import StoreBusyError, UnknownIdError
from agentmem.ingest.encode import prepare
from agentmem.ingest.normalize import normalize
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.errors import ChangedError
from agentmem_storage.records import Scope, Selection
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of

Meanwhile = Callable[[Any, str, Callable[[], object]], None]


@pytest.fixture
def other(memory: Memory, place: Path, model: ModelBundle) -> Iterator[Memory]:
    """A second process's view of the store."""
    with Memory(place, model=model) as other:
        yield other


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something done once, after the first call of a function."""

    def arrange(module: Any, name: str, change: Callable[[], object]) -> None:
        original = getattr(module, name)
        left = [change]

        def late(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            if left:
                left.pop()()
            return made

        monkeypatch.setattr(module, name, late)

    return arrange


class TestUpdate:
    def test_a_new_text_keeps_metadata_that_came_while_it_was_encoded(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        (id,) = memory.add("I like tea", metadata={"n": 1}).ids
        meanwhile(agentmem.editing, "prepare", lambda: other.update(id, metadata={"n": 2}))
        (new,) = memory.update(id, text="I like jam").ids
        assert (memory.get(new).text, memory.get(new).metadata) == ("I like jam", {"n": 2})
        assert memory.verify().ok

    def test_of_two_new_texts_the_later_stays_and_nothing_of_the_other(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        (id,) = memory.add("I like tea").ids
        meanwhile(agentmem.editing, "prepare", lambda: other.update(id, text="I like rum"))
        memory.update(id, text="I like jam")
        assert [chunk.text for chunk in memory.list()] == ["I like jam"]
        assert not memory.recall("rum", mode="lexical")
        assert memory.verify().ok

    def test_what_was_forgotten_does_not_come_back(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        (id,) = memory.add("I like tea").ids
        meanwhile(agentmem.editing, "prepare", lambda: other.forget([id]))
        with pytest.raises(UnknownIdError):
            memory.update(id, text="I like jam")
        assert list(memory.list()) == []

    def test_new_metadata_give_the_ids_of_the_text_that_is_there(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        (id,) = memory.add("I like tea").ids
        meanwhile(memory, "_one", lambda: other.update(id, text="I like jam"))
        receipt = memory.update(id, metadata={"n": 1})
        assert [memory.get(one).text for one in receipt.ids] == ["I like jam"]

    def test_others_who_never_cease_are_named(
        self, memory: Memory, other: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (id,) = memory.add("I like tea").ids
        source = memory.get(id).source.id
        original, count = agentmem.editing.prepare, iter(range(1000))

        def always(*args: Any, **kwargs: Any) -> Any:
            other._store.update_source(source, metadata={"n": next(count)})
            return original(*args, **kwargs)

        monkeypatch.setattr(agentmem.editing, "prepare", always)
        with pytest.raises(StoreBusyError, match=f"source {source} was changed by another writer"):
            memory.update(id, text="I like jam")
        assert [chunk.text for chunk in memory.list()] == ["I like tea"]


class TestForget:
    @pytest.mark.parametrize(
        "condition",
        [{"user_id": "ana"}, {"where": {"n": 1}}, {"before": "2030-01-01"}],
        ids=lambda one: next(iter(one)),
    )
    def test_what_is_reworded_meanwhile_is_forgotten_too(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile, condition: dict[str, Any]
    ) -> None:
        ids = memory.add(["I like tea", "and jam"], user_id="ana", metadata={"n": 1}).ids
        memory.add("mine", user_id="ben", created_at="2031-01-01")
        change = lambda: other.update(ids[0], text="I like rum")  # noqa: E731
        meanwhile(agentmem.editing, "lexical_terms", change)
        receipt = memory.forget(**condition)
        assert len(receipt.ids) == 2
        assert [chunk.text for chunk in memory.list()] == ["mine"]
        assert not memory.recall("rum", mode="lexical")
        assert memory.verify().ok

    def test_what_no_longer_matches_stays(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        one, two = memory.add(["I like tea", "and jam"], metadata={"old": True}).ids
        change = lambda: other.update(one, metadata={})  # noqa: E731
        meanwhile(agentmem.editing, "lexical_terms", change)
        assert memory.forget(where={"old": True}).ids == (two,)
        assert [chunk.text for chunk in memory.list()] == ["I like tea"]

    def test_an_id_that_was_replaced_meanwhile_is_refused_and_nothing_deleted(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile
    ) -> None:
        one, two = memory.add(["I like tea", "and jam"]).ids
        change = lambda: other.update(one, text="I like rum")  # noqa: E731
        meanwhile(agentmem.editing, "lexical_terms", change)
        with pytest.raises(UnknownIdError, match=f"memory {one} was replaced"):
            memory.forget([one, two])
        assert {chunk.text for chunk in memory.list()} == {"I like rum", "and jam"}

    def test_it_ends_though_others_reword_without_end(
        self, memory: Memory, other: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        id = memory.add("I like tea", user_id="ana").ids[0]
        original, ids = agentmem.editing.lexical_terms, [id]

        def always(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            ids.append(reword(other, ids[-1], f"cup {len(ids)}"))
            return made

        monkeypatch.setattr(agentmem.editing, "_RETRIES", 3)
        monkeypatch.setattr(agentmem.editing, "lexical_terms", always)
        assert memory.forget(user_id="ana").ids == (ids[-1],)
        assert list(memory.list()) == []
        assert not memory._store.terms_stale
        assert memory.verify().ok


def reword(memory: Memory, id: int, text: str) -> int:
    """What `Memory.update` does, without a function of which the test has changed the ways."""
    (part,) = normalize(text).parts
    now = datetime.now(UTC)
    (new,) = prepare([part], memory._model, options=memory._options, now=now)
    return memory._store.replace_source(memory.get(id).source.id, new, {}).chunk_ids[0]


class TestAdd:
    @pytest.mark.parametrize("kind", ["message", "document"])
    def test_what_is_forgotten_meanwhile_is_not_acknowledged(
        self, memory: Memory, other: Memory, meanwhile: Meanwhile, kind: str
    ) -> None:
        known, new = ("I like tea", "and jam")
        both = [Document(known), Document(new)] if kind == "document" else [known, new]
        (id,) = memory.add(both[0]).ids
        meanwhile(agentmem.writing, "prepare", lambda: other.forget([id]))
        receipt = memory.add(both)
        assert id not in receipt.ids
        present = {chunk.id: chunk.text for chunk in memory.list()}
        assert set(receipt.ids) <= set(present)
        assert new in present.values()
        assert memory.verify().ok


def test_the_store_itself_refuses_what_was_made_from_another_state(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        source = make_source("one", metadata={"n": 1})
        (written,) = store.add([source], Scope("a"))
        (seen,) = store.sources([written.source_id])
        store.update_source(written.source_id, metadata={"n": 2})
        with pytest.raises(ChangedError):
            store.replace_source(
                written.source_id, make_source("two"), terms_of(written, source), expected=seen
            )
        with pytest.raises(ChangedError):
            store.forget(Selection(Scope("a")), {}, seen=())
        assert store.count() == 1
        assert store.sources([written.source_id])[0].metadata == {"n": 2}
