"""LangGraph's `InMemoryStore` with an index: one namespace per conversation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from benchmarks.sidebyside.baselines.encoder import DIMS, PACKAGE
from benchmarks.sidebyside.baselines.langchain_encoder import LangChainEncoder
from benchmarks.sidebyside.data import NumberedTurn


class LangGraph:
    """All namespaces share a prefix, which is searched for all conversations."""

    packages: ClassVar[tuple[str, ...]] = ("langgraph-checkpoint", PACKAGE)
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        """Make the store; ``folder`` stays empty."""
        self._store = InMemoryStore(
            index={"dims": DIMS, "embed": LangChainEncoder(), "fields": ["text"]}
        )

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Put a conversation in one batch, and turns that repeat another one by one.

        A batch that has the same text twice fails: it embeds each text once and counts both.
        """
        first = {turn.text: turn for turn in reversed(turns)}.values()
        repeats = [[turn] for turn in turns if turn not in first]
        for batch in (list(first), *repeats):
            self._store.batch(
                [
                    PutOp(("turns", conversation), str(turn.number), {"text": turn.text})
                    for turn in batch
                ]
            )

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns nearest to the question."""
        place = ("turns",) if conversation is None else ("turns", conversation)
        return [int(item.key) for item in self._store.search(place, query=question, limit=k)]

    def close(self) -> None:
        """Nothing is on disk."""
