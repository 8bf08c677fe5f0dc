"""A corrected message moved to the end of its conversation, and late imports had no neighbors."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory
from agentmem.testing import tiny_model
from tests.support.cli import Cli
from tests.support.examples import HALF

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf"]
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def text(number: int) -> str:
    # On one topic, so that only times decide about episodes.
    return f"{WORDS[number]} said that the garden with its old trees is lovely {number}"


def message(number: int, *, minutes: int | None = None) -> dict[str, object]:
    said: dict[str, object] = {"role": "user", "content": text(number)}
    return said if minutes is None else said | {"at": NOON + timedelta(minutes=minutes)}


def around(memory: Memory, word: str, by: str = "neighbors") -> list[str]:
    """The text found by a word, and those that it adds, in the order they were said."""
    found = memory.recall(word, k=1, mode="lexical", expand=by, order="time")  # type: ignore[arg-type]
    return [hit.text for hit in found]


@pytest.mark.parametrize("timed", [False, True], ids=["no times", "one time"])
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_corrected_message_keeps_its_place(memory: Memory, timed: bool, at: int) -> None:
    ids = memory.add([message(n, minutes=0 if timed else None) for n in range(5)]).ids
    (new,) = memory.update(ids[at], text="zulu").ids
    said = [text(n) for n in range(5)]
    said[at] = "zulu"
    assert around(memory, "zulu") == said[max(0, at - 1) : at + 2]
    for other in {max(0, at - 1), at + 1} - {at}:
        assert "zulu" in around(memory, WORDS[other])
    assert around(memory, "zulu", "episode") == said
    found = memory.recall("zulu alpha bravo charlie delta echo", k=9, order="time")
    assert [hit.text for hit in found] == said
    packed = found.pack(max_tokens=1000)
    assert [hit.text for hit in packed.hits] == said
    assert memory.get(new).source.id == memory.recall("zulu", k=1)[0].source.id


def test_a_corrected_document_keeps_its_place_and_its_own_order(memory: Memory) -> None:
    pages = [f"{WORDS[n]} page. " + "More words of it. " * 120 for n in range(3)]
    ids = memory.add([Document(page, created_at=NOON) for page in pages]).ids
    second = next(id for id in ids if "bravo" in memory.get(id).text)
    receipt = memory.update(second, text=pages[1].replace("bravo", "zulu"))
    assert len(receipt.ids) > 1
    ends = memory.recall("zulu", k=1, mode="lexical", expand="neighbors", order="time").hits
    assert [hit.source.title for hit in ends] == [None] * 3
    first = memory.get(receipt.ids[0])
    assert [hit.id for hit in ends][1] == first.id
    assert ends[0].id < first.id < ends[2].id == receipt.ids[1]
    assert memory.get(ends[0].id).source.id < first.source.id


@pytest.mark.parametrize(
    "written", [[4, 3, 2, 1, 0], [0, 1, 3, 4, 2], [2, 0, 4, 1, 3]], ids=["reverse", "late", "mixed"]
)
@pytest.mark.parametrize("calls", ["one call", "many calls"])
def test_neighbors_follow_the_times(memory: Memory, written: list[int], calls: str) -> None:
    said = [message(n, minutes=n) for n in written]
    for content in [said] if calls == "one call" else [[one] for one in said]:
        memory.add(content, session_id="s")
    for number in range(5):
        near = [n for n in (number - 1, number, number + 1) if 0 <= n < 5]
        assert around(memory, WORDS[number]) == [text(n) for n in near]
        assert around(memory, WORDS[number], "episode") == [text(n) for n in range(5)]


@pytest.mark.parametrize("calls", ["one call", "many calls"])
def test_conversations_imported_last_first_are_episodes(memory: Memory, calls: str) -> None:
    day = 24 * 60
    said = [message(n, minutes=start + n) for start, ns in ((day, (3, 4)), (0, (0, 1))) for n in ns]
    said.append(message(5, minutes=day + 5))  # late, too
    said.append(message(2, minutes=2))
    for content in [said] if calls == "one call" else [[one] for one in said]:
        memory.add(content, session_id="s")
    assert around(memory, "alpha", "episode") == [text(n) for n in (0, 1, 2)]
    assert around(memory, "delta", "episode") == [text(n) for n in (3, 4, 5)]


def test_evidence_of_neighbors_follows_the_times(memory: Memory) -> None:
    said = [message(n, minutes=n) for n in (4, 0, 3, 1, 2)]
    memory.add({**one, "name": "AB"[n % 2]} for n, one in enumerate(said))
    scores = {hit.text: hit.explain["neighbors"] for hit in memory.recall("charlie", k=9)}
    assert scores[text(1)] > scores[text(0)]
    assert scores[text(3)] > scores[text(4)]


@HALF
@given(st.permutations(range(6)), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_order_is_that_of_times_and_then_of_writing(order: list[int], times: list[int]) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        ids = [memory.add(message(n, minutes=times[n])).ids[0] for n in order]
        memory.update(ids[2], text=memory.get(ids[2]).text + "!")
        said = sorted(order, key=lambda n: (times[n], order.index(n)))
        texts = {WORDS.index(chunk.text.split()[0]): chunk.text for chunk in memory.list()}
        for before, after in pairwise(said):
            near = around(memory, WORDS[before])
            assert near.index(texts[before]) + 1 == near.index(texts[after])


def test_a_list_whose_messages_are_all_replaced_ends(memory: Memory) -> None:
    ids = memory.add([text(n) for n in range(6)]).ids
    seen = []
    for chunk in memory.list():
        seen.append(chunk.id)
        memory.update(chunk.id, text=chunk.text.upper())
        if chunk.id == ids[0]:
            memory.add("something new")
    assert tuple(seen) == ids
    assert [one.text for one in memory.list()] == [
        *(text(n).upper() for n in range(6)),
        "something new",
    ]


def test_the_same_text_changes_nothing(memory: Memory) -> None:
    long = "More words of it. " * 200
    ids = memory.add(
        ["alpha", Document(long), {"role": "user", "content": "timed", "at": NOON}]
    ).ids
    before = [(one.id, one.text) for one in memory.list()]
    assert memory.update(ids[0], text="alpha").ids == ids[:1]
    assert memory.update(ids[1], text=long).ids == ids[1:-1]
    assert memory.update(ids[-1], text="timed", metadata={"a": 1}).ids == ids[-1:]
    assert memory.get(ids[-1]).metadata == {"a": 1}
    assert [(one.id, one.text) for one in memory.list()] == before


def test_a_corrected_message_is_listed_in_its_place(memory: Memory) -> None:
    long = "More words of it. " * 200
    ids = memory.add(["alpha", "bravo", "charlie"]).ids
    memory.update(ids[1], text=long)
    listed = list(memory.list())
    assert (listed[0].text, listed[-1].text) == ("alpha", "charlie")
    assert "".join(one.text for one in listed[1:-1]) == long


def untimed(without: str) -> list[dict[str, object]]:
    said = [message(n, minutes=n) if n % 2 == 0 else message(n) for n in range(6)]
    return said if without == "answers" else said[1:]


@pytest.mark.parametrize("without", ["answers", "first"])
def test_messages_without_a_time_keep_their_places(memory: Memory, without: str) -> None:
    said = untimed(without)
    receipt = memory.add([*said, Document("zulu")])
    in_order = sorted(memory.list(), key=lambda one: (one.created_at, one.source.id))
    assert [one.text for one in in_order] == [*(one["content"] for one in said), "zulu"]
    assert in_order[-1].created_at.year > NOON.year or in_order[-1].created_at > NOON
    # Their time is no time that was given: alone, one was said again.
    assert memory.add([*said, Document("zulu")]).duplicates == receipt.ids
    assert memory.add(said[1 if without == "answers" else 0]).duplicates == ()


@pytest.mark.parametrize("feed", ["turn", "whole", "window"])
def test_questions_stand_before_the_answers_of_an_api(memory: Memory, feed: str) -> None:
    said: list[dict[str, object]] = []
    for turn in range(4):
        answer = {"role": "assistant", "content": "No."}
        completion = {
            "object": "chat.completion",
            "created": 1_770_000_000 + turn,
            "choices": [{"index": 0, "finish_reason": "stop", "message": answer}],
        }
        said += [{"role": "user", "content": "Why?"}, completion]
        first = {"turn": -2, "whole": 0, "window": -5}[feed]
        memory.add(said[first:], session_id="s")
    in_order = sorted(memory.list(), key=lambda one: (one.created_at, one.source.id))
    assert [one.text for one in in_order] == ["Why?", "No."] * 4


def test_an_export_with_nodes_without_a_time(memory: Memory) -> None:
    def conversation(began: int, times: list[int | None], words: str) -> dict[str, object]:
        nodes = {
            str(n): {
                "parent": str(n - 1) if n else None,
                "message": {
                    "author": {"role": "user"},
                    "content": {"content_type": "text", "parts": [f"{words} {n}"]},
                    "create_time": time,
                },
            }
            for n, time in enumerate(times)
        }
        current = str(len(times) - 1)
        return {"create_time": began, "mapping": nodes, "current_node": current}

    start = 1_770_000_000
    memory.add(
        [
            conversation(start + 50, [None, start + 60, None, start + 70], "second"),
            conversation(start, [None, None], "first"),
        ]
    )
    in_order = sorted(memory.list(), key=lambda one: (one.created_at, one.source.id))
    expected = [*(f"first {n}" for n in range(2)), *(f"second {n}" for n in range(4))]
    assert [one.text for one in in_order] == expected


def test_the_command_line_and_asyncio_keep_the_place(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "alpha", "bravo", "charlie")
    cli.ok("update", 2, "--text", "zulu")
    found = cli.json("recall", "zulu", "--mode", "lexical", "-k", 1, "--expand", "neighbors")
    assert [hit["text"] for hit in found["hits"]] == ["zulu", "alpha", "charlie"]

    async def run() -> list[str]:
        async with await AsyncMemory.open(":memory:", model=tiny_model()) as memory:
            receipt = await memory.add(["alpha", "bravo", "charlie"])
            await memory.update(receipt.ids[1], text="zulu")
            found = await memory.recall("zulu", k=1, mode="lexical", expand="neighbors")
            return [hit.text for hit in found]

    assert asyncio.run(run()) == ["zulu", "alpha", "charlie"]
