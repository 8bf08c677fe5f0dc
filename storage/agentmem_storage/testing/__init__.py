"""Conformance tests for stores, and generated sources to test with.

    class TestMyStore(DurableStoreConformance):
        def open_store(self, place: Path) -> Store:
            return MyStore.open(place / "mine", model=MODEL, embedding_dims=EMBEDDING_DIMS)

pytest then runs all tests of the class. `place` is a folder of the test's own; opening the same
place again must return what was written. A store that is not durable subclasses only
`StoreConformance`.
"""

from agentmem_storage.testing.conformance import DurableStoreConformance, StoreConformance
from agentmem_storage.testing.sources import (
    EMBEDDING_DIMS,
    MODEL,
    NOON,
    make_embedding,
    make_latents,
    make_source,
    terms_of,
)

__all__ = [
    "EMBEDDING_DIMS",
    "MODEL",
    "NOON",
    "DurableStoreConformance",
    "StoreConformance",
    "make_embedding",
    "make_latents",
    "make_source",
    "terms_of",
]
