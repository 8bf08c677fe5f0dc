"""What `agentmem` alone shows: what is in the store, and what can be done with it."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentmem.errors import StoreNotFoundError
from agentmem_cli import views
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import DEFAULT_STORE
from agentmem_cli.output import Output, safe

_FIRST = (("agentmem add TEXT", "store something, and create the store"),)
_NEXT = (
    ("agentmem recall QUESTION", "find what answers it"),
    ("agentmem list --newest", "show what was added last"),
    ("agentmem add TEXT", "store something"),
    ("agentmem users", "show whose memories they are"),
)
_ALWAYS = (
    ("agentmem import FILE", "read an export of ChatGPT, Claude or mem0, a table or a folder"),
    ("agentmem chat", "talk to the memory"),
    ("agentmem mcp", "serve it to Claude Desktop, Cursor and the like"),
    ("agentmem --help", "show all commands"),
)


def overview() -> None:
    """Show the store of this user, or that there is none yet, and what to do."""
    store = os.environ.get("AGENTMEM_STORE", DEFAULT_STORE)
    model = os.environ.get("AGENTMEM_MODEL")
    try:
        with open_memory(store, Path(model) if model else None) as memory:
            found = memory.scopes()
    except StoreNotFoundError:
        _show(f"{store}: no memories yet", (*_FIRST, *_ALWAYS))
        return
    memories = sum(use.memories for use in found)
    if not memories:
        _show(f"{store}: no memories yet", (*_FIRST, *_ALWAYS))
        return
    users = {use.user_id for use in found} - {None}
    of = f" of {views.number(len(users), 'user')}" if users else ""
    times = [use.last_added for use in found if use.last_added is not None]
    last = f", the last added {max(times).astimezone():%Y-%m-%d %H:%M}" if times else ""
    _show(f"{store}: {views.number(memories, 'memory', 'memories')}{of}{last}", (*_NEXT, *_ALWAYS))


def _show(line: str, hints: tuple[tuple[str, str], ...]) -> None:
    table = Table.grid(padding=(0, 3, 0, 2))
    for command, what in hints:
        table.add_row(Text(command, style="bold"), what)
    shown: RenderableType = Group(Text(safe(line)), Text(""), table)
    Output().emit(json=list, human=lambda: shown, quiet=list)
