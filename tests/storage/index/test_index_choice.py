"""What a store is told to search embeddings with, and what is refused before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem_storage.errors import InputError, MissingExtraError
from agentmem_storage.index import milvus_connection
from agentmem_storage.store import Store
from agentmem_storage.sync.milvus import MilvusSync
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL

SERVER = "milvus+http://localhost:19530"


def opened(location: str | Path, index: str, **options: Any) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index, **options)


def installed(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    monkeypatch.setattr(
        milvus_connection, "find_spec", lambda name: object() if name in modules else None
    )


@pytest.mark.parametrize("index", ["redis://localhost", "Exact", "", "milvus", None])
def test_another_index_is_refused(index: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="index must be 'auto', 'faiss', 'exact', or a Milvus, as"):
        opened(tmp_path / "new", index)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["localhost", "", "http:/localhost", "embeddings", "tcp://a"])
def test_where_milvus_stands_is_checked(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no index: after 'milvus.' stands the address of a se"):
        opened(tmp_path, f"milvus+{address}")


def test_a_store_that_keeps_its_embeddings_to_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="':memory:' ends with this process"):
        opened(":memory:", SERVER)
    with pytest.raises(InputError, match="of an encrypted store are not to leave it"):
        opened(tmp_path / "new", SERVER, key=b"k" * 32)
    assert not (tmp_path / "new").exists()


def test_what_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"pip install 'latent-agentmem\[milvus\]'") as one:
        opened(tmp_path, SERVER)
    assert one.value.extra == "milvus"
    installed(monkeypatch, "pymilvus")
    with pytest.raises(MissingExtraError, match="pip install milvus-lite"):
        opened(tmp_path, "milvus+embeddings.db")


def test_milvus_is_asked_at_the_first_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, "pymilvus")
    with opened(tmp_path, "milvus+http://root:secret@127.0.0.1:9/notes") as store:
        assert store.count() == 0
        assert isinstance(store._index, MilvusSync)
        assert store._index._milvus._connection.label == "http://root:***@127.0.0.1:9/notes"


def test_the_environment_says_what_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    monkeypatch.setenv("AGENTMEM_INDEX", "qdrant")
    with pytest.raises(InputError, match="or a Milvus, as in .*, got 'qdrant'"):
        Memory(tmp_path / "s", model=model)
    assert not (tmp_path / "s").exists()
    Memory(tmp_path / "s", model=model, index="auto").close()
    monkeypatch.setenv("AGENTMEM_INDEX", " exact ")
    with Memory(tmp_path / "s", model=model) as memory:
        assert memory._store._kind == "exact"
