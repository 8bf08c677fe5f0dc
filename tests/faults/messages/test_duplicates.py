"""Results, repeats and metadata disappeared as duplicates: a second "No.", a daily "My pills."."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.errors import InputError
from agentmem.testing import tiny_model
from tests.support.cli import Cli

INTERVIEW = ["Do you smoke?", "No.", "Do you drink?", "No.", "Any allergies?", "No."]
DAY = timedelta(days=1)


def texts(memory: Memory) -> list[str]:
    return [chunk.text for chunk in memory.list()]


def age(place: Path, by: timedelta = DAY) -> None:
    """Move everything in a store into the past, as if it had been written then."""
    micros = by // timedelta(microseconds=1)
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        connection.execute(
            "UPDATE sources SET added_at = added_at - ?, created_at = created_at - ?",
            (micros, micros),
        )
        connection.commit()


# Tool results


def result(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "content": text, **fields}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"tool_use_id": "a"}, {"tool_use_id": "b"}),
        ({"is_error": True}, {"is_error": False}),
        ({"tool_use_id": "a", "is_error": True}, {"tool_use_id": "a"}),
        ({"toolName": "get", "type": "tool-result"}, {"toolName": "put", "type": "tool-result"}),
    ],
    ids=["call", "error", "error of one call", "tool"],
)
def test_results_of_several_calls_are_kept(
    memory: Memory, first: dict[str, Any], second: dict[str, Any]
) -> None:
    for fields in (first, second):
        assert memory.add(result("ok", **fields), session_id="s").duplicates == ()
    receipt = memory.add([result("ok", **first), result("ok", **second)], session_id="t")
    assert receipt.duplicates == ()
    assert texts(memory) == ["ok"] * 4


# Inside one list


@pytest.mark.parametrize("time", [None, "2026-05-01"], ids=["no time", "one date"])
def test_a_second_no_is_kept(memory: Memory, time: str | None) -> None:
    receipt = memory.add(INTERVIEW, session_id="s", created_at=time)
    assert receipt.duplicates == ()
    assert texts(memory) == INTERVIEW


def test_equal_blocks_of_one_message_are_kept(memory: Memory) -> None:
    message = {
        "id": "m1",
        "role": "user",
        "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "no"}],
    }
    first = memory.add(message)
    assert texts(memory) == ["no", "no"]
    assert memory.add(message).duplicates == first.ids


def test_turns_added_one_after_the_other_are_kept(memory: Memory) -> None:
    for question in ("Do you smoke?", "Do you drink?"):
        memory.add([{"role": "assistant", "content": question}, "No."], session_id="s")
    assert texts(memory).count("No.") == 2
    for question in ("Any allergies?", "Any pain?"):
        memory.add({"role": "assistant", "content": question}, session_id="s")
        memory.add("No.", session_id="s")
    assert texts(memory).count("No.") == 4


# Replays


@pytest.mark.parametrize("days", [0, 1, 100])
def test_a_transcript_that_is_added_again_stores_nothing(
    place: Path, memory: Memory, days: int
) -> None:
    first = memory.add(INTERVIEW, session_id="s")
    age(place, days * DAY)
    # Parts of it may be said again another day, as those of a routine are.
    parts = [INTERVIEW, INTERVIEW[:3], INTERVIEW[3:]] if days == 0 else [INTERVIEW]
    for again in parts:
        receipt = memory.add(again, session_id="s")
        assert receipt.duplicates == receipt.ids
        assert set(receipt.ids) <= set(first.ids)
    assert texts(memory) == INTERVIEW


@pytest.mark.parametrize("days", [0, 30])
@pytest.mark.parametrize("known", [2, 3, 5])
def test_a_transcript_that_goes_on_stores_what_is_new(
    place: Path, memory: Memory, days: int, known: int
) -> None:
    first = memory.add(INTERVIEW[:known], session_id="s")
    age(place, days * DAY)
    receipt = memory.add(INTERVIEW, session_id="s")
    assert receipt.ids[:known] == receipt.duplicates == first.ids
    assert texts(memory) == INTERVIEW


def test_a_window_of_the_newest_messages_stores_what_is_new(memory: Memory) -> None:
    for end in range(1, len(INTERVIEW) + 1):
        memory.add(INTERVIEW[max(0, end - 3) : end], session_id="s")
    assert texts(memory) == INTERVIEW


def test_a_retry_of_anything_stores_nothing(memory: Memory) -> None:
    tries: list[Any] = ["No.", ["No."], ["Yes.", "No."], INTERVIEW, Document("page"), Message("hi")]
    for content in tries:
        first = memory.add(content, session_id=repr(content))
        assert memory.add(content, session_id=repr(content)).duplicates == first.ids


def test_a_script_that_runs_twice_stores_nothing_new(memory: Memory) -> None:
    facts = ["I am vegan.", "My sister is called Marta.", "I live in Lyon."]
    for _ in range(2):
        memory.add(facts, user_id="ana")
        # One by one, they cannot be told from answers that are given again, unless by their ids.
        for number, fact in enumerate(facts):
            memory.add({"role": "user", "content": fact, "id": number}, user_id="bob")
    assert texts(memory) == facts * 2


# Occurrences


def test_what_is_said_every_day_is_kept_with_its_days(place: Path, memory: Memory) -> None:
    receipts = []
    for _ in range(3):
        receipts.append(memory.add("Took my pills.", user_id="ana"))
        age(place)
    assert [receipt.duplicates for receipt in receipts] == [()] * 3
    times = [chunk.created_at for chunk in memory.list(user_id="ana")]
    assert [late - early > 0.9 * DAY for early, late in zip(times, times[1:], strict=False)] == [
        True
    ] * 2


def test_other_metadata_are_kept(memory: Memory) -> None:
    for content in ("I am vegan", Document("page"), Message("hi", created_at=datetime(2026, 5, 1))):
        for turn in (1, 2, 1):
            memory.add(content, metadata={"turn": turn})
    # Of what has neither id nor time nor title, the third was said after something else.
    assert [chunk.metadata["turn"] for chunk in memory.list()] == [1, 2, 1, *[1, 2] * 2]


def test_the_order_of_metadata_is_no_difference(memory: Memory) -> None:
    first = memory.add("I am vegan", metadata={"a": 1, "b": [2]})
    assert memory.add("I am vegan", metadata={"b": [2], "a": 1}).duplicates == first.ids


@pytest.mark.parametrize("id", ["m1", 17])
def test_an_id_of_its_own_tells_a_message(place: Path, memory: Memory, id: str | int) -> None:
    message = {"role": "user", "content": "Yes.", "id": id}
    first = memory.add(message, session_id="s", metadata={"import": 1})
    age(place, 10 * DAY)
    assert memory.add(message, session_id="s", metadata={"import": 2}).duplicates == first.ids
    assert memory.add([message, message], session_id="s").duplicates == first.ids * 2
    assert memory.add(message | {"id": "m2"}, session_id="s").duplicates == ()
    assert memory.add(message | {"content": "No."}, session_id="s").duplicates == ()
    assert [hit.id for hit in memory.recall("Yes", where={"message_id": id}, k=1)] == [*first.ids]


def test_a_document_is_the_same_whenever_it_is_added(place: Path, memory: Memory) -> None:
    first = memory.add(Document("page", title="T"))
    age(place, 100 * DAY)
    again = memory.add([Document("page", title="T"), Document("page", title="T")])
    assert again.duplicates == first.ids * 2


# Recall


def test_a_recall_has_each_text_once_and_says_when_else_it_was_said(memory: Memory) -> None:
    days = [datetime(2026, 5, day, tzinfo=UTC) for day in range(1, 31)]
    for day in days:
        memory.add("Took my pills.", user_id="ana", created_at=day)
    memory.add("My pills are for my heart.", user_id="ana", created_at=days[3])
    for mode in ("hybrid", "lexical", "vector"):
        found = memory.recall("pills", user_id="ana", k=8, mode=mode)  # type: ignore[arg-type]
        assert sorted(hit.text for hit in found) == ["My pills are for my heart.", "Took my pills."]
        assert found.candidates == 31
        (daily,) = (hit for hit in found if hit.text == "Took my pills.")
        times = [daily.created_at, *(one.created_at for one in daily.occurrences)]
        assert sorted(times) == days
        assert memory.get(daily.occurrences[0].id).text == "Took my pills."
        assert daily.to_dict()["occurrences"][0]["id"] == daily.occurrences[0].id
    (june,) = memory.recall("pills", since="2026-05-30", k=8)
    assert june.occurrences == ()


def test_repeats_do_not_crowd_out_what_is_searched_for(memory: Memory) -> None:
    said = [
        {"role": "user", "content": "Pills, pills, pills.", "ts": 1_770_000_000 + n}
        for n in range(300)
    ]
    memory.add(said)
    memory.add(["The pills in the blue box are for the heart.", "I keep pills at work, too."])
    found = memory.recall("pills", k=3, mode="lexical")
    assert len({hit.text for hit in found}) == len(found) == 3


def test_other_speakers_and_users_are_no_repeats(memory: Memory) -> None:
    for user in ("ana", "bob"):
        memory.add(["Tea, please.", {"role": "assistant", "content": "Tea, please."}], user_id=user)
    assert len(memory.recall("tea", k=8)) == 4
    memory.add("Tea, please.", user_id="ana", session_id="another")
    assert len(memory.recall("tea", k=8)) == 4


# Properties


@given(st.lists(st.sampled_from(["yes", "no", "maybe"]), min_size=1, max_size=8), st.data())
def test_one_list_is_kept_whole_and_its_replay_adds_nothing(said: list[str], data: Any) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        first = memory.add(said, session_id="s")
        assert (first.duplicates, texts(memory)) == ((), said)
        assert memory.add(said, session_id="s").ids == first.ids
        more = data.draw(st.lists(st.sampled_from(["yes", "new"]), max_size=3))
        receipt = memory.add([*said, *more], session_id="s")
        assert receipt.ids[: len(said)] == first.ids
        assert texts(memory) == [*said, *more]


# Other entry points


def test_the_command_line_keeps_a_second_no(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "chat.jsonl"
    lines = [json.dumps({"role": "user", "content": text}) for text in INTERVIEW]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert cli.json("add", "-f", path, "--session", "s")["duplicates"] == []
    assert len(cli.json("add", "-f", path, "--session", "s")["duplicates"]) == len(INTERVIEW)
    listed = cli.ok("list", "--json").splitlines()
    assert [json.loads(line)["text"] for line in listed] == INTERVIEW
    assert "said 3 times" in cli.ok("recall", "No")


def test_asyncio_keeps_a_second_no() -> None:
    async def run() -> list[str]:
        async with await AsyncMemory.open(":memory:", model=tiny_model()) as memory:
            await memory.add(INTERVIEW)
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(run()) == INTERVIEW


def test_a_message_may_be_corrected_to_words_that_were_said_before(memory: Memory) -> None:
    _, typo = memory.add(["No.", "Noo."], session_id="s").ids
    memory.update(typo, text="No.")
    assert texts(memory) == ["No.", "No."]
    first, second = memory.add([Document("one"), Document("two")]).ids
    with pytest.raises(InputError, match=f"already has that text, in memory {first}"):
        memory.update(second, text="one")


def test_a_turn_of_question_and_answer_may_come_again(memory: Memory) -> None:
    turns = [("Next", "Paris?"), ("No", "Try again"), ("Next", "Rome?"), ("No", "Try again")]
    for asked, answered in turns:
        turn = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        memory.add(turn, session_id="quiz")
    said = [chunk.text for chunk in memory.list(session_id="quiz")]
    assert said == [text for turn in turns for text in turn]
    assert len(memory.add(turn, session_id="quiz").duplicates) == 2  # a retry
