"""Objects and results that were refused or counted although they have text, and say whose it is.

Messages of Pydantic AI are data classes, results of MCP say nothing of a role, and conversations of
Intercom have all of their texts in dicts inside.
"""

from __future__ import annotations

from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize


def told(content: Any) -> list[tuple[str | None, str]]:
    return [(part.role, part.text) for part in normalize(content).parts]


def test_messages_of_pydantic_ai_as_objects() -> None:
    messages = pytest.importorskip("pydantic_ai.messages")
    asked = messages.ModelRequest(
        parts=[
            messages.SystemPromptPart(content="Be brief."),
            messages.UserPromptPart(
                content=[
                    "Where is my bike?",
                    messages.BinaryContent(data=b"\x00\xff\x89", media_type="image/png"),
                ]
            ),
            messages.ToolReturnPart(tool_name="find", content={"place": "shed"}, tool_call_id="c1"),
        ]
    )
    answered = messages.ModelResponse(
        parts=[
            messages.TextPart(content="It is in the shed."),
            messages.ToolCallPart(tool_name="find", args={"q": "lock"}, tool_call_id="c2"),
        ]
    )
    both = [
        ("system", "Be brief."),
        ("user", "Where is my bike?"),
        ("tool", '{"place": "shed"}'),
        ("assistant", "It is in the shed."),
        ("assistant", 'find({"q": "lock"})'),
    ]
    assert told([asked, answered]) == both
    assert told(asked) == both[:3]
    assert told(answered) == both[3:]
    as_json = messages.ModelMessagesTypeAdapter.dump_python([asked, answered], mode="json")
    assert normalize([asked, answered]) == normalize(as_json)


@pytest.mark.parametrize(
    "result",
    [
        {"content": [{"type": "text", "text": "In the shed."}], "isError": False},
        {"meta": None, "content": [{"type": "text", "text": "In the shed."}], "is_error": False},
        {
            "jsonrpc": "2.0",
            "id": 3,
            "result": {"content": [{"type": "text", "text": "In the shed."}], "isError": False},
        },
    ],
)
def test_results_of_tools_of_mcp(result: dict[str, Any]) -> None:
    assert told(result) == [("tool", "In the shed.")]
    assert told([{"role": "user", "content": "Where?"}, result])[1:] == [("tool", "In the shed.")]
    failed = {"content": [{"type": "text", "text": "No such bike."}], "isError": True}
    (part,) = normalize(failed).parts
    assert part.kind == "tool_result"
    assert part.metadata["is_error"] is True


def test_results_of_mcp_as_objects() -> None:
    types = pytest.importorskip("mcp.types")
    text = types.TextContent(type="text", text="In the shed.")
    result = types.CallToolResult(content=[text], structuredContent={"place": "shed"})
    assert told(result) == [("tool", "In the shed."), ("tool", '{"place": "shed"}')]
    resource = types.TextResourceContents(uri="file:///bikes.txt", text="Bikes are in the shed.")
    read = types.ReadResourceResult(contents=[resource])
    (part,) = normalize(read).parts
    assert (part.kind, part.uri, part.text) == (
        "document",
        "file:///bikes.txt",
        "Bikes are in the shed.",
    )


def test_a_resource_that_is_no_text_is_counted() -> None:
    found = normalize(
        {
            "contents": [
                {"uri": "file:///a.txt", "text": "Bikes."},
                {"uri": "file:///b.png", "mimeType": "image/png", "blob": "iVBORw0KGgo="},
            ]
        }
    )
    assert [part.text for part in found.parts] == ["Bikes."]
    assert found.skipped == {"resource": 1}


def test_what_says_nothing_of_a_result_is_refused() -> None:
    for item in ({"content": [{"type": "text", "text": "Hi."}]}, {"jsonrpc": "2.0", "result": {}}):
        with pytest.raises(InputError, match="a dict needs a 'role'"):
            normalize(item)


def test_a_conversation_of_intercom() -> None:
    part = {"type": "conversation_part", "part_type": "comment"}
    found = normalize(
        {
            "type": "conversation",
            "id": "147",
            "created_at": 1734537780,
            "source": {
                "type": "conversation",
                "id": "403",
                "subject": "",
                "body": "My order has not arrived.",
                "author": {"type": "user", "id": "6", "name": "Ana"},
            },
            "conversation_parts": {
                "type": "conversation_part.list",
                "conversation_parts": [
                    {
                        **part,
                        "id": "1",
                        "body": "We look into it.",
                        "created_at": 1734537790,
                        "author": {"type": "admin", "id": "9", "name": "Bo"},
                    },
                    {
                        "type": "conversation_part",
                        "id": "2",
                        "part_type": "assignment",
                        "body": None,
                        "created_at": 1734537795,
                        "author": {"type": "bot", "id": "10"},
                    },
                    {
                        **part,
                        "id": "3",
                        "body": "It comes tomorrow.",
                        "created_at": 1734537799,
                        "author": {"type": "bot", "id": "10", "name": "Fin"},
                    },
                ],
            },
        }
    )
    assert [(one.role, one.name, one.text) for one in found.parts] == [
        ("user", "Ana", "My order has not arrived."),
        ("user", "Bo", "We look into it."),
        ("assistant", "Fin", "It comes tomorrow."),
    ]
    assert [int(one.created_at.timestamp()) % 100 for one in found.parts if one.created_at] == [
        *(80, 90, 99)
    ]
    assert found.skipped == {"assignment": 1}
