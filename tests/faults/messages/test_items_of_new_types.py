"""Items and blocks of an API that are newer than the table of types, or seldom seen."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize


def _read(content: Any) -> list[tuple[str | None, str, str]]:
    return [(part.role, part.kind, part.text) for part in normalize(content).parts]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "program_output", "result": "It rains."}, ("tool", "tool_result", "It rains.")),
        ({"type": "web_output", "output": "It rains."}, ("tool", "tool_result", "It rains.")),
        ({"type": "sql_result", "content": "3 rows"}, ("tool", "tool_result", "3 rows")),
        ({"type": "program", "code": "go()"}, ("assistant", "tool_call", "program(go())")),
        (
            {"type": "browser_call", "action": {"url": "x"}},
            ("assistant", "tool_call", 'browser({"url": "x"})'),
        ),
        (
            {"type": "x_call", "name": "look", "arguments": "{}"},
            ("assistant", "tool_call", "look({})"),
        ),
    ],
)
def test_what_names_its_call_is_a_call_or_a_result(
    item: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    block = {**item, "call_id": "c1"}
    assert _read({"role": "assistant", "content": [block]}) == [expected]
    if "content" not in item:
        assert _read([block]) == [expected]
        (part,) = normalize([block]).parts
        assert part.metadata["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "tool_search_output", "call_id": "c", "tools": [{"description": "Looks it up."}]},
        {"type": "additional_tools", "role": "developer", "tools": [{"description": "Tells it."}]},
        {"type": "image_output", "call_id": "c", "output": "aGVsbG8="},
    ],
)
def test_what_only_lists_tools_does_not_refuse_an_answer(item: dict[str, Any]) -> None:
    found = normalize({"output": [item, {"role": "assistant", "content": "Rain."}]})
    assert [part.text for part in found.parts] == ["Rain."]
    assert found.skipped == {item["type"]: 1}


def test_a_listing_of_a_server_does_not_refuse_a_message() -> None:
    listing = {"type": "mcp_tool_listing", "mcp_server_name": "The weather"}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "Rain."}, listing]}
    assert _read(answer) == [("assistant", "message", "Rain.")]


@pytest.mark.parametrize("kind", ["summary", "compaction"])
def test_what_sums_up_is_not_the_users(kind: str) -> None:
    item = {"type": kind, "summary" if kind == "summary" else "content": "They met in Porto."}
    assert _read(item) == [("system", "message", "They met in Porto.")]


def test_why_an_editor_failed() -> None:
    error = {"type": "x_error", "error_code": "unavailable", "error_message": "The disk is full."}
    block = {"type": "editor_tool_result", "tool_use_id": "t", "content": error}
    (part,) = normalize({"role": "assistant", "content": [block]}).parts
    assert part.text == "unavailable\nThe disk is full."


@pytest.mark.parametrize(
    "kind",
    [
        "response.shell_call_output_content.done",
        "response.shell_call_command.done",
        "conversation.item.input_audio_transcription.segment",
    ],
)
def test_pieces_of_an_answer_are_not_the_users(kind: str) -> None:
    with pytest.raises(InputError, match="fragment"):
        normalize({"type": kind, "output": [{"stdout": "It rains."}], "text": "It rains."})


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"type": "function_call", "name": "shell", "arguments": "ls"}, "shell(ls)"),
        ({"type": "custom_tool_call", "name": "patch", "input": "+a"}, "patch(+a)"),
        ({"type": "local_shell_call", "action": {"command": ["ls"]}}, "local_shell(ls)"),
    ],
)
def test_calls_in_a_log_of_codex(payload: dict[str, Any], text: str) -> None:
    line = {"type": "response_item", "payload": {**payload, "call_id": "c"}}
    assert _read([line]) == [("assistant", "tool_call", text)]
    # Told again by the items beside it.
    told = {"type": "event_msg", "payload": {"type": "agent_message", "message": "It is done."}}
    assert normalize([line, told]).skipped == {"event_msg": 1}


class TestLangChain:
    def test_a_refusal(self) -> None:
        messages = pytest.importorskip("langchain_core.messages")
        refused = messages.AIMessage("", additional_kwargs={"refusal": "I can't do that."})
        assert _read(["Do it.", refused])[1:] == [("assistant", "message", "I can't do that.")]

    def test_results_of_a_model(self) -> None:
        messages = pytest.importorskip("langchain_core.messages")
        outputs = pytest.importorskip("langchain_core.outputs")
        call = {"name": "look", "args": {"at": 1}, "id": "c"}
        answer = outputs.ChatGeneration(message=messages.AIMessage("Rain.", tool_calls=[call]))
        expected = [
            ("assistant", "message", "Rain."),
            ("assistant", "tool_call", 'look({"at": 1})'),
        ]
        assert _read(answer) == expected
        assert _read(outputs.ChatResult(generations=[answer])) == expected
        plain = outputs.Generation(text="Snow.")
        assert _read(outputs.LLMResult(generations=[[answer], [plain]])) == [
            *expected,
            ("assistant", "message", "Snow."),
        ]

    def test_a_file_of_text_keeps_its_title(self) -> None:
        block = {"type": "text-plain", "text": "It rains.", "title": "Lyon", "context": "A report."}
        (part,) = normalize({"role": "user", "content": [block]}).parts
        assert (part.kind, part.title, part.text) == ("document", "Lyon", "A report.\nIt rains.")
