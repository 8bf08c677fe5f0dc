"""What a store must do with what is written, changed and forgotten."""

# The names of the tests describe them.
# ruff: noqa: D102

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from agentmem_storage.errors import InputError, UnknownIdError
from agentmem_storage.records import Scope, Selection, Written
from agentmem_storage.testing.opening import OpensStores, add_all, raises, require_same_chunks
from agentmem_storage.testing.sources import (
    EMBEDDING_DIMS,
    NOON,
    make_embedding,
    make_source,
    terms_of,
)


class WritingConformance(OpensStores):
    """What is written, changed and forgotten."""

    def test_what_was_added_comes_back(self, tmp_path: Path) -> None:
        source = make_source(
            "A first memory, long enough for two chunks of sixty-four characters each.",
            kind="document",
            role="user",
            name="Ana",
            title="Trains",
            uri="file:notes.md",
            patch=b"\x00patch",
            fidelity=0.75,
            metadata={"channel": "web", "deep": {"list": [1, None, "ü"]}},
        )
        scope = Scope("ana@example.org", None, "s 1")
        with self.open_store(tmp_path) as store:
            (written,) = store.add([source], scope)
            assert not written.duplicate
            require_same_chunks(store.chunks(written.chunk_ids), source, written)
            (record,) = store.sources([written.source_id])
        assert record.scope == scope
        assert (record.kind, record.role, record.name) == ("document", "user", "Ana")
        assert (record.title, record.uri, record.chars) == ("Trains", "file:notes.md", 73)
        assert record.created_at == NOON
        assert record.created_at.utcoffset() == timedelta(0)
        assert record.metadata == source.metadata
        assert record.chunk_ids == written.chunk_ids

    def test_ids_keep_their_order(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = add_all(store, ["one", "two", "three"], Scope("a"))
            wanted = [ids[2], ids[0], ids[2]]
            assert [chunk.id for chunk in store.chunks(wanted)] == wanted
            assert list(store.ids()) == sorted(ids)
            assert store.ids().dtype == np.int64
            with raises(UnknownIdError):
                store.chunks([ids[0], 10_000])
            with raises(UnknownIdError):
                store.sources([10_000])

    def test_the_same_content_is_written_once_per_scope(self, tmp_path: Path) -> None:
        source = make_source("said twice")
        with self.open_store(tmp_path) as store:
            first, again = store.add([source, source], Scope("a"))
            assert (first.duplicate, again.duplicate) == (False, True)
            assert again.chunk_ids == first.chunk_ids
            (third,) = store.add([source], Scope("a"))
            assert third == again
            (other,) = store.add([source], Scope("a", "agent"))
            assert not other.duplicate
            new = make_source("not said yet")
            assert store.find([source.key, new.key], Scope("a")) == [again, None]
            assert store.find([source.key], Scope("b")) == [None]
            assert store.add([source.key], Scope("a")) == [again]
            with raises(UnknownIdError):
                store.add([new, new.key, make_source("unknown").key], Scope("a"))
            assert len(store.ids()) == 2

    def test_a_source_can_be_updated(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            (written,) = store.add([make_source("x", title="old", metadata={"a": 1})], Scope())
            record = store.update_source(written.source_id, metadata={"b": 2})
            assert (record.metadata, record.title, record.created_at) == ({"b": 2}, "old", NOON)
            record = store.update_source(
                written.source_id, title=None, created_at=NOON + timedelta(days=1)
            )
            assert (record.metadata, record.title) == ({"b": 2}, None)
            assert store.sources([written.source_id]) == [record]
            assert len(store.ids(Selection(where={"b": 2}, since=NOON + timedelta(days=1)))) == 1
            with raises(UnknownIdError):
                store.update_source(999, title="x")

    def test_a_source_can_be_given_another_content(self, tmp_path: Path) -> None:
        old, new = make_source("old walrus"), make_source("new content " * 10)
        other = make_source("other")
        with self.open_store(tmp_path) as store:
            written, kept = store.add([old, other], Scope("a"))
            changed = store.replace_source(written.source_id, new, terms_of(written, old))
            assert changed.source_id == written.source_id
            require_same_chunks(store.chunks(changed.chunk_ids), new, changed)
            assert list(store.ids()) == [*kept.chunk_ids, *changed.chunk_ids]
            assert len(store.search_terms("walrus", 3).ids) == 0
            assert store.search_vectors(make_embedding("old walrus"), 1).scores[0] < 0.9
            clash = store.replace_source(written.source_id, other, terms_of(changed, new))
            assert clash == Written(kept.source_id, kept.chunk_ids, duplicate=True)
            assert list(store.check()) == []
            with raises(UnknownIdError):
                store.replace_source(999, make_source("nobody's"), {})

    def test_forgotten_chunks_are_nowhere(self, tmp_path: Path) -> None:
        one, two = make_source("a walrus"), make_source("b " * 60)
        with self.open_store(tmp_path) as store:
            first, second = store.add([one, two], Scope("a"))
            store.search_vectors(make_embedding("a walrus"), 1)
            receipt = store.forget([*first.chunk_ids, 999], terms_of(first, one))
            assert (receipt.chunks, receipt.sources, receipt.terms_stale) == (1, 1, False)
            assert list(store.ids()) == list(second.chunk_ids)
            assert len(store.search_terms("walrus", 3).ids) == 0
            assert first.chunk_ids[0] not in store.search_vectors(make_embedding("a walrus"), 9).ids
            with raises(UnknownIdError):
                store.sources([first.source_id])
            receipt = store.forget(second.chunk_ids, terms_of(second, two))
            assert (receipt.chunks, receipt.sources) == (2, 1)
            assert store.scopes() == []
            assert list(store.check()) == []
            (again,) = store.add([one], Scope("a"))
            assert again.chunk_ids[0] > max(second.chunk_ids)
            assert again.source_id > second.source_id

    def test_a_half_forgotten_source_is_no_duplicate(self, tmp_path: Path) -> None:
        source = make_source("first half " * 6 + "other half " * 6)
        with self.open_store(tmp_path) as store:
            (written,) = store.add([source], Scope("a"))
            gone = written.chunk_ids[0]
            receipt = store.forget([gone], terms_of(written, source))
            assert (receipt.chunks, receipt.sources) == (1, 0)
            assert list(store.check()) == []
            (again,) = store.add([source], Scope("a"))
            assert not again.duplicate
            assert list(store.check()) == []

    def test_bad_input_is_refused_and_writes_nothing(self, tmp_path: Path) -> None:
        good = make_source("good")
        bad = [
            make_source("x", created_at=datetime(2024, 1, 1)),
            make_source("x", metadata={"a": float("nan")}),
            make_source("x", metadata={"a": {1, 2}}),
            make_source("x", metadata={1: "a"}),
            make_source("x", metadata={"a": "\ud800"}),
            make_source("x", role="\udfff"),
            make_source("x", fidelity=1.5),
            make_source("x", kind="song"),  # type: ignore[arg-type]
            make_source(""),
        ]
        with self.open_store(tmp_path) as store:
            for source in bad:
                with raises(InputError):
                    store.add([good, source], Scope())
            for word in ("", "\ud800"):
                with raises(InputError):
                    store.add([good], Scope(user_id=word))
                with raises(InputError):
                    store.find([good.key], Scope(agent_id=word))
                with raises(InputError):
                    store.ids(Selection(scope=Scope(session_id=word)))
            for k in (0, -1):
                with raises(InputError):
                    store.search_vectors(make_embedding("x"), k)
                with raises(InputError):
                    store.search_terms("x", k)
            with raises(InputError):
                store.search_vectors(make_embedding("x")[:-1], 1)
            with raises(InputError):
                store.search_vectors(np.zeros(EMBEDDING_DIMS, dtype=np.float32), 1)
            assert len(store.ids()) == 0
            assert store.scopes() == []
            assert store.add([], Scope("a")) == []
