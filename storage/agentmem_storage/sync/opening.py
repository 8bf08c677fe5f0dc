"""Gives a store the vector index that was asked for."""

from __future__ import annotations

from typing import cast, get_args

from agentmem_storage.encryption.master import Key
from agentmem_storage.errors import InputError
from agentmem_storage.index import IndexKind
from agentmem_storage.index.milvus import is_milvus
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sync.base import AnyIndexSync
from agentmem_storage.sync.in_process import IndexSync
from agentmem_storage.text import without_password


def check_index(index: str, key: Key | None) -> None:
    """Check what a store is to be opened with, before it is.

    Args:
        index: As for `agentmem_storage.store.Store.open`.
        key: Likewise.

    Raises:
        InputError: It is no index, or one that an encrypted store cannot have.
    """
    if is_milvus(index):
        if key is not None:
            raise InputError(
                "the embeddings of an encrypted store are not to leave it, and Milvus would have "
                "them as they are: open it without index="
            )
    elif index not in get_args(IndexKind):
        raise InputError(
            f"index must be 'auto', 'faiss', 'exact', or a Milvus, as in "
            f"'milvus+http://localhost:19530', got {without_password(str(index))!r:.200}"
        )


def open_index(
    database: AnyDatabase, *, store_id: str, model: str, dims: int, index: str, timeout_s: float
) -> AnyIndexSync:
    """Open the index of a store.

    Args:
        database: The rows.
        store_id: Id of the store.
        model: Fingerprint of the bundle that made the embeddings.
        dims: K.
        index: As for `agentmem_storage.store.Store.open`.
        timeout_s: How long to wait for an answer of a server, in seconds.

    Raises:
        InputError: The store cannot have it.
        MissingExtraError: What it needs is not installed.
    """
    if is_milvus(index):
        from agentmem_storage.sync.milvus import MilvusSync

        return MilvusSync(
            database, store_id=store_id, model=model, dims=dims, index=index, timeout_s=timeout_s
        )
    kind = cast(IndexKind, index)
    return IndexSync(database, store_id=store_id, model=model, dims=dims, kind=kind)
