"""The models that come with agentmem, loaded once: for tests that run where torch is missing."""

from __future__ import annotations

from functools import cache

from agentmem.models.bundle.load import ModelBundle
from agentmem.models.bundle.manifest import shipped_bundle


@cache
def shipped_model() -> ModelBundle:
    """The bundle that `agentmem.Memory` opens if it is given none."""
    return ModelBundle(shipped_bundle())
