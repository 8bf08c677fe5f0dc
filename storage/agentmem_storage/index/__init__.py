"""Vector indexes: caches of the embeddings in SQL, with one interface (`VectorIndex`)."""

from agentmem_storage.index.base import VectorIndex
from agentmem_storage.index.cache import CacheHeader, load_cache, save_cache, strays, sweep
from agentmem_storage.index.factory import (
    IndexKind,
    build,
    is_large,
    is_outgrown,
    make_index,
)

__all__ = [
    "CacheHeader",
    "IndexKind",
    "VectorIndex",
    "build",
    "is_large",
    "is_outgrown",
    "load_cache",
    "make_index",
    "save_cache",
    "strays",
    "sweep",
]
