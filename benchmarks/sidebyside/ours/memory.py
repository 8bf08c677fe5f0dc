"""agentmem as one of the systems measured side by side: `Memory.add` and `Memory.recall`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from agentmem.memory import Memory
from agentmem.scopes import ANY
from benchmarks.sidebyside.data import NumberedTurn


class Ours:
    """One store on disk; every conversation is a user of it.

    Questions are asked as of the last turn of their file, not as of today.
    """

    packages: ClassVar[tuple[str, ...]] = ("latent-agentmem",)
    as_vectors: ClassVar[bool] = True

    def __init__(
        self,
        folder: Path,
        *,
        recall: dict[str, Any] | None = None,
        memory: dict[str, Any] | None = None,
    ) -> None:
        """Open the store.

        Args:
            folder: Folder of the store.
            recall: Options of `Memory.recall`, such as ``mode``; false stands for None, which TOML
                cannot express.
            memory: Options of `Memory`.
        """
        self._memory = Memory(folder, **(memory or {}))
        self._recall: dict[str, Any] = {
            name: None if value is False else value for name, value in (recall or {}).items()
        }
        self._turns: dict[int, list[int]] = defaultdict(list)
        self._now: datetime | None = None

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Add the turns as messages, with their speakers and times."""
        messages = [
            {"role": said.turn.role, "content": said.turn.content}
            | ({"name": said.turn.speaker} if said.turn.speaker else {})
            | ({"at": said.turn.at} if said.turn.at else {})
            for said in turns
        ]
        receipt = self._memory.add(messages, user_id=conversation)
        for source, said in zip(receipt.sources, turns, strict=True):
            # Equal turns of one speaker and time share one source.
            self._turns[source].append(said.number)
            if said.turn.at is not None:
                self._now = max(said.turn.at, self._now or said.turn.at)

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """Turns in the order of their first hits."""
        # More hits than turns, because long turns are several chunks.
        hits = self._memory.recall(
            question, k=k + k // 4, user_id=conversation or ANY, now=self._now, **self._recall
        )
        sources = dict.fromkeys(hit.source.id for hit in hits)
        return [number for source in sources for number in self._turns[source]][:k]

    def close(self) -> None:
        """Close the store."""
        self._memory.close()
