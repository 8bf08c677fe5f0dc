"""`agentmem add`: texts, pipes, files and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def memories(cli: Cli, *args: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli.ok("list", "--json", *args).splitlines()]


def write_lines(path: Path, *messages: Any) -> Path:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in messages]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_texts_are_messages_with_the_fields_of_the_options(cli: Cli) -> None:
    shown = cli.ok(
        *("add", "I like tea", "Grüße 🍵", "--name", "Ana", "--role", "assistant"),
        *("--user", "ana", "--agent", "guide", "--session", "s1", "--at", "2026-02-13T09:40+01:00"),
        *("--meta", "year=2001", "--meta", "tag=web", "--meta", 'ids=["a", 1]'),
        *("--meta", "odd=NaN", "--meta", "sum=1+1=2"),
    )
    assert "stored    2 memories" in shown
    assert "ids       1-2" in shown
    first, second = memories(cli)
    assert (first["text"], second["text"]) == ("I like tea", "Grüße 🍵")
    assert (first["role"], first["name"], first["kind"]) == ("assistant", "Ana", "message")
    assert [first[f"{word}_id"] for word in ("user", "agent", "session")] == ["ana", "guide", "s1"]
    assert first["created_at"] == "2026-02-13T08:40:00+00:00"
    assert first["metadata"] == {
        "year": 2001,
        "tag": "web",
        "ids": ["a", 1],
        "odd": "NaN",
        "sum": "1+1=2",
    }


def test_the_receipt_in_three_forms(cli: Cli) -> None:
    receipt = cli.json("add", "I like tea", "and bread")
    assert receipt["ids"] == [1, 2]
    assert receipt["duplicates"] == []
    assert receipt["tokens"] > 0
    assert receipt["fidelity"] == 1.0
    shown = cli.ok("add", "and bread", "and wine")
    assert "stored      1 memory\n" in shown
    assert "duplicates  2: not stored again" in shown
    assert "per token" in shown
    assert cli.ok("add", "and bread", "and wine", "and beer", "--quiet") == "2\n3\n4\n"


@pytest.mark.parametrize("args", [[], ["-"]], ids=["no argument", "dash"])
def test_a_pipe_is_a_document(cli: Cli, args: list[str]) -> None:
    text = "# Notes\r\n\r\ntea \t\n"
    cli.ok("add", *args, input=text.encode())
    assert cli.ok("show", 1, "--quiet") == text.replace("\r\n", "\n")
    assert cli.run("show", 1, "--quiet").stdout_bytes == text.encode()
    assert memories(cli)[0]["kind"] == "document"


def test_a_pipe_with_a_speaker_is_a_message(cli: Cli) -> None:
    cli.ok("add", "-", "--name", "Ana", input="I like tea")
    (only,) = memories(cli)
    assert (only["kind"], only["role"], only["name"]) == ("message", "user", "Ana")


def test_files_are_documents(cli: Cli, tmp_path: Path) -> None:
    notes, page = tmp_path / "notes.txt", tmp_path / "page.md"
    notes.write_bytes("\ufeffone\r\ntwo".encode())
    page.write_text("# Page\n\nthree", encoding="utf-8")
    cli.ok("add", "said", "-f", notes, "-f", page, "--meta", "from=disk")
    said, one, two = memories(cli)
    assert said["kind"] == "message"
    assert (one["title"], one["text"]) == ("notes.txt", "\ufeffone\r\ntwo")
    assert (two["title"], two["metadata"]) == ("page.md", {"from": "disk"})


def test_texts_and_documents_are_stored_all_or_none(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "latin.txt"
    bad.write_bytes("Grüße".encode("latin-1"))
    assert "not utf-8" in cli.error(ExitCode.INPUT, "add", "fine", "-f", bad)
    assert memories(cli) == []


def test_keep_text_stores_it(cli: Cli) -> None:
    cli.ok("add", "I like tea", "--keep-text")
    assert cli.json("stats")["text_bytes"] == len("I like tea")


@pytest.mark.parametrize(
    ("input", "said"),
    [
        (b"", "nothing to add: give a text, --file, or"),
        (b" \n", "whitespace"),
        (b"ab\xff", "not utf-8"),
    ],
    ids=["empty", "blank", "no utf-8"],
)
def test_a_pipe_that_cannot_be_stored(cli: Cli, input: bytes, said: str) -> None:
    assert said in cli.error(ExitCode.INPUT, "add", input=input)


@pytest.mark.parametrize(
    "args",
    [
        ["tea", "--meta", "year"],
        ["tea", "--meta", "=1"],
        ["tea", "--meta", "a=1", "--meta", "a=2"],
        ["tea", "--at", "yesterday"],
        ["--file", "nowhere.txt"],
        ["tea", "--nope"],
    ],
    ids=["no value", "no key", "key twice", "no time", "no file", "no option"],
)
def test_wrong_usage_is_refused_before_anything_is_made(cli: Cli, args: list[str]) -> None:
    cli.error(ExitCode.USAGE, "add", *args)
    assert not cli.store.exists()


def test_a_speaker_is_rejected_for_documents(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    assert "--name" in cli.error(ExitCode.USAGE, "add", "-f", tmp_path / "a.txt", "--name", "Ana")


def test_an_unknown_role_and_a_lone_surrogate_are_bad_input(cli: Cli) -> None:
    assert "'robot'" in cli.error(ExitCode.INPUT, "add", "tea", "--role", "robot")
    assert "surrogate" in cli.error(ExitCode.INPUT, "add", "te\udcffa")
    assert memories(cli) == []


def test_lines_are_messages_with_their_own_scope_time_and_metadata(
    cli: Cli, tmp_path: Path
) -> None:
    path = write_lines(
        tmp_path / "chat.jsonl",
        {"role": "user", "content": "I like tea", "at": "2026-01-01", "user_id": "bob"},
        "",
        {"name": "Ana", "content": "I like wine", "metadata": {"n": 2}},
        {"role": "assistant", "content": [{"type": "text", "text": "Noted."}, {"type": "image"}]},
    )
    done = cli.json("add", "-f", path, "--user", "ana", "--at", "2026-02-02", "--meta", "n=1")
    assert done["skipped"] == {"image": 1}
    found = {one["text"]: one for one in memories(cli)}
    assert found["I like tea"]["user_id"] == "bob"
    assert found["I like tea"]["created_at"].startswith("2026-01-01")
    assert found["I like wine"]["user_id"] == "ana"
    assert found["I like wine"]["created_at"].startswith("2026-02-02")
    assert found["I like wine"]["metadata"] == {"n": 2}
    assert found["Noted."]["metadata"] == {"n": 1}
    again = cli.json("add", "-f", path, "--user", "ana", "--at", "2026-02-02", "--meta", "n=1")
    assert again["ids"] == again["duplicates"] == done["ids"]
    assert len(memories(cli)) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"content": "who speaks?"}', "needs a 'role'"),
        ('{"role": "robot", "content": "x"}', "'robot'"),
        ('{"role": "user", "content": "x", "user_id": 7}', "'user_id'"),
        ('{"role": "user", "content": "x", "user_id": ""}', "'user_id'"),
        ('{"role": "user", "content": "\\udc80"}', "surrogate"),
    ],
    ids=[
        *("broken", "list", "deep", "nobody", "unknown role"),
        *("scope of a wrong type", "empty scope", "surrogate"),
    ],
)
def test_a_line_that_is_no_message_is_named_and_nothing_of_its_batch_is_in(
    cli: Cli, tmp_path: Path, line: str, said: str
) -> None:
    path = write_lines(tmp_path / "chat.jsonl", {"role": "user", "content": "fine"}, "", line)
    message = cli.error(ExitCode.INPUT, "add", "-f", path)
    assert f"{path}:3" in message
    assert said in message
    assert len(message) < 600
    assert memories(cli) == []


def test_a_line_that_is_not_utf8_is_named(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b'{"role": "user", "content": "a"}\n{"role": "user", "content": "\xff"}\n')
    assert f"{path}:2" in cli.error(ExitCode.INPUT, "add", "-f", path)


def test_a_late_bad_line_keeps_all_out(cli: Cli, tmp_path: Path) -> None:
    said = [{"role": "user", "content": f"tea {n}", "user_id": f"u{n % 2}"} for n in range(10)]
    path = write_lines(tmp_path / "chat.jsonl", *said, "oops", {"role": "user", "content": "x"})
    message = cli.error(ExitCode.INPUT, "add", "-f", path)
    assert f"{path}:11 is not JSON" in message
    # A file is one call: no part of it is stored.
    assert memories(cli) == []
    write_lines(path, *said)
    done = cli.json("add", "-f", path)
    assert (len(done["ids"]), len(done["duplicates"])) == (10, 0)


def test_a_file_without_messages_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "chat.jsonl", "", "  ")
    assert "contains no messages" in cli.error(ExitCode.INPUT, "add", "-f", path)
