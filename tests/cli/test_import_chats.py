"""The command import, on chats of people: Slack, Telegram, Discord and WhatsApp."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported
from agentmem.ingest.importers.recognize import read_file
from agentmem.ingest.normalize import normalize
from tests.support.cli import Cli

SLACK: dict[str, Any] = {
    "users.json": [
        {
            "id": "U1",
            "name": "ana",
            "real_name": "Ana Silva",
            "profile": {"display_name": "Ana", "real_name": "Ana Silva"},
        },
        {"id": "U2", "name": "ben", "profile": {"display_name": "", "real_name": "Ben Ito"}},
    ],
    "channels.json": [{"id": "C1", "name": "general", "members": ["U1", "U2"]}],
    "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
    "integration_logs.json": [],
    "general/2026-05-03.json": [
        {"type": "message", "subtype": "channel_join", "user": "U2", "ts": "1777791600.000100"}
        | {"text": "<@U2> has joined the channel"},
        {
            "type": "message",
            "user": "U1",
            "text": "<@U2> the train &amp; the bus leave at 9:40, see <https://a.example|here> "
            "or <https://b.example>, <!channel> in <#C1|general>",
            "ts": "1777791660.000200",
            "client_msg_id": "x",
            "team": "T1",
            "blocks": [{"type": "rich_text", "elements": []}],
        },
    ],
    "general/2026-05-04.json": [
        {"type": "message", "user": "U2", "text": "Thanks!", "ts": "1777878000.000100"}
        | {"thread_ts": "1777791660.000200"},
        {"type": "message", "user": "U2", "text": "", "files": [{"name": "a.pdf"}]}
        | {"ts": "1777878001.000100", "upload": True},
        {"type": "message", "subtype": "bot_message", "username": "Deploys", "text": ""}
        | {"ts": "1777878002.000100", "attachments": [{"fallback": "Version 2 is out"}]},
        {"type": "message", "user": "U9", "text": "I left", "ts": "1777878003.000100"}
        | {"user_profile": {"display_name": "", "real_name": "Cleo"}},
    ],
    "D1/2026-05-04.json": [
        {"type": "message", "user": "U1", "text": "Only for you", "ts": "1777878004.000100"}
    ],
}
TELEGRAM: dict[str, Any] = {
    "name": "Ben Ito",
    "type": "personal_chat",
    "id": 4711,
    "messages": [
        {
            "id": 1,
            "type": "service",
            "date": "2026-05-03T09:00:00",
            "date_unixtime": "1777791600",
            "actor": "Ana",
            "action": "phone_call",
            "text": "",
            "text_entities": [],
        },
        {
            "id": 2,
            "type": "message",
            "date": "2026-05-03T11:01:00",
            "date_unixtime": "1777791660",
            "from": "Ana",
            "from_id": "user1",
            "text": ["The train leaves at ", {"type": "bold", "text": "9:40"}, "."],
            "text_entities": [],
        },
        {
            "id": 3,
            "type": "message",
            "date": "2026-05-03T11:02:00",
            "date_unixtime": "1777791720",
            "from": "Ben Ito",
            "from_id": "user2",
            "forwarded_from": "Cleo",
            "text": "Thanks!",
        },
        {"id": 4, "type": "message", "date": "2026-05-03T11:03:00", "from": None}
        | {"from_id": "user3", "photo": "photos/a.jpg", "text": ""},
        {"id": 5, "type": "message", "date": "2026-05-03T11:04:00", "from": None}
        | {"from_id": "user3", "text": "Gone"},
    ],
}
DISCORD: dict[str, Any] = {
    "guild": {"id": "1", "name": "Rowers", "iconUrl": ""},
    "channel": {"id": "77", "type": "GuildTextChat", "category": "Text", "name": "general"},
    "dateRange": {"after": None, "before": None},
    "messages": [
        {
            "id": "1001",
            "type": "Default",
            "timestamp": "2026-05-03T09:01:00+02:00",
            "timestampEdited": None,
            "isPinned": False,
            "content": "The boat leaves at 9:40.",
            "author": {"id": "5", "name": "ana", "nickname": "Ana", "isBot": False},
            "attachments": [],
            "embeds": [],
        },
        {"id": "1002", "type": "ChannelPinnedMessage", "content": "Pinned a message."}
        | {"timestamp": "2026-05-03T09:02:00+02:00", "author": {"id": "5", "name": "ana"}},
        {"id": "1003", "type": "Reply", "content": "Thanks!", "attachments": []}
        | {"timestamp": "2026-05-03T09:03:00+02:00", "author": {"id": "6", "name": "ben"}},
        {"id": "1004", "type": "Default", "content": "", "attachments": [{"fileName": "a.png"}]}
        | {"timestamp": "2026-05-03T09:04:00+02:00", "author": {"id": "6", "name": "ben"}},
        {"id": "1005", "type": "Default", "content": "", "attachments": []}
        | {"embeds": [{"title": "Weather", "description": "Rain at noon"}]}
        | {"timestamp": "2026-05-03T09:05:00+02:00", "author": {"id": "8", "name": "bot"}},
    ],
    "messageCount": 5,
}


def put(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def zipped(path: Path, files: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, json.dumps(content))
    return path


def said(found: Imported) -> list[tuple[str | None, list[tuple[str | None, str, str]]]]:
    """The chats, each with who said what, and when."""
    chats = []
    for item in found.items:
        parts = normalize(item.content, metadata=item.metadata).parts
        assert {part.role for part in parts} == {"user"}
        lines = [(part.name, part.text, str(part.created_at)[:16]) for part in parts]
        chats.append((item.scope.session_id, lines))
    return chats


SAID_IN_SLACK = [
    ("D1", [("Ana", "Only for you", "2026-05-04 07:00")]),
    (
        "C1",
        [
            (
                "Ana",
                "@Ben Ito the train & the bus leave at 9:40, see here (https://a.example) or "
                "https://b.example, @channel in #general",
                "2026-05-03 07:01",
            ),
            ("Ben Ito", "Thanks!", "2026-05-04 07:00"),
            ("Deploys", "Version 2 is out", "2026-05-04 07:00"),
            ("Cleo", "I left", "2026-05-04 07:00"),
        ],
    ),
]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_export_of_slack(tmp_path: Path, kind: str) -> None:
    place = put(tmp_path / "a", SLACK) if kind == "folder" else zipped(tmp_path / "a.zip", SLACK)
    found = read_file(place)
    assert found.form == "Slack export"
    assert said(found) == SAID_IN_SLACK
    assert found.skipped == {"channel_join": 1, "file": 1}
    assert [item.metadata["conversation"] for item in found.items] == ["Ana, Ben Ito", "general"]


def test_a_day_of_slack(tmp_path: Path) -> None:
    put(tmp_path, {"2026-05-04.json": SLACK["general/2026-05-04.json"]})
    ((session, lines),) = said(read_file(tmp_path / "2026-05-04.json"))
    assert session is None
    assert [name for name, *_ in lines] == ["U2", "Deploys", "Cleo"]


def test_other_folders_are_as_they_were(tmp_path: Path) -> None:
    put(tmp_path, {"users.json": [], "notes/a.json": []})
    (tmp_path / "notes" / "2026-05-03.md").write_text("A note")
    assert read_file(tmp_path).form == "documents"


@pytest.mark.parametrize("kind", ["file", "folder", "all"])
def test_an_export_of_telegram(tmp_path: Path, kind: str) -> None:
    content = {"about": "...", "chats": {"list": [TELEGRAM]}} if kind == "all" else TELEGRAM
    put(tmp_path, {"result.json": content})
    found = read_file(tmp_path if kind == "folder" else tmp_path / "result.json")
    assert found.form == "Telegram export"
    assert said(found) == [
        (
            "4711",
            [
                ("Ana", "The train leaves at 9:40.", "2026-05-03 07:01"),
                ("Ben Ito", "Thanks!", "2026-05-03 07:02"),
                ("user3", "Gone", "2026-05-03 11:04"),
            ],
        )
    ]
    assert found.skipped == {"phone_call": 1, "photo": 1}
    (item,) = found.items
    assert item.metadata == {"conversation": "Ben Ito"}
    assert item.content[1]["metadata"] == {"forwarded_from": "Cleo"}  # type: ignore[index]


def test_a_channel_of_discord(tmp_path: Path) -> None:
    put(tmp_path, {"general.json": DISCORD})
    found = read_file(tmp_path / "general.json")
    assert found.form == "Discord channel"
    assert said(found) == [
        (
            "77",
            [
                ("Ana", "The boat leaves at 9:40.", "2026-05-03 07:01"),
                ("ben", "Thanks!", "2026-05-03 07:03"),
                ("bot", "Weather\nRain at noon", "2026-05-03 07:05"),
            ],
        )
    ]
    assert found.skipped == {"ChannelPinnedMessage": 1, "attachment": 1}


IPHONE = """\u200e[03.05.26, 09:00:12] Rowers: \u200eMessages are end-to-end encrypted.
[03.05.26, 09:01:00] Ana: The boat leaves at 9:40.
Bring your own oars: both.

