"""The commands users and sessions: who has memories in a store, and of which conversations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SessionOption,
    StoreOption,
    UserOption,
    scope_ids,
)
from agentmem_cli.output import Output, safe
from agentmem_cli.tables import figure_table

if TYPE_CHECKING:
    from agentmem.results import ScopeUse


def users(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the users of a store, or with --user the agents and sessions of one; last used first.

    --json has every combination of ids. --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.scopes(**scope_ids(user, agent, session))
    people: dict[str | None, list[ScopeUse]] = {}
    for use in found:
        people.setdefault(use.user_id, []).append(use)

    def ids() -> list[str]:
        names = [use.session_id for use in found] if user is not None else [*people]
        return list(dict.fromkeys(name for name in names if name is not None))

    def human() -> RenderableType:
        if not found:
            return Text("no memories yet")
        if user is None:
            return _table(
                ("user", "sessions", "memories", "last added"),
                [
                    (id, len({use.session_id for use in uses} - {None}), *_sums(uses))
                    for id, uses in people.items()
                ],
            )
        return _table(
            ("session", "agent", "memories", "last added"),
            [(use.session_id, use.agent_id, *_sums([use])) for use in found],
        )

    out.emit(json=lambda: [use.to_dict() for use in found], human=human, quiet=ids)


def sessions(
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the sessions of a store, or with --user those of one; last used first.

    --quiet prints the ids.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.scopes(**scope_ids(user, agent, None))
    talks = [use for use in found if use.session_id is not None]

    def human() -> RenderableType:
        if not talks:
            return Text("no sessions yet")
        return _table(
            ("session", "user", "agent", "memories", "last added"),
            [(use.session_id, use.user_id, use.agent_id, *_sums([use])) for use in talks],
        )

    out.emit(
        json=lambda: [use.to_dict() for use in talks],
        human=human,
        quiet=lambda: list(dict.fromkeys(str(use.session_id) for use in talks)),
    )


def _sums(uses: list[ScopeUse]) -> tuple[int, datetime | None]:
    times = [use.last_added for use in uses if use.last_added is not None]
    return sum(use.memories for use in uses), max(times, default=None)


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> RenderableType:
    table = figure_table(heads)
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    return table


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else safe("-" if value is None else str(value))
