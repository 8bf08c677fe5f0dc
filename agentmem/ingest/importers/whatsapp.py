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
# "WhatsApp Chat with Ben.txt", in the language of the phone.
_NAMES = ("whatsapp", "\u0648\u0627\u062a\u0633\u0627\u0628")
_TITLE = re.compile(
    r"WhatsApp[ -]Chat(?: with| mit| met| -)? (?P<title>.+)"
    r"|(?:Chat de|Conversa do|Discussion|Chat) WhatsApp (?:con|com|avec) (?P<other>.+)",
    re.IGNORECASE,
)
# Marks of direction, which stand between the numbers of a date in scripts from right to left.
_MARKS = "[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]*+"
_GAP = f"{_MARKS} ?+{_MARKS}"
# "3.5.26", "2026. 5. 3.", "2026\u5e745\u67083\u65e5".
_DATE = (
    rf"(?P<one>[0-9]{{1,4}}){_MARKS}(?P<mark>[./\-\u5e74\ub144]){_GAP}(?P<two>[0-9]{{1,2}}){_MARKS}"
    rf"[./\-\u6708\uc6d4]{_GAP}(?P<three>[0-9]{{1,4}})[.\u65e5\uc77c]?(?: \u0433\.)?"
)
# In Arabic, Greek, Vietnamese, Korean, Japanese, Chinese and Hindi, too.
_AM = (
    r"a\.? ?m\.?|\u0635|\u03c0\.?\u03bc\.?|SA|\uc624\uc804|\u5348\u524d|\u4e0a\u5348|\u51cc\u6668"
    r"|\u65e9\u4e0a|\u092a\u0942\u0930\u094d\u0935\u093e\u0939\u094d\u0928"
)
_PM = (
    r"p\.? ?m\.?|\u0645|\u03bc\.?\u03bc\.?|CH|\uc624\ud6c4|\u5348\u5f8c|\u4e0b\u5348|\u4e2d\u5348"
    r"|\u665a\u4e0a|\u0905\u092a\u0930\u093e\u0939\u094d\u0928"
)
_TIME = (
    rf"(?:(?P<am1>{_AM})|(?P<pm1>{_PM}))? ?(?P<hour>[0-9]{{1,2}})[:.](?P<minute>[0-9]{{2}})"
    rf"(?:[:.](?P<second>[0-9]{{2}}))?(?: ?(?:(?P<am2>{_AM})|(?P<pm2>{_PM}))| \u0447\.)?"
)
# "[03.05.26, 09:40:12] Ana: Hello" and "5/3/26, 9:40 AM - Ana: Hello";
# in Vietnam the time is first, in Korean a comma may end it.
_END = r"(?:\]| [-\u2013]|(?(am1),|(?(pm1),|(?!)))) (?P<rest>.*)"
_BEGINNINGS = tuple(
    re.compile(rf"{_MARKS}\[?{_MARKS}{order}{_MARKS}{_END}", re.IGNORECASE)
    for order in (rf"{_DATE},?(?: klo| \u00e0)?{_GAP}{_TIME}", rf"{_TIME},?{_GAP}{_DATE}")
)
# Digits and spaces that are others in some languages, so that a line stays as long as it is.
_SAME = str.maketrans(
    {chr(zero + digit): str(digit) for zero in (0x660, 0x6F0, 0x966) for digit in range(10)}
    | {"\u060c": ",", "\uff0c": ",", "\u202f": " ", "\xa0": " "}
)
# What a chat begins with, as far as it can be told in any language.
_CHATS = re.compile(r"\A[^\w\n]{0,9}[0-9][^\n]{3,36}[:.][0-9]{2}[^\n]{1,12}[^\n:]{1,100}: ")
# Of chats; another year is of another calendar, or the day.
_YEARS = range(2009, 2060)
# The year 1 of the calendar of Thailand.
_BUDDHIST = 543
_SPEAKER = re.compile(r"(?P<name>[^:]{1,100}): (?P<text>.*)")
# "<Media omitted>", in the language of the phone; iPhones mark what they add.
_MEDIA = re.compile(r"(?:<[^<>]+>|\u200e[^\n]*)\n*")
# What iPhones add to a message that was edited, likewise.
_EDITED = re.compile(r"(?<!\s)\s*+\u200e<[^<>\n]++>\s*+\Z")
# Without a mark where the phone's owner did so.
_DELETED = frozenset({"you deleted this message", "this message was deleted"})
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
    lower = name.lower()
    named = lower == "_chat.txt" or any(one in lower for one in _NAMES)
    return named and lower.endswith(".txt")


def fits(text: str) -> bool:
    """Whether a text begins as a chat does, perhaps with times that are not understood."""
    first = text.lstrip().partition("\n")[0].rstrip("\r")
    return _begins(first) is not None or _CHATS.match(first.translate(_SAME)) is not None


def _begins(line: str) -> re.Match[str] | None:
    same = line.translate(_SAME)
    return next((match for one in _BEGINNINGS if (match := one.fullmatch(same))), None)


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
        raise InputError(
            f"{where}: no line begins with a time and a name in a form that is known, as those of "
            "a chat do; agentmem add - < FILE stores it as a document"
        )
    times = _times(lines, where)
    skipped: Counter[str] = Counter()
    messages = list(_messages(lines, times, skipped))
    names = (PurePath(where).stem, PurePath(where).parent.stem)
    found = next((match for name in names if (match := _TITLE.fullmatch(name))), None)
    title = None if found is None else (found["title"] or found["other"]).strip()
    return Imported(FORM, (chat(where, title, title, messages),), dict(skipped))


def _lines(text: str) -> Iterator[_Line]:
    last: _Line | None = None
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        match = _begins(line)
        if match is None:
            if last is not None:
                last = last._replace(rest=f"{last.rest}\n{line}")
            continue
        if last is not None:
            yield last
        date = (int(match["one"]), int(match["two"]), int(match["three"]))
        hour = int(match["hour"])
        if match["am1"] or match["am2"]:
            hour %= 12
        elif match["pm1"] or match["pm2"]:
            hour = hour % 12 + 12
        time = (hour, int(match["minute"]), int(match["second"] or 0))
        last = _Line(date, match["mark"], time, line[match.start("rest") :])
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
    year += 2000 if year < 100 else 0
    if year - _BUDDHIST in _YEARS:
        year -= _BUDDHIST
    if year not in _YEARS:
        raise ValueError("a year of another calendar")
    return datetime(year, month, day, *line.time)


def _messages(
    lines: Sequence[_Line], times: Sequence[datetime], skipped: Counter[str]
) -> Iterator[Message]:
    for line, time in zip(lines, times, strict=True):
        match = _SPEAKER.match(line.rest)
        if match is None:
            skipped["notice"] += 1
            continue
        text = line.rest[match.start("text") :]
        if text.strip().rstrip(".").lower() in _DELETED:
            skipped["notice"] += 1
            continue
        if not text.strip() or _MEDIA.fullmatch(text):
            skipped["media"] += 1
            continue
        text = _EDITED.sub("", text)
        yield said(match["name"].strip(_AROUND_NAMES), text, created_at=time.isoformat())
