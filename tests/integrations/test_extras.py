"""Without its library, an adapter says which extra provides it."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from agentmem.errors import MissingExtraError

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
LIBRARIES = {
    "autogen": "autogen_core.memory",
    "crewai": "crewai.memory.types",
    "google_adk": "google.adk.memory.base_memory_service",
    "haystack": "haystack",
    "langchain": "langchain_core.documents",
    "langgraph": "langgraph.store.base",
    "llama_index": "llama_index.core.memory",
    "mcp": "mcp.server",
    "openai_agents": "agents.memory",
    "pydantic_ai": "pydantic_ai.capabilities",
}

# These take objects of a library, or serve adapters, and import none.
NEED_NONE = {"clients", "documents", "mem0", "memories", "proxy", "repeats", "streams", "turns"}


@pytest.mark.parametrize("adapter", LIBRARIES)
def test_the_extra_is_named(adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[adapter], None)
    monkeypatch.delitem(sys.modules, f"agentmem.integrations.{adapter}", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"agentmem.integrations.{adapter}")
    assert caught.value.extra in EXTRAS
    assert f"latent-agentmem[{caught.value.extra}]" in str(caught.value)


def test_every_adapter_is_listed() -> None:
    folder = Path(__file__).parents[2] / "agentmem/integrations"
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    adapters = {path.stem for path in folder.glob("[!_]*.py")} | packages
    assert adapters == {*LIBRARIES, *NEED_NONE}
