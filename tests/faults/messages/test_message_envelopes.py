"""Texts beside others of one message, in requests, exports and streams were dropped or refused."""

from __future__ import annotations

import asyncio
import json
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
from tests.support.cli import Cli

Told = list[tuple[str, str | None, str]]


def told(content: Any) -> Told:
    return [(part.kind, part.role, part.text) for part in normalize(content).parts]


def said(*texts: str, role: str = "user") -> Told:
    return [("message", role, text) for text in texts]


CALL = {"toolCallId": "c1", "toolName": "weather", "args": {"city": "Lyon"}, "state": "result"}
INVOCATION = {**CALL, "result": "Rain."}
CALLED: Told = [("tool_call", "assistant", 'weather({"city": "Lyon"})')]
RAIN: Told = [*CALLED, ("tool_result", "tool", "Rain.")]
PIECE = {"type": "tool-invocation", "toolInvocation": INVOCATION}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}

TWO_KEYS: list[tuple[dict[str, Any], Told]] = [
    ({"role": "user", "content": "one", "text": "two"}, said("one", "two")),
    ({"role": "user", "content": "one", "text": " one\n"}, said("one")),
    (
        {"role": "user", "content": "No, never.", "text": "No"},
        said("No, never.", "No"),
    ),
    ({"role": "user", "content": [IMAGE], "text": "my cat"}, said("my cat")),
    ({"role": "user", "content": "a b", "parts": [{"text": "a "}, {"text": "b"}]}, said("a ", "b")),
    (
        {"role": "assistant", "content": "Let me see.", "parts": [PIECE]},
        [*said("Let me see.", role="assistant"), *RAIN],
    ),
    (
        {"role": "assistant", "content": "Let me see.", "toolInvocations": [INVOCATION]},
        [*said("Let me see.", role="assistant"), *RAIN],
    ),
    ({"role": "assistant", "content": "", "toolInvocations": [INVOCATION]}, RAIN),
    ({"role": "assistant", "content": "", "parts": [PIECE], "toolInvocations": [INVOCATION]}, RAIN),
    (
        {"role": "assistant", "content": "", "toolInvocations": [{**CALL, "state": "call"}]},
        CALLED,
    ),
]


@pytest.mark.parametrize(("message", "expected"), TWO_KEYS, ids=[str(m)[:60] for m, _ in TWO_KEYS])
def test_text_under_two_keys(message: dict[str, Any], expected: Told) -> None:
    assert told(message) == expected


TEXTS = st.text("abc ", min_size=1, max_size=6).filter(str.strip)


@given(st.dictionaries(st.sampled_from(["content", "text", "parts", "blocks"]), TEXTS, min_size=1))
def test_no_text_of_any_key_is_dropped(texts: dict[str, str]) -> None:
    blocks = {"parts", "blocks"}
    message = {key: [{"text": text}] if key in blocks else text for key, text in texts.items()}
    squashed = {"".join(text.split()) for text in texts.values()}
    found = [part.text for part in normalize({"role": "user", **message}).parts]
    assert {"".join(text.split()) for text in found} == squashed
    assert len(found) == len(squashed)


CAPTIONS: list[dict[str, Any]] = [
    {"type": "image", "caption": "A cat."},
    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "alt": "A cat."}},
    {"type": "photo", "file": "cat.png", "caption": "A cat."},
    {"type": "video", "url": "https://example.com/cat.mp4", "description": "A cat."},
    {"type": "sticker", "alt_text": "A cat."},
]


@pytest.mark.parametrize("block", CAPTIONS, ids=[str(one)[:50] for one in CAPTIONS])
def test_captions_are_text(block: dict[str, Any]) -> None:
    assert told({"role": "user", "content": [block]}) == said("A cat.")


def test_what_a_model_thought_has_no_caption() -> None:
    block = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    assert normalize(["x", {"role": "assistant", "content": [block]}]).skipped == {"reasoning": 1}


