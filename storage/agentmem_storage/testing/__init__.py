"""The contract of a store as tests, and sources to test with.

    class TestMyStore(DurableStoreConformance):
        def open_store(self, place: Path) -> Store:
            return MyStore.open(place / "mine", model=MODEL, key_dims=KEY_DIMS)

pytest then runs every test of the class on it. `place` is a folder of the test's own; opening the
same place again must find what was written. A store that cannot promise that is a
`StoreConformance` only.
"""

from agentmem_storage.testing.conformance import DurableStoreConformance, StoreConformance
from agentmem_storage.testing.sources import (
    KEY_DIMS,
    MODEL,
    NOON,
    make_key,
    make_latents,
    make_source,
    terms_of,
)

__all__ = [
    "KEY_DIMS",
    "MODEL",
    "NOON",
    "DurableStoreConformance",
    "StoreConformance",
    "make_key",
    "make_latents",
    "make_source",
    "terms_of",
]
