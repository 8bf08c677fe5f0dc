"""The conformance suite that every store must pass, usable for third-party stores too."""

# The names of the tests describe them.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from agentmem_storage.errors import (
    FilterError,
    IncompatibleModelError,
    InputError,
    StoreError,
    UnknownIdError,
)
from agentmem_storage.records import (
    ChunkRecord,
    NewSource,
    Scope,
    Selection,
    SelectionSums,
    Written,
)
from agentmem_storage.store import Store
from agentmem_storage.testing.sources import (
    EMBEDDING_DIMS,
    NOON,
    make_embedding,
    make_source,
    terms_of,
)


class StoreConformance:
    """Behavior required of every store; subclass it and implement `open_store`.

    Attributes:
        open_options: What a store of this kind needs to be opened, besides its model and dims.
    """

    open_options: Mapping[str, Any] = {}

    def open_store(self, place: Path) -> Store:
        """Open the store at a path with `MODEL` and `EMBEDDING_DIMS`, creating it if necessary."""
        raise NotImplementedError

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
            _require_same_chunks(store.chunks(written.chunk_ids), source, written)
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
            ids = _add(store, ["one", "two", "three"], Scope("a"))
            wanted = [ids[2], ids[0], ids[2]]
            assert [chunk.id for chunk in store.chunks(wanted)] == wanted
            assert list(store.ids()) == sorted(ids)
            assert store.ids().dtype == np.int64
            with _raises(UnknownIdError):
                store.chunks([ids[0], 10_000])
            with _raises(UnknownIdError):
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
            with _raises(UnknownIdError):
                store.add([new, new.key, make_source("unknown").key], Scope("a"))
            assert len(store.ids()) == 2

    def test_a_scope_word_left_out_means_any(self, tmp_path: Path) -> None:
        scopes = [Scope(), Scope("a"), Scope("a", "x"), Scope("b", "x"), Scope("a", "x", "s")]
        with self.open_store(tmp_path) as store:
            ids = [_add(store, ["same"], scope)[0] for scope in scopes]
            assert [one.scope for one in store.scopes()] == scopes
            for scope, expected in [
                (Scope(), ids),
                (Scope("a"), [ids[1], ids[2], ids[4]]),
                (Scope(agent_id="x"), ids[2:]),
                (Scope("a", "x"), [ids[2], ids[4]]),
                (Scope("c"), []),
                (Scope("A"), []),
                (Scope("a%"), []),
            ]:
                selection = Selection(scope=scope)
                assert list(store.ids(selection)) == expected
                found = store.search_vectors(make_embedding("same"), 9, selection)
                assert sorted(found.ids) == expected
                assert sorted(store.search_terms("same", 9, selection).ids) == expected
                assert store.count(selection) == len(expected)

    def test_time_and_ids_select(self, tmp_path: Path) -> None:
        step = timedelta(microseconds=1)
        moments = [NOON, NOON + step, NOON + 2 * step]
        with self.open_store(tmp_path) as store:
            new = [make_source(f"at {moment}", created_at=moment) for moment in moments]
            written = store.add(new, Scope())
            ids = [one.chunk_ids[0] for one in written]
            since = Selection(since=moments[1])
            until = Selection(until=moments[1])
            assert list(store.ids(since)) == ids[1:]
            assert list(store.ids(until)) == ids[:1]
            assert list(store.ids(Selection(ids=(ids[2], 999), since=NOON))) == ids[2:]
            assert list(store.ids(Selection(source_ids=(written[1].source_id,)))) == [ids[1]]
            assert list(store.ids(Selection(ids=()))) == []

    def test_a_date_is_in_that_day_of_every_zone(self, tmp_path: Path) -> None:
        west = timezone(timedelta(hours=-8))
        morning, next_day = datetime(2024, 5, 3, tzinfo=west), datetime(2024, 5, 4, tzinfo=west)
        moments = [
            datetime(2024, 5, 3, tzinfo=UTC),  # a date
            datetime(2024, 5, 4, tzinfo=UTC),
            datetime(2024, 5, 4, 1, tzinfo=UTC),  # the evening of 3 May
        ]
        with self.open_store(tmp_path) as store:
            new = [make_source(f"at {moment}", created_at=moment) for moment in moments]
            ids = [one.chunk_ids[0] for one in store.add(new, Scope())]
            for days, expected in [
                ((morning, next_day), [ids[0], ids[2]]),
                ((next_day, None), [ids[1]]),
                ((None, morning), []),
            ]:
                assert sorted(store.ids(Selection(days=days))) == expected

    def test_metadata_and_fields_select(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            new = [
                make_source("one", role="user", metadata={"year": 2001, "tags": ["a", "b"]}),
                make_source("two", role="tool", metadata={"year": "2001", "role": "user"}),
                make_source("three", metadata={"deep": {"year": 2010.5}}),
            ]
            one, two, three = (written.chunk_ids[0] for written in store.add(new, Scope()))
            where: list[tuple[Mapping[str, Any], list[int]]] = [
                ({"year": 2001}, [one]),
                ({"year": {"ne": 2001}}, [two]),
                ({"deep.year": {"gt": 2010, "lt": 2011}}, [three]),
                ({"tags": {"contains": "b"}}, [one]),
                ({"role": "user"}, [one]),
                ({"metadata.role": "user"}, [two]),
                ({"role": {"exists": False}}, [three]),
                ({"or": [{"role": "tool"}, {"year": {"in": [2001, 5]}}]}, [one, two]),
                ({"not": {"year": {"exists": True}}}, [three]),
                ({}, [one, two, three]),
            ]
            for filter_, expected in where:
                selection = Selection(where=filter_)
                assert list(store.ids(selection)) == expected, filter_
                assert (
                    sorted(store.search_vectors(make_embedding("one"), 9, selection).ids)
                    == expected
                )
            with _raises(FilterError):
                store.ids(Selection(where={"year": {"above": 1}}))

    def test_search_by_key_finds_the_nearest_first(self, tmp_path: Path) -> None:
        texts = [f"memory {number}" for number in range(50)]
        with self.open_store(tmp_path) as store:
            ids = _add(store, texts, Scope("a"))
            found = store.search_vectors(make_embedding(texts[7]), 5)
            cosines = np.array([make_embedding(text) @ make_embedding(texts[7]) for text in texts])
        assert found.ids[0] == ids[7]
        assert found.ids.shape == found.scores.shape == (5,)
        assert (np.diff(found.scores) <= 0).all()
        # Embeddings are kept in int8.
        np.testing.assert_allclose(found.scores, np.sort(cosines)[::-1][:5], atol=0.02)

    def test_a_selection_is_made_before_the_search(self, tmp_path: Path) -> None:
        near, far = Scope("near"), Scope("far")
        with self.open_store(tmp_path) as store:
            _add(store, [f"zebra crossing {number}" for number in range(200)], near)
            wanted = _add(store, ["something else", "zebra"], far)
            by_key = store.search_vectors(
                make_embedding("zebra crossing 1"), 2, Selection(scope=far)
            )
            assert sorted(by_key.ids) == wanted
            by_word = store.search_terms("zebra crossing", 2, Selection(scope=far))
            assert list(by_word.ids) == wanted[1:]

    def test_search_by_words(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            texts = [
                "the train to Lyon leaves at 9:40",
                "trains, trains!",
                "Crème brûlée",
                "東京駅",
            ]
            ids = _add(store, texts, Scope())
            assert sorted(store.search_terms("train", 9).ids) == ids[:2]
            assert list(store.search_terms("when is the train to lyon?", 9).ids)[0] == ids[0]
            assert list(store.search_terms("creme BRULEE", 9).ids) == [ids[2]]
            assert list(store.search_terms("東京は", 9).ids) == [ids[3]]
            assert (store.search_terms("train lyon", 9).scores > 0).all()
            for odd in [
                "",
                " ",
                '"',
                "NEAR(",
                "a AND",
                "*",
                "^x",
                "-",
                "\x00",
                "🚆",
                "terms:x",
                "'",
            ]:
                assert len(store.search_terms(odd, 3).ids) == 0, odd
            assert len(store.search_terms("the", 3).ids) == 1

    def test_equal_scores_are_in_order_of_ids(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = [_add(store, ["same words"], Scope(f"u{n}"))[0] for n in range(6)]
            assert list(store.search_terms("words", 4).ids) == ids[:4]
            assert list(store.search_vectors(make_embedding("same words"), 4).ids) == ids[:4]

    def test_neighbors_share_the_whole_scope(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            first = _add(store, ["one"], Scope("a"))[0]
            other = _add(store, ["two"], Scope("a", session_id="s"))[0]
            last = _add(store, ["three"], Scope("a"))[0]
            assert store.neighbors([last, first, other]).sides == {
                last: ((first,), ()),
                first: ((), (last,)),
                other: ((), ()),
            }

    def test_neighbors_come_nearest_first(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = _add(store, [f"turn {number}" for number in range(7)], Scope("a"))
            found = store.neighbors([ids[1], ids[4]], reach=3)
            assert found.sides == {
                ids[1]: ((ids[0],), tuple(ids[2:5])),
                ids[4]: (tuple(ids[3:0:-1]), tuple(ids[5:])),
            }

    def test_latents_come_with_how_their_source_is_headed(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = _add(store, ["one", "two and three"], Scope("a"))
            for found, chunk in zip(store.latents(ids[::-1]), store.chunks(ids[::-1]), strict=True):
                (source,) = store.sources([chunk.source_id])
                assert (found.latents, found.tokens) == (chunk.latents, chunk.tokens)
                assert (found.name, found.title) == (source.name, source.title)
            with _raises(UnknownIdError):
                store.latents([ids[0], 999])

    def test_neighbors_come_with_their_tokens_and_sources(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = _add(store, ["one", "two and three", "four", "five"], Scope("a"))
            chunks = store.chunks(ids[:3])
            turns = store.neighbors([ids[1]]).turns
            assert {id: (turn.tokens, turn.source) for id, turn in turns.items()} == {
                one.id: (one.tokens, one.source_id) for one in chunks
            }
            assert len({turn.speaker for turn in turns.values()}) == 1
            with _raises(UnknownIdError):
                store.neighbors([ids[0], 999])

    def test_episodes_are_runs_of_one_scope(self, tmp_path: Path) -> None:
        later = NOON + timedelta(hours=3)
        with self.open_store(tmp_path) as store:
            first = _add(store, ["one", "two"], Scope("a"))
            other = _add(store, ["three"], Scope("a", session_id="s"))
            (written,) = store.add([make_source("much later", created_at=later)], Scope("a"))
            last = written.chunk_ids[0]
            assert store.episodes([last, *other, *first]) == {
                last: (last,),
                other[0]: tuple(other),
                first[0]: tuple(first),
                first[1]: tuple(first),
            }
            with _raises(UnknownIdError):
                store.episodes([999])

    def test_what_was_added_last(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            first = _add(store, ["one", "two"], Scope("a"))
            other = _add(store, ["three"], Scope("b"))
            last = _add(store, ["four"], Scope("a"))
            ids = [*first, *other, *last][::-1]
            read = store.snapshot
            assert read(lambda one: one.recent(Scope(), most=9)) == ids
            assert read(lambda one: one.recent(Scope(), most=2)) == ids[:2]
            assert read(lambda one: one.recent(Scope(), most=9, before=ids[1])) == ids[2:]
            assert read(lambda one: one.recent(Scope("a"), most=2)) == [*last, first[1]]
            assert read(lambda one: one.recent(Scope("c"), most=2)) == []

    def test_iterating_sees_everything_and_lets_others_write(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = _add(store, [f"memory {number}" for number in range(10)], Scope("a"))
            seen = []
            for batch in store.iterate(Selection(scope=Scope("a")), batch_size=4):
                seen += [chunk.id for chunk in batch]
                if len(seen) == 4:
                    ids += _add(store, ["while reading"], Scope("a"))
            assert seen == ids

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
            with _raises(UnknownIdError):
                store.update_source(999, title="x")

    def test_a_source_can_be_given_another_content(self, tmp_path: Path) -> None:
        old, new = make_source("old walrus"), make_source("new content " * 10)
        other = make_source("other")
        with self.open_store(tmp_path) as store:
            written, kept = store.add([old, other], Scope("a"))
            changed = store.replace_source(written.source_id, new, terms_of(written, old))
            assert changed.source_id == written.source_id
            _require_same_chunks(store.chunks(changed.chunk_ids), new, changed)
            assert list(store.ids()) == [*kept.chunk_ids, *changed.chunk_ids]
            assert len(store.search_terms("walrus", 3).ids) == 0
            assert store.search_vectors(make_embedding("old walrus"), 1).scores[0] < 0.9
            clash = store.replace_source(written.source_id, other, terms_of(changed, new))
            assert clash == Written(kept.source_id, kept.chunk_ids, duplicate=True)
            assert list(store.check()) == []
            with _raises(UnknownIdError):
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
            with _raises(UnknownIdError):
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

    def test_terms_can_be_rebuilt(self, tmp_path: Path) -> None:
        new = [make_source("gone walrus"), make_source("kept penguin"), make_source("lost heron")]
        with self.open_store(tmp_path) as store:
            gone, kept, lost = store.add(new, Scope())
            assert store.forget(gone.chunk_ids, {}).terms_stale
            assert store.terms_stale
            assert len(store.search_terms("walrus", 3).ids) == 0
            assert [problem.chunk_id for problem in store.check()] == [None]
            left = store.rebuild_terms(terms_of(kept, new[1]).items())
            assert list(left) == list(lost.chunk_ids)
            assert store.terms_stale
            assert list(store.search_terms("penguin", 3).ids) == list(kept.chunk_ids)
            assert [problem.chunk_id for problem in store.check()] == list(left)
            again = store.rebuild_terms(terms_of(lost, new[2]).items(), keep=True)
            assert again.size == 0
            assert not store.terms_stale
            for word, one in (("penguin", kept), ("heron", lost)):
                assert list(store.search_terms(word, 3).ids) == list(one.chunk_ids)
            assert list(store.check()) == []

    def test_a_text_that_cannot_be_read_does_not_keep_the_terms_stale(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            (one,) = store.add([make_source("kept penguin")], Scope())
            (unread,) = one.chunk_ids
            assert store.rebuild_terms([(unread, None)]).size == 0
            assert not store.terms_stale
            assert [problem.chunk_id for problem in store.check()] == [unread]

    def test_a_rebuilt_index_finds_the_same(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            _add(store, [f"memory {number}" for number in range(30)], Scope("a"))
            before = store.search_vectors(make_embedding("memory 3"), 10)
            store.rebuild_index()
            after = store.search_vectors(make_embedding("memory 3"), 10)
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.scores, after.scores)

    def test_it_adds_up(self, tmp_path: Path) -> None:
        new = [
            make_source("four tokens here", keep_text=True),
            make_source("é" * 8, fidelity=0.5, patch=b"xy"),
        ]
        with self.open_store(tmp_path) as store:
            empty = store.stats()
            assert (empty.chunks, empty.tokens, sum(empty.fidelity)) == (0, 0, 0)
            ids = [one.chunk_ids[0] for one in store.add(new, Scope("a"))]
            stats = store.stats()
            assert (stats.chunks, stats.sources, stats.scopes, stats.tokens) == (2, 2, 1, 6)
            assert (stats.positions, stats.text_bytes) == (2, 16)
            assert stats.fidelity == (0, 1, 0, 0, 0, 0, 1)
            assert stats.file_bytes is not None
            assert stats.file_bytes >= stats.latent_bytes + stats.embedding_bytes
            total = (
                stats.latent_bytes + stats.embedding_bytes + stats.patch_bytes + stats.text_bytes
            )
            assert sum(chunk.stored_bytes for chunk in store.chunks(ids)) == total

    def test_a_selection_adds_up(self, tmp_path: Path) -> None:
        long, short = make_source("a long memory " * 40), make_source("a short one")
        with self.open_store(tmp_path) as store:
            assert store.sums() == SelectionSums(chunks=0, tokens=0, positions=0)
            written = [*store.add([long, short], Scope("a")), *store.add([short], Scope("b"))]
            ids = [chunk_id for one in written for chunk_id in one.chunk_ids]
            selections = [
                Selection(),
                Selection(scope=Scope("b")),
                Selection(scope=Scope("c")),
                Selection(ids=tuple(ids[1:3])),
                Selection(source_ids=(written[0].source_id,)),
                Selection(where={"kind": "document"}),
                Selection(until=NOON),
                Selection(since=NOON, scope=Scope("a")),
            ]
            for selection in selections:
                chunks = store.chunks(store.ids(selection).tolist())
                assert store.sums(selection) == SelectionSums(
                    chunks=len(chunks),
                    tokens=sum(chunk.tokens for chunk in chunks),
                    positions=sum(chunk.positions for chunk in chunks),
                )
            assert store.sums().tokens == store.stats().tokens
            with _raises(FilterError):
                store.sums(Selection(where={"year": {"above": 1}}))

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
                with _raises(InputError):
                    store.add([good, source], Scope())
            for word in ("", "\ud800"):
                with _raises(InputError):
                    store.add([good], Scope(user_id=word))
                with _raises(InputError):
                    store.find([good.key], Scope(agent_id=word))
                with _raises(InputError):
                    store.ids(Selection(scope=Scope(session_id=word)))
            for k in (0, -1):
                with _raises(InputError):
                    store.search_vectors(make_embedding("x"), k)
                with _raises(InputError):
                    store.search_terms("x", k)
            with _raises(InputError):
                store.search_vectors(make_embedding("x")[:-1], 1)
            with _raises(InputError):
                store.search_vectors(np.zeros(EMBEDDING_DIMS, dtype=np.float32), 1)
            assert len(store.ids()) == 0
            assert store.scopes() == []
            assert store.add([], Scope("a")) == []

    def test_an_intact_store_has_no_problems(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            texts = ["short", "long " * 100, "\x00\x01\n", "🚆" * 70, "e\u0301"]
            store.add(
                [make_source(text, keep_text=n % 2 == 0) for n, text in enumerate(texts)],
                Scope("a"),
            )
            assert list(store.check()) == []

    def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        store.close()
        store.close()
        with _raises(StoreError):
            store.ids()


class DurableStoreConformance(StoreConformance):
    """Behavior additionally required of a store that persists."""

    def test_it_outlives_its_store_object(self, tmp_path: Path) -> None:
        source = make_source("kept")
        with self.open_store(tmp_path) as store:
            (written,) = store.add([source], Scope())
            name = store.store_id
        with self.open_store(tmp_path) as store:
            assert store.store_id == name
            _require_same_chunks(store.chunks(written.chunk_ids), source, written)
            assert list(store.search_vectors(make_embedding("kept"), 1).ids) == list(
                written.chunk_ids
            )
            with _raises(IncompatibleModelError):
                type(store).open(
                    store.location,
                    model="another",
                    embedding_dims=EMBEDDING_DIMS,
                    **self.open_options,
                )


def _add(store: Store, texts: Sequence[str], scope: Scope) -> list[int]:
    """Write one-chunk messages; return the ids of their chunks."""
    written = store.add([make_source(text) for text in texts], scope)
    return [chunk_id for one in written for chunk_id in one.chunk_ids]


def _require_same_chunks(
    records: Sequence[ChunkRecord], source: NewSource, written: Written
) -> None:
    assert [record.id for record in records] == list(written.chunk_ids)
    for ordinal, (record, chunk) in enumerate(zip(records, source.chunks, strict=True)):
        assert record.source_id == written.source_id
        assert record.ordinal == ordinal
        assert (record.start, record.end, record.tokens) == (chunk.start, chunk.end, chunk.tokens)
        assert (record.patch, record.fidelity) == (chunk.patch, chunk.fidelity)
        assert (record.text_hash, record.text) == (chunk.text_hash, chunk.text)
        assert (record.latents, record.positions) == (chunk.latents, chunk.positions)
        assert record.embedding is not None
        # Embeddings are kept in int8.
        np.testing.assert_allclose(record.embedding, chunk.embedding, atol=0.01)


@contextmanager
def _raises(error: type[Exception]) -> Iterator[None]:
    """Like ``pytest.raises``, so that this package does not depend on pytest."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")
