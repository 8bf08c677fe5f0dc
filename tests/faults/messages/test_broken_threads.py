"""Messages of exports and logs were lost in silence: before a broken link, or beside others."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import Normalized, normalize
from agentmem.testing import tiny_model
from agentmem_cli.exits import ExitCode
from tests.support.chatgpt import export, shown
from tests.support.cli import Cli

OTHERS = "on other branches"


def said(text: str, time: float | None = None, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    author = {"role": "user", "name": None}
    return {"id": text, "author": author, "create_time": time, "content": content, **more}


def conversation(*nodes: tuple[str, Any, Any], current: Any = "d", timed: bool = True) -> Any:
    """Each node as its id, which is its text, too, its parent, and its children."""
    mapping = {
        id: {"parent": parent, "children": children, "message": said(id, at if timed else None)}
        for at, (id, parent, children) in enumerate(nodes, start=1)
    }
    return {"title": "Trains", "mapping": mapping, "current_node": current}


def texts(read: Normalized) -> list[str]:
    return [part.text for part in read.parts]


BROKEN = {
    "a parent that is not there": (("a", None, "b"), ("b", "a", ""), ("c", "gone", "d")),
    "a parent that its child list still knows": (("a", None, "b"), ("b", "a", "c"), ("c", 7, "d")),
    "no parent": (("a", None, "b"), ("b", "a", ""), ("c", None, "d")),
    "a circle": (("a", None, "b"), ("b", "a", ""), ("c", "d", "d")),
    "a circle that a child list opens": (("a", None, "b"), ("b", "a", "c"), ("c", "d", "d")),
    "its own parent": (("a", None, "b"), ("b", "a", ""), ("c", "c", "d")),
    "a circle of all": (("a", "d", "b"), ("b", "a", "c"), ("c", "b", "d")),
    "two gaps": (("a", "lost", ""), ("b", "gone", ""), ("c", None, "")),
}


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("current", ["d", None, "gone", ["d"]])
@pytest.mark.parametrize("nodes", BROKEN.values(), ids=BROKEN)
def test_what_was_said_before_a_broken_link_is_read(
    nodes: tuple[Any, ...], current: Any, timed: bool
) -> None:
    last = ("d", "c", "")
    read = normalize(conversation(*nodes, last, current=current, timed=timed))
    assert (texts(read), read.skipped) == (["a", "b", "c", "d"], {})


def test_other_branches_are_counted_and_not_taken_for_what_was_before() -> None:
    forked = conversation(
        ("a", None, "bx"), ("b", "a", ""), ("x", "a", "y"), ("y", "x", ""), ("c", "b", "d"),
        ("d", "c", ""),
    )  # fmt: skip
    read = normalize(forked)
    assert (texts(read), read.skipped) == (["a", "b", "c", "d"], {OTHERS: 2})
    siblings = conversation(("a", "gone", ""), ("b", "gone", ""), ("c", "b", ""), ("d", "c", ""))
    read = normalize(siblings)
    assert (texts(read), read.skipped) == (["b", "c", "d"], {OTHERS: 1})
    read = normalize({**forked, "current_node": "y"})
    assert (texts(read), read.skipped) == (["a", "x", "y"], {OTHERS: 3})


def test_what_is_no_message_is_counted() -> None:
    nodes = conversation(("a", None, ""), ("d", "b", ""))
    nodes["mapping"] |= {"b": None, "e": 7, "f": {"parent": "d", "message": "words"}}
    read = normalize(nodes)
    assert (texts(read), read.skipped) == (["a", "d"], {"not a message": 2})


LINK = st.sampled_from([None, "a", "b", "c", "d", "e", "gone", 3])


@given(st.lists(st.tuples(LINK, st.lists(LINK, max_size=2), st.integers(0, 3)), max_size=5), LINK)
def test_every_message_of_a_tree_is_read_or_counted(
    nodes: list[tuple[Any, list[Any], int]], current: Any
) -> None:
    mapping = {
        "abcde"[at]: {
            "parent": parent,
            "children": children,
            "message": said(str(at), time or None),
        }
        for at, (parent, children, time) in enumerate(nodes)
    }
    mapping["root"] = {"parent": None, "children": ["a"], "message": said("root")}
    read = normalize({"mapping": mapping, "current_node": current})
    assert len(set(texts(read))) == len(texts(read))
    assert len(texts(read)) + read.skipped.get(OTHERS, 0) == len(mapping)


def test_a_broken_export_is_imported_whole(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "cli")
    content = export(3)
    whole = [shown(one) for one in content]
    for one, parent in zip(content, (None, "gone", "a-2-2"), strict=True):
        node = one["mapping"][f"q-{one['id'][-1]}-2"]
        for other in one["mapping"].values():
            other["children"] = []
        node["parent"] = parent
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(content))
    done = cli.run("import", file)
    assert (done.exit_code, f"9 {OTHERS}" in done.stdout) == (0, True)
    for conversation, expected in zip(content, whole, strict=True):
        listed = cli.ok("list", "--session", conversation["id"], "--limit", 0, "--json")
        assert [json.loads(line)["text"] for line in listed.splitlines()] == expected
    again = cli.json("import", file)
    assert (again["memories"], again["skipped"][OTHERS]) == (0, 9)


def test_the_receipt_and_the_commands_count_other_branches(tmp_path: Path) -> None:
    forked = conversation(("a", None, ""), ("b", "a", ""), ("c", "a", ""), ("d", "c", ""))

    async def added() -> dict[str, int]:
        async with AsyncMemory(tmp_path / "store", model=tiny_model()) as memory:
            return dict((await memory.add([forked])).skipped)

    with Memory(tmp_path / "other", model=tiny_model()) as memory:
        receipt = memory.add(forked)
        assert (len(receipt.ids), dict(receipt.skipped)) == (3, {OTHERS: 1})
    assert asyncio.run(added()) == {OTHERS: 1}
    cli = Cli(tmp_path / "cli")
    line = tmp_path / "one.jsonl"
    line.write_text(json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n")
    with line.open("a") as file:
        file.write(json.dumps(forked))
    assert cli.json("import", line)["skipped"] == {OTHERS: 1}
    assert cli.json("add", "--file", line)["skipped"] == {OTHERS: 1}


@pytest.mark.parametrize(
    ("content", "expected", "skipped"),
    [
        ({"content_type": "text", "parts": [], "text": "beside"}, ["beside"], {}),
        ({"content_type": "text", "parts": ["one"], "text": "beside"}, ["one", "beside"], {}),
        ({"content_type": "text", "parts": ["one"], "text": "one"}, ["one"], {}),
        ({"content_type": "text", "parts": [None, "one"]}, ["one"], {"blank": 1}),
        ({"content_type": "text", "parts": None}, [], {"blank": 1}),
        ({"content_type": "text"}, [], {"blank": 1}),
    ],
)
def test_text_beside_the_parts_of_chatgpt(
    content: dict[str, Any], expected: list[str], skipped: dict[str, int]
) -> None:
    nodes = conversation(("a", None, ""), ("d", "a", ""))
    nodes["mapping"]["a"]["message"]["content"] = content
    read = normalize(nodes)
    assert (texts(read), read.skipped) == ([*expected, "d"], skipped)


ASK: dict[str, Any] = {"role": "user", "content": "When?"}
REPLY: dict[str, Any] = {"role": "assistant", "content": "At noon."}
ITEM = {**REPLY, "type": "message", "content": [{"type": "output_text", "text": "At noon."}]}
GOOGLE = {"content": {"role": "model", "parts": [{"text": "At noon."}]}}
TURN = {"from": "gpt", "value": "At noon."}
KERNEL = {"role": "assistant", "items": [{"content_type": "text", "text": "At noon."}]}
LOGS: list[dict[str, Any]] = [
    {"messages": [ASK], "choices": [{"message": REPLY}]},
    {"messages": [ASK], "response": {"choices": [{"message": REPLY}]}},
    {"request": {"messages": [ASK]}, "response": {"choices": [{"message": REPLY}]}},
    {"contents": [{"role": "user", "parts": [{"text": "When?"}]}], "candidates": [GOOGLE]},
    {"input": [ASK], "output": [ITEM]},
    {"input": "When?", "output": [ITEM]},
    {"input": "When?", "model": "m", "message": REPLY},
    {"prompt": "When?", "choices": [{"text": "At noon."}]},
    {"messages": [ASK], "message": REPLY},
    {"messages": [ASK], "output": REPLY},
    {"messages": [ASK], "output": {"message": REPLY}},
    {"messages": [], "input": [ASK], "output": [ITEM]},
    # Answers that are texts: DSPy's history, and what people log themselves.
    {"messages": [ASK], "outputs": ["At noon."], "uuid": "u", "model": "m", "cost": 0.1},
    {"messages": [ASK], "outputs": [{"text": "At noon.", "logprobs": None}], "prompt": None},
    {"messages": None, "prompt": "When?", "outputs": ["At noon."]},
    {"messages": [ASK], "response": "At noon."},
    {"messages": [ASK], "response": {"text": "At noon.", "model": "m"}},
    {"messages": [ASK], "completion": "At noon."},
    {"messages": [ASK], "reply": {"content": "At noon."}},
    {"messages": [ASK], "response": {"choices": [{"message": REPLY}]}, "outputs": ["At noon."]},
    {"request": {"messages": [ASK]}, "response": "At noon."},
    {"prompt": "When?", "completion": "At noon."},
    {"input": "When?", "output": "At noon."},
    # Data sets, snapshots and batches.
    {"id": "c", "conversations": [{"from": "human", "value": "When?"}, TURN]},
    {"values": {"messages": [{"type": "human", "content": "When?"}, REPLY]}, "next": []},
    {"channel_values": {"messages": [ASK, {"type": "ai", "content": "At noon."}]}, "id": "1"},
    {"custom_id": "r", "method": "POST", "body": {"model": "m", "messages": [ASK, REPLY]}},
    {"messages": [{"role": "user", "items": [{"content_type": "text", "text": "When?"}]}, KERNEL]},
    # The list has the answer already.
    {"messages": [ASK, REPLY], "outputs": ["At noon."]},
    {"messages": [ASK, REPLY], "choices": [{"message": REPLY}]},
    {"input": [ASK, REPLY], "output": [ITEM]},
]


@pytest.mark.parametrize("log", LOGS, ids=[str(one)[:60] for one in LOGS])
def test_a_log_of_request_and_answer_has_both(log: dict[str, Any]) -> None:
    read = normalize(log)
    assert [(part.role, part.text) for part in read.parts] == [
        ("user", "When?"),
        ("assistant", "At noon."),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"output": [{"score": 5}]},
        {"response": {"format": "json"}},
        {"output": {"n": 1}},
        {"outputs": ["At noon.", 5]},
        {"outputs": []},
        {"answer": " "},
    ],
)
def test_data_beside_messages_is_no_answer(more: dict[str, Any]) -> None:
    assert texts(normalize({"messages": [ASK], **more})) == ["When?"]


def test_who_speaks_in_a_turn_has_to_be_known() -> None:
    turns = [{"from": "human", "value": "When?"}, TURN]
    assert [part.role for part in normalize(turns).parts] == ["user", "assistant"]
    with pytest.raises(InputError, match="'from' is 'narrator'"):
        normalize([{"from": "narrator", "value": "It is noon."}])
    with pytest.raises(InputError, match="role"):
        normalize({"from": "Ana", "text": "When?"})


def test_items_that_are_no_contents_are_no_text() -> None:
    message = {"role": "user", "content": "When?", "items": [{"sku": 1}, {"sku": 2}]}
    assert texts(normalize(message)) == ["When?"]


def test_all_files_of_a_large_export_are_imported(tmp_path: Path) -> None:
    names = ("conversations-000.json", "conversations-001.json", "conversations.json")
    content = export(3, turns=1)
    for name, one in zip(names, content, strict=True):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_text(json.dumps([one]))
    (tmp_path / "folder" / "shared_conversations.json").write_text("[7]")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for file in (tmp_path / "folder").iterdir():
            archive.write(file, f"inner/{file.name}")
    cli = Cli(tmp_path / "cli")
    done = cli.json("import", tmp_path / "export.zip")
    assert (done["form"], done["items"]) == ("ChatGPT export", 4)
    assert cli.json("import", tmp_path / "folder")["memories"] == 0
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for place in ("a", "b"):
            archive.write(tmp_path / "folder" / names[2], f"{place}/{names[2]}")
    assert "several exports" in cli.error(ExitCode.INPUT, "import", tmp_path / "two.zip")


def test_a_message_of_claude_that_is_null_is_counted(tmp_path: Path) -> None:
    talk = {"uuid": "c", "name": "", "chat_messages": [None, {"sender": "human", "text": "Hi."}]}
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([talk]))
    done = Cli(tmp_path / "cli").json("import", file)
    assert (done["memories"], done["skipped"]) == (1, {"blank": 1})


def test_a_profile_has_the_time_of_the_first_conversation_with_it(tmp_path: Path) -> None:
    """It has none of its own, and what was said since must not be older."""
    cli = Cli(tmp_path)
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(export(3, turns=1, seed=0)), encoding="utf-8")
    cli.ok("import", file)
    stored = map(json.loads, cli.ok("list", "--limit", "100", "--json").splitlines())
    told = [one for one in stored if "provided" in one["text"]]
    assert [one["created_at"][:10] for one in told] == ["2023-11-14"]


def test_the_plan_of_an_answer_that_calls_tools_is_its_text() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "tides", "arguments": "{}"}}
    read = normalize({"role": "assistant", "tool_plan": "I look it up.", "tool_calls": [call]})
    assert [(part.kind, part.text) for part in read.parts] == [
        ("message", "I look it up."),
        ("tool_call", "tides({})"),
    ]
