"""Files of messages: JSON lines (``*.jsonl``, ``*.ndjson``) and JSON (``*.json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError, InputError
from agentmem_cli.content import Defaults
from agentmem_cli.options import ScopeIds, scope_ids
from agentmem_cli.output import Output
from agentmem_storage.text import shown

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.results import Receipt

_JSON = ".json"


def has_messages(path: Path) -> bool:
    """Whether a file contains messages, and is not a document."""
    from agentmem.ingest.importers.json_values import is_json

    return is_json(path)


def add_messages(memory: Memory, path: Path, defaults: Defaults, out: Output) -> list[Receipt]:
    """Add the messages of a file, with one `Memory.add` per scope.

    In several calls, what is said again in the next one would count as a replay.

    Raises:
        InputError: something in it is not a message. Nothing was written.
    """
    from agentmem.results import write_receipt

    receipts: list[Receipt] = []
    skipped: Counter[str] = Counter()
    scopes, done = list(_by_scope(_read(path, defaults.scope, skipped))), 0
    try:
        with out.progress(path.name) as bar:
            for scope, messages in scopes:
                receipts.append(
                    memory.add(
                        messages,
                        **scope,
                        created_at=defaults.created_at,
                        metadata=defaults.metadata,
                        **defaults.expiry,
                        on_progress=bar,
                    )
                )
                done += len(messages)
                bar(0, None, f"{done:,} messages stored")
    except (AgentMemError, KeyboardInterrupt) as error:
        if done:
            error.add_note(
                f"{done:,} messages of {str(path)!r} are stored; "
                f"adding it again stores no duplicates"
            )
        raise
    if not done:
        raise InputError(f"{str(path)!r} contains no messages with text")
    for id, given in defaults.scope.items():
        own = sum(len(messages) for scope, messages in scopes if scope.get(id) != given)
        if own:
            out.note(f"{own:,} of {done:,} messages of {path.name} keep their own {id}")
    return [*receipts, write_receipt([], [], skipped=skipped)]


def _read(
    path: Path, scope: ScopeIds, skipped: Counter[str]
) -> Iterator[tuple[ScopeIds, Mapping[str, Any]]]:
    """Scope and message, validated one by one so that errors name it; blank ones are counted."""
    from agentmem.errors import BlankError
    from agentmem.ingest.importers.json_values import read_values
    from agentmem.ingest.normalize import normalize
    from agentmem.ingest.scope import SCOPE_KEYS, message_scope
    from agentmem.ingest.shapes.envelopes import open_envelope

    for where, value in read_values(path, way_out=_way_out(path)):
        if not isinstance(value, dict):
            raise InputError(f"{where} is not a JSON object: {shown(value)}{_way_out(path)}")
        try:
            for _, message in open_envelope(value, "the message", skipped):
                whose = message_scope(message, "the message")
                own = {key: message[key] for key in message if key not in SCOPE_KEYS}
                found = scope | scope_ids(
                    user=whose.user_id, agent=whose.agent_id, session=whose.session_id
                )
                try:
                    normalize(own)
                except BlankError:
                    skipped["blank"] += 1
                else:
                    yield found, own
        except InputError as error:
            raise InputError(f"{where}: {error}{_way_out(path)}") from error


def _way_out(path: Path) -> str:
    """What to do with a JSON file that was not meant as messages."""
    if path.suffix.lower() != _JSON:
        return ""
    return "; to store a JSON file as a document, pipe it: agentmem add - < FILE"


def _by_scope(
    messages: Iterable[tuple[ScopeIds, Mapping[str, Any]]],
) -> Iterator[tuple[ScopeIds, list[Mapping[str, Any]]]]:
    groups: dict[frozenset[object], tuple[ScopeIds, list[Mapping[str, Any]]]] = {}
    for scope, message in messages:
        groups.setdefault(frozenset(scope.items()), (scope, []))[1].append(message)
    yield from groups.values()
