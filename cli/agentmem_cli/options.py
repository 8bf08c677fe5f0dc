"""Options that several commands share, each described once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

DEFAULT_STORE = "~/.agentmem/default"
DEFAULT_EMBEDDER = "builtin"

_PLACE, _SCOPE, _FILTER, _FORM = "Place", "Scope", "Filter", "Output"


class ScopeWords(TypedDict):
    """The scope keywords that every verb of `Memory` takes."""

    user_id: str | None
    agent_id: str | None
    session_id: str | None


def scope_words(user: str | None, agent: str | None, session: str | None) -> ScopeWords:
    """The scope options as keywords."""
    return ScopeWords(user_id=user, agent_id=agent, session_id=session)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; give ISO 8601 such as 2026-02-13 or 2026-02-13T09:40+01:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _filter(text: str) -> dict[str, Any]:
    try:
        where = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}") from None
    if not isinstance(where, dict):
        raise typer.BadParameter(f'{text!r} is no JSON object such as \'{{"channel": "web"}}\'')
    return where


def read_metadata(pairs: Sequence[str] | None) -> dict[str, Any] | None:
    """The pairs of --meta as one mapping; None if there are none."""
    metadata: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair!r} is not key=value", param_hint="--meta")
        if key in metadata:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--meta")
        try:
            metadata[key] = json.loads(value, parse_constant=_no_number)
        except ValueError:
            metadata[key] = value
    return metadata or None


def _no_number(name: str) -> None:
    # Python reads NaN and Infinity, which JSON does not know: here they are words.
    raise ValueError(name)


IdArgument = Annotated[int, typer.Argument(metavar="ID", help="Id of the memory.")]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        "-s",
        envvar="AGENTMEM_STORE",
        metavar="PATH",
        help="The store: a folder, or a URL such as sqlite:///notes.db.",
        rich_help_panel=_PLACE,
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        envvar="AGENTMEM_MODEL",
        metavar="PATH",
        help="Folder of the model bundle; by default the one that comes with agentmem.",
        rich_help_panel=_PLACE,
    ),
]
EmbedderOption = Annotated[
    str,
    typer.Option(
        "--embedder",
        envvar="AGENTMEM_EMBEDDER",
        metavar="NAME",
        help="The model whose embeddings are searched, fixed when the store is created: "
        "builtin, or sentence-transformers:MODEL (a folder or the name of a downloaded model).",
        rich_help_panel=_PLACE,
    ),
]
ReadOption = Annotated[
    int, typer.Option("-k", "--k", min=1, help="How many memories to find at most.")
]
UserOption = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="Whose memory it is.", rich_help_panel=_SCOPE),
]
AgentOption = Annotated[
    str | None,
    typer.Option("--agent", metavar="ID", help="Which agent's it is.", rich_help_panel=_SCOPE),
]
SessionOption = Annotated[
    str | None,
    typer.Option(
        "--session", metavar="ID", help="Which conversation's it is.", rich_help_panel=_SCOPE
    ),
]
WhereOption = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--where",
        parser=_filter,
        metavar="JSON",
        help='Only what fits a filter such as \'{"channel": "web", "year": {"gte": 2001}}\'.',
        rich_help_panel=_FILTER,
    ),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=_moment,
        metavar="TIME",
        help="Only what was said at or after this time (ISO 8601, UTC if without zone).",
        rich_help_panel=_FILTER,
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        parser=_moment,
        metavar="TIME",
        help="Only what was said before this time.",
        rich_help_panel=_FILTER,
    ),
]
BeforeOption = Annotated[
    datetime | None,
    typer.Option(
        "--before",
        parser=_moment,
        metavar="TIME",
        help="Only what was said before this time.",
        rich_help_panel=_FILTER,
    ),
]
NowOption = Annotated[
    datetime | None,
    typer.Option(
        "--now",
        parser=_moment,
        metavar="TIME",
        help="What 'yesterday' and the like in the question are counted from (ISO 8601, UTC if"
        " without zone); by default the current time.",
    ),
]
AtOption = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        parser=_moment,
        metavar="TIME",
        help="When it was said, for what carries no time of its own (ISO 8601).",
    ),
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--meta",
        metavar="KEY=VALUE",
        help="Metadata to filter by; repeatable. A value that is JSON is taken as such (year=2001),"
        " anything else as a string.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON and nothing else.", rich_help_panel=_FORM),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print only what is essential; no notes, no progress bar.",
        rich_help_panel=_FORM,
    ),
]
