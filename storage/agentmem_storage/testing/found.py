"""What a store must find, and what stands around it."""

# The names of the tests describe them.
# ruff: noqa: D102

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import Scope, Selection
from agentmem_storage.testing.opening import OpensStores, add_all, raises
from agentmem_storage.testing.sources import NOON, make_embedding, make_source, terms_of


class SearchConformance(OpensStores):
    """What is found, and what stands around it."""

    def test_search_by_key_finds_the_nearest_first(self, tmp_path: Path) -> None:
        texts = [f"memory {number}" for number in range(50)]
        with self.open_store(tmp_path) as store:
            ids = add_all(store, texts, Scope("a"))
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
            add_all(store, [f"zebra crossing {number}" for number in range(200)], near)
            wanted = add_all(store, ["something else", "zebra"], far)
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
            ids = add_all(store, texts, Scope())
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
            ids = [add_all(store, ["same words"], Scope(f"u{n}"))[0] for n in range(6)]
            assert list(store.search_terms("words", 4).ids) == ids[:4]
            assert list(store.search_vectors(make_embedding("same words"), 4).ids) == ids[:4]

    def test_neighbors_share_the_whole_scope(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            first = add_all(store, ["one"], Scope("a"))[0]
            other = add_all(store, ["two"], Scope("a", session_id="s"))[0]
            last = add_all(store, ["three"], Scope("a"))[0]
            assert store.neighbors([last, first, other]).sides == {
                last: ((first,), ()),
                first: ((), (last,)),
                other: ((), ()),
            }

    def test_neighbors_come_nearest_first(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = add_all(store, [f"turn {number}" for number in range(7)], Scope("a"))
            found = store.neighbors([ids[1], ids[4]], reach=3)
            assert found.sides == {
                ids[1]: ((ids[0],), tuple(ids[2:5])),
                ids[4]: (tuple(ids[3:0:-1]), tuple(ids[5:])),
            }

    def test_latents_come_with_how_their_source_is_headed(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = add_all(store, ["one", "two and three"], Scope("a"))
            for found, chunk in zip(store.latents(ids[::-1]), store.chunks(ids[::-1]), strict=True):
                (source,) = store.sources([chunk.source_id])
                assert (found.latents, found.tokens) == (chunk.latents, chunk.tokens)
                assert (found.name, found.title) == (source.name, source.title)
            with raises(UnknownIdError):
                store.latents([ids[0], 999])

    def test_neighbors_come_with_their_tokens_and_sources(self, tmp_path: Path) -> None:
        with self.open_store(tmp_path) as store:
            ids = add_all(store, ["one", "two and three", "four", "five"], Scope("a"))
            chunks = store.chunks(ids[:3])
            turns = store.neighbors([ids[1]]).turns
            assert {id: (turn.tokens, turn.source) for id, turn in turns.items()} == {
                one.id: (one.tokens, one.source_id) for one in chunks
            }
            assert len({turn.speaker for turn in turns.values()}) == 1
            with raises(UnknownIdError):
                store.neighbors([ids[0], 999])

    def test_episodes_are_runs_of_one_scope(self, tmp_path: Path) -> None:
        later = NOON + timedelta(hours=3)
        with self.open_store(tmp_path) as store:
            first = add_all(store, ["one", "two"], Scope("a"))
            other = add_all(store, ["three"], Scope("a", session_id="s"))
            (written,) = store.add([make_source("much later", created_at=later)], Scope("a"))
            last = written.chunk_ids[0]
            assert store.episodes([last, *other, *first]) == {
                last: (last,),
                other[0]: tuple(other),
                first[0]: tuple(first),
                first[1]: tuple(first),
            }
            with raises(UnknownIdError):
                store.episodes([999])

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
            add_all(store, [f"memory {number}" for number in range(30)], Scope("a"))
            before = store.search_vectors(make_embedding("memory 3"), 10)
            store.rebuild_index()
            after = store.search_vectors(make_embedding("memory 3"), 10)
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.scores, after.scores)
