"""What `add` is given: texts, standard input, files; and JSON lines, batch by batch."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError, InputError
from agentmem_cli.options import ScopeWords
from agentmem_cli.output import Output

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem.results import Receipt
    from agentmem.types import Document

# Lines of a JSONL file that are read, checked and added together.
BATCH = 1000
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Said:
    """What the options say about everything that is added.

    Attributes:
        scope: Whose memory it is, where a line does not say.
        created_at: When it was said, where nothing else tells.
        metadata: Goes to everything; a message's own keys win.
    """

    scope: ScopeWords
    created_at: datetime | None
    metadata: Mapping[str, Any] | None


def read_texts(
    texts: Sequence[str], role: str | None, name: str | None
) -> list[dict[str, Any] | Document]:
    """Texts as messages; standard input is a document, unless it is said who speaks."""
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


def _read_stdin() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not utf-8: {error.reason} at byte {error.start}; convert it"
        ) from error


def holds_lines(path: Path) -> bool:
    """Whether a file holds messages, one per line, and is no document."""
    return path.suffix.lower() == ".jsonl"


def add_lines(memory: Memory, path: Path, said: Said, out: Output) -> list[Receipt]:
    """Add the messages of a JSONL file, one `Memory.add` per scope and batch.

    Raises:
        InputError: a line is no message. Nothing of its batch was written; the batches before it
            are in, which a note on the error says.
    """
    receipts: list[Receipt] = []
    lines, done = _read_lines(path, said.scope), 0
    try:
        with out.progress(path.name) as bar:
            while batch := list(islice(lines, BATCH)):
                for scope, messages in _by_scope(batch):
                    receipts.append(
                        memory.add(
                            messages,
                            **scope,
                            created_at=said.created_at,
                            metadata=said.metadata,
                            on_progress=bar,
                        )
                    )
                    done += len(messages)
                bar(0, None, f"{done:,} messages are in")
    except (AgentMemError, KeyboardInterrupt) as error:
        if done:
            error.add_note(
                f"{done:,} messages of {str(path)!r} are in; adding it again stores none twice"
            )
        raise
    if not done:
        raise InputError(f"{str(path)!r} holds no messages")
    return receipts


def _read_lines(path: Path, scope: ScopeWords) -> Iterator[tuple[ScopeWords, dict[str, Any]]]:
    """Scope and message of each line that is not blank, checked alone so that errors name it."""
    from agentmem.ingest.normalise import normalise

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
                own = ScopeWords(
                    user_id=_word(message, "user_id") or scope["user_id"],
                    agent_id=_word(message, "agent_id") or scope["agent_id"],
                    session_id=_word(message, "session_id") or scope["session_id"],
                )
                normalise(message)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            yield own, message


def _word(message: dict[str, Any], word: str) -> str | None:
    value = message.pop(word, None)
    if value is not None and (not isinstance(value, str) or not value):
        raise InputError(f"{word!r} must be a string that is not empty, got {value!r:.80}")
    return value


def _by_scope(
    batch: Sequence[tuple[ScopeWords, dict[str, Any]]],
) -> Iterator[tuple[ScopeWords, list[dict[str, Any]]]]:
    groups: dict[tuple[object, ...], tuple[ScopeWords, list[dict[str, Any]]]] = {}
    for scope, message in batch:
        groups.setdefault(tuple(scope.values()), (scope, []))[1].append(message)
    yield from groups.values()


def total(receipts: Sequence[Receipt]) -> Receipt:
    """Several receipts as one."""
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
