"""Deleting from a large lexical index where the disk has little room left."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import StoreUnwritableError
from agentmem_storage.records import Scope
from agentmem_storage.sql.lexical import unindexing
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of


def test_what_does_not_fit_in_place_is_left_to_fts5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word that is taken out changes a page of its own, all of which go into the log."""
    monkeypatch.setattr(unindexing, "ROWS_FOR_EACH", 0)
    tried = []
    erase = unindexing.erase

    def on_a_full_disk(*given: Any) -> Any:
        tried.append(given)
        erase(*given)
        raise StoreUnwritableError("the disk is full")

    monkeypatch.setattr(unindexing, "erase", on_a_full_disk)
    chance = random.Random(0)
    texts = [" ".join(f"w{chance.randrange(10**6)}x" for _ in range(9)) for _ in range(50)]
    with Store.open(tmp_path / "store", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        sources = [make_source(text, chunk_chars=1000, keep_text=True) for text in texts]
        written = store.add(sources, Scope("ana"))
        done = store.forget(written[7].chunk_ids, terms_of(written[7], sources[7]))
        assert len(tried) == 1
        assert done.purged
        assert list(store.check()) == []
        assert store.count() == 49
        word = texts[7].split()[0].encode()
        files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
        assert not any(word in file.read_bytes() for file in files)
