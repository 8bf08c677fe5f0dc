"""Reads LoCoMo's own file: ten long conversations between two people, with questions.

A sample's sessions are ``session_1``, ``session_2``, … next to ``session_1_date_time``, …; the
dates have no time zone and are taken as UTC. Turns that show a picture have a caption written by a
model; nobody in the conversation said it, so it is not part of the turn. Some evidence ids are
malformed ("D8:6; D9:17", "D:11:26", "D30:05") and are read as what they clearly mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from agentmem.evaluation.conversations import (
    Conversation,
    ConversationSet,
    Question,
    Turn,
    gather,
)

CATEGORIES = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}

_SESSION = re.compile(r"session_(\d+)")
_DATE = "%I:%M %p on %d %B, %Y"  # 1:56 pm on 8 May, 2023
_TURN_ID = re.compile(r"D:?(\d+):(\d+)")


def read_locomo(path: Path) -> ConversationSet:
    """Read a file in LoCoMo's format.

    Raises:
        InputError: The file is not JSON or a sample has another format; names file and sample.
        OSError: The file cannot be read.
    """
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON: {error}") from error
    return gather(_conversations(samples, path.name))


def _conversations(samples: list[Any], name: str) -> Iterator[Conversation]:
    for number, sample in enumerate(samples, start=1):
        try:
            conversation = Conversation(
                id=sample["sample_id"],
                turns=tuple(_turns(sample["conversation"])),
                questions=tuple(_question(item) for item in sample["qa"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{name}: sample {number} is not in LoCoMo's format: {error!r}"
            ) from error
        yield conversation


def _turns(sessions: dict[str, Any]) -> Iterator[Turn]:
    numbers = sorted(int(match[1]) for match in map(_SESSION.fullmatch, sessions) if match)
    for number in numbers:
        date = sessions[f"session_{number}_date_time"]
        at = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
        for turn in sessions[f"session_{number}"]:
            yield Turn(turn["dia_id"], turn["speaker"], "user", turn["text"], at)


def _question(item: dict[str, Any]) -> Question:
    evidence = tuple(id for words in item["evidence"] for id in _evidence_ids(words))
    return Question(item["question"], evidence, CATEGORIES[item["category"]])


def _evidence_ids(words: str) -> list[str]:
    """The turn ids in an evidence string; the string itself if it contains none."""
    found = _TURN_ID.findall(words)
    return [f"D{int(session)}:{int(turn)}" for session, turn in found] or [words]
