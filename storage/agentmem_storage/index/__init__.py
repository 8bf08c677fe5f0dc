"""Vector indexes over keys: caches of what SQL holds, all with one contract (`KeyIndex`)."""

from agentmem_storage.index.base import KeyIndex
from agentmem_storage.index.cache import CacheHeader, load_cache, save_cache
from agentmem_storage.index.make import IndexKind, make_index

__all__ = ["CacheHeader", "IndexKind", "KeyIndex", "load_cache", "make_index", "save_cache"]
