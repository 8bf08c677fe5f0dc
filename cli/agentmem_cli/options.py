"""Command line options that several commands share."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from agentmem.errors import InputError
from agentmem.ingest.unique_keys import keys_once
from agentmem_storage.text import is_blank

DEFAULT_STORE = "~/.agentmem/default"
DEFAULT_EMBEDDER = "builtin"

_STORE, _SCOPE, _FILTER, _FORM = "Store", "Scope", "Filter", "Output"


class ScopeIds(TypedDict, total=False):
    """The scope arguments that the methods of `Memory` take, as far as they are given."""

    user_id: str
    agent_id: str
    session_id: str


def scope_ids(user: str | None, agent: str | None, session: str | None) -> ScopeIds:
    """The scope options as keyword arguments, without those that are not given.

    Raises:
        InputError: One is blank, perhaps from a variable that is not set.
    """
    found = ScopeIds()
    for option, value in (("--user", user), ("--agent", agent), ("--session", session)):
        if value is not None and is_blank(value):
            raise InputError(f"{option} must not be empty or blank: leave it out, or give an id")
    if user is not None:
        found["user_id"] = user
    if agent is not None:
        found["agent_id"] = agent
    if session is not None:
        found["session_id"] = session
    return found


_LIFE = re.compile(r"([0-9]+)([smhd]?)")
_UNITS = {
    "": timedelta(seconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def is_whole(text: str) -> bool:
    """Whether a text is a whole number in plain digits: not 1.0, 1_0 or digits of other scripts."""
    return re.fullmatch(r"-?[0-9]+", text) is not None


def memory_id(text: str) -> int:
    """The value of an argument that is the id of a memory."""
    if not is_whole(text):
        raise typer.BadParameter(f"{text!r:.200} is not an id: ids are whole numbers, such as 12")
    return int(text)


def whole(text: str | int) -> int:
    """The value of an option that is a whole number; its default is one already."""
    if not is_whole(str(text)):
        raise typer.BadParameter(f"{text!r:.200} is not a whole number")
    return int(text)


def _limit(text: str | int) -> int:
    if (number := whole(text)) < 1:
        raise typer.BadParameter(f"{text!r:.200} is not a whole number of 1 or more")
    return number


def moment(text: str) -> datetime:
    """The value of an option that is a time."""
    try:
        # A string of digits is no date, see `agentmem_storage.timestamps`.
        time = datetime.fromisoformat("" if text.isdigit() else text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; give ISO 8601 such as 2026-02-13 or 2026-02-13T09:40+01:00"
        ) from None
    try:
        return time if time.tzinfo else time.astimezone()
    except (OverflowError, ValueError, OSError):
        return time.replace(tzinfo=UTC)  # outside the years that the system's clock knows


def _life(text: str | timedelta) -> timedelta:
    """A length of time, which Typer may already have read."""
    if isinstance(text, timedelta):
        return text
    found = _LIFE.fullmatch(text)
    try:
        if found is not None:
            return int(found[1]) * _UNITS[found[2]]
    except OverflowError:
        pass
    raise typer.BadParameter(
        f"{text!r:.200} is not a length of time: give seconds, or a number with m, h or d, such as "
        f"30m, 12h or 7d"
    )


def expiry(expires: datetime | None, ttl: timedelta | None) -> dict[str, Any]:
    """The options that say when something expires, as arguments of `Memory`, as far as given."""
    given = {"expires_at": expires, "ttl": ttl}
    return {name: value for name, value in given.items() if value is not None}


def local_now() -> datetime:
    """The current time in the user's zone, which says what "yesterday" is."""
    return datetime.now().astimezone()


def _filter(text: str) -> dict[str, Any]:
    try:
        where = json.loads(text, object_pairs_hook=keys_once)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{text!r:.200} is not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{text!r:.200} cannot be read: {error}") from None
    if not isinstance(where, dict):
        raise typer.BadParameter(
            f'{text!r:.200} is not a JSON object such as \'{{"channel": "web"}}\''
        )
    return where


def read_metadata(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """The pairs of --meta as a mapping; None if there are none."""
    metadata: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair!r} is not key=value", param_hint="--meta")
        if key in metadata:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--meta")
        metadata[key] = _converted(value)
    return metadata or None


def _converted(value: str) -> Any:
    """A value of --meta as JSON if nothing of it is lost that way, otherwise the string itself.

    So 1.10, 007 and 1e3 remain strings: as numbers they would be printed differently.
    """
    try:
        converted = json.loads(
            value,
            parse_float=_same_float,
            parse_int=_same_int,
            parse_constant=_no_number,
            object_pairs_hook=keys_once,
        )
    except ValueError:
        return value
    except RecursionError:
        raise typer.BadParameter("a value is nested too deep", param_hint="--meta") from None
    is_text = isinstance(converted, str | list | dict)
    return converted if is_text or json.dumps(converted) == value else value


