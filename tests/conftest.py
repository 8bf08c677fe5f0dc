"""Settings and fixtures that all tests share.

Torch is imported where it is used: the process that only hands out tests to others needs none.

Tests run on one thread, whatever the machine has, unless OMP_NUM_THREADS says otherwise. Those of
Hypothesis try the same few examples every time; with AGENTMEM_TESTS=thorough, which
`make test-slow` sets, they try many more, and others every time. No clock decides whether a test
passes: there are no deadlines, and no health checks that measure speed.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from agentmem import Memory, Receipt
    from agentmem.models.bundle.load import ModelBundle
    from agentmem_storage.testing.postgres import PostgresServer
    from tests.support.milvus import MilvusServer

# Before anything that reads it is imported, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Where stores wait for no disk, which is a third of the time of tests; what they are about does not
# depend on it, for the end of a process loses nothing that was written.
_IN_MEMORY = "/dev/shm"
_ENOUGH_BYTES = 4 << 30
if os.path.isdir(_IN_MEMORY) and shutil.disk_usage(_IN_MEMORY).free >= _ENOUGH_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _IN_MEMORY)

_NO_CLOCK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _NO_CLOCK, max_examples=12, derandomize=True)
settings.register_profile("thorough", _NO_CLOCK, max_examples=250)
settings.load_profile(os.environ.get("AGENTMEM_TESTS", "default"))
# The longest slow test takes ten minutes on a quiet machine.
_LONG_S = 2 * 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests the time that they take on a busy machine, however they are run."""
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.timeout(_LONG_S))


def pytest_collection_finish() -> None:
    """Leave the million objects of torch and all other modules out of every garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that changes what all later ones run in, and not one of these."""
    before = _surroundings()
    yield
    after = _surroundings()
    assert {name: after[name] for name in before} == before  # torch may just have been imported


def _surroundings() -> dict[str, Any]:
    found: dict[str, Any] = {"folder": os.getcwd()}
    if torch := sys.modules.get("torch"):
        found["threads"] = torch.get_num_threads()
        found["gradients"] = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found["autocast contexts"] = torch.autocast_increment_nesting() - 1
        torch.autocast_decrement_nesting()
    return found


@pytest.fixture(scope="session")
def model() -> ModelBundle:
    from agentmem.testing import tiny_model

    return tiny_model()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, started for the first test that needs it."""
    from agentmem_storage.testing.postgres import PostgresServer

    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def milvus() -> Iterator[MilvusServer]:
    """A server of Milvus Lite, started for the first test that needs it."""
    from tests.support.milvus import MilvusServer

    server = MilvusServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def forgetful_model(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A model whose latents alone get some tokens wrong, so that chunks have patches."""
    import torch

    from agentmem.models.autoencoder.modeling import MemoryAutoencoder
    from agentmem.models.bundle.load import ModelBundle
    from agentmem.models.bundle.manifest import write_manifest
    from agentmem.testing import tiny_bundle

    folder = tiny_bundle(tmp_path_factory.mktemp("forgetful"))
    autoencoder = MemoryAutoencoder.from_pretrained(folder / "autoencoder")
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in autoencoder.parameters():
            weights.add_(0.005 * torch.randn(weights.shape, generator=noise))
    autoencoder.save_pretrained(folder / "autoencoder")
    write_manifest(folder, "forgetful")
    return ModelBundle(folder)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    """Restore torch's number of threads, which training sets for the whole process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of the `memory` fixture's store."""
    return tmp_path / "store"


@pytest.fixture
def memory(place: Path, model: ModelBundle) -> Iterator[Memory]:
    from agentmem import Memory

    with Memory(place, model=model) as memory:
        yield memory


@pytest.fixture(scope="session")
def texts() -> Callable[[Memory, Receipt], list[str]]:
    """Exact texts of a receipt's sources, one per message part or document."""

    def read(memory: Memory, receipt: Receipt) -> list[str]:
        return ["".join(c.text for c in memory.list(source_id=id)) for id in receipt.sources]

    return read


@pytest.fixture(scope="session")
def unchanged() -> Callable[[Memory], AbstractContextManager[None]]:
    """Check that a store is unchanged and fully readable after a block."""

    def holds(memory: Memory) -> list[Any]:
        rows = [chunk.to_dict() | {"title": chunk.source.title} for chunk in memory.list()]
        sums = {key: n for key, n in memory.stats().to_dict().items() if key != "file_bytes"}
        return [rows, sums, memory.verify().damage]

    @contextmanager
    def block(memory: Memory) -> Iterator[None]:
        before = holds(memory)
        yield
        assert holds(memory) == before

    return block
