"""Dialogues that no network was trained on, in groups of a dozen, with questions.

They are those of the one source of the corpus that training leaves out (`leave_out` in
examples/training/). A group is one long conversation: a question then has a few hundred candidate
turns, and the turns that contain its answer are its evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agentmem.corpus import read_records

DIALOGUES, MOST_EVIDENCE = 12, 3
LEFT_OUT = "friendsqa"

# The text of a question, and the indices of its evidence.
Question = tuple[str, list[int]]
# Messages as `Memory.add` takes them, and the questions about them.
Group = tuple[list[dict[str, str]], list[Question]]


def dialogue_groups(data: Sequence[Path]) -> Iterator[Group]:
    """Groups of a dozen dialogues, each on a day of its own, with questions and their evidence.

    Args:
        data: Question files of the corpus.
    """
    dialogues: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in data:
        for record in read_records(file):
            if record["source"] == LEFT_OUT:
                dialogues[record["context"]].append(record)
    contexts = list(dialogues.items())
    for start in range(0, len(contexts), DIALOGUES):
        messages: list[dict[str, str]] = []
        questions: list[Question] = []
        for day, (context, records) in enumerate(contexts[start : start + DIALOGUES], start=1):
            first = len(messages)
            messages += _turns(context, f"2020-01-{day:02d}")
            for record in records:
                evidence = [
                    index
                    for index in range(first, len(messages))
                    if any(a and a in messages[index]["content"] for a in record["answers"])
                ]
                if 0 < len(evidence) <= MOST_EVIDENCE:
                    questions.append((record["question"], evidence))
        if questions:
            yield messages, questions


def _turns(context: str, day: str) -> list[dict[str, str]]:
    turns = []
    for line in filter(str.strip, context.split("\n")):
        name, _, said = line.partition(": ")
        speaker, content = (name[:60], said) if said.strip() else ("user", line)
        turns.append({"name": speaker, "content": content, "at": day})
    return turns