def _same_float(text: str) -> float:
    number = float(text)
    if json.dumps(number) != text:
        raise ValueError(text)
    return number


def _same_int(text: str) -> int:
    number = int(text)
    if str(number) != text:
        raise ValueError(text)
    return number


def _no_number(name: str) -> None:
    # Python parses NaN and Infinity, which are not JSON: treat them as strings.
    raise ValueError(name)


IdArgument = Annotated[
    int, typer.Argument(parser=memory_id, metavar="ID", help="Id of the memory.")
]
IdsArgument = Annotated[
    list[int] | None, typer.Argument(parser=memory_id, metavar="ID", help="Ids of memories.")
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="AGENTMEM_STORE",
        metavar="PATH",
        help="The store: a folder, or a URL such as sqlite:///notes.db or postgresql://host/db.",
        rich_help_panel=_STORE,
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        envvar="AGENTMEM_MODEL",
        metavar="PATH",
        help="Folder of the model bundle; by default the one that comes with agentmem.",
        rich_help_panel=_STORE,
    ),
]
EmbedderOption = Annotated[
    str,
    typer.Option(
        "--embedder",
        envvar="AGENTMEM_EMBEDDER",
        metavar="NAME",
        help="The model whose embeddings are searched, fixed when the store is created: "
        "builtin, tiny, or sentence-transformers:MODEL (a folder or a downloaded model's name).",
        rich_help_panel=_STORE,
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        "-k", "--k", parser=_limit, metavar="INTEGER", help="Maximum number of memories to find."
    ),
]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="ID", help="The user the memory belongs to.", rich_help_panel=_SCOPE
    ),
]
AgentOption = Annotated[
    str | None,
    typer.Option("--agent", metavar="ID", help="The agent it belongs to.", rich_help_panel=_SCOPE),
]
SessionOption = Annotated[
    str | None,
    typer.Option(
        "--session", metavar="ID", help="The conversation it belongs to.", rich_help_panel=_SCOPE
    ),
]
WhereOption = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--where",
        parser=_filter,
        metavar="JSON",
        help='Only what matches a filter such as \'{"channel": "web", "year": {"gte": 2001}}\'.',
        rich_help_panel=_FILTER,
    ),
]
WithoutOption = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--without",
        parser=_filter,
        metavar="JSON",
        help='Leave out what matches a filter such as \'{"user_id": "ana"}\'.',
        rich_help_panel=_FILTER,
    ),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=moment,
        metavar="TIME",
        help="Only memories from this time or later (ISO 8601, local if without zone).",
        rich_help_panel=_FILTER,
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        parser=moment,
        metavar="TIME",
        help="Only memories from before this time.",
        rich_help_panel=_FILTER,
    ),
]
BeforeOption = Annotated[
    datetime | None,
    typer.Option(
        "--before",
        parser=moment,
        metavar="TIME",
        help="Only memories from before this time.",
        rich_help_panel=_FILTER,
    ),
]
NowOption = Annotated[
    datetime | None,
    typer.Option(
        "--now",
        parser=moment,
        metavar="TIME",
        help="The time that 'yesterday' and the like in the question are relative to (ISO 8601,"
        " local if without zone); by default the current time.",
    ),
]
AtOption = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        parser=moment,
        metavar="TIME",
        help="The time of messages and documents without their own (ISO 8601).",
    ),
]
ExpiresOption = Annotated[
    datetime | None,
    typer.Option(
        "--expires",
        parser=moment,
        metavar="TIME",
        help="From this time on, what is stored is in no result (ISO 8601, local if without zone).",
    ),
]
TtlOption = Annotated[
    timedelta | None,
    typer.Option(
        "--ttl",
        parser=_life,
        metavar="TIME",
        help="How long it is kept instead, such as 90 (seconds), 30m, 12h or 7d.",
    ),
]
ExternalIdsOption = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="The id that was given with `add --id`; repeatable."),
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--meta",
        metavar="KEY=VALUE",
        help="Metadata to filter by; repeatable. A value is parsed as JSON (year=2001) if that"
        " changes nothing; other values, such as version=1.10, are strings.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print only JSON.", rich_help_panel=_FORM),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print only the essential result; no notes, no progress bar.",
        rich_help_panel=_FORM,
    ),
]
