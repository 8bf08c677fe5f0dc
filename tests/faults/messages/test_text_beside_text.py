"""Text in one block or field was lost while other text of the same conversation was stored."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize

HI = {"type": "text", "text": "hi"}
LEASE = {"name": "The lease", "format": "txt", "source": {"text": "It ends in May."}}
PAGES = {**LEASE, "source": {"content": [{"text": "It ends"}, {"text": "in May."}]}}


def told(content: Any) -> list[tuple[str, str | None, str]]:
    return [(part.kind, part.role, part.text) for part in normalize(content).parts]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (LEASE, "It ends in May."),
        (PAGES, "It ends\nin May."),
        ({**LEASE, "context": "From 2024."}, "From 2024.\nIt ends in May."),
    ],
    ids=str,
)
def test_documents_of_bedrock(document: dict[str, Any], text: str) -> None:
    found = normalize({"role": "user", "content": [{"text": "hi"}, {"document": document}]})
    assert found.skipped == {}
    (_, part) = found.parts
    assert (part.kind, part.title, part.text) == ("document", "The lease", text)
    result = {"toolResult": {"toolUseId": "t", "content": [{"document": document}]}}
    (part,) = normalize({"role": "user", "content": [result]}).parts
    assert (part.kind, part.title, part.text) == ("document", "The lease", text)


def test_files_of_bedrock_are_counted() -> None:
    document = {**LEASE, "source": {"bytes": "AAAA"}}
    found = normalize({"role": "user", "content": [{"text": "hi"}, {"document": document}]})
    assert ([part.text for part in found.parts], found.skipped) == (["hi"], {"document": 1})


def test_the_context_of_a_document_of_anthropic() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "It ends in May."}
    document = {"type": "document", "title": "Lease", "context": "From 2024.", "source": source}
    assert told({"role": "user", "content": [document]}) == [
        ("document", None, "From 2024.\nIt ends in May.")
    ]


CALLS: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "web_search_call", "action": {"type": "search", "queries": ["aa", "bb"]}},
        "web_search(aa\nbb)",
    ),
    (
        {
            "type": "web_search_call",
            "action": {"type": "search", "query": "aa", "queries": ["aa", "bb"]},
        },
        "web_search(aa\nbb)",
    ),
    (
        {"type": "web_search_call", "action": {"type": "open_page", "url": "https://a.org"}},
        "web_search(https://a.org)",
    ),
    (
        {
            "type": "web_search_call",
            "action": {"type": "find_in_page", "url": "https://a.org", "pattern": "May"},
        },
        "web_search(May\nhttps://a.org)",
    ),
    (
        {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a/b.py"}},
        "apply_patch(delete_file\na/b.py)",
    ),
    (
        {
            "type": "apply_patch_call",
            "operation": {"type": "update_file", "path": "a/b.py", "diff": "+1"},
        },
        "apply_patch(update_file\na/b.py\n+1)",
    ),
    ({"type": "shell_call", "action": {"commands": ["ls", "ls"]}}, "shell(ls\nls)"),
    (
        {"type": "mcp_approval_request", "id": "r", "name": "send", "arguments": '{"to": "Ana"}'},
        'send({"to": "Ana"})',
    ),
]


@pytest.mark.parametrize(("item", "text"), CALLS, ids=[str(item)[:90] for item, _ in CALLS])
def test_what_a_tool_of_the_provider_was_asked(item: dict[str, Any], text: str) -> None:
    assert told([HI | {"role": "user"}, item])[1:] == [("tool_call", "assistant", text)]


def test_reasons_of_an_approval() -> None:
    mcp = {"type": "mcp_approval_response", "approval_request_id": "r", "approve": False}
    assert told([{**mcp, "reason": "Too late."}]) == [("message", "user", "Too late.")]
    assert normalize([mcp, "hi"]).skipped == {"mcp_approval_response": 1}
    vercel = {"type": "tool-approval-response", "approvalId": "r", "reason": "Too late."}
    assert told({"role": "tool", "content": [vercel]}) == [("message", "user", "Too late.")]
    part = {"type": "tool-send", "toolCallId": "c", "state": "approval-responded", "input": {}}
    part["approval"] = {"id": "r", "approved": False, "reason": "Too late."}
    assert told({"role": "assistant", "parts": [part]}) == [
        ("tool_call", "assistant", "send({})"),
        ("message", "user", "Too late."),
    ]


def test_summaries_of_a_conversation() -> None:
    block = {"type": "compaction", "content": "They met in May."}
    assert told({"role": "assistant", "content": [block, HI]}) == [
        ("message", "assistant", "They met in May."),
        ("message", "assistant", "hi"),
    ]
    for empty in ({"content": None}, {"encrypted_content": "gAAAA"}):
        found = normalize(["hi", {"type": "compaction", **empty}])
        assert found.skipped == {"compaction": 1}


@pytest.mark.parametrize("key", ["messages", "contents", "input"])
def test_messages_in_a_message_are_refused(key: str) -> None:
    message = {"role": "user", "content": "outer", key: [{"role": "user", "content": "inner"}]}
    with pytest.raises(InputError, match=f"holds others in '{key}'; give them one after the other"):
        normalize([message])
    assert told([{**message, key: []}]) == [("message", "user", "outer")]


def test_roles_in_capitals_and_the_text_of_cohere() -> None:
    said = [{"role": "USER", "message": "hi"}, {"role": "CHATBOT", "message": "hello"}]
    assert told(said) == [("message", "user", "hi"), ("message", "assistant", "hello")]
    assert told({"role": "User", "content": "hi", "message": "there"}) == [
        ("message", "user", "hi"),
        ("message", "user", "there"),
    ]
    assert told({"role": "Assistant", "content": "hi", "message": "hi"}) == [
        ("message", "assistant", "hi")
    ]
    with pytest.raises(InputError, match="not as 'message'"):
        normalize({"role": "TOOL", "message": "hi"})
    with pytest.raises(InputError, match="not as 'body'"):
        normalize({"role": "user", "message": "hi", "body": "there you are"})
