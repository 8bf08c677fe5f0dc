"""Normalization: every accepted input format, and what is rejected."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agentmem.ingest.checks import MAX_CHARS
from agentmem.ingest.normalize import Normalized, normalize
from agentmem.types import Document, Message, Part
from agentmem_storage.errors import InputError
from agentmem_storage.text import is_blank


def texts(normalized: Normalized) -> list[str]:
    return [part.text for part in normalized.parts]


def only(content: Any) -> Part:
    (part,) = normalize(content).parts
    return part


# What is accepted


def test_a_string_is_said_by_the_user() -> None:
    assert normalize("hello") == Normalized((Part("message", "hello", role="user"),), {})


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not is_blank(text)))
def test_any_unicode_is_kept_exactly(text: str) -> None:
    block = {"role": "user", "content": [{"type": "text", "text": text}]}
    said = {"role": "user", "content": text}
    content: list[Any] = [text, said, block, Message(text), Document(iter(text))]
    assert texts(normalize(content)) == [text] * 5


def test_control_characters_are_text() -> None:
    assert only("\x00").text == "\x00"
    assert only("\ufeffa\x1b[0m\r\n\x07 ").text == "\ufeffa\x1b[0m\r\n\x07 "


def test_a_message_object() -> None:
    at = datetime(2026, 2, 13, 9, 40, tzinfo=timezone(timedelta(hours=1)))
    message = Message("hi", "assistant", name="Bo", created_at=at, metadata={"a": [1, None]})
    part = only(message)
    assert part == Part(
        "message",
        "hi",
        role="assistant",
        name="Bo",
        created_at=datetime(2026, 2, 13, 8, 40, tzinfo=UTC),
        metadata={"a": [1, None]},
    )
    assert part.created_at is not None
    assert part.created_at.tzinfo is UTC


def test_a_document() -> None:
    assert only(Document("# A\n", title="A", uri="a.md", metadata={"k": 1})) == Part(
        "document", "# A\n", title="A", uri="a.md", metadata={"k": 1}
    )


@pytest.mark.parametrize(
    ("role", "kind", "kept"),
    [
        ("user", "message", "user"),
        ("assistant", "message", "assistant"),
        ("system", "message", "system"),
        ("developer", "message", "developer"),
        ("tool", "tool_result", "tool"),
        ("function", "tool_result", "tool"),
    ],
)
def test_roles(role: str, kind: str, kept: str) -> None:
    part = only({"role": role, "content": "x", "name": "n"})
    assert (part.kind, part.role, part.name) == (kind, kept, "n")


def test_a_name_stands_for_the_user_role() -> None:
    assert only({"name": "Ana", "content": "hi"}) == Part("message", "hi", role="user", name="Ana")


@pytest.mark.parametrize("wrap", [list, tuple, iter], ids=["list", "tuple", "iterator"])
def test_any_sequence_keeps_its_order(wrap: Any) -> None:
    said = {"role": "assistant", "content": "b"}
    items = ["a", said, Message("c"), Document("d"), {"name": "x", "content": "e"}]
    assert texts(normalize(wrap(items))) == ["a", "b", "c", "d", "e"]


def test_openai_chat_with_parts_and_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:..."}}
    content = [
        {"type": "text", "text": "What is"},
        image,
        {"type": "text", "text": " this?"},
        image,
        {"type": "input_audio", "input_audio": {}},
    ]
    normalized = normalize({"role": "user", "content": content})
    assert texts(normalized) == ["What is", " this?"]
    assert normalized.skipped == {"image_url": 2, "input_audio": 1}


def test_openai_chat_tool_calls() -> None:
    arguments = '{"city":  "Lyon", "é": 1}'
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x y"}}
    normalized = normalize(
        [
            {"role": "assistant", "content": None, "tool_calls": [call, custom]},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "assistant", "content": "Wait.", "tool_calls": [call]},
            {"role": "assistant", "function_call": {"name": "old", "arguments": ""}},
            {"role": "tool", "tool_call_id": "c1", "content": "12 °C"},
            {"role": "tool", "tool_call_id": "", "content": [{"type": "text", "text": "dry"}]},
        ]
    )
    c1 = {"tool": "f", "tool_call_id": "c1"}
    first = Part("tool_call", f"f({arguments})", role="assistant", metadata=c1)
    assert normalized.skipped == {}
    assert normalized.parts == (
        first,
        Part("tool_call", "g(x y)", "assistant", metadata={"tool": "g", "tool_call_id": "c2"}),
        first,
        Part("message", "Wait.", "assistant"),
        first,
        Part("tool_call", "old()", "assistant", metadata={"tool": "old"}),
        Part("tool_result", "12 °C", "tool", metadata={"tool_call_id": "c1"}),
        Part("tool_result", "dry", "tool", metadata={"tool_call_id": ""}),
    )


def test_openai_chat_as_dumped_by_its_client() -> None:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": "I cannot."}
    message |= {"annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    assert only(message) == Part("message", "I cannot.", "assistant")
    spoken = message | {"refusal": None, "audio": {"id": "a"}, "reasoning_content": "hm"}
    assert normalize(spoken) == Normalized((), {"audio": 1, "reasoning_content": 1})


def test_anthropic_blocks_in_order() -> None:
    normalized = normalize(
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "secret", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"z": "é", "a": 1}},
                    {"type": "text", "text": "And?"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "content": [{"type": "text", "text": "see"}, {"type": "image"}],
                    },
                    {"type": "document", "source": {}},
                    {"type": "text", "text": "so?"},
                ],
            },
        ]
    )
    assert normalized.parts == (
        Part("message", "Let me look.", "assistant"),
        Part(
            "tool_call",
            'f({"z": "é", "a": 1})',
            "assistant",
            metadata={"tool": "f", "tool_call_id": "t1"},
        ),
        Part("message", "And?", "assistant"),
        Part("tool_result", "no", "tool", metadata={"tool_call_id": "t1", "is_error": True}),
        Part("tool_result", "see", "tool", metadata={"tool_call_id": "t2"}),
        Part("message", "so?", "user"),
    )
    assert normalized.skipped == {"thinking": 1, "redacted_thinking": 1, "image": 1, "document": 1}


def test_openai_responses_items() -> None:
    said = [{"type": "output_text", "text": "Hi", "annotations": []}]
    refused = [{"type": "refusal", "refusal": "No"}]
    normalized = normalize(
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Q"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "7"},
            {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "raw"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": "8"},
            {"type": "web_search_call", "id": "w", "status": "completed"},
            {"type": "message", "id": "m", "role": "assistant", "content": [*said, *refused]},
        ]
    )
    kinds = [(part.kind, part.role, part.text) for part in normalized.parts]
    assert kinds == [
        ("message", "user", "Q"),
        ("tool_call", "assistant", "f({})"),
        ("tool_result", "tool", "7"),
        ("tool_call", "assistant", "g(raw)"),
        ("tool_result", "tool", "8"),
        ("message", "assistant", "Hi"),
        ("message", "assistant", "No"),
    ]
    assert [dict(part.metadata) for part in normalized.parts[1:3]] == [
        {"tool": "f", "tool_call_id": "c"},
        {"tool_call_id": "c"},
    ]
    assert normalized.skipped == {"reasoning": 1, "web_search_call": 1}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "tool", "tool_call_id": "c"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": []}]},
        {"type": "function_call_output", "call_id": "c", "output": "\n"},
    ],
    ids=["empty", "absent", "block", "list", "white"],
)
def test_a_tool_that_returned_nothing_is_counted(message: dict[str, Any]) -> None:
    assert normalize(["x", message]).skipped == {"tool_result": 1}


def test_a_tool_that_returned_an_image_is_counted_once() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image"}]}
    assert normalize({"role": "user", "content": [result]}) == Normalized((), {"image": 1})


def test_blank_texts_beside_others_are_counted() -> None:
    blocks = [{"type": "text", "text": text} for text in ("\n\n", "", "hi", " ")]
    normalized = normalize({"role": "assistant", "content": blocks})
    assert texts(normalized) == ["hi"]
    assert normalized.skipped == {"blank": 2}


def test_an_image_alone_is_counted() -> None:
    image = {"type": "image", "source": {}}
    normalized = normalize({"role": "user", "content": [{"type": "text", "text": ""}, image]})
    assert normalized == Normalized((), {"image": 1})


# Times and metadata


MOMENT = datetime(2026, 2, 13, 9, 40, tzinfo=UTC)


@pytest.mark.parametrize("key", ["created_at", "timestamp", "at", "date"])
@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=-8))),
        "2026-02-13T09:40:00Z",
        "2026-02-13 09:40",
        "2026-02-13T10:40:00+01:00",
        1770975600,
        1770975600.0,
    ],
    ids=["aware", "naive", "zone", "iso-z", "iso-naive", "iso-zone", "int", "float"],
)
def test_times(key: str, value: object) -> None:
    assert only({"role": "user", "content": "x", key: value}).created_at == MOMENT


def test_a_date_is_its_first_moment() -> None:
    assert only({"name": "a", "content": "x", "date": "1969-12-31", "at": None}).created_at == (
        datetime(1969, 12, 31, tzinfo=UTC)
    )


def test_time_and_metadata_of_the_call_are_defaults() -> None:
    own = Message("a", created_at=MOMENT, metadata={"k": "own"})
    normalized = normalize([own, "b"], created_at="2020-01-01", metadata={"k": "all", "n": 1})
    assert [part.created_at for part in normalized.parts] == [
        MOMENT,
        datetime(2020, 1, 1, tzinfo=UTC),
    ]
    assert [part.metadata for part in normalized.parts] == [
        {"k": "own", "n": 1},
        {"k": "all", "n": 1},
    ]


def test_metadata_is_a_copy_as_json_gives_it_back() -> None:
    given_: dict[str, Any] = {"tags": ("a", "b"), "deep": {"x": [1, 2.5, True, None, "é"]}}
    part = only({"role": "user", "content": "x", "metadata": given_})
    given_["deep"]["x"].append("later")
    assert part.metadata == {"tags": ["a", "b"], "deep": {"x": [1, 2.5, True, None, "é"]}}


# What is refused


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)

REFUSED: dict[str, tuple[Any, str]] = {
    "empty": ("", "the message: it has no text; leave it out"),
    "white": (
        " \n\t\u3000",
        "the message: its text is only whitespace, or invisible; leave it out",
    ),
    "nothing": ([], "the list of messages is empty"),
    "none": (None, "the content is a NoneType"),
    "number": (7, "the content is a int"),
    "bytes": (b"abc", "is bytes; decode them first"),
    "set": ({"a"}, "the content is a set"),
    "item-bytes": (["a", b"abc"], "message 1 is bytes; decode them first"),
    "item-none": (["a", None], "message 1 is a NoneType"),
    "nested": ([["a"]], r"message 0 is a list .*list of these"),
    "empty-items": ([" ", ""], "message 0: its text is only whitespace"),
    "empty-document": (["a", Document("")], "message 1: it has no text"),
    "surrogate": ("ab\ud800", r"the message: lone surrogate '\\ud800' at position 2"),
    "surrogate-block": (
        {"role": "user", "content": [{"type": "text", "text": "\udcff"}]},
        "the message: lone surrogate .* at position 0",
    ),
    "surrogate-name": ({"name": "\ud800", "content": "x"}, "the message: name: lone surrogate"),
    "surrogate-metadata": (Message("x", metadata={"a": "\ud800"}), "metadata cannot be written"),
    "role": ({"role": "bot", "content": "x"}, "unknown role 'bot'; use one of user, assistant"),
    "role-type": ({"role": ["user"], "content": "x"}, r"unknown role \['user'\]"),
    "message-role": (Message("x", role="bot"), "unknown role 'bot'"),  # type: ignore[arg-type]
    "no-role": ([{"content": "x"}], r"message 0: a dict needs a 'role' .*\['content'\]"),
    "typed-no-role": (
        {"type": "message", "content": "x"},
        "does not say who speaks; give it a 'role'",
    ),
    "foreign": ({"sender": "human", "value": "x"}, "a dict needs a 'role'"),
    "holds-nothing": ({"role": "user"}, "the message: it has no text"),
    "null": ({"role": "assistant", "content": None, "tool_calls": []}, "it has no text"),
    "no-blocks": ({"role": "user", "content": []}, "it has no text"),
    "content-number": (["a", {"role": "user", "content": 3}], r"message 1: content .* a int \(3\)"),
    "content-dict": ({"role": "user", "content": {"text": "x"}}, "string or a list of blocks"),
    "content-bytes": ({"role": "user", "content": b"x"}, "decode them first"),
    "message-content": (Message(5), "content must be a string"),  # type: ignore[arg-type]
    "block-untyped": ({"role": "user", "content": [{"body": "x"}]}, "block 0: a block must be a d"),
    "other-field": (["a", {"role": "user", "body": "x"}], "as 'content', not as 'body'"),
    "block-number": ({"role": "user", "content": ["ok", 5]}, "the message, block 1: a block must"),
    "block-no-text": ({"role": "user", "content": [{"type": "text"}]}, "'text' must be a string"),
    "calls": ({"role": "assistant", "tool_calls": "f()"}, "'tool_calls' must be a list"),
    "call": ({"role": "assistant", "tool_calls": ["f"]}, "tool call 0: expected {'function'"),
    "call-unnamed": (
        {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
        "tool call 0: a tool call without a name",
    ),
    "call-id": ({"type": "function_call", "name": "f", "call_id": 3}, "id of a tool call must be"),
    "call-arguments": ({"type": "tool_use", "name": "f", "input": {"a": math.nan}}, "are not JSON"),
    "is-error": ({"type": "tool_result", "content": "x", "is_error": "no"}, "true or false"),
    "name": ({"name": 3, "content": "x"}, "name must be a non-blank string, got 3"),
    "title": (Document("x", title=" "), "the document: title must be a non-blank string"),
    "document-empty": (Document(""), "the document: it has no text"),
    "document-white": (Document([" ", "\n"]), "the document: its text is only whitespace"),
    "document-bytes": (Document(b"x"), "text must be .* bytes; decode"),  # type: ignore[arg-type]
    "document-piece": (Document(["a", b"b"]), "piece 1 of its text .* decode"),  # type: ignore[list-item]
    "document-dict": (Document({"a": 1}), "text must be a string or a sequence of strings"),
    "nan-time": (Message("x", created_at=math.nan), "cannot read the time nan"),  # type: ignore[arg-type]
    "infinite-time": ({"name": "a", "content": "x", "at": math.inf}, "outside the years"),
    "digits": ({"name": "a", "content": "x", "at": "20260213"}, "cannot read the time '20260213'"),
    "date": ({"name": "a", "content": "x", "date": "8 May, 2023"}, "cannot read the time '8 May, "),
    "bool-time": ({"name": "a", "content": "x", "at": True}, "cannot read the time True"),
    "metadata-list": ({"name": "a", "content": "x", "metadata": [1]}, "metadata must be a dict"),
    "metadata-object": (Message("x", metadata={"a": object()}), "metadata cannot be written as"),
    "metadata-key": (Message("x", metadata={1: "a"}), "the key 1 is not a string"),  # type: ignore[dict-item]
    "metadata-deep-key": (Message("x", metadata={"a": [{2: 1}]}), "the key 2 is not a string"),
    "metadata-nan": (Message("x", metadata={"a": math.nan}), "metadata cannot be written as JSON"),
    "metadata-circle": (Message("x", metadata={"a": CIRCLE}), "metadata cannot be written as JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    content, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        normalize(content)


def test_deep_metadata_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError, match="metadata: nested more than 64 deep"):
        normalize(Message("x", metadata={"a": deep}))


def test_one_bad_message_refuses_the_call() -> None:
    with pytest.raises(InputError, match="message 2: unknown role"):
        normalize(["a", "b", {"role": "x", "content": "c"}])


@pytest.mark.parametrize("wrap", [str, Message, Document], ids=["str", "message", "document"])
def test_a_long_text_is_refused_with_the_way_out(wrap: Any) -> None:
    assert texts(normalize(wrap("a" * 10), max_chars=10)) == ["a" * 10]
    expected = r"message 1: the text has 11 characters, the limit is 10; split it, or open Memory"
    with pytest.raises(InputError, match=expected):
        normalize(["ok", wrap("a" * 11)], max_chars=10)


def test_a_50_mb_document_is_refused_by_default() -> None:
    with pytest.raises(InputError, match=r"50,000,000 characters, the limit is 10,000,000"):
        normalize("x" * 50_000_000)


def test_an_endless_document_is_read_no_further_than_the_limit() -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "x" * 100_000

    with pytest.raises(InputError, match="more than 10,000,000 characters"):
        normalize(Document(endless()))
    assert read == MAX_CHARS // 100_000 + 1


# Files


def test_a_file_is_kept_exactly(tmp_path: Path) -> None:
    # Longer than one piece, with every kind of line end and characters of every width.
    text = "\ufeff# Größe\r\n\rline\n\x00\u2028漢字 👩‍🚀\n" * 9_000
    path = tmp_path / "größe.md"
    path.write_bytes(text.encode("utf-8"))
    document = Document.from_file(path)
    assert only(document) == Part("document", text, title="größe.md", uri=path.as_posix())
    assert only(document).text == text, "a file may be read again"


def test_a_file_is_read_when_it_is_added(tmp_path: Path) -> None:
    document = Document.from_file(str(tmp_path / "later.txt"))
    (tmp_path / "later.txt").write_text("now")
    assert only(document).text == "now"


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes("naïve\n".encode("latin-1"))
    assert only(Document.from_file(path, encoding="latin-1")).text == "naïve\n"
    with pytest.raises(InputError, match=r"old.txt' is not utf-8: .* at byte 2; give its encoding"):
        normalize(Document.from_file(path))


@pytest.mark.parametrize("before", [0, 5, 65_535, 65_536, 200_001])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe6\xbc", b"\xf0\x9f\x91z"], ids=repr)
def test_the_first_undecodable_byte_is_named(tmp_path: Path, before: int, bad: bytes) -> None:
    path = tmp_path / "broken.txt"
    path.write_bytes(b"a" * before + bad)
    with pytest.raises(InputError, match=f"broken.txt' is not utf-8: .* at byte {before};"):
        normalize(Document.from_file(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*absent.txt': No such file"):
        normalize(Document.from_file(tmp_path / "absent.txt"))
    with pytest.raises(InputError, match="cannot read .*: it is a folder, not a file"):
        normalize(Document.from_file(tmp_path))
    with pytest.raises(InputError, match="'utf-99' is not an encoding of text"):
        Document.from_file(tmp_path / "a", encoding="utf-99")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="message 1: it has no text"):
        normalize(["a", Document.from_file(tmp_path / "empty.txt")])


def test_json_lines_as_read_are_accepted() -> None:
    lines = [
        '{"role": "user", "content": "a", "at": "2023-05-08"}',
        '{"name": "b", "content": "c"}',
    ]
    assert texts(normalize(json.loads(line) for line in lines)) == ["a", "c"]


def test_blocks_may_be_objects_of_an_sdk() -> None:
    class Block(BaseModel):
        type: str = "text"
        text: str = "Hello."

    for content in ([Block()], (Block(), {"type": "text", "text": "You."})):
        parts = normalize({"role": "assistant", "content": content}).parts
        assert [part.text for part in parts] == ["Hello.", "You."][: len(content)]
