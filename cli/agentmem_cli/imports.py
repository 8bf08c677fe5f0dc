"""Imports a file of another program: all of it is read first, then added item by item."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import AgentMemError, InputError
from agentmem_cli.content import Defaults
from agentmem_cli.options import ScopeIds, scope_ids
from agentmem_cli.output import Output

if TYPE_CHECKING:
    from agentmem.ingest.importers.items import Imported, Item
    from agentmem.memory import Memory
    from agentmem.results import Receipt


@dataclass(slots=True)
class Report:
    """What a file has, and what was added of it.

    Attributes:
        file: The file.
        form: What it was recognized as.
        items: Number of conversations, or groups of documents.
        texts: Number of texts in them that can be stored.
        memories: Number of memories that were added; 0 if nothing was to be.
        duplicates: Number of memories that the store had.
        skipped: Number of what has no text or is not shown, by kind.
        unreadable: What cannot be read, each with its place and why.
    """

    file: str
    form: str
    items: int = 0
    texts: int = 0
    memories: int = 0
    duplicates: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    unreadable: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def survey(path: Path, found: Imported, defaults: Defaults) -> tuple[Report, list[Item]]:
    """Read everything that a file has; return what can be stored of it."""
    from agentmem.errors import BlankError
    from agentmem.ingest.normalize import normalize

    report = Report(str(path), found.form)
    skipped = Counter(found.skipped)
    readable = []
    for item in found.items:
        try:
            read = normalize(item.content, created_at=defaults.created_at, metadata=item.metadata)
        except BlankError:
            skipped["blank"] += len(item.content)
            continue
        except InputError as error:
            report.unreadable.append({"where": item.where, "why": str(error)})
            continue
        skipped.update(read.skipped)
        if read.parts:
            report.items += 1
            report.texts += len(read.parts)
            readable.append(item)
    report.skipped = dict(skipped)
    return report, readable


def add_items(
    memory: Memory, report: Report, items: list[Item], defaults: Defaults, out: Output
) -> None:
    """Add items one by one, each in one call, and note in the report what became of them."""
    done = 0
    try:
        with out.progress(Path(report.file).name) as bar:
            for item in items:
                receipt = _add(memory, item, defaults)
                done += 1
                report.memories += len(receipt.ids) - len(receipt.duplicates)
                report.duplicates += len(receipt.duplicates)
                bar(done, len(items), f"{report.memories:,} memories added")
    except (AgentMemError, KeyboardInterrupt) as error:
        if done:
            error.add_note(
                f"{done:,} of {len(items):,} items of {report.file!r} are stored; importing it "
                f"again adds the rest"
            )
        raise


def _add(memory: Memory, item: Item, defaults: Defaults) -> Receipt:
    own = scope_ids(user=item.scope.user_id, agent=item.scope.agent_id, session=None)
    scope: ScopeIds = {**defaults.scope, **own}
    if item.scope.session_id is not None and "session_id" not in scope:
        scope["session_id"] = item.scope.session_id
    return memory.add(
        item.content,
        **scope,
        created_at=defaults.created_at,
        metadata={**(defaults.metadata or {}), **item.metadata},
    )
