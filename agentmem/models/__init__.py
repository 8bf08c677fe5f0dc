"""The models behind a memory, and the interfaces for bringing an embedder or reranker of your own.

See `agentmem.models.registry` for an example.
"""

from agentmem.models.base import TextEmbedder, TextReranker
from agentmem.models.registry import register_embedder, register_reranker

__all__ = ["TextEmbedder", "TextReranker", "register_embedder", "register_reranker"]
