"""Conversations with questions, in LoCoMo's format and in the plain one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agentmem.errors import InputError
from agentmem.evaluation.datasets import (
    ConversationSet,
    LeftOut,
    Question,
    Turn,
    read_conversations,
)

# LoCoMo may not be passed on with this code; where it is at hand, it lies beside the repository.
LOCOMO_FILE = Path(__file__).parents[3] / "shared" / "eval" / "locomo10.json"


def said(id: str, text: str, **more: str) -> dict[str, str]:
    return {"speaker": "Ana", "dia_id": id, "text": text, **more}


def asked(question: str, *evidence: str, category: int = 4) -> dict[str, Any]:
    return {"question": question, "evidence": list(evidence), "category": category}


LOCOMO: dict[str, Any] = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Ana",
        # Out of order, and one date without a session, as in the real file.
        "session_10_date_time": "12:05 am on 1 January, 2024",
        "session_10": [said("D10:1", "Ten")],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [said("D2:1", "One"), said("D2:2", "Two", blip_caption="a photo of a dog")],
        "session_11_date_time": "1:56 pm on 9 May, 2024",
    },
    "qa": [asked("?", "D2:1")],
}


def locomo(tmp_path: Path, *questions: dict[str, Any], **other: Any) -> ConversationSet:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([{**LOCOMO, "qa": list(questions), **other}]))
    return read_conversations(path)


def test_locomo_turns_are_in_order_with_the_time_of_their_session(tmp_path: Path) -> None:
    (conversation,) = locomo(tmp_path, asked("?", "D2:1")).conversations
    may, january = datetime(2023, 5, 8, 13, 56, tzinfo=UTC), datetime(2024, 1, 1, 0, 5, tzinfo=UTC)
    assert conversation.id == "conv-1"
    assert conversation.turns == (
        Turn("D2:1", "Ana", "user", "One", may),
        Turn("D2:2", "Ana", "user", "Two", may),
        Turn("D10:1", "Ana", "user", "Ten", january),
    )


@pytest.mark.parametrize(
    ("evidence", "read", "missing"),
    [
        (["D2:1"], ("D2:1",), 0),
        (["D2:2; D10:1"], ("D2:2", "D10:1"), 0),
        (["D2:2 D10:1", "D2:1"], ("D2:2", "D10:1", "D2:1"), 0),
        (["D:10:1"], ("D10:1",), 0),
        (["D02:01"], ("D2:1",), 0),
        (["D2:1", "D2:1", "D2:01"], ("D2:1",), 0),
        (["D2:1", "D"], ("D2:1",), 1),
        (["D2:9", "D2:1", "D12:1"], ("D2:1",), 2),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_locomo_evidence_is_read_as_it_is_meant(
    tmp_path: Path, evidence: list[str], read: tuple[str, ...], missing: int
) -> None:
    found = locomo(tmp_path, asked("?", *evidence))
    assert found.conversations[0].questions == (Question("?", read, "single-hop"),)
    assert found.left_out == LeftOut(evidence=missing)


def test_questions_that_cannot_be_asked_are_left_out_and_counted(tmp_path: Path) -> None:
    found = locomo(tmp_path, asked("a"), asked("b", "D9:9", "D"), asked("c", "D2:2", category=1))
    assert found.conversations[0].questions == (Question("c", ("D2:2",), "multi-hop"),)
    assert found.left_out == LeftOut(questions_without_evidence=1, evidence=2, questions=1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"qa": [{"question": "?"}]}, "sample 1 is not in LoCoMo's format: KeyError"),
        ({"qa": [asked("?", "D2:1", category=6)]}, "sample 1 is not in LoCoMo's format: KeyError"),
        ({"conversation": {"session_1": []}}, "session_1_date_time"),
        ({"conversation": {"session_1": [], "session_1_date_time": "noon"}}, "noon"),
        ({"conversation": None}, "sample 1 is not in LoCoMo's format"),
    ],
)
def test_another_list_is_refused_by_sample(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        locomo(tmp_path, **other)


def test_a_truncated_list_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([LOCOMO])[:-5])
    with pytest.raises(InputError, match=r"locomo\.json is not JSON"):
        read_conversations(path)


@pytest.mark.skipif(not LOCOMO_FILE.exists(), reason="LoCoMo's file is not on this machine")
def test_the_original_locomo_file() -> None:
    found = read_conversations(LOCOMO_FILE)
    assert len(found.conversations) == 10
    assert sum(len(conversation.turns) for conversation in found.conversations) == 5882
    assert sum(len(conversation.questions) for conversation in found.conversations) == 1982
    assert found.left_out == LeftOut(questions_without_evidence=4, evidence=3)


PLAIN: dict[str, Any] = {
    "id": "c1",
    "messages": [
        {"id": "m1", "name": "Ana", "content": "Hi", "at": "2026-05-08T13:56:00+02:00"},
        {"id": "m2", "role": "assistant", "content": "Hello", "at": "2026-05-08T12:00:00"},
        {"id": "m3", "role": "system", "name": "Bo", "content": " line\n", "at": None},
    ],
    "questions": [
        {"question": "Who?", "evidence": ["m1", "m9"], "category": "temporal"},
        {"question": "What?", "evidence": ["m3", "m3"]},
    ],
}


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.jsonl.zst"])
def test_the_plain_form(tmp_path: Path, name: str) -> None:
    data = (json.dumps(PLAIN) + "\n\n" + json.dumps({**PLAIN, "id": "c2"}) + "\n").encode()
    path = tmp_path / name
    path.write_bytes(zstandard.compress(data) if name.endswith(".zst") else data)
    one, two = read_conversations(path).conversations
    assert (one.id, two.id) == ("c1", "c2")
    assert one.turns == (
        Turn("m1", "Ana", "user", "Hi", datetime(2026, 5, 8, 11, 56, tzinfo=UTC)),
        Turn("m2", None, "assistant", "Hello", datetime(2026, 5, 8, 12, 0, tzinfo=UTC)),
        Turn("m3", "Bo", "system", " line\n", None),
    )
    assert one.questions == (
        Question("Who?", ("m1",), "temporal"),
        Question("What?", ("m3",), None),
    )
    assert read_conversations(path).left_out == LeftOut(evidence=2)


MESSAGE = PLAIN["messages"][0]
BAD = {
    "no id": ({"id": None}, "'id' must be non-empty text, got None"),
    "no messages": ({"messages": "Hi"}, "'messages' must be a list of objects, got str"),
    "a message is no object": ({"messages": ["Hi"]}, "'messages' must be a list of objects"),
    "empty content": ({"messages": [{**MESSAGE, "content": " "}]}, "must be non-empty text"),
    "content is a list": ({"messages": [{**MESSAGE, "content": []}]}, "must be non-empty text"),
    "neither name nor role": ({"messages": [{"id": "m", "content": "x"}]}, "needs a 'name' or a"),
    "no date": ({"messages": [{**MESSAGE, "at": "noon"}]}, "noon"),
    "evidence is text": ({"questions": [{"question": "?", "evidence": "m1"}]}, "list of message"),
    "two turns with one id": ({"messages": [MESSAGE, MESSAGE]}, "two turns 'm1'"),
    "two conversations with one id": ({}, "two conversations have the id 'c1'"),
}


@pytest.mark.parametrize("case", BAD)
def test_another_form_is_refused_by_conversation(tmp_path: Path, case: str) -> None:
    change, message = BAD[case]
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps(PLAIN) + "\n" + json.dumps({**PLAIN, "id": "c1", **change}) + "\n")
    if case not in ("two conversations with one id", "no id"):
        path.write_text(json.dumps({**PLAIN, **change}) + "\n")
    with pytest.raises(InputError, match=message):
        read_conversations(path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps(PLAIN) + "\n{torn\n")
    with pytest.raises(InputError, match=r"talk\.jsonl:2 is not JSON"):
        read_conversations(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read 'none\.json': No such file"):
        read_conversations(tmp_path / "none.json")