[03.05.26, 09:02:30] ~\u202fBen Ito: Thanks!
\u200e[03.05.26, 09:03:00] Ana: \u200eimage omitted
"""
ANDROID = """5/3/26, 9:00 AM - Messages and calls are end-to-end encrypted.
5/3/26, 9:01\u202fAM - Ana: The boat leaves at 9:40.
Bring your own oars: both.

5/3/26, 9:02 PM - Ben Ito: Thanks!
5/13/26, 12:03 AM - Ana: <Media omitted>
"""
BOAT = ("Ana", "The boat leaves at 9:40.\nBring your own oars: both.\n", "2026-05-03 09:01")


@pytest.mark.parametrize(
    ("text", "second", "skipped"),
    [(IPHONE, "2026-05-03 09:02", {"media": 2}), (ANDROID, "2026-05-03 21:02", {"notice": 1})],
    ids=["iphone", "android"],
)
def test_a_chat_of_whatsapp(
    tmp_path: Path, text: str, second: str, skipped: dict[str, int]
) -> None:
    file = tmp_path / "WhatsApp Chat with Rowers.txt"
    file.write_text(text, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "WhatsApp Chat - Rowers.zip", "w") as archive:
        archive.writestr("_chat.txt", text)
    for path in (file, tmp_path / "WhatsApp Chat - Rowers.zip"):
        found = read_file(path)
        assert found.form == "WhatsApp chat"
        assert said(found) == [("Rowers", [BOAT, ("Ben Ito", "Thanks!", second)])]
        assert found.skipped == {"media": 1} | skipped


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (["3/5/26, 09:00 - A: x", "13/5/26, 09:00 - A: y"], ["05-03", "05-13"]),
        (["3/5/26, 09:00 - A: x", "3/13/26, 09:00 - A: y"], ["03-05", "03-13"]),
        # In order in one way only.
        (["12/4/26, 09:00 - A: x", "3/5/26, 09:00 - A: y"], ["04-12", "05-03"]),
        (["4/5/26, 09:00 - A: x", "4/6/26, 09:00 - A: y", "5/1/26, 1:00 - B: z"],)
        + (["04-05", "04-06", "05-01"],),
        (["3.5.26, 09:00 - A: x"], ["05-03"]),
        (["2026-05-03, 09:00 - A: x"], ["05-03"]),
        (["5/5/26, 09:00 - A: x"], ["05-05"]),
    ],
)
def test_the_order_of_day_and_month(tmp_path: Path, lines: list[str], days: list[str]) -> None:
    (tmp_path / "_chat.txt").write_text("\n".join(lines))
    ((_, messages),) = said(read_file(tmp_path / "_chat.txt"))
    assert [time[5:10] for *_, time in messages] == days


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["3/5/26, 09:00 - A: x", "4/6/26, 09:00 - A: y"], "may have the day or the month first"),
        (["31/31/26, 09:00 - A: x"], "none in any order"),
        (["3.5.26, 29:00 - A: x"], "none in any order"),
    ],
)
def test_dates_that_may_be_others_are_refused(tmp_path: Path, lines: list[str], why: str) -> None:
    (tmp_path / "_chat.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=why):
        read_file(tmp_path / "_chat.txt")


@pytest.mark.parametrize(
    "head",
    [
        "\u200f13\u200f/5\u200f/2026\u060c 2:05 \u0645 - Ana: ",  # Arabic
        "\u200f\u0661\u0663\u200f/\u0665\u200f/\u0662\u0660\u0662\u0666\u060c 2:05 \u0645 - Ana: ",
        "13.5.2026 klo 14.05 - Ana: ",  # Finnish
        "13/05/2026 \u00e0 14:05 - Ana\u00a0: ",  # French
        "2026. 5. 13. \uc624\ud6c4 2:05, Ana : ",  # Korean
        "2026\ub144 5\uc6d4 13\uc77c \uc624\ud6c4 2:05, Ana : ",
        "[2026/5/13 \u4e0b\u53482:05:00] Ana: ",  # Chinese
        "2026/05/13, \u5348\u5f8c2:05 - Ana: ",  # Japanese
        "14:05, 13/05/2026 - Ana: ",  # Vietnamese
        "13.05.26 \u0433., 14:05 \u0447. - Ana: ",  # Bulgarian
        "13/5/2569 14:05 - Ana: ",  # Thai
    ],
)
def test_times_of_whatsapp_in_other_languages(tmp_path: Path, head: str) -> None:
    file = tmp_path / "Conversa do WhatsApp com Ben.txt"
    file.write_text(f"{head}\u0661, 2\u00a0!\n", encoding="utf-8")
    assert said(read_file(file)) == [("Ben", [("Ana", "\u0661, 2\u00a0!", "2026-05-13 14:05")])]


def test_years_of_a_calendar_that_is_not_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "_chat.txt").write_text("1405/2/13, 14:05 - A: x")
    with pytest.raises(InputError, match="none in any order"):
        read_file(tmp_path / "_chat.txt")
    # Neither is it stored as a document, without speakers and times.
    (tmp_path / "_chat.txt").write_text("13-Mayo-2026 14:05 - A: x")
    with pytest.raises(InputError, match="no line begins"):
        read_file(tmp_path / "_chat.txt")


def test_a_text_with_such_a_name_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "WhatsApp Chat notes.txt").write_text("What we said in May.")
    assert read_file(tmp_path / "WhatsApp Chat notes.txt").form == "documents"
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a/_chat.txt", IPHONE)
        archive.writestr("b/_chat.txt", ANDROID)
    with pytest.raises(InputError, match="several exports"):
        read_file(tmp_path / "two.zip")


@pytest.mark.parametrize(
    "files",
    [
        {**SLACK, "users.json": {"U1": "Ana"}},
        {**SLACK, "general/2026-05-03.json": ["text"]},
        {"result.json": {**TELEGRAM, "messages": ["text"]}},
        {"result.json": {**TELEGRAM, "messages": [{"id": 1, "type": "message", "text": 3}]}},
        {"result.json": {"chats": {"list": [{"name": "Ana"}]}}},
    ],
)
def test_what_is_not_as_it_should_be_is_refused(tmp_path: Path, files: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_file(put(tmp_path / "a", files))


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "cli")
    file = zipped(tmp_path / "slack.zip", SLACK)
    done = cli.json("import", file, "--user", "ana")
    assert (done["form"], done["items"], done["memories"]) == ("Slack export", 2, 5)
    assert cli.json("import", file, "--user", "ana")["memories"] == 0
    listed = cli.ok("list", "--session", "C1", "--json").splitlines()
    assert [json.loads(line)["name"] for line in listed] == ["Ana", "Ben Ito", "Deploys", "Cleo"]