HELLO = {"role": "user", "content": "Hello."}
SYSTEM = said("Be brief.", role="system")
REQUESTS: list[dict[str, Any]] = [
    {"model": "m", "system": "Be brief.", "messages": [HELLO]},
    {"system": [{"type": "text", "text": "Be brief."}], "messages": [HELLO]},
    {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hello."}]}],
    },
    {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hello."}]}],
    },
    {
        "system_instruction": "Be brief.",
        "contents": [{"role": "user", "parts": [{"text": "Hello."}]}],
    },
    {"model": "m", "instructions": "Be brief.", "input": [HELLO]},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=[str(sorted(one)) for one in REQUESTS])
def test_instructions_beside_the_messages(request_: dict[str, Any]) -> None:
    assert told(request_) == [*SYSTEM, *said("Hello.")]
    assert told(
        {key: one for key, one in request_.items() if "syst" not in key and "inst" not in key}
    ) == said("Hello.")


def test_the_input_of_a_call_is_no_list_of_messages() -> None:
    call = {"type": "tool_use", "id": "t", "name": "add", "input": [1, 2]}
    assert told(call) == [("tool_call", "assistant", "add([1, 2])")]


def test_instructions_that_are_repeated_are_stored_once(memory: Memory) -> None:
    for text in ("Hello.", "Bye."):
        request = {"system": "Be brief.", "messages": [{"role": "user", "content": text}]}
        memory.add(request, session_id="s")
    assert [chunk.text for chunk in memory.list()] == ["Be brief.", "Hello.", "Bye."]


# Exports of ChatGPT


def node(content: dict[str, Any], parent: str | None, role: str = "user", **more: Any) -> Any:
    author = {"role": role, "name": more.pop("name", None)}
    return {"parent": parent, "message": {"author": author, "content": content, **more}}


def text(*parts: Any) -> dict[str, Any]:
    return {"content_type": "text", "parts": list(parts)}


def conversation(**more: Any) -> dict[str, Any]:
    code = {"content_type": "code", "language": "python", "text": "1 + 1"}
    ran = {"content_type": "execution_output", "text": "2"}
    page = {"content_type": "tether_quote", "url": "u", "title": "T", "text": "a page"}
    about = {"content_type": "user_editable_context", "user_profile": "I am Ana."}
    thought = {"content_type": "thoughts", "thoughts": [{"summary": "hm", "content": "hm"}]}
    image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"}
    spoken = {"content_type": "audio_transcription", "text": "spoken"}
    nodes = {
        "root": {"parent": None, "message": None},
        "a": node(about, "root", create_time=1.0),
        "b": node({"content_type": "multimodal_text", "parts": [image, "Add."]}, "a"),
        "c": node(thought, "b", "assistant"),
        "d": node(code, "c", "assistant", recipient="python"),
        "e": node(ran, "d", "tool", name="python"),
        "f": node(page, "e", "tool", name="browser"),
        "g": node({"content_type": "multimodal_text", "parts": [spoken]}, "f"),
        "h": node(text("It is 2."), "g", "assistant", recipient="all", create_time=9.0),
        "x": node(text("abandoned"), "a", create_time=2.0),
    }
    return {"title": "Sums", "mapping": nodes, **more}


@pytest.mark.parametrize("more", [{"current_node": "h"}, {}, {"current_node": "gone"}])
def test_an_export_of_chatgpt(more: dict[str, Any]) -> None:
    assert told([conversation(**more)]) == [
        *said("I am Ana.", "Add."),
        ("tool_call", "assistant", "python(1 + 1)"),
        ("tool_result", "tool", "2"),
        ("tool_result", "tool", "T\nu\na page"),
        *said("spoken"),
        *said("It is 2.", role="assistant"),
    ]
    skipped = normalize([conversation(**more)]).skipped
    assert skipped == {"image_asset_pointer": 1, "thoughts": 1, "on other branches": 1}
    assert normalize(conversation(**more)).parts[3].name == "python"


# Threads of the Assistants API


def threaded(said: str, at: int, role: str = "user") -> dict[str, Any]:
    return {
        **{"id": f"msg_{at}", "object": "thread.message", "created_at": at, "role": role},
        "content": [{"type": "text", "text": {"value": said, "annotations": []}}],
        **{"attachments": [], "metadata": {}, "thread_id": "t", "assistant_id": None},
    }


