"""What a store must select, list and count."""

# The names of the tests describe them.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from agentmem_storage.errors import FilterError
from agentmem_storage.records import Scope, Selection, SelectionSums
from agentmem_storage.testing.opening import OpensStores, add_all, raises
from agentmem_storage.testing.sources import NOON, make_embedding, make_source


class SelectingConformance(OpensStores):
    """What is selected, listed and counted."""

    def test_a_scope_word_left_out_means_any(self, tmp_path: Path) -> None:
        scopes = [Scope(), Scope("a"), Scope("a", "x"), Scope("b", "x"), Scope("a", "x", "s")]
        with self.open_store(tmp_path) as store:
            ids = [add_all(store, ["same"], scope)[0] for scope in scopes]
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
            with raises(FilterError):
                store.ids(Selection(where={"year": {"above": 1}}))

    def test_what_was_added_last(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            first = add_all(store, ["one", "two"], Scope("a"))
            other = add_all(store, ["three"], Scope("b"))
            last = add_all(store, ["four"], Scope("a"))
            ids = [*first, *other, *last][::-1]
            read = store.snapshot
            assert read(lambda one: one.recent(Scope(), most=9)) == ids
            assert read(lambda one: one.recent(Scope(), most=2)) == ids[:2]
            assert read(lambda one: one.recent(Scope(), most=9, before=ids[1])) == ids[2:]
            assert read(lambda one: one.recent(Scope("a"), most=2)) == [*last, first[1]]
            assert read(lambda one: one.recent(Scope("c"), most=2)) == []

    def test_iterating_sees_everything_and_lets_others_write(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = add_all(store, [f"memory {number}" for number in range(10)], Scope("a"))
            seen = []
            for batch in store.iterate(Selection(scope=Scope("a")), batch_size=4):
                seen += [chunk.id for chunk in batch]
                if len(seen) == 4:
                    ids += add_all(store, ["while reading"], Scope("a"))
            assert seen == ids

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
            with raises(FilterError):
                store.sums(Selection(where={"year": {"above": 1}}))
