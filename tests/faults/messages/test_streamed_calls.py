"""Streams of servers that speak OpenAI's protocol almost: parallel calls became one that is none.

Some give all calls of a message the index 0, or none, and some repeat the name of the tool with
every piece of the arguments.
"""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory
from agentmem.integrations.streams import CompletionChunks


def piece(**call: Any) -> dict[str, Any]:
    function = {key: call.pop(key) for key in ("name", "arguments") if key in call}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{**call, "function": function}]}}]}


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
RAIN, WIND = '{"city": "Lyon"}', '{"city": "Nice"}'


@pytest.mark.parametrize("index", [{"index": 0}, {"index": None}, {}], ids=str)
def test_parallel_calls_of_one_index(memory: Memory, index: dict[str, Any]) -> None:
    received = CompletionChunks()
    for event in (
        piece(**index, id="a", name="rain", arguments=""),
        piece(**index, arguments=RAIN[:5]),
        piece(**index, arguments=RAIN[5:]),
        piece(**index, id="b", name="wind", arguments=WIND),
        END,
    ):
        received.add(event)
    memory.session().observe([{"role": "user", "content": "Rain and wind?"}], received.reply())
    assert [chunk.text for chunk in memory.list()][1:] == [f"rain({RAIN})", f"wind({WIND})"]
    ids = [chunk.metadata.get("tool_call_id") for chunk in memory.list()]
    assert ids[1:] == ["a", "b"]


def test_whole_calls_without_ids(memory: Memory) -> None:
    received = CompletionChunks()
    for event in (
        piece(index=0, name="rain", arguments=RAIN),
        piece(index=0, name="rain", arguments=WIND),
        piece(index=0, name="wind", arguments="{}"),
        END,
    ):
        received.add(event)
    memory.session().observe([], received.reply())
    assert [chunk.text for chunk in memory.list()] == [f"rain({RAIN})", f"rain({WIND})", "wind({})"]


def test_each_of_its_own_index_in_turns(memory: Memory) -> None:
    received = CompletionChunks()
    for event in (
        piece(index=0, id="a", name="rain", arguments=""),
        piece(index=1, id="b", name="wind", arguments=""),
        *(piece(index=0, arguments=one) for one in RAIN),
        *(piece(index=1, arguments=one) for one in WIND),
        END,
    ):
        received.add(event)
    memory.session().observe([], received.reply())
    assert [chunk.text for chunk in memory.list()] == [f"rain({RAIN})", f"wind({WIND})"]


@pytest.mark.parametrize("again", [{"name": "rain"}, {"id": "a"}, {"id": "a", "name": "rain"}])
def test_what_is_repeated_with_every_piece(memory: Memory, again: dict[str, Any]) -> None:
    received = CompletionChunks()
    received.add(piece(index=0, id="a", name="rain", arguments=""))
    for one in RAIN:
        received.add(piece(index=0, arguments=one, **again))
    received.add(END)
    memory.session().observe([], received.reply())
    (call,) = memory.list()
    assert (call.text, call.metadata["tool_call_id"]) == (f"rain({RAIN})", "a")


def test_a_name_in_pieces(memory: Memory) -> None:
    received = CompletionChunks()
    for name in ("get", "_", "rain"):
        received.add(piece(index=0, id="a", name=name, arguments=""))
    received.add(piece(index=0, arguments=RAIN))
    received.add(END)
    memory.session().observe([], received.reply())
    assert [chunk.text for chunk in memory.list()] == [f"get_rain({RAIN})"]


def delta(**given: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": given}]}


def custom(**call: Any) -> dict[str, Any]:
    return delta(tool_calls=[{"index": 0, "custom": call}])


SINGLE = [delta(function_call={"name": "rain"}), delta(function_call={"arguments": RAIN[:5]})]
CUSTOM = [custom(name="run", input="print"), custom(input="(1)")]
SPOKEN = [delta(audio={"id": "a", "transcript": "It "}), delta(audio={"transcript": "rains."})]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([*SINGLE, delta(function_call={"arguments": RAIN[5:]}), END], [f"rain({RAIN})"]),
        ([*CUSTOM, END], ["run(print(1))"]),
        ([*SPOKEN, END], ["It rains."]),
        (SINGLE, []),
        (CUSTOM, []),
        (SPOKEN, ["It rains."]),
    ],
    ids=["single", "custom", "spoken", "single, cut off", "custom, cut off", "spoken, cut off"],
)
def test_what_else_is_streamed(memory: Memory, events: list[Any], told: list[str]) -> None:
    """What is stored of a whole reply was not stored of a stream."""
    received = CompletionChunks()
    for event in events:
        received.add(event)
    receipt = memory.session().observe([], received.reply())
    assert [chunk.text for chunk in memory.list()] == told
    assert receipt is not None
    assert receipt.skipped.get("cut off", 0) == (not told)
