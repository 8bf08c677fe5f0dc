"""What of mem0's configuration there is something for: where the store is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from agentmem.errors import InputError
from agentmem_storage.text import shown

_PROVIDER: Final = "agentmem"
_WAY_OUT: Final = (
    "give {'vector_store': {'provider': 'agentmem', 'config': {'path': 'notes'}}}, or open "
    "Memory('notes')"
)
# Of models and services that mem0 needs, and agentmem does not.
_WITHOUT_EFFECT: Final = frozenset(
    "llm embedder reranker graph_store history_db_path custom_instructions custom_prompt "
    "custom_fact_extraction_prompt custom_update_memory_prompt".split()
)
_KNOWN: Final = _WITHOUT_EFFECT | {"vector_store", "version"}

_log = logging.getLogger(__name__)


def location_in(config: object, default: str) -> str:
    """Where a configuration puts the store.

    What chooses a model or a service has no effect, and is named in the log. A vector store of
    another kind is refused: memories would silently be somewhere else than it says.

    Args:
        config: A configuration of mem0.
        default: Where the store is if the configuration does not say so.

    Raises:
        InputError: it is no mapping, has a key that is not known, or another vector store.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"a configuration is a dict, got {shown(config)}: {_WAY_OUT}")
    unknown = [key for key in config if key not in _KNOWN]
    if unknown:
        raise InputError(
            f"unknown key {shown(unknown[0])} in the configuration: it has vector_store, and "
            f"without effect {', '.join(sorted(_WITHOUT_EFFECT))}"
        )
    unused = sorted(key for key in _WITHOUT_EFFECT & config.keys() if config[key] is not None)
    if unused:
        _log.warning("without effect in agentmem, which calls no model: %s", ", ".join(unused))
    store = config.get("vector_store")
    if store is None:
        return default
    provider = store.get("provider") if isinstance(store, Mapping) else store
    if not isinstance(store, Mapping) or provider != _PROVIDER:
        raise InputError(
            f"agentmem keeps memories itself, and not in the vector store {shown(provider)}: "
            f"{_WAY_OUT}"
        )
    given = store.get("config")
    path = given.get("path") if isinstance(given, Mapping) else None
    if not isinstance(path, str) or not path or set(given or {}) != {"path"}:
        raise InputError(f"the config of vector_store is one path, got {shown(given)}: {_WAY_OUT}")
    return path
