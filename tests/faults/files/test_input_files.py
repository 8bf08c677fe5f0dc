"""A byte order mark made a file unreadable; .json and .ndjson files were stored as raw text."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli

SAID = [
    {"role": "user", "content": "I like tea", "user_id": "bob", "at": "2026-01-01"},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "No."},
    {"role": "user", "content": ""},
]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def stored(cli: Cli) -> list[dict[str, Any]]:
    if not cli.store.exists():
        return []
    return [json.loads(line) for line in cli.ok("list", "--json").splitlines()]


def lines(*values: Any) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in values)


FILES: dict[str, tuple[str, bytes]] = {
    "lines": ("a.jsonl", lines(*SAID)),
    "lines of another name": ("a.ndjson", lines(*SAID)),
    "capitals": ("A.NDJSON", lines(*SAID)),
    "mark before lines": ("a.jsonl", codecs.BOM_UTF8 + lines(*SAID)),
    "Windows": ("a.ndjson", codecs.BOM_UTF8 + lines(*SAID).replace(b"\n", b"\r\n") + b"\r\n"),
    "list": ("a.json", json.dumps(SAID, indent=2).encode()),
    "mark before a list": ("a.json", codecs.BOM_UTF8 + json.dumps(SAID).encode()),
    "object": ("a.json", json.dumps({"messages": SAID}).encode()),
    "lines with messages": ("a.jsonl", lines({"messages": SAID[:2]}, {"messages": SAID[2:]})),
    "list of objects": ("a.json", json.dumps([{"messages": SAID}]).encode()),
}


@pytest.mark.parametrize("case", FILES)
def test_messages_in_every_file(cli: Cli, tmp_path: Path, case: str) -> None:
    name, data = FILES[case]
    path = tmp_path / name
    path.write_bytes(data)
    done = cli.json("add", "-f", path, "--user", "ana")
    assert done["skipped"] == {"blank": 1}
    assert [(one["text"], one["role"], one["user_id"], one["kind"]) for one in stored(cli)] == [
        ("I like tea", "user", "bob", "message"),
        ("Noted.", "assistant", "ana", "message"),
        ("No.", "user", "ana", "message"),
    ]
    again = cli.json("add", "-f", path, "--user", "ana")
    assert again["duplicates"] == again["ids"] == done["ids"]


def test_one_message_is_a_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"type": "human", "content": "hi", "session_id": "s"}), "utf-8")
    cli.ok("add", "-f", path)
    assert [(one["text"], one["session_id"]) for one in stored(cli)] == [("hi", "s")]


def test_messages_take_the_scope_and_time_of_their_conversation(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    said = [{"role": "user", "content": "hi"}, {"role": "user", "content": "yo", "ts": 1770975600}]
    chat = {"user_id": "ana", "session_id": "s", "created_at": "2026-05-01", "messages": said}
    path.write_text(json.dumps([chat]), "utf-8")
    cli.ok("add", "-f", path, "--user", "bob")
    assert [(one["user_id"], one["session_id"], one["created_at"][:10]) for one in stored(cli)] == [
        ("ana", "s", "2026-02-13"),
        ("ana", "s", "2026-05-01"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.json", b'{"name": "package", "version": "1.0"}', "agentmem add - <"),
        ("a.json", b'{"compilerOptions": {}}', "needs a 'role'"),
        ("a.json", b"[1, 2]", "item 0 is not a JSON object"),
        ("a.json", b'["a", "b"]', "item 0 is not a JSON object"),
        ("a.json", b'"text"', "not a JSON object"),
        ("a.json", lines(*SAID), "one message per line, name it *.jsonl"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[]", "contains no messages"),
        ("a.json", b"", "is not JSON"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", json.dumps(SAID).encode("utf-16"), "is not JSON"),
        ("a.ndjson", b"not json", "is not JSON"),
        ("a.jsonl", codecs.BOM_UTF8, "contains no messages"),
        ("a.jsonl", lines(SAID[3]), "contains no messages"),
        ("a.jsonl", b"\n" + codecs.BOM_UTF8 + lines(SAID[0]), "a.jsonl:2 is not JSON"),
    ],
)
def test_other_json_is_refused_with_the_way_out(
    cli: Cli, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    message = cli.error(3, "add", "-f", path)
    assert said in message
    assert len(message) < 600
    assert stored(cli) == []


def test_a_json_file_can_be_stored_as_a_document(cli: Cli) -> None:
    cli.ok("add", "-", input=b'{"version": 1}')
    assert [(one["text"], one["kind"]) for one in stored(cli)] == [('{"version": 1}', "document")]


@pytest.mark.parametrize("name", ["long.json", "long.jsonl"])
def test_a_long_file_is_one_call(cli: Cli, tmp_path: Path, name: str) -> None:
    """It was added in batches of 1000, and what began one like the last ended was a duplicate."""
    path = tmp_path / name
    texts = [f"message {n % 7}" for n in range(998)] + ["continue", "Done."] * 2
    lines = [{"role": "user", "content": text} for text in texts]
    one_a_line = "\n".join(json.dumps(line) for line in lines)
    path.write_text(one_a_line if name.endswith("l") else json.dumps(lines), "utf-8")
    for expected in ([], [*range(1, 1003)]):
        assert cli.json("add", "-f", path, "--session", "s")["duplicates"] == expected
    listed = cli.ok("list", "--json", "--limit", 0).splitlines()
    assert [json.loads(line)["text"] for line in listed] == texts
