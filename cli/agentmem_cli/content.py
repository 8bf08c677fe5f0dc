"""Reads the input of `add`: texts, standard input, files, and JSON lines in batches."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agentmem.errors import AgentMemError, InputError
from agentmem_cli.options import ScopeIds, scope_ids
from agentmem_cli.output import Output

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.results import Receipt
    from agentmem.types import Document

# Lines of a JSONL file that are validated and added together.
BATCH = 1000
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Defaults:
    """Attributes that the options give to everything that is added.

    Attributes:
        scope: The scope of lines without their own.
        created_at: The time of messages without their own.
        metadata: Added to everything; a message's own keys take precedence.
    """

    scope: ScopeIds
    created_at: datetime | None
    metadata: Mapping[str, Any] | None


def read_texts(
    texts: Sequence[str], role: str | None, name: str | None
) -> list[dict[str, Any] | Document]:
    """Texts as messages; standard input is a document, unless a role or name is given."""
    content: list[dict[str, Any] | Document] = []
    for text in texts:
        piped = text == STDIN
        if piped:
            text = _read_stdin()
        if piped and role is None and name is None:
            from agentmem.types import Document

            content.append(Document(text))
        else:
            speaker = {} if name is None else {"name": name}
            content.append({"role": role or "user", "content": text, **speaker})
    return content


def open_stdin() -> TextIO:
    """Standard input.

    Raises:
        InputError: it is closed, as by ``<&-`` or in some services.
    """
    # Python then has no `sys.stdin` at all, or one whose reading fails.
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed: give a text as an argument, or pipe one in")
    return sys.stdin


def _read_stdin() -> str:
    data = open_stdin().buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not utf-8: {error.reason} at byte {error.start}; convert it"
        ) from error


def is_jsonl(path: Path) -> bool:
    """Whether a file contains messages, one per line, and is not a document."""
    return path.suffix.lower() == ".jsonl"


def add_lines(memory: Memory, path: Path, defaults: Defaults, out: Output) -> list[Receipt]:
    """Add the messages of a JSONL file, one `Memory.add` per scope and batch.

    Raises:
        InputError: a line is not a message. Nothing of its batch was written; a note on the error
            says how many messages of earlier batches were.
    """
    receipts: list[Receipt] = []
    lines, done = _read_lines(path, defaults.scope), 0
    try:
        with out.progress(path.name) as bar:
            while batch := list(islice(lines, BATCH)):
                for scope, messages in _by_scope(batch):
                    receipts.append(
                        memory.add(
                            messages,
                            **scope,
                            created_at=defaults.created_at,
                            metadata=defaults.metadata,
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
        raise InputError(f"{str(path)!r} contains no messages")
    return receipts


def _read_lines(path: Path, scope: ScopeIds) -> Iterator[tuple[ScopeIds, dict[str, Any]]]:
    """Scope and message of each non-blank line, validated one by one so that errors name it."""
    from agentmem.ingest.normalize import normalize

    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                message = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{where} is not JSON: {error}") from error
            if not isinstance(message, dict):
                raise InputError(f"{where} is not a JSON object: {message!r:.80}")
            try:
                own = scope | scope_ids(
                    user=_scope_id(message, "user_id"),
                    agent=_scope_id(message, "agent_id"),
                    session=_scope_id(message, "session_id"),
                )
                normalize(message)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            yield own, message


def _scope_id(message: dict[str, Any], key: str) -> str | None:
    value = message.pop(key, None)
    if value is not None and (not isinstance(value, str) or not value):
        raise InputError(f"{key!r} must be a non-empty string, got {value!r:.80}")
    return value


def _by_scope(
    batch: Sequence[tuple[ScopeIds, dict[str, Any]]],
) -> Iterator[tuple[ScopeIds, list[dict[str, Any]]]]:
    groups: dict[frozenset[object], tuple[ScopeIds, list[dict[str, Any]]]] = {}
    for scope, message in batch:
        groups.setdefault(frozenset(scope.items()), (scope, []))[1].append(message)
    yield from groups.values()


def total(receipts: Sequence[Receipt]) -> Receipt:
    """Several receipts combined."""
    from agentmem.results import Receipt

    tokens = sum(receipt.tokens for receipt in receipts)
    right = sum(receipt.fidelity * receipt.tokens for receipt in receipts)
    skipped: Counter[str] = Counter()
    for receipt in receipts:
        skipped.update(receipt.skipped)
    return Receipt(
        ids=tuple(id for receipt in receipts for id in receipt.ids),
        sources=tuple(id for receipt in receipts for id in receipt.sources),
        duplicates=tuple(id for receipt in receipts for id in receipt.duplicates),
        skipped=dict(skipped),
        tokens=tokens,
        positions=sum(receipt.positions for receipt in receipts),
        fidelity=right / tokens if tokens else 1.0,
        latent_bytes=sum(receipt.latent_bytes for receipt in receipts),
        patch_bytes=sum(receipt.patch_bytes for receipt in receipts),
        stored_bytes=sum(receipt.stored_bytes for receipt in receipts),
    )
