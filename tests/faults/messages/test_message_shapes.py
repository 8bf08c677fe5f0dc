"""Messages of other vendors' shapes were stored as nothing, with exit code 0, or refused."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.testing import tiny_model
from agentmem.types import Part
from agentmem_storage.timestamps import read_timestamp
from tests.support.cli import Cli
from tests.support.vendor_messages import SDKS, dumps

DUMPS = dumps()
MOMENT = datetime(2026, 2, 13, 9, 40, tzinfo=UTC)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def strings(value: object) -> Iterator[str]:
    """All strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def check(messages: Any, expected: list[Any]) -> None:
    """Every text with "keep" is stored, none with "drop"; counted once where it stands twice."""
    stored = "\n".join(part.text for part in normalize(messages).parts)
    for text in strings(expected):
        if "keep" in text and not text.startswith("http"):
            # The arguments of a call are written anew as JSON.
            assert re.sub(r"\W", "", text) in re.sub(r"\W", "", stored)
    assert "drop" not in stored


@pytest.mark.parametrize("vendor", sorted(DUMPS))
def test_every_text_of_every_vendor_is_stored(vendor: str) -> None:
    for message in DUMPS[vendor]:
        check(message, [message])
    check(DUMPS[vendor], DUMPS[vendor])
    parts = normalize(DUMPS[vendor]).parts
    told = {(part.kind, part.text, part.metadata.get("tool_call_id")) for part in parts}
    assert len(told) == len(parts)  # nothing twice


@pytest.mark.parametrize("vendor", sorted(SDKS))
def test_the_objects_of_an_sdk_are_its_dumps(vendor: str) -> None:
    module, make = SDKS[vendor]
    try:
        importlib.import_module(module)
    except ImportError:
        pytest.skip(f"{module} is not installed; its dumps are tested")
    assert normalize(make()) == normalize(DUMPS[vendor])