def test_messages_of_a_thread() -> None:
    question, answer = threaded("Why?", 1770975600), threaded("So.", 1770975601, "assistant")
    expected = [*said("Why?"), *said("So.", role="assistant")]
    assert told([question, answer]) == expected
    assert told({"object": "list", "data": [answer, question], "has_more": False}) == expected
    assert told({"object": "list", "data": [question, answer]}) == expected


# Realtime and other streams

SPOKEN = {
    "type": "message",
    "role": "user",
    "id": "i1",
    "content": [{"type": "input_audio", "transcript": "Hi."}],
}
EVENTS: list[tuple[dict[str, Any], Told]] = [
    ({"type": "conversation.item.created", "item": SPOKEN}, said("Hi.")),
    (
        {
            "type": "conversation.item.input_audio_transcription.completed",
            **{"item_id": "i1", "content_index": 0, "transcript": "Hi."},
        },
        said("Hi."),
    ),
    (
        {"type": "response.output_audio_transcript.done", "item_id": "i2", "transcript": "Hi."},
        said("Hi.", role="assistant"),
    ),
    (
        {
            "type": "response.output_item.done",
            "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        },
        [("tool_call", "assistant", "f({})")],
    ),
    (
        {"type": "response.done", "response": {"output": [{**SPOKEN, "role": "assistant"}]}},
        said("Hi.", role="assistant"),
    ),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS, ids=[one["type"] for one, _ in EVENTS])
def test_complete_events_are_read(event: dict[str, Any], expected: Told) -> None:
    assert told(event) == expected


FRAGMENTS: list[dict[str, Any]] = [
    {"type": "response.output_text.delta", "delta": "Hel"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "conversation.item.input_audio_transcription.delta", "delta": "Hel"},
    {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hel"}}]},
    {"object": "thread.message.delta", "delta": {"content": []}, "type": "thread.message.delta"},
]


@pytest.mark.parametrize("event", FRAGMENTS, ids=[str(one)[:40] for one in FRAGMENTS])
def test_fragments_are_refused(event: dict[str, Any], memory: Memory) -> None:
    with pytest.raises(InputError, match=r"fragment of a stream.*add the complete message"):
        memory.add([HELLO, event])
    assert memory.stats().memories == 0


def test_a_log_of_a_stream_stores_what_was_said_once(memory: Memory) -> None:
    log = [event for event, _ in EVENTS[:2]]
    memory.add(log, session_id="s")
    assert [chunk.text for chunk in memory.list()] == ["Hi."]


PIECES: list[dict[str, Any]] = [
    {"type": "response.output_text.done", "item_id": "i", "text": "Hello."},
    {"type": "response.text.done", "item_id": "i", "text": "Hello."},
    {"type": "response.refusal.done", "item_id": "i", "refusal": "No."},
    {"type": "response.content_part.done", "part": {"type": "text", "text": "Hello."}},
    {"type": "response.function_call_arguments.done", "item_id": "i", "arguments": "{}"},
    {"type": "response.code_interpreter_call_code.done", "item_id": "i", "code": "1 + 1"},
]


@pytest.mark.parametrize("event", PIECES, ids=[one["type"] for one in PIECES])
def test_pieces_that_a_later_event_repeats_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"fragment of a stream.*add the complete message"):
        normalize([HELLO, event])


ERRORS: list[dict[str, Any]] = [
    {"type": "error", "code": "rate_limit", "message": "Too many requests."},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded."}},
    {
        "type": "conversation.item.input_audio_transcription.failed",
        **{"item_id": "i", "error": {"message": "The audio is unintelligible."}},
    },
]


@pytest.mark.parametrize("event", ERRORS, ids=[str(sorted(one)) for one in ERRORS])
def test_nobody_said_an_error_of_the_service(event: dict[str, Any]) -> None:
    assert told([HELLO, event]) == said("Hello.")
    assert normalize([HELLO, event]).skipped == {event["type"]: 1}


LEFT_EMPTY: list[dict[str, Any]] = [
    {"candidates": [{"finishReason": "SAFETY"}]},
    {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]},
    {"choices": [{"message": None, "finish_reason": "content_filter"}]},
    {"role": "user", "content": [{"type": "text", "text": None}]},
]


