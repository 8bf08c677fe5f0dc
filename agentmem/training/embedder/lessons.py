"""Which texts a sentence encoder teaches: turns of conversations, questions, and their pieces."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentmem.corpus import read_records
from agentmem.training.data.evidence import Evidence

# Longest text, code points: what is behind would be cut by the teacher or by the pupil.
_LONGEST = 300
# Share of turns that are taught with the name of who speaks, where there is one.
_NAMED = 0.7
# Questions that come with a piece that does not answer them.
_WITH_WRONG = 0.3


def choose_texts(
    conversations: Sequence[Path],
    turns: Mapping[str, int],
    asked: Mapping[str, Sequence[Evidence]],
    per_source: int,
    seed: int,
) -> list[str]:
    """Different texts, by chance.

    Args:
        conversations: Conversation files.
        turns: How many turns of each of their sources, at most.
        asked: Questions by source.
        per_source: How many questions of each, at most.
        seed: Of the chance.
    """
    rng = random.Random(seed)
    said = _turns(conversations)
    texts: list[str] = []
    for source, count in turns.items():
        told = [
            f"{name}: {text}" if name and rng.random() < _NAMED else text
            for name, text in said.get(source, ())
        ]
        rng.shuffle(told)
        texts += told[:count]
    for found in asked.values():
        for one in rng.sample(found, min(per_source, len(found))):
            texts += [one.question[:_LONGEST], one.pieces[one.right[0]][:_LONGEST]]
            if one.wrong and rng.random() < _WITH_WRONG:
                texts.append(one.pieces[rng.choice(one.wrong)][:_LONGEST])
    return list(dict.fromkeys(texts))


def _turns(files: Sequence[Path]) -> dict[str, list[tuple[str | None, str]]]:
    """Turns of four words and more by source, each with the speaker's name if there is one."""
    said: dict[str, list[tuple[str | None, str]]] = {}
    for file in files:
        for record in read_records(file):
            said.setdefault(record["source"], []).extend(
                (message.get("name"), message["content"][:_LONGEST])
                for message in record["messages"]
                if message["content"].count(" ") >= 3
            )
    return said
