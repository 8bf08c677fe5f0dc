"""Transcripts sent again: windows and changed conversations were stored twice, routines once.

Three messages said again days later were a replay for ever; without a session, "yes", "no", "yes"
kept two. After an update or a forget, a loop that adds the whole conversation every turn stored
messages twice, or brought back what had been forgotten.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory
from agentmem.testing import tiny_model
from tests.faults.messages.test_duplicates import age
from tests.support.cli import Cli
from tests.support.examples import HALF

ROUTINE = ["How do you feel?", "Good.", "Took my pills."]
TALK = ["Hello.", "Hi! What is it?", "My PIN is 4711.", "Noted.", "Forget that.", "Done."]


def texts(memory: Memory) -> list[str]:
    return [chunk.text for chunk in memory.list()]


def id_of(memory: Memory, text: str) -> int:
    return next(chunk.id for chunk in memory.list() if chunk.text == text)


# Said again


@pytest.mark.parametrize("session", [None, "s"])
def test_a_routine_is_kept_every_day(place: Path, memory: Memory, session: str | None) -> None:
    memory.add("I start today.", session_id=session)
    for _ in range(3):
        age(place)
        assert memory.add(ROUTINE, session_id=session).duplicates == ()
    assert texts(memory) == ["I start today.", *ROUTINE * 3]


def test_a_routine_that_is_all_there_is(place: Path, memory: Memory) -> None:
    for _ in range(3):
        memory.add(ROUTINE, user_id="ana")
        age(place)
    assert texts(memory) == ROUTINE * 3


@pytest.mark.parametrize("session", [None, "s"])
def test_yes_no_yes(memory: Memory, session: str | None) -> None:
    for said in ("yes", "no", "yes"):
        assert memory.add(said, session_id=session).duplicates == ()
    assert memory.add("yes", session_id=session).duplicates != ()  # a retry
    assert texts(memory) == ["yes", "no", "yes"]


def test_a_long_import_is_the_same_years_later(place: Path, memory: Memory) -> None:
    lines = [f"line {n % 5}" for n in range(40)]
    memory.add(lines, user_id="ana")
    memory.add("and then", user_id="ana")
    age(place, timedelta(days=700))
    receipt = memory.add(lines, user_id="ana")
    assert receipt.duplicates == receipt.ids == tuple(range(1, 41))


# Twenty lines were an import, and so were ten answers of every day.
@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("length", [8, 10, 20])
def test_a_checklist_is_kept_every_day(
    place: Path, memory: Memory, session: str | None, length: int
) -> None:
    checklist = [f"Item {n}: done" for n in range(length)]
    memory.add("I start today.", session_id=session)
    for _ in range(3):
        age(place)
        assert memory.add(checklist, session_id=session).duplicates == ()
        assert memory.add(checklist, session_id=session).duplicates != ()  # a retry
    assert texts(memory) == ["I start today.", *checklist * 3]


@pytest.mark.parametrize("hours", [0, 3, 24])
def test_a_second_day_may_begin_like_the_first(place: Path, memory: Memory, hours: int) -> None:
    first = ["took my pills", "Noted.", "bye", "Bye!"]
    second = ["took my pills", "Noted.", "slept badly", "Sorry."]
    memory.add(first, session_id="s")
    age(place, timedelta(hours=hours))
    assert memory.add(second, session_id="s").duplicates == ()
    assert texts(memory) == [*first, *second]


def test_nor_do_three_that_begin_it_make_a_replay_of_another_day(
    place: Path, memory: Memory
) -> None:
    memory.add([*ROUTINE, "bye", "Bye!"], session_id="s")
    age(place)
    assert memory.add([*ROUTINE, "slept badly"], session_id="s").duplicates == ()


def filled_in(pain: str, mood: str) -> list[str]:
    questions = ["Did you take your pills?", "How strong is the pain?", "Did you sleep?", "Mood?"]
    answers = ["Yes.", pain, "Yes.", mood]
    return [text for pair in zip(questions, answers, strict=True) for text in pair]


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("mood", ["good", "bad"])
def test_a_form_that_is_filled_in_twice_a_day(
    place: Path, memory: Memory, session: str | None, mood: str
) -> None:
    memory.add(filled_in("3", "good"), session_id=session)
    age(place, timedelta(hours=11))
    assert memory.add(filled_in("5", mood), session_id=session).duplicates == ()
    assert texts(memory) == [*filled_in("3", "good"), *filled_in("5", mood)]


def test_what_a_sensor_reports_every_half_an_hour(place: Path, memory: Memory) -> None:
    batch = ["door closed", "motion in hall", "door open", "door closed"]
    for _ in range(6):
        assert memory.add(batch, user_id="house").duplicates == ()
        assert len(memory.add(batch, user_id="house").duplicates) == len(batch)  # a retry
        age(place, timedelta(minutes=30))
    assert texts(memory) == batch * 6


@pytest.mark.parametrize("length", [8, 20, 39])
def test_a_part_of_an_import_that_begins_as_the_newest_do(memory: Memory, length: int) -> None:
    lines = [f"m{n % 7}" if n % 2 else f"n{n % 5}" for n in range(40)]
    memory.add(lines, user_id="ana")
    assert len(memory.add(lines[:length], user_id="ana").duplicates) == length
    assert texts(memory) == lines


COFFEE = ["log: 1 coffee", "Noted."]


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("said", [COFFEE, COFFEE[:1]], ids=len)
@pytest.mark.parametrize("between", [[], ["log: 1 tea", "Noted, too."]], ids=len)
def test_two_coffees_in_a_day(
    place: Path, memory: Memory, session: str | None, said: list[str], between: list[str]
) -> None:
    memory.add(["Hello.", "Hi!"], session_id=session)
    for _ in range(3):
        assert memory.add(said, session_id=session).duplicates == ()
        assert len(memory.add(said, session_id=session).duplicates) == len(said)  # a retry
        if between:
            memory.add(between, session_id=session)
        age(place, timedelta(hours=1))
    kept = [text for text in texts(memory) if text in COFFEE]
    assert kept == said * 3


@pytest.mark.parametrize("said", [COFFEE, COFFEE[:1]], ids=len)
@pytest.mark.parametrize("hours", [1, 11, 24])
def test_so_are_two_that_are_all_of_a_session(
    place: Path, memory: Memory, said: list[str], hours: int
) -> None:
    for _ in range(3):
        assert memory.add(said, session_id="s").duplicates == ()
        assert len(memory.add(said, session_id="s").duplicates) == len(said)  # a retry
        age(place, timedelta(hours=hours))
    assert texts(memory) == said * 3


def test_a_loop_that_stores_each_turn_by_itself_keeps_equal_ones(
    place: Path, memory: Memory
) -> None:
    session = memory.session(user_id="ana", session_id="pills")
    for _ in range(3):
        session.observe([{"role": "user", "content": COFFEE[0]}], COFFEE[1])
        age(place)
    assert texts(memory) == COFFEE * 3


def test_three_that_are_all_of_a_session_are_a_replay_whenever(place: Path, memory: Memory) -> None:
    memory.add([*COFFEE, "Thanks."], session_id="s")
    for days in (0.4, 3):
        age(place, timedelta(days=days))
        assert memory.add([*COFFEE, "Thanks."], session_id="s").duplicates == (1, 2, 3)


@pytest.mark.parametrize("said", ["log: 1 coffee", COFFEE], ids=len)
def test_a_clock_that_was_set_back_makes_no_retry(said: str | list[str]) -> None:
    at = datetime(2026, 5, 3, 12, tzinfo=UTC)
    with Memory(":memory:", model=tiny_model(), clock=lambda: at) as memory:
        memory.add(said)
        at -= timedelta(seconds=2)  # mended by NTP
        assert memory.add(said).duplicates != ()
        for hour in (1, 3):
            at = datetime(1970, 1, 1, hour, tzinfo=UTC)  # a board without a battery, started anew
            assert memory.add(said).duplicates == ()


# Changed


LONG = [f"{who} {n}" for n in range(1, 7) for who in ("question", "answer")]


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("turn", [1, 3, 7])
def test_an_answer_that_was_generated_again(memory: Memory, session: str | None, turn: int) -> None:
    memory.add(LONG[:8], session_id=session)
    changed = [*LONG]
    changed[turn] = "another answer"
    for end in (9, 10, 12):
        memory.add(changed[:end], session_id=session)
    assert sorted(texts(memory)) == sorted([*LONG, "another answer"])


@pytest.mark.parametrize("session", [None, "s"])
@pytest.mark.parametrize("width", [6, 12])
def test_a_first_message_that_changes_with_every_turn(
    memory: Memory, session: str | None, width: int
) -> None:
    memory.add(LONG[:4], session_id=session)
    for end in range(5, len(LONG) + 1):
        recalled = f"What you know: {end}"
        memory.add([recalled, *LONG[max(0, end - width) : end]], session_id=session)
    assert [text for text in texts(memory) if text in LONG] == LONG


def test_an_answer_that_grows_costs_only_itself(memory: Memory) -> None:
    for length in (5, 10, 15):
        memory.add([*LONG[:4], "This is a long answer"[:length]], session_id="s")
    assert [text for text in texts(memory) if text in LONG] == LONG[:4]


def test_messages_in_the_middle_that_are_left_out(memory: Memory) -> None:
    memory.add(LONG[:8], session_id="s")
    memory.add([*LONG[:3], *LONG[4:9]], session_id="s")
    assert texts(memory) == LONG[:9]


@pytest.mark.parametrize(
    "later",
    [
        ["ok", "Where to?", "yes", "Booked.", "thanks"],
        ["yes", "And you?", "ok", "Fine.", "thanks", "Bye."],
        ["Hello again.", "ok", "So?", "thanks", "Sure."],
    ],
    ids=str,
)
def test_words_in_common_make_no_replay(memory: Memory, later: list[str]) -> None:
    memory.add(["A train?", "ok", "Which?", "yes", "It is late.", "thanks"], session_id="s")
    assert memory.add(later, session_id="s").duplicates == ()


def test_a_long_list_of_common_words_takes_no_long_time(memory: Memory) -> None:
    memory.add([f"{n % 7}" for n in range(300)], session_id="s")
    memory.add([f"{n % 5} {n % 3}" if n % 4 else f"{n % 7}" for n in range(300)], session_id="s")
    assert len(texts(memory)) == 600


# Forgotten and updated


def test_what_was_forgotten_does_not_come_back(memory: Memory) -> None:
    for end in range(1, len(TALK) + 1):
        memory.add(TALK[:end], session_id="s")
        if end == 5:
            memory.forget([id_of(memory, "My PIN is 4711.")])
    receipt = memory.add(TALK, session_id="s")
    assert receipt.skipped == {"forgotten": 1}
    assert receipt.duplicates == receipt.ids
    assert len(receipt.ids) == len(receipt.sources) == len(TALK) - 1
    assert texts(memory) == [text for text in TALK if "PIN" not in text]


def test_nor_the_newest_nor_the_first(memory: Memory) -> None:
    memory.add(TALK[:4], session_id="s")
    memory.forget([1, 4])
    assert memory.add(TALK, session_id="s").skipped == {"forgotten": 2}
    assert texts(memory) == [*TALK[1:3], *TALK[4:]]


def test_a_loop_that_forgets_too_loses_nothing(memory: Memory) -> None:
    memory.add(TALK[:4], session_id="s")
    memory.forget([3, 4])
    memory.add([*TALK[:2], "What is new?", "Not much."], session_id="s")
    assert texts(memory) == [*TALK[:2], "What is new?", "Not much."]


@pytest.mark.parametrize("given", ["sequence", "id", "time"])
def test_what_was_forgotten_can_be_added_again_on_purpose(memory: Memory, given: str) -> None:
    more: dict[str, Any] = {"sequence": {}, "id": {"id": "m"}, "time": {"ts": 1_770_000_000}}[given]
    secret = {"role": "user", "content": "My PIN is 4711.", **more}
    memory.add(["Hello.", secret], session_id="s")
    memory.forget([2])
    assert memory.add(["Hello.", secret, "Bye."], session_id="s").skipped == {"forgotten": 1}
    assert memory.add(secret, session_id="s").duplicates == ()
    assert texts(memory) == ["Hello.", "Bye.", "My PIN is 4711."]


def test_an_updated_message_is_known_by_its_old_text_and_its_new_one(memory: Memory) -> None:
    memory.add(TALK[:4], session_id="s")
    (new,) = memory.update(3, text="My PIN is secret.").ids
    memory.update(1, metadata={"greeting": True})
    first = memory.add(TALK[:5], session_id="s")
    assert first.ids[:4] == first.duplicates == (1, 2, new, 4)
    changed = [*TALK[:2], "My PIN is secret.", *TALK[3:]]
    assert memory.add(changed, session_id="s").duplicates == first.ids
    assert texts(memory) == sorted(changed, key=texts(memory).index)
    assert len(texts(memory)) == len(TALK)
    # Alone, the old text is meant.
    assert memory.add("My PIN is 4711.", session_id="s").duplicates == ()


@pytest.mark.parametrize("steps", ["once", "metadata first", "text first"])
def test_so_is_one_whose_metadata_were_updated_too(memory: Memory, steps: str) -> None:
    tool = {"role": "tool", "name": "find", "tool_call_id": "c1", "content": "My PIN is 4711."}
    talk: list[Any] = ["Hello.", tool, "Noted."]
    memory.add(talk, session_id="s")
    both: dict[str, Any] = {"text": "redacted", "metadata": {"by": "Ana"}}
    for step in {"once": [both], "metadata first": [{"metadata": {"by": "Ana"}}, both]}.get(
        steps, [{"text": "redacted"}, {"metadata": {"by": "Ana"}}]
    ):
        (last,) = memory.get_source(2).chunks
        memory.update(last.id, **step)
    for content in ("redacted", "My PIN is 4711."):
        again = memory.add(["Hello.", {**tool, "content": content}, "Noted."], session_id="s")
        assert len(again.duplicates) == 3
    more = memory.add(["Hello.", {**tool, "content": "redacted"}, "Noted.", "Bye."], session_id="s")
    assert len(more.duplicates) == 3
    assert texts(memory) == ["Hello.", "redacted", "Noted.", "Bye."]
    # Alone, and with other metadata, it is said again.
    assert memory.add({**tool, "content": "redacted"}, session_id="s").duplicates == ()


def test_a_long_message_that_was_forgotten_in_part(memory: Memory) -> None:
    long = " ".join(f"word{n}" for n in range(900))
    memory.add(["Hello.", long, "Thanks."], session_id="s")
    parts = [chunk.id for chunk in memory.list() if chunk.source.id == 2]
    memory.forget(parts[:2])
    receipt = memory.add(["Hello.", long, "Thanks.", "Bye."], session_id="s")
    assert receipt.duplicates == (1, *parts[2:], parts[-1] + 1)
    assert len({chunk.source.id for chunk in memory.list()}) == 4


def test_documents_come_back_when_they_are_added_again(memory: Memory) -> None:
    page = Document("page", title="T")
    (id,) = memory.add([page, "Hello."], user_id="ana").ids[:1]
    memory.forget([id])
    assert memory.add([page, "Hello."], user_id="ana").skipped == {}
    assert sorted(texts(memory)) == ["Hello.", "page"]


def test_nothing_remains_of_a_scope_that_was_forgotten(place: Path, memory: Memory) -> None:
    memory.add(TALK, user_id="ana")
    memory.forget([3])
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        (left,) = connection.execute("SELECT former FROM forgotten").fetchall()
    memory.forget(user_id="ana")
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        assert connection.execute("SELECT * FROM forgotten").fetchall() == []
    assert all(left[0] not in file.read_bytes() for file in place.rglob("*") if file.is_file())
    assert memory.add(TALK, user_id="ana").skipped == {}
    assert texts(memory) == TALK


# Windows


def test_a_window_behind_the_system_message(memory: Memory) -> None:
    system = {"role": "system", "content": "You are a nurse."}
    for end in range(1, len(TALK) + 1):
        memory.add([system, *TALK[max(0, end - 2) : end]], session_id="s")
    assert texts(memory) == ["You are a nurse.", *TALK]
    memory.forget([1])
    assert memory.add([system, *TALK[-2:], "Bye."], session_id="s").skipped == {"forgotten": 1}


def test_notes_between_the_turns(place: Path, memory: Memory) -> None:
    # Two messages in front of notes, and two of a second day that begins like the first, are alike.
    for end in range(3, len(TALK) + 1):
        memory.add(TALK[:end], session_id="s")
        memory.add([f"Note {end} a", f"Note {end} b"], session_id="s")
    assert sorted(texts(memory)) == sorted(
        [*TALK, *(f"Note {end} {one}" for end in (3, 4, 5, 6) for one in "ab")]
    )
    age(place, timedelta(hours=11))
    assert memory.add([*TALK, "Back again."], session_id="s").duplicates != ()
    assert texts(memory).count("Hello.") == 1


def test_a_conversation_that_goes_on_another_day(place: Path, memory: Memory) -> None:
    memory.add(TALK, session_id="s")
    age(place, timedelta(days=9))
    memory.add([*TALK[-3:], "Back again."], session_id="s")
    assert texts(memory) == [*TALK, "Back again."]


@pytest.mark.parametrize("width", [3, 8])
def test_only_some_messages_have_a_time(memory: Memory, width: int) -> None:
    said: list[dict[str, Any]] = []
    for n in range(4):
        said += [
            {"role": "user", "content": f"Question {n}?", "ts": 1_770_000_000 + n},
            {"role": "assistant", "content": "No."},
        ]
    for end in range(1, len(said) + 1):
        memory.add(said[max(0, end - width) : end], session_id="s")
    assert texts(memory) == [message["content"] for message in said]


@pytest.mark.parametrize("width", [3, 8])
def test_only_some_messages_have_an_id(memory: Memory, width: int) -> None:
    said: list[dict[str, Any]] = []
    for n in range(4):
        said += [
            {"role": "user", "content": "Why?", "id": f"u{n}"},
            {"role": "assistant", "content": "No."},
        ]
    for end in range(1, len(said) + 1):
        memory.add(said[max(0, end - width) : end], session_id="s")
    assert texts(memory) == [message["content"] for message in said]


# Properties


Feed = Callable[[int, int], tuple[int, int]]  # the end of a turn and of the one before
FEEDS: dict[str, Feed] = {
    "whole": lambda before, end: (0, end),
    "new": lambda before, end: (before, end),
    "window": lambda before, end: (max(0, before - 3), end),
}


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[int], dict[int, list[tuple[str, int]]]]:
    """The lengths of turns, and what is updated or forgotten after which."""
    turns = draw(st.lists(st.integers(1, 3), min_size=2, max_size=6))
    change = st.tuples(st.sampled_from(["update", "forget"]), st.integers(0, 17))
    return turns, draw(st.dictionaries(st.integers(0, 5), st.lists(change, max_size=2), max_size=3))


@given(changes(), st.sampled_from(sorted(FEEDS)), st.booleans())
def test_however_a_conversation_is_fed_it_is_stored_once(
    plan: tuple[list[int], dict[int, list[tuple[str, int]]]], feed: str, session: bool
) -> None:
    turns, change = plan
    said = [f"message {n}" for n in range(sum(turns))]
    expected: list[str] = []
    with Memory(":memory:", model=tiny_model()) as memory:
        scope = {"session_id": "s" if session else None}
        end = 0
        for turn, length in enumerate(turns):
            before, end = end, end + length
            first, last = FEEDS[feed](before, end)
            memory.add(said[first:last], **scope)
            expected += said[before:end]
            for what, number in change.get(turn, ()):
                # The last one stays: of a scope without any, nothing is known.
                if number >= len(expected) or len(expected) == 1:
                    continue
                id = id_of(memory, expected[number])
                if what == "update":
                    expected[number] += "!"
                    memory.update(id, text=expected[number])
                else:
                    del expected[number]
                    memory.forget([id])
            # What a window brings may have been forgotten completely.
            if feed == "window":
                assume(any(text.rstrip("!") in said[max(0, end - 3) :] for text in expected))
        in_order = sorted(memory.list(), key=lambda chunk: (chunk.created_at, chunk.source.id))
        assert [chunk.text for chunk in in_order] == expected


@HALF
@given(st.lists(st.sampled_from(["yes", "no", "why?", "ok"]), min_size=4, max_size=14))
def test_few_different_words_in_windows(said: list[str]) -> None:
    # "yes", "yes", "yes", "yes" in windows of three is ambiguous.
    assume(all(len(set(said[n : n + 4])) > 1 for n in range(len(said) - 3)))
    for width in (4, len(said)):
        with Memory(":memory:", model=tiny_model()) as memory:
            for end in range(1, len(said) + 1):
                memory.add(said[max(0, end - width) : end], session_id="s")
            assert texts(memory) == said


# What differs in every call


@pytest.mark.parametrize(
    ("ids", "differs", "stored"),
    [
        ("id", "metadata", 1),
        ("external_id", "metadata", 1),
        ("external_id", "ts", 1),
        # Nothing tells these from what was said again.
        ("id", "ts", 3),
        (None, "metadata", 3),
        (None, "ts", 3),
    ],
)
def test_a_history_with_other_times_or_metadata_in_each_call(
    memory: Memory, ids: str | None, differs: str, stored: int
) -> None:
    for call in range(1, 4):
        more = (
            {"metadata": {"request": call}} if differs == "metadata" else {"ts": 1770000000 + call}
        )
        named = ({ids: f"m{n}"} if ids else {} for n in range(len(TALK)))
        memory.add(
            [
                {"role": "user", "content": text, **more, **own}
                for text, own in zip(TALK, named, strict=True)
            ],
            session_id="s",
        )
    assert sorted(texts(memory)) == sorted(TALK * stored)
    assert len({hit.text for hit in memory.recall("PIN", k=20)}) == len(memory.recall("PIN", k=20))


# Other entry points


def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "chat.jsonl"

    def add(count: int) -> dict[str, Any]:
        lines = [json.dumps({"role": "user", "content": text}) for text in TALK[:count]]
        path.write_text("\n".join(lines), encoding="utf-8")
        done: dict[str, Any] = cli.json("add", "-f", path, "--session", "s")
        return done

    add(4)
    cli.ok("forget", "3", "--yes")
    assert add(5)["skipped"] == {"forgotten": 1}
    assert "forgotten" in cli.ok("add", "-f", path, "--session", "s")
    listed = [json.loads(line)["text"] for line in cli.ok("list", "--json").splitlines()]
    assert listed == [*TALK[:2], *TALK[3:5]]


def test_two_coffees_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "coffee.jsonl"
    path.write_text("\n".join(json.dumps({"role": "user", "content": one}) for one in COFFEE))
    for _ in range(2):
        cli.ok("add", "-f", path)
        assert len(cli.json("add", "-f", path)["duplicates"]) == 2
        age(cli.store, timedelta(hours=1))
    assert len(cli.ok("list", "--json").splitlines()) == 4


def test_asyncio() -> None:
    async def run() -> list[str]:
        async with await AsyncMemory.open(":memory:", model=tiny_model()) as memory:
            await memory.add(TALK[:4], session_id="s")
            await memory.forget([3])
            await memory.add(TALK, session_id="s")
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(run()) == [*TALK[:2], *TALK[3:]]