class Dumped:
    """An object as an SDK makes it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return self._values


def test_objects_with_a_dump_are_messages() -> None:
    said = {"role": "assistant", "content": "hi"}
    assert normalize([Dumped(said)]) == normalize(Dumped(said)) == normalize(said)


ROLES = [
    ({"type": "human", "content": "x"}, "user"),
    ({"type": "ai", "content": "x"}, "assistant"),
    ({"type": "system", "content": "x"}, "system"),
    ({"type": "tool", "content": "x", "tool_call_id": "c"}, "tool"),
    ({"type": "human", "data": {"content": "x", "name": None}}, "user"),
    (
        {"lc": 1, "type": "constructor", "id": ["a", "AIMessage"], "kwargs": {"content": "x"}},
        "assistant",
    ),
    ({"role": "model", "parts": [{"text": "x"}]}, "assistant"),
    ({"role": "user", "parts": ["x"]}, "user"),
    ({"role": "chatbot", "blocks": [{"block_type": "text", "text": "x"}]}, "assistant"),
    ({"role": "user", "content": [{"text": "x"}]}, "user"),
    ({"role": "user", "text": "x"}, "user"),
    (
        {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["x"]}},
        "assistant",
    ),
    ({"messages": [{"role": "user", "content": "x"}]}, "user"),
    ({"choices": [{"message": {"role": "assistant", "content": "x"}}]}, "assistant"),
    ({"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}}]}, "assistant"),
    ({"model": "m", "message": {"role": "assistant", "content": "x"}}, "assistant"),
    ({"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}}, "assistant"),
]


@pytest.mark.parametrize(("message", "role"), ROLES, ids=[str(one)[:40] for one, _ in ROLES])
def test_who_speaks_is_known_in_every_shape(message: dict[str, Any], role: str) -> None:
    (part,) = normalize([message]).parts
    assert (part.text, part.role) == ("x", role)


def test_an_exported_conversation_is_read_up_to_its_current_node() -> None:
    def node(text: str | None, parent: str | None) -> dict[str, Any]:
        said = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [text]}}
        return {"message": said if text else None, "parent": parent}

    nodes = {"root": node(None, None), "a": node("one", "root"), "b": node("two", "a")}
    nodes["other"] = node("an abandoned branch", "a")
    conversation = {"title": "t", "current_node": "b", "mapping": nodes}
    assert [part.text for part in normalize([conversation]).parts] == ["one", "two"]


BLOCKS: list[tuple[dict[str, Any], str, str | None]] = [
    ({"type": "input_audio", "transcript": "spoken"}, "spoken", None),
    (
        {"type": "document", "title": "T", "source": {"type": "text", "data": "page"}},
        "page",
        "document",
    ),
    ({"type": "document", "source": {"type": "content", "content": "page"}}, "page", "document"),
    (
        {
            "type": "search_result",
            "title": "T",
            "source": "https://a",
            "content": [{"type": "text", "text": "found"}],
        },
        "found",
        "document",
    ),
    (
        {"type": "mcp_tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "r"}]},
        "r",
        "tool_result",
    ),
    (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "t",
            "content": [{"type": "web_search_result", "title": "T", "url": "u"}],
        },
        "T\nu",
        "tool_result",
    ),
    (
        {"toolResult": {"toolUseId": "t", "content": [{"json": {"n": 1}}]}},
        '{"n": 1}',
        "tool_result",
    ),
    ({"functionResponse": {"name": "f", "response": {"n": 1}}}, '{"n": 1}', "tool_result"),
    ({"type": "a_new_block", "text": "kept"}, "kept", "message"),
    ({"type": "data-weather", "data": {"title": "Rain"}}, "Rain", "message"),
]


@pytest.mark.parametrize(("block", "text", "kind"), BLOCKS, ids=[str(b)[:40] for b, *_ in BLOCKS])
def test_blocks_keep_their_text(block: dict[str, Any], text: str, kind: str | None) -> None:
    (part,) = normalize({"role": "user", "content": [block]}).parts
    assert (part.text, part.kind) == (text, kind or "message")


SKIPPED = {
    "a_new_block": {"type": "a_new_block", "payload": 7},
    "image_url": {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    "input_audio": {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    "reasoning": {"type": "reasoning", "text": "secret"},
    "inlineData": {"inlineData": {"data": "AA==", "mimeType": "image/png"}},
}


@pytest.mark.parametrize("kind", SKIPPED)
def test_blocks_without_text_are_counted(kind: str, memory: Memory) -> None:
    content = [{"type": "text", "text": "hi"}, SKIPPED[kind]]
    receipt = memory.add({"role": "user", "content": content})
    assert [chunk.text for chunk in memory.list()] == ["hi"]
    assert receipt.skipped == {kind: 1}


def test_failed_calls_are_marked() -> None:
    parts = normalize(DUMPS["vercel"]).parts
    failed = {part.text for part in parts if part.metadata.get("is_error")}
    assert failed == {"keep: no such city", "keep: failed"}
    (one,) = normalize(
        [{"type": "tool", "content": "no", "tool_call_id": "c", "status": "error"}]
    ).parts
    assert one.metadata == {"tool_call_id": "c", "is_error": True}


EMPTY: list[dict[str, Any]] = [
    {"role": "assistant", "content": ""},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": []},
    {"role": "assistant", "parts": []},
    {"type": "ai", "content": " \n"},
]


@pytest.mark.parametrize("turn", EMPTY, ids=map(str, EMPTY))
def test_an_empty_turn_is_counted(turn: dict[str, Any], memory: Memory) -> None:
    receipt = memory.add(["before", turn, "after"])
    assert receipt.skipped == {"blank": 1}
    assert [chunk.text for chunk in memory.list()] == ["before", "after"]
    with pytest.raises(InputError, match="leave it out"):
        memory.add([turn])


def test_a_value_of_a_tool_beside_texts(memory: Memory) -> None:
    value = {"type": "json", "json": {"temperature": 21.5}}
    returned = {"type": "tool_result", "tool_use_id": "1", "content": [value]}
    for number, message in enumerate(
        (
            {"role": "tool", "tool_call_id": "1", "content": [value, "ok"]},
            {"role": "user", "content": [returned]},
        )
    ):
        assert not memory.add(message, user_id=str(number)).skipped
        assert any("21.5" in chunk.text for chunk in memory.list(user_id=str(number)))


def test_the_history_beside_a_prompt_and_its_answer(memory: Memory) -> None:
    said = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "so"}]
    for key in ("chat_history", "history"):
        receipt = memory.add({"input": "now", key: said, "output": "well"}, user_id=key)
        assert not receipt.skipped
        texts = [chunk.text for chunk in memory.list(user_id=key)]
        assert texts == ["before", "so", "now", "well"]


TIMES = [
    *("created_at", "createdAt", "create_time", "timestamp", "ts", "sent_at", "date"),
    *("time", "datetime", "dateTime", "sent", "created_time", "posted_at", "time_created"),
    *("Timestamp", "timestamp_ms", "createdTimestamp", "inserted_at", "created_utc"),
    *("date_created", "dateSent", "event_time", "received_at", "published", "publishedAt"),
    *("sentTimestamp", "messageTimestamp", "logged_at", "when", "updated_at", "lastModified"),
]


@pytest.mark.parametrize("key", TIMES)
@pytest.mark.parametrize(
    "value",
    [
        *("2026-02-13T09:40:00Z", "2026-02-13 09:40:00 UTC", "2026-02-13T09:40GMT"),
        *("2026-02-13t09:40:00z", "2026-02-13 09:40:00 +0000 UTC", "2026-02-13T09:40:00+00:00 GMT"),
        *(1770975600, 1770975600.0, 1770975600000, 1770975600000000),
        *("1770975600", "1770975600.000", "1770975600000"),
    ],
)
def test_times_under_every_usual_key(key: str, value: object) -> None:
    (part,) = normalize({"role": "user", "content": "x", key: value}).parts
    assert part.created_at == MOMENT


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("when", "after lunch"), ("published", True), ("posted", 1), ("received", "1")),
        *(("expires_on", "2026-02-13"), ("due_date", "2026-02-13"), ("birth_date", "1980-01-01")),
        *(("read_at", "2026-02-13T09:40:00Z"), ("start_time", "2026-02-13T09:40:00Z")),
    ],
)
def test_what_is_no_time_of_a_message(key: str, value: object) -> None:
    (part,) = normalize({"role": "user", "content": "x", key: value}).parts
    assert part.created_at is None


def test_when_it_was_written_counts_before_when_it_was_changed() -> None:
    for key in ("created_at", "date_created"):
        message = {"role": "user", "content": "x", "updated_at": 1800000000, key: 1770975600}
        (part,) = normalize(message).parts
        assert part.created_at == MOMENT


@given(st.integers(10**8, 10**10 - 1))
def test_a_time_is_the_same_in_every_unit(seconds: int) -> None:
    expected = read_timestamp(seconds)
    assert 1973 <= expected.year <= 2286
    assert read_timestamp(str(seconds)) == expected
    if seconds >= 10**9:
        for unit in (10**3, 10**6, 10**9):
            assert read_timestamp(str(seconds * unit)) == expected
    if 10**8 <= seconds:
        assert read_timestamp(seconds * 1000) == expected


@given(st.integers(1, 8).flatmap(lambda n: st.integers(10 ** (n - 1), 10**n - 1)).map(str))
def test_other_digits_are_refused(digits: str) -> None:
    with pytest.raises(ValueError, match="may be a number or a date"):
        read_timestamp(digits)


@pytest.mark.parametrize("digits", ["17301225", "20260213", "2026", "17709756001"])
def test_no_digits_are_a_year_long_ago(memory: Memory, digits: str) -> None:
    with pytest.raises(InputError, match="cannot read the time"):
        memory.add({"role": "user", "content": "x", "ts": digits})
    with pytest.raises(InputError, match="cannot read the time"):
        memory.recall("x", since=digits)


@pytest.mark.parametrize("number", [20240503, 20240503.0, 20240503101112, 2024])
def test_a_date_that_is_written_as_a_number_is_refused(memory: Memory, number: float) -> None:
    with pytest.raises(InputError, match="cannot read the time"):
        memory.add({"role": "user", "content": "x", "created_at": number})
    with pytest.raises(InputError, match="cannot read the time"):
        memory.add("x", created_at=number)
    with pytest.raises(InputError, match="cannot read the time"):
        memory.recall("x", since=number)


def test_a_time_beside_a_day() -> None:
    (part,) = normalize({"name": "Ana", "content": "x", "date": "2026-02-13", "time": "9:40"}).parts
    assert part.created_at == MOMENT


@pytest.mark.parametrize("none", [{"created_at": ""}, {"sent": True}, {"time": None}], ids=str)
def test_no_time_is_none(none: dict[str, Any]) -> None:
    (part,) = normalize({"role": "user", "content": "x", **none}).parts
    assert part.created_at is None


# Any shape around any text gives the text back

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
SHAPES: list[Any] = [
    lambda t: {"role": "user", "content": t},
    lambda t: {"role": "user", "content": [{"type": "text", "text": t}]},
    lambda t: {"type": "message", "role": "user", "content": [{"type": "input_text", "text": t}]},
    lambda t: {"role": "user", "parts": [{"text": t}]},
    lambda t: {"type": "human", "content": t},
    lambda t: {"type": "human", "data": {"content": [{"type": "text", "text": t}]}},
    lambda t: {"role": "user", "blocks": [{"block_type": "text", "text": t}]},
    lambda t: {"role": "user", "content": t, "parts": [{"type": "text", "text": t}]},
]


@given(st.lists(st.tuples(st.sampled_from(SHAPES), TEXTS), min_size=1, max_size=5))
def test_any_shape_gives_its_text_back(said: list[tuple[Any, str]]) -> None:
    found = normalize([shape(text) for shape, text in said])
    assert found.parts == tuple(Part("message", text, role="user") for _, text in said)
    assert found.skipped == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "parts", "text", "data", "kwargs", "messages", "output"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["role", "type", "content", "parts", "messages"]), JSON))
def test_any_dict_is_read_or_refused(message: dict[str, Any]) -> None:
    try:
        found = normalize(message)
    except InputError:
        return
    assert found.parts or found.skipped


# Other entry points


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "profile", "text": "keep"}, "keep"),
        ({"type": "text_file", "text": "keep"}, "keep"),
        ({"type": "file-content", "text": "keep"}, "keep"),
        ({"type": "image_description", "text": "keep"}, "keep"),
        ({"type": "image", "text": "keep"}, "keep"),
        ({"type": "file", "content": "keep this file"}, "keep this file"),
        ({"type": "video", "text": "keep"}, "keep"),
        ({"type": "file", "content": "QUJD" * 30}, None),
        ({"type": "image", "content": "data:image/png;base64,AA=="}, None),
        ({"type": "reasoning", "text": "drop"}, None),
        ({"guardContent": {"text": {"text": "keep", "qualifiers": ["query"]}}}, "keep"),
        ({"document": {"source": {"bytes": "AA=="}}}, None),
    ],
    ids=str,
)
def test_media_keep_what_is_plainly_text(block: dict[str, Any], text: str | None) -> None:
    found = normalize({"role": "user", "content": ["x", block]})
    assert [part.text for part in found.parts[1:]] == ([] if text is None else [text])
    assert sum(found.skipped.values()) == (text is None)
    if "type" in block:
        alone = normalize(["x", block])
        assert [part.text for part in alone.parts[1:]] == ([] if text is None else [text])


UNREAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "email", "subject": "Trip", "body": "We go to Lyon."}, "subject"),
    ({"type": "email", "title": "Trip", "body": "We go to Lyon."}, "body"),
    ({"type": "note", "body": "We go to Lyon."}, "body"),
    ({"type": "memory", "data": "Ana likes tea"}, "data"),
    ({"type": "preference", "memory": "tea"}, "memory"),
    ({"type": "page", "url": "https://example.com", "markdown": "# A page"}, "markdown"),
    ({"type": "list", "lines": ["one", "two"]}, "lines"),
]


@pytest.mark.parametrize(("item", "key"), UNREAD, ids=[str(one)[:60] for one, _ in UNREAD])
def test_text_under_an_unknown_key_is_refused(
    item: dict[str, Any], key: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"give its text as 'content', .* not as '{key}'"):
        normalize(["hi", item])
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(item), "utf-8")
    assert f"not as '{key}'" in Cli(tmp_path).error(3, "add", "-f", path)


def test_a_block_with_text_under_an_unknown_key_is_refused() -> None:
    block = {"type": "note", "body": "We go to Lyon."}
    with pytest.raises(InputError, match=r"give its text as \{'type': 'text', .* not as 'body'"):
        normalize({"role": "user", "content": ["hi", block]})
    # What a tool returns has any keys.
    result = {"role": "tool", "tool_call_id": "c", "content": [block]}
    (part,) = normalize(result).parts
    assert (part.kind, json.loads(part.text)) == ("tool_result", block)


NESTED: list[tuple[dict[str, Any], str]] = [
    ({"type": "card", "body": {"text": "I live in Porto."}}, "body.text"),
    ({"type": "card", "payload": {"body": {"words": "I live in Porto."}}}, "payload.body.words"),
    ({"type": "card", "payload": [{"n": 1}, {"words": "I live in Porto."}]}, "payload.words"),
    ({"type": "card", "payload": {"id": "a b", "lines": ["I live in Porto."]}}, "payload.lines"),
    ({"type": "answer", "reply": "Porto"}, "reply"),
    ({"type": "answer", "id": "a", "status": "done", "body": "Yes"}, "body"),
    ({"type": "poll", "question": {"choice": "Porto"}}, "question.choice"),
]


@pytest.mark.parametrize(("block", "path"), NESTED, ids=[path for _, path in NESTED])
def test_text_inside_a_dict_under_an_unknown_key_is_refused(
    block: dict[str, Any], path: str, tmp_path: Path
) -> None:
    message = {"role": "user", "content": ["hi", block]}
    with pytest.raises(InputError, match=rf"give its text as .* not as '{path}'"):
        normalize(message)
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps(message), "utf-8")
    assert f"not as '{path}'" in Cli(tmp_path).error(3, "add", "-f", file)
    # What a tool returns has any keys.
    (part,) = normalize({"role": "tool", "tool_call_id": "c", "content": [block]}).parts
    assert json.loads(part.text) == block


@pytest.mark.parametrize(
    "block",
    [
        {"type": "step", "state": "done", "data": {"state": "done", "traceId": "a b"}},
        {"type": "card", "response_metadata": {"finish": "end of turn"}},
        {"type": "card", "providerOptions": {"mode": "two words"}},
    ],
    ids=str,
)
def test_words_for_programs_are_counted(block: dict[str, Any]) -> None:
    found = normalize({"role": "user", "content": ["hi", block]})
    assert [part.text for part in found.parts] == ["hi"]
    assert found.skipped == {block["type"]: 1}


def test_a_message_whose_text_is_only_in_a_dict_is_refused() -> None:
    for message in (
        {"role": "user", "payload": {"body": "I live in Porto."}},
        {"role": "user", "content": "", "payload": {"body": "Porto"}},
        {"role": "assistant", "content": None, "reply": [{"words": "I live in Porto."}]},
    ):
        with pytest.raises(InputError, match=r"give its text as 'content', not as '\w+\.\w+'"):
            normalize(["hi", message])
    for more in (
        {"usage": {"note": "two words"}, "tool_calls": []},
        {"provider_specific_fields": {"citations": ["two words"]}},
        {"extra": {"citations": ["two words"], "trace_id": "two words", "error": {"note": "a b"}}},
    ):
        empty = {"role": "assistant", "content": "", **more}
        assert normalize(["hi", empty]).skipped == {"blank": 1}


FILE = {"name": "my cat.png", "contentType": "image/png", "url": "data:image/png;base64,AA=="}


@pytest.mark.parametrize("key", ["experimental_attachments", "attachments", "images", "files"])
@pytest.mark.parametrize("content", ["Look.", ""])
def test_attachments_are_counted(key: str, content: str) -> None:
    found = normalize({"role": "user", "content": content, key: [FILE, FILE]})
    assert [part.text for part in found.parts] == ([content] if content else [])
    assert found.skipped == {"attachment": 2}
    read = normalize({"role": "user", "content": content, key: [{**FILE, "text": "A cat."}, "x"]})
    assert [part.text for part in read.parts][-1] == "A cat."
    assert read.skipped == {"attachment": 1}
    encoded = normalize({"role": "user", "content": content, key: ["iVBORw0KGgo="]})
    assert encoded.skipped == {"attachment": 1}


def test_attachments_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(
        json.dumps({"role": "user", "content": "Look.", "attachments": [FILE]}), "utf-8"
    )
    assert Cli(tmp_path).json("add", "-f", path)["skipped"] == {"attachment": 1}


def test_events_without_text_are_counted() -> None:
    event = {"type": "ping", "event_id": "e", "itemId": "i", "timestamp": "2026-02-13T09:40:00Z"}
    assert normalize(["hi", event]).skipped == {"ping": 1}
    event = {"type": "progress", "data": {"type": "hook", "command": "npm run lint"}}
    assert normalize(["hi", event]).skipped == {"progress": 1}


PAGE = {"page_content": "A page.", "metadata": {"source": "a.md"}}


@pytest.mark.parametrize(
    "document",
    [
        {"id": "d1", "type": "Document", **PAGE},
        {"id": None, "type": "Document", **PAGE},
        {"lc": 1, "type": "constructor", "id": ["langchain", "Document"], "kwargs": PAGE},
        PAGE,
    ],
    ids=["id", "no id", "constructor", "plain"],
)
def test_documents_of_langchain(document: dict[str, Any], memory: Memory) -> None:
    for content in ([document], [Dumped(document)]):
        (part,) = normalize(content).parts
        assert (part.kind, part.role, part.text) == ("document", None, "A page.")
        assert part.metadata["source"] == "a.md"
    (id,) = memory.add([document]).ids
    assert memory.get(id).text == "A page."


@pytest.mark.parametrize(
    "content",
    [
        ("human", "I am vegan"),
        [("human", "I am vegan")],
        [["user", "I am vegan"]],
        [("human", [{"type": "text", "text": "I am vegan"}])],
    ],
    ids=str,
)
def test_pairs_of_langchain(content: Any) -> None:
    assert normalize(content).parts == (Part("message", "I am vegan", role="user"),)
    assert len(normalize(["human", "I am vegan"]).parts) == 2
    with pytest.raises(InputError, match="unknown role 'Ana'"):
        normalize([("Ana", "I am vegan")])


def test_default_values_beside_a_call() -> None:
    part = {"text": "", "thought": False, "inlineData": {}}
    call = {**part, "functionCall": {"name": "f", "args": {"q": 1}}}
    (found,) = normalize({"role": "model", "parts": [call]}).parts
    assert (found.kind, found.text) == ("tool_call", 'f({"q": 1})')
    both = normalize({"role": "model", "parts": [{**call, "text": "Let me see."}]}).parts
    assert [one.text for one in both] == ["Let me see.", 'f({"q": 1})']


@pytest.mark.parametrize(
    "block",
    [
        {"functionResponse": {"name": "f", "response": {"error": "no such city"}}},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "boom"}},
        {"code_execution_result": {"outcome": "OUTCOME_DEADLINE_EXCEEDED", "output": "boom"}},
    ],
    ids=str,
)
def test_failures_at_google_are_marked(block: dict[str, Any]) -> None:
    (part,) = normalize({"role": "user", "parts": [block]}).parts
    assert part.metadata["is_error"] is True


def test_ids_in_the_spelling_of_javascript(memory: Memory, tmp_path: Path) -> None:
    line = {"role": "user", "content": "x", "userId": "ana", "sessionId": "s", "agentId": "a"}
    memory.add([line])
    assert len(list(memory.list(user_id="ana", session_id="s", agent_id="a"))) == 1
    with pytest.raises(InputError, match="leave out one of the two"):
        memory.add({**line, "user_id": "bo"})
    with pytest.raises(InputError, match="leave out one of the two"):
        memory.add(line, user_id="bo")
    with pytest.raises(InputError, match="'userId' must be a non-empty string"):
        memory.add({**line, "userId": 7})
    cli = Cli(tmp_path)
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(line), "utf-8")
    # As with "user_id", the options are defaults for the messages without their own.
    for option in (("--user", "bo"), ("--session", "other"), ("--session", "s")):
        (chunk,) = cli.json("add", "-f", path, *option)["ids"]
        found = json.loads(cli.ok("list", "--json"))
        assert (found["id"], found["user_id"], found["session_id"]) == (chunk, "ana", "s")
    assert (
        "1 of 1 messages of lines.jsonl keep their own session_id"
        in cli.run("add", "-f", path, "--session", "other").stderr
    )
    assert "keep" not in cli.run("add", "-f", path, "--session", "s").stderr


def test_the_command_line_reads_every_vendor(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    for vendor in ("langchain-core", "vercel", "google-genai"):
        path = tmp_path / f"{vendor}.jsonl"
        path.write_text("\n".join(map(json.dumps, DUMPS[vendor])), encoding="utf-8")
        done = cli.json("add", "-f", path, "--session", vendor)
        assert len(done["ids"]) == len(normalize(DUMPS[vendor]).parts)


def test_the_command_line_never_stores_nothing_with_success(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "images.jsonl"
    path.write_text('{"role": "user", "content": [{"type": "image", "source": {}}]}\n', "utf-8")
    assert "nothing was stored: there is no text, only 1 image" in cli.error(3, "add", "-f", path)


def test_asyncio_takes_them_too() -> None:
    async def run() -> list[str]:
        async with await AsyncMemory.open(":memory:", model=tiny_model()) as memory:
            await memory.add(DUMPS["langchain-core"])
            return [chunk.text async for chunk in memory.list()]

    assert "keep: asked" in asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "role", "text"),
    [
        ({"type": "assistant", "content": "hi"}, "assistant", "hi"),
        ({"type": "AIMessage", "content": "hi"}, "assistant", "hi"),
        ({"type": "log", "message": {"role": "assistant", "content": "hi"}}, "assistant", "hi"),
        ({"type": "event", "payload": {"role": "system", "content": "hi"}}, "system", "hi"),
    ],
    ids=["type", "class", "message", "payload"],
)
def test_the_speaker_is_the_one_that_is_named(
    memory: Memory, message: Any, role: str, text: str
) -> None:
    (id,) = memory.add(message).ids
    assert (memory.get(id).role, memory.get(id).text) == (role, text)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "TextMessage", "source": "assistant", "content": "hi"}, "give it a 'role'"),
        ({"role": "user", "content": "", "body": "text"}, "not as 'body'"),
        ({"role": "user", "content": nested(3000)}, "a block must be a dict"),
    ],
    ids=["no speaker", "unknown key", "nested"],
)
def test_what_could_only_be_guessed_is_refused(memory: Memory, message: Any, error: str) -> None:
    with pytest.raises(InputError, match=error):
        memory.add(["hi", message])
    assert memory.stats().memories == 0


REFUSED = [
    (
        {
            **{"message_type": "tool_return_message", "tool_return": "ok", "status": "success"},
            **{"tool_call_id": "a", "name": "x"},
        },
        "not as 'tool_return'",
    ),
    ({"uuid": "u", "name": "Ana", "remarks": "hi"}, "not as 'remarks'"),
    (
        {"type": "message", "user": "U1", "text": "hey", "ts": "1700000000.000100"},
        "its type 'message' does not say who speaks; give it a 'role'",
    ),
]


@pytest.mark.parametrize(("message", "error"), REFUSED, ids=[error for _, error in REFUSED])
def test_errors_name_the_key_of_the_text(message: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=error):
        normalize([message])
