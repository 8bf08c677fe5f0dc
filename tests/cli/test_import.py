"""The command import, on the files of other programs."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agentmem.ingest.importers import tables
from agentmem_cli.exits import ExitCode
from tests.support.chatgpt import ABOUT, export, shown
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "cli")


def put(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def texts(cli: Cli, *options: Any) -> list[str]:
    lines = cli.ok("list", "--limit", 0, "--json", *options).splitlines()
    return [json.loads(line)["text"] for line in lines]


def again(cli: Cli, file: Path, *options: Any) -> Any:
    """Importing once more adds nothing."""
    done = cli.json("import", file, *options)
    assert done["memories"] == 0
    return done


@pytest.mark.parametrize("count", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_export_of_chatgpt(cli: Cli, tmp_path: Path, count: int) -> None:
    content = export(count)
    file = put(tmp_path / "conversations.json", content)
    planned = cli.json("import", file, "--user", "ana", "--dry-run")
    assert (planned["form"], planned["items"], planned["memories"]) == (
        *("ChatGPT export", count + 1),
        0,
    )
    assert planned["skipped"] == {
        "hidden": count,
        "image_asset_pointer": count,
        "on other branches": 3 * count,
        "thoughts": count,
    }
    assert not cli.store.exists()
    done = cli.json("import", file, "--user", "ana")
    assert done["texts"] == planned["texts"] == done["memories"]
    for conversation in content[:: max(1, count // 12)]:
        session = conversation["conversation_id"]
        assert texts(cli, "--user", "ana", "--session", session) == shown(conversation)
    (one,) = cli.ok("list", "--where", '{"model": "gpt-4o"}', "--limit", 1, "--json").splitlines()
    assert json.loads(one)["metadata"]["conversation"] == content[0]["title"]
    assert sum(ABOUT in text for text in texts(cli)) == 1
    assert again(cli, file, "--user", "ana")["duplicates"] == done["memories"]


def test_an_export_that_has_grown(cli: Cli, tmp_path: Path) -> None:
    content = export(3)
    cli.ok("import", put(tmp_path / "conversations.json", content[:2]))
    before = len(texts(cli))
    content[0]["mapping"]["new"] = {
        "id": "new",
        "parent": content[0]["current_node"],
        "children": [],
        "message": {
            **content[0]["mapping"][content[0]["current_node"]]["message"],
            **{"id": "new", "author": {"role": "user"}, "create_time": 1_800_000_000.0},
            "content": {"content_type": "text", "parts": ["One more thing."]},
        },
    }
    content[0]["current_node"] = "new"
    done = cli.json("import", put(tmp_path / "conversations.json", content))
    assert done["memories"] == 1 + len(shown(content[2]))
    assert len(texts(cli)) == before + done["memories"]
    assert texts(cli, "--session", content[0]["id"])[-1] == "One more thing."


def test_the_zip_and_the_folder_of_an_export(cli: Cli, tmp_path: Path) -> None:
    content = export(2)
    put(tmp_path / "folder" / "conversations.json", content)
    put(tmp_path / "folder" / "user.json", {"id": "u"})
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for file in (tmp_path / "folder").iterdir():
            archive.write(file, f"inner/{file.name}")
    done = cli.json("import", tmp_path / "export.zip")
    assert (done["form"], done["items"]) == ("ChatGPT export", 3)
    again(cli, tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("other.json", "[]")
    assert "without conversations.json" in cli.error(
        ExitCode.INPUT, "import", tmp_path / "other.zip"
    )


def claude(number: int) -> dict[str, Any]:
    def said(at: int, sender: str, text: str, **more: Any) -> dict[str, Any]:
        time = f"2025-03-0{number}T10:0{at}:00.123456Z"
        return {
            "uuid": f"m{number}-{at}",
            "text": text,
            "content": [{"type": "text", "text": text, "start_timestamp": time, "citations": []}],
            "sender": sender,
            "created_at": time,
            "updated_at": time,
            "attachments": [],
            "files": [],
        } | more

    file = {"file_name": "notes.txt", "file_size": 4, "file_type": "txt"}
    return {
        "uuid": f"c{number}",
        "name": f"Talk {number}",
        "summary": "",
        "created_at": f"2025-03-0{number}T10:00:00Z",
        "updated_at": f"2025-03-0{number}T10:00:00Z",
        "account": {"uuid": "acc"},
        "chat_messages": [
            said(
                1,
                "human",
                f"Read this {number}.",
                attachments=[{**file, "extracted_content": f"attached {number}"}],
            ),
            said(2, "assistant", f"Done {number}."),
        ],
    }


def test_an_export_of_claude(cli: Cli, tmp_path: Path) -> None:
    empty = {**claude(3), "chat_messages": []}
    file = put(tmp_path / "conversations.json", [claude(1), claude(2), empty])
    done = cli.json("import", file, "--user", "ana")
    assert (done["form"], done["items"]) == ("Claude export", 2)
    assert done["skipped"] == {"empty conversation": 1}
    assert texts(cli, "--session", "c2") == ["Read this 2.", "attached 2", "Done 2."]
    assert len(texts(cli, "--where", '{"conversation": "Talk 1"}')) == 3
    again(cli, file, "--user", "ana")


def test_messages_without_text_in_an_export_of_claude_are_counted(cli: Cli, tmp_path: Path) -> None:
    talk = claude(1)
    answer = talk["chat_messages"][1]
    empty = {**answer, "text": "", "content": [], "parent_message_uuid": answer["uuid"]}
    talk["chat_messages"] += [
        {**empty, "uuid": "stopped"},
        {**empty, "uuid": "picture", "sender": "human", "files": [{"file_name": "cat.png"}]},
    ]
    file = put(tmp_path / "conversations.json", [talk])
    done = cli.json("import", file)
    assert (done["memories"], done["skipped"]) == (3, {"blank": 1, "attachment": 1})
    again(cli, file)


def test_documents_without_text_in_a_folder_are_counted(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name, text in {"a.md": "Anchor.", "b.md": "", "c/d.txt": "\ufeff \n\u200b"}.items():
        put(folder / name, text)
    done = cli.json("import", folder)
    assert (done["memories"], done["skipped"]) == (1, {"blank": 2})
    (folder / "a.md").unlink()
    assert "nothing that can be stored" in cli.error(ExitCode.INPUT, "import", folder)


def test_lists_and_lines_of_messages(cli: Cli, tmp_path: Path) -> None:
    said = [{"role": "user", "content": one} for one in ("ok", "Porto", "ok", "ok")]
    own = {"role": "user", "content": "bob's", "user_id": "bob"}
    files = (
        put(tmp_path / "list.json", [*said, own]),
        put(tmp_path / "lines.jsonl", "\n".join(map(json.dumps, [*said, own]))),
    )
    for number, file in enumerate(files):
        session = ("--session", f"s{number}")
        assert cli.json("import", file, "--user", "ana", *session)["memories"] == 5
        assert texts(cli, "--user", "ana", *session) == ["ok", "Porto", "ok", "ok"]
        assert texts(cli, "--user", "bob", *session) == ["bob's"]
        again(cli, file, "--user", "ana", *session)


def test_lines_of_conversations_are_sessions(cli: Cli, tmp_path: Path) -> None:
    talks = [
        {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "ok"}]},
        {"messages": [{"role": "user", "content": "two"}, {"role": "assistant", "content": "ok"}]},
    ]
    file = put(tmp_path / "talks.jsonl", "\n".join(map(json.dumps, talks)))
    assert cli.json("import", file)["items"] == 2
    assert texts(cli, "--session", "talks-2") == ["two", "ok"]
    again(cli, file)


def test_memories_of_mem0(cli: Cli, tmp_path: Path) -> None:
    memories = [
        {
            "id": f"id{n}",
            "memory": f"Likes {what}",
            "hash": "h",
            "metadata": {"category": "food"} if n else None,
            "created_at": "2025-05-01T10:00:00-07:00",
            "updated_at": None,
            "user_id": who,
            "run_id": None,
        }
        for n, (what, who) in enumerate([("tea", "ana"), ("figs", "ana"), ("rye", "bob")])
    ]
    for name, content in (("list.json", memories), ("answer.json", {"results": memories})):
        file = put(tmp_path / name, content)
        assert cli.json("import", file)["form"] == "mem0 memories"
        assert texts(cli, "--user", "ana") == ["Likes tea", "Likes figs"]
        assert texts(cli, "--where", '{"category": "food"}') == ["Likes figs", "Likes rye"]
        again(cli, file)


@pytest.mark.parametrize("empty", [{"id": "x", "memory": None, "user_id": "ana"}, None])
@pytest.mark.parametrize("first", [True, False])
def test_a_memory_of_mem0_that_is_null_is_counted(
    cli: Cli, tmp_path: Path, empty: Any, first: bool
) -> None:
    tea = {"id": "y", "memory": "Likes tea", "user_id": "ana"}
    memories = [empty, tea] if first else [tea, empty]
    done = cli.json("import", put(tmp_path / "answer.json", {"results": memories}))
    assert (done["form"], done["memories"], done["skipped"]) == ("mem0 memories", 1, {"blank": 1})
    if empty is not None:
        assert cli.json("import", put(tmp_path / "list.json", memories))["skipped"] == {"blank": 1}
    assert texts(cli, "--user", "ana") == ["Likes tea"]


def test_rows_of_a_langgraph_store(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {
            "namespace": ["users", "ana"],
            "key": key,
            "value": value,
            "created_at": "2025-05-01T10:00:00+00:00",
            "updated_at": "2025-05-02T10:00:00+00:00",
        }
        for key, value in (("a", {"text": "Likes tea", "sort": "food"}), ("b", {"n": 1, "m": "x"}))
    ]
    file = put(tmp_path / "rows.json", rows)
    assert cli.json("import", file)["form"] == "LangGraph store"
    assert texts(cli) == ["Likes tea", '{"n": 1, "m": "x"}']
    assert texts(cli, "--where", '{"sort": "food", "key": "a"}') == ["Likes tea"]
    again(cli, file)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables(cli: Cli, tmp_path: Path, separator: str) -> None:
    rows = (("name", "city", "note"), ("Ana", "Lyon", '"likes\ntea"'), ("Bo", "", ""), ("", "", ""))
    content = "\ufeff" + "\n".join(separator.join(row) for row in rows)
    file = put(tmp_path / ("people.tsv" if separator == "\t" else "people.csv"), content)
    assert cli.json("import", file)["form"] == "CSV rows"
    assert texts(cli) == ["name: Ana\ncity: Lyon\nnote: likes\ntea", "name: Bo"]
    again(cli, file)


def test_a_cell_may_be_as_long_as_a_text(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit()
    long = "tea and figs, " * (before // 14 + 1)
    file = put(tmp_path / "long.csv", f'name,note\nAna,"{long}"')
    assert cli.json("import", file, "--dry-run")["texts"] == 1
    monkeypatch.setattr(tables, "MAX_CHARS", 1000)
    said = cli.error(ExitCode.INPUT, "import", file)
    assert "more than 1,000 characters: split it" in said
    assert csv.field_size_limit() == before


def test_a_long_cell_is_several_lines(cli: Cli, tmp_path: Path) -> None:
    review = "The soup was cold, and nobody came for an hour. " * 30
    with (tmp_path / "long.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "review"], ["Ana", review]])
    cli.ok("import", tmp_path / "long.csv")
    whole = "".join(texts(cli))
    assert whole.startswith("name: Ana\nreview: The soup")
    assert whole.count("\nreview: The soup") > 2
    assert whole.count("The soup was cold") == 30
    again(cli, tmp_path / "long.csv")


def test_a_folder_of_markdown(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    put(folder / "b.md", "# Bread\n\nRye.")
    put(folder / "deep" / "a.markdown", "# Tea")
    put(folder / ".obsidian" / "x.md", "hidden")
    put(folder / "picture.png", "no text")
    put(tmp_path / "outside.md", "outside")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    done = cli.json("import", folder, "--meta", "from=vault")
    assert (done["form"], done["memories"]) == ("documents", 2)
    assert texts(cli, "--where", '{"uri": "deep/a.markdown", "from": "vault"}') == ["# Tea"]
    again(cli, folder, "--meta", "from=vault")
    (tmp_path / "empty").mkdir()
    assert "no documents" in cli.error(ExitCode.INPUT, "import", tmp_path / "empty")


def test_what_cannot_be_read_is_named_and_left_out_only_if_wanted(cli: Cli, tmp_path: Path) -> None:
    content = export(3)
    current = content[1]["mapping"][content[1]["current_node"]]["message"]
    current["author"] = {"role": "wizard"}
    file = put(tmp_path / "conversations.json", content)
    said = cli.error(ExitCode.INPUT, "import", file)
    assert "item 1 ('About" in said
    assert "wizard" in said
    assert "nothing was stored" in said
    assert not cli.store.exists()
    planned = cli.run("import", file, "--dry-run")
    assert (planned.exit_code, "unreadable: " in planned.stdout) == (ExitCode.INPUT, True)
    done = cli.run("import", file, "--keep-going", "--json")
    assert done.exit_code == ExitCode.INPUT
    assert len(json.loads(done.stdout)["unreadable"]) == 1
    assert texts(cli, "--session", content[2]["id"]) == shown(content[2])
    assert texts(cli, "--session", content[1]["id"]) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.bin", "data", "of no known form"),
        ("x.json", "{", "not JSON"),
        ("x.json", "[]", "nothing that can be stored"),
        ("x.json", "[1]", "not a JSON object"),
        ("x.json", '{"a": 1, "a": 2}', "stands twice"),
        ("x.jsonl", '{"role": "user", "content": "a"}\n{', "x.jsonl:2 is not JSON"),
        ("x.json", '[{"mapping": {}}, {"role": "user"}]', "item 1 is of another form"),
        ("x.json", '[{"chat_messages": [7]}]', "message 0: not a message"),
        ("x.json", '[{"memory": "a"}, {"memory": 7}]', "of another form"),
        ("x.json", '{"results": [{"memory": "a"}, {}]}', "memory 1: it has no text"),
        ("x.json", '[{"namespace": 7, "key": "k", "value": {}}]', "namespace"),
        ("x.json", '[{"namespace": [], "key": 7, "value": {}}]', "key is not a string"),
        ("x.csv", "", "no header"),
        ("x.csv", "a,,b\n1,2,3", "no header"),
        ("x.csv", "a,b\n1,2,3", "3 cells"),
        ("x.csv", 'a,b\n"1,2', "not a table"),
        ("x.zip", "PK", "of no known form"),
    ],
)
def test_files_that_are_refused(
    cli: Cli, tmp_path: Path, name: str, content: str, message: str
) -> None:
    assert message in cli.error(ExitCode.INPUT, "import", put(tmp_path / name, content))
    assert not cli.store.exists()


def test_bytes_that_are_no_text(cli: Cli, tmp_path: Path) -> None:
    for name in ("x.csv", "x.md", "x.json"):
        (tmp_path / name).write_bytes(b"a,b\n\xff,2")
        assert "x" in cli.error(ExitCode.INPUT, "import", tmp_path / name)


def test_options_that_an_archive_does_not_take(cli: Cli, tmp_path: Path) -> None:
    cli.ok("add", "tea")
    cli.ok("export", tmp_path / "a.amem")
    for options in (("--user", "ana"), ("--dry-run",), ("--meta", "a=1")):
        said = cli.error(ExitCode.INPUT, "import", tmp_path / "a.amem", *options)
        assert "says itself whose" in said


def test_progress_and_the_short_form(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path / "conversations.json", export(4))
    code, screen = cli.terminal(monkeypatch, "import", file)
    assert (code, "conversations.json" in screen, "memories added" in screen) == (0, True, True)
    assert cli.ok("import", file, "--quiet") == "0\n"
    assert "known already" in cli.ok("import", file)


def test_an_interrupted_import_is_repeated(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentmem import Memory

    file = put(tmp_path / "conversations.json", export(5))
    add, calls = Memory.add, []

    def interrupted(self: Memory, *args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return add(self, *args, **more)

    monkeypatch.setattr(Memory, "add", interrupted)
    result = cli.run("import", file)
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "3 of 6 items" in result.stderr
    done = cli.json("import", file)
    assert done["memories"] + done["duplicates"] == done["texts"]
    assert 0 < done["duplicates"] < done["texts"]
