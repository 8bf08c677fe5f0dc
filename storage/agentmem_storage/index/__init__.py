"""Vector indexes: caches of the embeddings in SQL, with one interface (`VectorIndex`)."""

from agentmem_storage.index.base import VectorIndex
from agentmem_storage.index.cache import CacheHeader, load_cache, save_cache, strays, sweep
from agentmem_storage.index.factory import IndexKind, build, is_outgrown, make_index, read_from

__all__ = [
    "CacheHeader",
    "IndexKind",
    "VectorIndex",
    "build",
    "is_outgrown",
    "load_cache",
    "make_index",
    "read_from",
    "save_cache",
    "strays",
    "sweep",
]