@pytest.mark.parametrize("answer", LEFT_EMPTY, ids=map(str, LEFT_EMPTY))
def test_a_blocked_answer_is_blank(answer: dict[str, Any]) -> None:
    assert told([HELLO, answer]) == said("Hello.")
    assert normalize([HELLO, answer]).skipped == {"blank": 1}


def test_a_line_of_a_log_gives_its_message_what_it_says_itself() -> None:
    line = {"type": "user", "timestamp": 1770975600, "sessionId": "s", "message": HELLO}
    (part,) = normalize(line).parts
    assert part.created_at == datetime(2026, 2, 13, 9, 40, tzinfo=UTC)
    assert part.scope.session_id == "s"
    own = {**line, "message": {**HELLO, "session_id": "own", "time": "2020-01-01"}}
    (part,) = normalize(own).parts
    assert part.created_at == datetime(2020, 1, 1, tzinfo=UTC)
    assert part.scope.session_id == "own"


# Other entry points


def test_an_export_of_claude() -> None:
    attachment = {"file_name": "a.txt", "extracted_content": "It ends in May."}
    asked = {"uuid": "x", "text": "hi there", "sender": "human", "attachments": [attachment]}
    said = {"uuid": "y", "sender": "assistant", "created_at": "2026-02-13T09:40:00Z", "text": "yes"}
    said["content"] = [{"type": "text", "text": "yes"}]
    conversation = {"uuid": "u", "name": "conv", "created_at": "2026-02-13T09:00:00Z"}
    found = normalize([{**conversation, "chat_messages": [asked, said]}])
    assert [(part.role, part.text, part.metadata) for part in found.parts] == [
        ("user", "hi there", {"message_id": "x"}),
        ("user", "It ends in May.", {"message_id": "x"}),
        ("assistant", "yes", {"message_id": "y"}),
    ]
    assert found.skipped == {}
    assert [part.created_at and part.created_at.minute for part in found.parts] == [0, 0, 40]


@pytest.mark.parametrize("key", ["messages", "contents"])
def test_metadata_of_an_envelope_are_those_of_its_messages(key: str) -> None:
    said = {"role": "user", "content": "x"}
    own = {**said, "metadata": {"a": 2}}
    parts = normalize({"metadata": {"a": 1, "b": 1}, key: [said, own]}).parts
    assert [part.metadata for part in parts] == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]
    with pytest.raises(InputError, match="metadata must be a dict"):
        normalize({"metadata": "a", key: [said]})


def test_tags_of_a_request_are_no_metadata_of_its_answer() -> None:
    answer = {"choices": [{"message": {"role": "assistant", "content": "x"}}]}
    (part,) = normalize({"metadata": {"a": 1}, **answer}).parts
    assert part.metadata == {}


def test_metadata_of_an_envelope_on_the_command_line(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "x"}]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"metadata": {"a": 1}, "messages": said}), encoding="utf-8")
    cli = Cli(tmp_path)
    cli.ok("add", "-f", path)
    assert cli.json("list")["metadata"] == {"a": 1}


@pytest.mark.parametrize("line", ['{"role": "user", "content": "a", "content": "b"}'])
@pytest.mark.parametrize("name", ["chat.jsonl", "chat.json"])
def test_a_key_that_stands_twice_is_refused(line: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(line, "utf-8")
    assert "the key 'content' stands twice" in Cli(tmp_path).error(3, "add", "-f", path)


def test_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([conversation()]), "utf-8")
    assert len(cli.json("add", "-f", path)["ids"]) == 7
    lines = tmp_path / "stream.jsonl"
    lines.write_text("\n".join(json.dumps(one) for one in FRAGMENTS), "utf-8")
    assert "fragment of a stream" in cli.error(3, "add", "-f", lines)
    lines.write_text(json.dumps({"type": "session.created", "session": {}}), "utf-8")
    assert "nothing was stored" in cli.error(3, "add", "-f", lines)


def test_asyncio() -> None:
    async def run() -> list[str]:
        async with await AsyncMemory.open(":memory:", model=tiny_model()) as memory:
            await memory.add(REQUESTS[0])
            return [chunk.text async for chunk in memory.list()]

    assert asyncio.run(run()) == ["Be brief.", "Hello."]
