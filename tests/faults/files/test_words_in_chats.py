"""Words in exports of chats that were dropped: of blocks, what was forwarded, polls and frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentmem.ingest.importers.items import Imported
from agentmem.ingest.importers.recognize import read_file

USER = {"type": "message", "user": "U1"}


def words(found: Imported) -> list[str]:
    return [message["content"] for item in found.items for message in item.content]  # type: ignore[index]


def read(path: Path, value: object) -> Imported:
    path.write_text(json.dumps(value), encoding="utf-8")
    return read_file(path)


def test_blocks_frames_shares_and_snippets_of_slack(tmp_path: Path) -> None:
    line = [
        {"type": "text", "text": "for "},
        {"type": "user", "user_id": "U2"},
        {"type": "text", "text": ": "},
        {"type": "link", "url": "https://a.example", "text": "here"},
    ]
    rich = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": line}]}]
    section = {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "Order 5"},
        "fields": [{"type": "mrkdwn", "text": "Paid"}],
    }
    shared = {"is_share": True, "from_url": "https://x", "author_name": "Ben", "text": "moved"}
    frame = {"title": "Deploy", "fields": [{"title": "Env", "value": "prod"}]}
    page = {"from_url": "https://b.example", "title": "A page"}
    files = [{"name": "a.txt", "preview": "snippet"}, {"name": "b.png"}]
    found = read(
        tmp_path / "2026-05-03.json",
        [
            {**USER, "text": "", "blocks": rich, "ts": "1777791660.1"},
            {**USER, "text": "", "blocks": [section], "ts": "1777791660.2"},
            {**USER, "text": "same", "blocks": rich, "ts": "1777791660.3"},
            {**USER, "text": "see", "attachments": [shared], "ts": "1777791660.4"},
            {**USER, "text": "built", "attachments": [frame], "ts": "1777791660.5"},
            {**USER, "text": "a link", "attachments": [page], "ts": "1777791660.6"},
            {**USER, "text": "files", "files": files, "ts": "1777791660.7"},
        ],
    )
    assert words(found) == [
        "for @U2: here",
        "Order 5\nPaid",
        "same",
        "see\nBen: moved",
        "built\nDeploy\nEnv: prod",
        "a link",
        "files\nsnippet",
    ]
    assert found.skipped == {"preview of a link": 1, "file": 1}


def test_what_was_forwarded_and_frames_of_discord(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "type": "Default",
        "timestamp": "2026-05-03T10:00:00+00:00",
        "author": {"id": "9", "name": "zed"},
    }
    frame = {"title": "Raid", "description": "at nine", "fields": [{"name": "Who", "value": "all"}]}
    page = {"url": "https://a.example", "title": "A page"}
    messages = [
        {**said, "id": "1", "content": "", "forwardedMessage": {"content": "moved"}},
        {**said, "id": "2", "content": "raid?", "embeds": [frame]},
        {**said, "id": "3", "content": "https://a.example", "embeds": [page]},
    ]
    found = read(
        tmp_path / "d.json",
        {"guild": {"name": "g"}, "channel": {"id": "2", "name": "c"}, "messages": messages},
    )
    assert words(found) == ["moved", "raid?\nRaid\nat nine\nWho: all", "https://a.example"]
    assert found.skipped == {"preview of a link": 1}


def test_a_poll_of_telegram(tmp_path: Path) -> None:
    poll = {"question": "When?", "answers": [{"text": "Monday"}, {"text": "Friday"}]}
    message = {"id": 4, "type": "message", "date": "2026-05-03T10:00:00", "from": "Ben", "text": ""}
    found = read(
        tmp_path / "result.json",
        {"name": "Fam", "type": "private_group", "id": 1, "messages": [{**message, "poll": poll}]},
    )
    assert words(found) == ["When?\nMonday\nFriday"]
    assert found.skipped == {}


def test_what_whatsapp_adds_was_said_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "WhatsApp Chat with Ben.txt"
    path.write_text(
        "[27/11/2025, 09:41:12] Ana: Hello \u200e<This message was edited>\n"
        "[27/11/2025, 09:43:12] Ana: You deleted this message.\n"
        "[27/11/2025, 09:44:12] Ana: a <b> c\n",
        encoding="utf-8",
    )
    found = read_file(path)
    assert words(found) == ["Hello", "a <b> c"]
    assert found.skipped == {"notice": 1}
