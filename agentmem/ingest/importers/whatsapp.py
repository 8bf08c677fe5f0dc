"""WhatsApp's export of a chat: a text file in which each message begins with a time and a name.

How a time is written depends on the phone. Whether "3/5/24" is in March or in May, the other dates
of a chat tell; if they do not, it is refused. Times have no zone, and count as UTC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import gt
from pathlib import PurePath
from typing import NamedTuple

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Message
from agentmem.ingest.importers.people import chat, said
from agentmem_storage.text import shown

FORM = "WhatsApp chat"
_NAME = re.compile(r"_chat\.txt|WhatsApp[ -]Chat.*\.txt", re.IGNORECASE)
_TITLE = re.compile(r"WhatsApp[ -]Chat(?: with| -)? (?P<title>.+)", re.IGNORECASE)
# "[03.05.26, 09:40:12] Ana: Hello" and "5/3/26, 9:40 AM - Ana: Hello"
_BEGINNING = re.compile(
    r"[\u200e\u200f\ufeff]*\[?(?P<date>[0-9]{1,4}(?P<mark>[./-])[0-9]{1,2}(?P=mark)[0-9]{1,4}),? "
    r"(?P<hour>[0-9]{1,2})[:.](?P<minute>[0-9]{2})(?:[:.](?P<second>[0-9]{2}))?"
    r"(?:[ \u202f\xa0]?(?P<half>[ap])\.?[ \xa0]?m\.?)?(?:\]| [-\u2013]) (?P<rest>.*)",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"(?P<name>[^:]{1,100}): (?P<text>.*)")
# "<Media omitted>", in the language of the phone; iPhones mark what they add.
_MEDIA = re.compile(r"(?:<[^<>]+>|\u200e[^\n]*)\n*")
# Marks of direction, and that of a number that is in no address book.
_AROUND_NAMES = "\u200e\u200f\u202a\u202c\u202f ~"
_ORDERS = {"day first": (2, 1, 0), "month first": (2, 0, 1), "year first": (0, 1, 2)}


class _Line(NamedTuple):
    """The beginning of a message.

    Attributes:
        date: Its three numbers, in the order in which they are written.
        mark: What is between them.
        time: Hour, minute and second.
        rest: What follows; the lines after it belong to it.
    """

    date: tuple[int, int, int]
    mark: str
    time: tuple[int, int, int]
    rest: str


def is_named_so(name: str) -> bool:
    """Whether a file has the name of a chat."""
    return _NAME.fullmatch(name) is not None


def fits(text: str) -> bool:
    """Whether a text begins as a chat does."""
    return _BEGINNING.match(text) is not None


def read(where: str, text: str) -> Imported:
    """The messages of a chat, each with its speaker.

    Args:
        where: The file; in a ZIP, behind the ZIP and a slash.
        text: Its text.

    Raises:
        InputError: it has no messages, one of their times does not exist, or all have two meanings.
    """
    lines = list(_lines(text))
    if not lines:
        raise InputError(f"{where}: no line begins with a time and a name, as those of a chat do")
    times = _times(lines, where)
    skipped: Counter[str] = Counter()
    messages = list(_messages(lines, times, skipped))
    names = (PurePath(where).stem, PurePath(where).parent.stem)
    found = next((match for name in names if (match := _TITLE.fullmatch(name))), None)
    title = None if found is None else found["title"].strip()
    return Imported(FORM, (chat(where, title, title, messages),), dict(skipped))


def _lines(text: str) -> Iterator[_Line]:
    last: _Line | None = None
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        match = _BEGINNING.fullmatch(line)
        if match is None:
            if last is not None:
                last = last._replace(rest=f"{last.rest}\n{line}")
            continue
        if last is not None:
            yield last
        one, two, three = map(int, match["date"].split(match["mark"]))
        hour = int(match["hour"])
        if match["half"]:
            hour = hour % 12 + (12 if match["half"] in "pP" else 0)
        time = (hour, int(match["minute"]), int(match["second"] or 0))
        last = _Line((one, two, three), match["mark"], time, match["rest"])
    if last is not None:
        yield last


def _times(lines: Sequence[_Line], where: str) -> list[datetime]:
    """The times of messages, in the one order of day and month that is possible."""
    found: dict[str, list[datetime]] = {}
    for order, places in _ORDERS.items():
        try:
            found[order] = [_time(line, places) for line in lines]
        except ValueError:
            continue
    if len(found) > 1:
        # A chat is in the order in which it was written, or nearly.
        turns = {order: sum(map(gt, times, times[1:])) for order, times in found.items()}
        least = min(turns.values())
        found = {order: times for order, times in found.items() if turns[order] == least}
    distinct = {tuple(times) for times in found.values()}
    if len(distinct) == 1:
        return list(distinct.pop())
    first = "/".join(map(str, lines[0].date))
    if not distinct:
        raise InputError(f"{where}: its dates, such as {shown(first)}, are none in any order")
    raise InputError(
        f"{where}: its dates, such as {shown(first)}, may have the day or the month first: export "
        f"more of the chat, or store it as a document: agentmem add - < FILE"
    )


def _time(line: _Line, places: tuple[int, int, int]) -> datetime:
    year, month, day = (line.date[place] for place in places)
    # Nobody writes the month first with full stops, nor a year of two digits first.
    if (line.mark == "." and places[1] == 0) or (year < 100 and places[0] == 0):
        raise ValueError("no such order")
    return datetime(year + 2000 if year < 100 else year, month, day, *line.time)


def _messages(
    lines: Sequence[_Line], times: Sequence[datetime], skipped: Counter[str]
) -> Iterator[Message]:
    for line, time in zip(lines, times, strict=True):
        match = _SPEAKER.match(line.rest)
        if match is None:
            skipped["notice"] += 1
            continue
        text = line.rest[match.start("text") :]
        if not text.strip() or _MEDIA.fullmatch(text):
            skipped["media"] += 1
            continue
        yield said(match["name"].strip(_AROUND_NAMES), text, created_at=time.isoformat())
