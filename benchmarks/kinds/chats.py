"""Chats: the dialogues of `benchmarks.dialogues`, a dozen to a user."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.dialogues import dialogue_groups
from benchmarks.kinds.collection import Collection, Item, Kind, Question, half_of


def chats(corpus: Path) -> Kind:
    """Groups of dialogues with the questions about them.

    Args:
        corpus: Folder of the corpus.
    """
    files = [corpus / f"qa-{part}.jsonl.zst" for part in ("dev", "train")]
    collections = []
    for number, (messages, asked) in enumerate(dialogue_groups(files)):
        id = f"chats {number}"
        items = tuple(
            Item(m["content"], datetime.fromisoformat(m["at"]).replace(tzinfo=UTC), m["name"])
            for m in messages
        )
        questions = tuple(Question(text, tuple(indices), half_of(id)) for text, indices in asked)
        collections.append(Collection(id, items, questions))
    return Kind("chats", "conversation", tuple(collections))
