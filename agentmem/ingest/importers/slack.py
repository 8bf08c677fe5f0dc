"""Slack's export: a folder for each channel, in it a file for each day, and who is who beside them.

Of a single file of a day, people are named as far as the messages say it themselves.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, Message, text_of
from agentmem.ingest.importers.people import chat, said
from agentmem.ingest.importers.slack_blocks import texts_of
from agentmem_storage.text import shown

FORM = "Slack export"
_USERS = "users.json"
_CHANNELS = ("channels.json", "groups.json", "mpims.json", "dms.json")
_DAY = re.compile(r"(?P<channel>[^/]{1,255})/[0-9]{4}-[0-9]{2}-[0-9]{2}\.json")
# Subtypes of what somebody wrote; the others tell what happened, such as "channel_join".
_SAID = frozenset("bot_message me_message thread_broadcast file_share file_comment".split())
# <@U1>, <@U1|ana>, <#C1|general>, <!here>, <https://...|label>
_MARKED = re.compile(r"<(?P<kind>[@#!]?)(?P<what>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")


def fits(value: object) -> bool:
    """Whether a JSON value is a message of Slack."""
    return (
        isinstance(value, Mapping)
        and value.get("type") == "message"
        and isinstance(value.get("ts"), str)
        and "role" not in value
    )


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """The messages of one file."""
    skipped: Counter[str] = Counter()
    messages = list(_messages([one for _, one in values], {}, skipped))
    return Imported(FORM, (chat(values[0][0], None, None, messages),), dict(skipped))


def is_export(names: Collection[str]) -> bool:
    """Whether files with these paths are an export."""
    beside = not {_USERS, *_CHANNELS}.isdisjoint(names)
    return beside and any(_DAY.fullmatch(name) for name in names)


def read_export(where: str, names: Collection[str], parsed: Callable[[str], object]) -> Imported:
    """The channels of an export, each a session of its own, by their names.

    Args:
        where: The folder or ZIP, for errors.
        names: The paths of its files.
        parsed: Reads the JSON of a file.

    Raises:
        InputError: a file has not the form that it should have.
    """
    people = {
        str(one.get("id")): name
        for one in _listed(_USERS, where, names, parsed)
        if (name := _name_of(one)) is not None
    }
    channels = [one for file in _CHANNELS for one in _listed(file, where, names, parsed)]
    by_folder = {str(one.get("name") or one.get("id")): one for one in channels}
    days: dict[str, list[str]] = {}
    for name in sorted(names):
        if (match := _DAY.fullmatch(name)) is not None:
            days.setdefault(match["channel"], []).append(name)
    skipped: Counter[str] = Counter()
    items: list[Item] = []
    for folder, files in days.items():
        given = [one for file in files for one in _listed(file, where, names, parsed)]
        if messages := list(_messages(given, people, skipped)):
            channel = by_folder.get(folder, {})
            title = _title(channel, people) or folder
            session = text_of(channel.get("id")) or folder
            items.append(chat(f"{where}/{folder}", title, session, messages))
    return Imported(FORM, tuple(items), dict(skipped))


def _listed(
    file: str, where: str, names: Collection[str], parsed: Callable[[str], object]
) -> list[Mapping[str, Any]]:
    if file not in names:
        return []
    found = parsed(file)
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InputError(f"{where}/{file} is not a list of objects: {shown(found)}")
    return found


def _messages(
    given: Sequence[Mapping[str, Any]], people: Mapping[str, str], skipped: Counter[str]
) -> Iterator[Message]:
    for one in given:
        kind = one.get("subtype")
        if kind is not None and kind not in _SAID:
            skipped[str(kind)] += 1
            continue
        text = "\n".join(texts_of(one, skipped))
        if not text:
            skipped["file" if one.get("files") else "blank"] += 1
            continue
        speaker = people.get(str(one.get("user"))) or _speaker(one)
        yield said(speaker, _plain(text, people), id=one.get("ts"), ts=one.get("ts"))


def _speaker(message: Mapping[str, Any]) -> object:
    profile, program = message.get("user_profile"), message.get("bot_profile")
    if isinstance(profile, Mapping) and (name := _profile_name(profile)) is not None:
        return name
    named = message.get("username") or (isinstance(program, Mapping) and program.get("name"))
    return named or message.get("user") or message.get("bot_id")


def _name_of(user: Mapping[str, Any]) -> str | None:
    profile = user.get("profile")
    name = _profile_name(profile) if isinstance(profile, Mapping) else None
    return name or text_of(user.get("real_name")) or text_of(user.get("name"))


def _profile_name(profile: Mapping[str, Any]) -> str | None:
    names = (text_of(profile.get(key)) for key in ("display_name", "real_name", "name"))
    return next((name for name in names if name is not None), None)


def _title(channel: Mapping[str, Any], people: Mapping[str, str]) -> str | None:
    """The name of a channel, or who is in it if it has none."""
    members = channel.get("members")
    listed = members if isinstance(members, list) else []
    return text_of(channel.get("name")) or ", ".join(
        people.get(str(one), str(one)) for one in listed
    )


def _plain(text: str, people: Mapping[str, str]) -> str:
    """A text as Slack shows it."""

    def unmarked(match: re.Match[str]) -> str:
        kind, what, label = match["kind"], match["what"], match["label"]
        if kind == "@":
            return f"@{people.get(what) or label or what}"
        if kind:
            return f"{'#' if kind == '#' else '@'}{label or what}"
        return f"{label} ({what})" if label and label != what else what

    return html.unescape(_MARKED.sub(unmarked, text))
