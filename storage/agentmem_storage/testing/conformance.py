"""The conformance suite that every store must pass, usable for third-party stores too."""

# The names of the tests describe them.
# ruff: noqa: D102

from __future__ import annotations

from pathlib import Path

from agentmem_storage.errors import IncompatibleModelError, StoreError
from agentmem_storage.records import Scope
from agentmem_storage.testing.found import SearchConformance
from agentmem_storage.testing.opening import raises, require_same_chunks
from agentmem_storage.testing.selected import SelectingConformance
from agentmem_storage.testing.sources import EMBEDDING_DIMS, make_embedding, make_source
from agentmem_storage.testing.written import WritingConformance


class StoreConformance(WritingConformance, SelectingConformance, SearchConformance):
    """Behavior required of every store; subclass it and implement `open_store`."""

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
        with raises(StoreError):
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
            require_same_chunks(store.chunks(written.chunk_ids), source, written)
            assert list(store.search_vectors(make_embedding("kept"), 1).ids) == list(
                written.chunk_ids
            )
            with raises(IncompatibleModelError):
                type(store).open(
                    store.location,
                    model="another",
                    embedding_dims=EMBEDDING_DIMS,
                    **self.open_options,
                )
