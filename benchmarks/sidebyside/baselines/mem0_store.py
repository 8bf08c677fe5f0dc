"""mem0 without its language model (``infer=False``): turns stored verbatim, one call each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from mem0 import Memory

from benchmarks.sidebyside.baselines.encoder import DIMS, PACKAGE
from benchmarks.sidebyside.baselines.langchain_encoder import LangChainEncoder
from benchmarks.sidebyside.data import NumberedTurn

# One agent id for all: mem0 does not search without a user, agent or run id.
_ALL = "all"


class Mem0:
    """On FAISS or Qdrant, both local, with their defaults; conversations are users."""

    packages: ClassVar[tuple[str, ...]] = ("mem0ai", "faiss-cpu", "qdrant-client", PACKAGE)
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path, *, vectors: Literal["faiss", "qdrant"]) -> None:
        """Create the store, without a score threshold."""
        # The constructor requires an API key for a language model that is never called.
        os.environ.setdefault("OPENAI_API_KEY", "none")
        place = {"path": str(folder / vectors), "collection_name": "turns"}
        self._memory = Memory.from_config(
            {
                "embedder": {"provider": "langchain", "config": {"model": LangChainEncoder()}},
                "vector_store": {
                    "provider": vectors,
                    "config": place
                    | {"embedding_model_dims": DIMS}
                    | ({"on_disk": True} if vectors == "qdrant" else {}),
                },
                "history_db_path": str(folder / "history.db"),
            }
        )

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Add turn by turn: there is no batch call."""
        for turn in turns:
            self._memory.add(
                turn.text,
                user_id=conversation,
                agent_id=_ALL,
                metadata={"number": turn.number},
                infer=False,
            )

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns that it finds; filtering may return fewer than exist."""
        whose = {"agent_id": _ALL} if conversation is None else {"user_id": conversation}
        found = self._memory.search(question, filters=whose, top_k=k, threshold=0.0)
        return [item["metadata"]["number"] for item in found["results"]]

    def close(self) -> None:
        """Close its files and connections."""
        self._memory.close()
