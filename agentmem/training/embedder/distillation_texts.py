"""Chooses the texts to distill from a teacher: turns, questions, and their passages."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentmem.corpus import read_records
from agentmem.training.data.evidence import Evidence

# Longest text in code points: the teacher or the student would truncate the rest.
_LONGEST = 300
# Share of turns that are prefixed with the speaker's name, if it is known.
_NAMED = 0.7
# Share of questions that come with a passage that does not answer them.
_WITH_NEGATIVE = 0.3


def choose_texts(
    conversations: Sequence[Path],
    turns: Mapping[str, int],
    questions: Mapping[str, Sequence[Evidence]],
    per_source: int,
    seed: int,
) -> list[str]:
    """A random selection of distinct texts.

    Args:
        conversations: Conversation files.
        turns: Number of turns from each source, at most.
        questions: Questions by source.
        per_source: Number of questions from each source, at most.
        seed: Seed of the selection.
    """
    rng = random.Random(seed)
    turns_of = _turns(conversations)
    texts: list[str] = []
    for source, count in turns.items():
        prefixed = [
            f"{name}: {text}" if name and rng.random() < _NAMED else text
            for name, text in turns_of.get(source, ())
        ]
        rng.shuffle(prefixed)
        texts += prefixed[:count]
    for examples in questions.values():
        for one in rng.sample(examples, min(per_source, len(examples))):
            texts += [one.question[:_LONGEST], one.passages[one.positives[0]][:_LONGEST]]
            if one.negatives and rng.random() < _WITH_NEGATIVE:
                texts.append(one.passages[rng.choice(one.negatives)][:_LONGEST])
    return list(dict.fromkeys(texts))


def _turns(files: Sequence[Path]) -> dict[str, list[tuple[str | None, str]]]:
    """Turns of at least four words by source, with the speaker's name if it is known."""
    turns: dict[str, list[tuple[str | None, str]]] = {}
    for file in files:
        for record in read_records(file):
            turns.setdefault(record["source"], []).extend(
                (message.get("name"), message["content"][:_LONGEST])
                for message in record["messages"]
                if message["content"].count(" ") >= 3
            )
    return turns
