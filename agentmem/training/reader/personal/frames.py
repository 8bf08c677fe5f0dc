"""Frames: one kind of fact each, with statements and questions; read and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.nodes import (
    Alternatives,
    Forms,
    Seq,
    forms_of,
    names_in,
    names_owner,
)
from agentmem.training.reader.personal.templates import TemplateReader

_SPECIAL: Final = frozenset({"day", "polar"})
_FRAME_KEYS: Final = frozenset(
    "who key many group vars say note pro con ask yes check change past".split()
)


@dataclass(frozen=True)
class Frame:
    """One kind of fact, compiled from its table."""

    name: str
    topic: str
    who: str
    key: str
    many: str
    group: str
    vars: Mapping[str, Seq]
    say: Forms
    note: Forms
    free_note: Forms
    pro: Forms
    con: Forms
    ask: Mapping[str, Forms]
    yes: Mapping[str, Forms]
    check: Mapping[str, Forms]
    change: Mapping[str, Forms]
    past: Mapping[str, Forms]


_WE_WORDS: Final = (
    (re.compile(r"(?<![$\w])(?:we|I)'(m|ve|ll|d|re)\b"), r"$I'\1"),
    (re.compile(r"(?<![$\w'])(?:we|I)(?![\w'])"), "$I"),
    (re.compile(r"(?<![$\w])(?:our|my)(?!\w)"), "$my"),
    (re.compile(r"(?<![$\w])us(?!\w)"), "$me"),
)


def _shared(line: str) -> str:
    """A statement of the household in the voice of whoever makes it."""
    for pattern, macro in _WE_WORDS:
        line = pattern.sub(macro, line)
    return line.replace("$I're", "$I'm")


def lines_of(value: object, where: str) -> list[str]:
    """The templates of a block, one a line.

    Raises:
        DataError: the value is no text.
    """
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text with one template a line")
    return [line.strip() for line in value.splitlines() if line.strip()]


def read_frame(name: str, topic: str, table: Mapping[str, Any], reader: TemplateReader) -> Frame:
    """Compile the table of a frame.

    Raises:
        DataError: it breaks a rule.
    """
    where = f"{topic}.toml [{name}]"
    unknown = set(table) - _FRAME_KEYS
    if unknown:
        raise DataError(f"{where}: unknown key {sorted(unknown)[0]!r}")
    who = table.get("who", "any")
    if who not in ("any", "me", "we"):
        raise DataError(f"{where}: who is {who!r}, not any, me or we")
    raw_vars: Mapping[str, str] = table.get("vars", {})
    variables = frozenset(raw_vars) | {"day"}

    def block(value: object, place: str) -> Forms:
        lines = lines_of(value, place)
        if who == "we" and " ask" not in place and " past" not in place:
            lines = [_shared(line) for line in lines]
        return forms_of(reader.read(line, variables, place) for line in lines)

    def blocks(key: str) -> dict[str, Forms]:
        return {
            attribute: block(value, f"{where} {key}.{attribute}")
            for attribute, value in table.get(key, {}).items()
        }

    def values(text: str) -> Alternatives:
        return Alternatives([reader.read(cell, frozenset(), where) for cell in text.split(", ")])

    notes = block(table.get("note", ""), f"{where} note")
    frame = Frame(
        name=name,
        topic=topic,
        who=who,
        key=table.get("key", ""),
        many=table.get("many", ""),
        group=table.get("group", name),
        vars={
            variable: (
                Alternatives([reader.read(cell, frozenset(), where) for cell in text.split(", ")]),
            )
            for variable, text in raw_vars.items()
        },
        say=block(table.get("say", ""), f"{where} say"),
        note=forms_of(seq for seq in notes if names_owner(seq)),
        free_note=forms_of(seq for seq in notes if not names_owner(seq)),
        pro=block(table.get("pro", ""), f"{where} pro"),
        con=block(table.get("con", ""), f"{where} con"),
        ask=blocks("ask"),
        yes=blocks("yes"),
        check=blocks("check"),
        change=blocks("change"),
        past=blocks("past"),
    )
    _check_frame(frame, where)
    return frame


def _check_frame(frame: Frame, where: str) -> None:
    """Check what the assembly relies on.

    Raises:
        DataError: A rule is broken; the message tells all that are.
    """
    faults = [*_role_faults(frame), *_ask_faults(frame), *_owner_faults(frame)]
    if faults:
        raise DataError("\n".join(f"{where}: {fault}" for fault in faults))


def _role_faults(frame: Frame) -> Iterator[str]:
    for role in (frame.key, frame.many):
        if role and role not in frame.vars:
            yield f"{role!r} is not one of its vars"
    if bool(frame.pro) != bool(frame.con) or bool(frame.pro) != ("polar" in frame.ask):
        yield "pro, con and ask.polar go together"
    for key, table in (("yes", frame.yes), ("check", frame.check), ("change", frame.change)):
        for attribute, seqs in table.items():
            if attribute not in frame.vars or not all(attribute in names_in(seq) for seq in seqs):
                yield f"each form of {key}.{attribute} must use <{attribute}>"
    for attribute in (*frame.change, *frame.past):
        if attribute not in frame.ask or attribute not in frame.change:
            yield f"{attribute!r} needs both ask and change"


def _ask_faults(frame: Frame) -> Iterator[str]:
    if not frame.ask:
        yield "no questions"
    for attribute, seqs in frame.ask.items():
        if attribute not in frame.vars and attribute not in _SPECIAL:
            yield f"ask.{attribute} is not one of its vars"
        if len(seqs) < 4:
            yield f"ask.{attribute} has fewer than 4 forms"
        if any(attribute in names_in(seq) for seq in seqs):
            yield f"a form of ask.{attribute} gives the answer away"
        if attribute == "polar":
            count = min(len(frame.pro), len(frame.con))
        else:
            statements = (
                *frame.say,
                *frame.note,
                *frame.free_note,
                *frame.change.get(attribute, ()),
            )
            count = sum(attribute in names_in(seq) for seq in statements)
        if count < 3:
            yield f"fewer than 3 statements name {attribute!r}"


def _owner_faults(frame: Frame) -> Iterator[str]:
    if frame.who == "we":
        return
    groups = {"say": frame.say, "pro": frame.pro, "con": frame.con}
    groups |= {f"change.{key}": forms for key, forms in frame.change.items()}
    for key, forms in groups.items():
        if forms and len(forms.named) < 2:
            yield f"fewer than 2 forms of {key} always name the owner"
    tables = {"ask": frame.ask, "yes": frame.yes, "check": frame.check, "past": frame.past}
    for key, table in tables.items():
        for attribute, forms in table.items():
            if len(forms.named) != len(forms):
                yield f"not every form of {key}.{attribute} names the owner"
