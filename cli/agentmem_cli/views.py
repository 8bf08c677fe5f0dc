"""Formats results for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from agentmem_cli.output import safe

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.results import ForgetReceipt, Receipt, Stats

_BAR = 40
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

# Below this relevance a recall is called a miss. Lower than where `Recall.confident` begins: to be
# told that nothing fits, above the memory that does, is worse than not to be told.
UNLIKELY = 0.25


def _day(moment: datetime) -> date:
    # With it comes NumPy, which help does without.
    from agentmem_storage.timestamps import said_on

    return said_on(moment)


def facts(rows: Iterable[tuple[str, str]]) -> Text:
    """Named values, one per line; empty values are omitted."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    lines = [Text.assemble((name.ljust(width + 2), "dim"), safe(value)) for name, value in shown]
    return Text("\n").join(lines)


def size(count: float) -> str:
    """A number of bytes in the most readable unit."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:,.0f} {_UNITS[unit]}" if unit == 0 else f"{count:,.1f} {_UNITS[unit]}"


def number(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """A percentage with two decimals; 100 % only for exactly 1."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.2f} %"


def ranges(ids: Sequence[int], most: int = 12) -> str:
    """Ids in the given order, runs as first-last; truncated after ``most`` runs."""
    runs: list[list[int]] = []
    for id in ids:
        if runs and id == runs[-1][1] + 1:
            runs[-1][1] = id
        else:
            runs.append([id, id])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


def short(text: str, width: int = 80) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(safe(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def speaker(chunk: Chunk) -> str:
    """Who speaks, on one line, so that a name cannot pass for a line of another memory."""
    from agentmem.context.escape import name

    return safe(name(chunk.speaker, chunk.role))


def local(moment: datetime) -> datetime:
    """A time in the local zone, in which the commands read times too."""
    with suppress(OverflowError, OSError):  # at the ends of the calendar, or of the system's
        return moment.astimezone()
    return moment


def _when(moment: datetime) -> str:
    """The day and the minute of a time; the day alone if only that is known and it has another."""
    day = _day(moment)
    return f"{moment:%Y-%m-%d %H:%M}" if day == moment.date() else f"{day:%Y-%m-%d}"


def named(chunk: Chunk, *, full: bool = False) -> Text:
    """A chunk with its id, date and speaker, and the beginning of its text or all of it."""
    head = f"  #{chunk.id}  {_day(local(chunk.created_at)):%Y-%m-%d}  {speaker(chunk)}: "
    text = safe(chunk.text).replace("\n", "\n      ") if full else short(chunk.text)
    return Text.assemble((head, "dim"), text)


def receipt(done: Receipt) -> Text:
    """The result of an `add`."""
    new = len(done.ids) - len(done.duplicates)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(done.skipped.items()))
    rows = [("stored", number(new, "memory", "memories")), ("ids", ranges(done.ids))]
    if done.duplicates:
        rows.append(("duplicates", f"{ranges(done.duplicates)}: not stored again"))
    if done.replaced:
        rows.append(("replaced", f"{ranges(done.replaced)}: in the place of what had the same id"))
    rows.append(("skipped", skipped))
    pairs = ", ".join(f"#{one.new} seems to supersede #{one.old}" for one in done.conflicts)
    rows.append(("conflicts", pairs))
    if done.tokens:
        rows += [
            ("tokens", f"{done.tokens:,} in {number(done.positions, 'position')}"),
            ("fidelity", f"{percent(done.fidelity)} of the tokens from the vectors alone"),
            (
                "bytes",
                f"{done.stored_bytes:,}, {done.stored_bytes / done.tokens:.2f} per token "
                f"(latents {done.latent_bytes:,}, patches {done.patch_bytes:,})",
            ),
        ]
    return facts(rows)


def hits(found: Recall) -> Text:
    """Ranked hits with their texts; a plus sign marks those added by --expand."""
    blocks, rank_of_hit = [], 0
    for hit in found:
        rank_of_hit += hit.expanded_from is None
        rank = rank_of_hit if hit.expanded_from is None else "+"
        origin = f"{_when(hit.created_at)}  {speaker(hit)}"
        if hit.occurrences:
            origin += f"  said {len(hit.occurrences) + 1} times"
        if hit.supersedes:
            origin += f"  supersedes {_marks(hit.supersedes)}"
        if hit.superseded_by:
            origin += f"  superseded by {_marks(hit.superseded_by)}"
        text = safe(hit.text).rstrip().replace("\n", "\n   ")
        head = Text.assemble(
            (f"{rank:>2} ", "bold"),
            (f"{hit.score:.3f}  ", "green"),
            (f"#{hit.id}  {origin}  relevance {hit.relevance:.2f}", "dim"),
        )
        blocks.append(Text("\n").join([head, Text(f"   {text}")]))
    return Text("\n\n").join(blocks) if blocks else Text("nothing found", style="dim")


def _marks(ids: Iterable[int]) -> str:
    return ", ".join(f"#{id}" for id in ids)


def line(chunk: Chunk) -> Text:
    """A memory on one line."""
    text = " ".join(safe(chunk.text).split())
    date = f"{_day(local(chunk.created_at)):%Y-%m-%d}"
    return Text.assemble((f"{chunk.id:>6}  {date}  {speaker(chunk)}: ", "dim"), text)


def chunk_facts(chunk: Chunk) -> Text:
    """All attributes of a memory except its text."""
    scope, source = chunk.scope, chunk.source
    ids = (("user", scope.user_id), ("agent", scope.agent_id), ("session", scope.session_id))
    first, last = chunk.span
    return facts(
        [
            ("id", str(chunk.id)),
            ("speaker", f"{speaker(chunk)} ({chunk.role})" if chunk.role else ""),
            ("title", " ".join((source.title or "").split())),
            ("from", source.uri or ""),
            ("your id", safe(source.external_id or "")),
            ("at", f"{local(chunk.created_at):%Y-%m-%d %H:%M:%S %Z}"),
            ("expires", _expires(source.expires_at)),
            ("scope", ", ".join(f"{name} {id}" for name, id in ids if id) or "none"),
            ("metadata", ", ".join(f"{key}={value!r}" for key, value in chunk.metadata.items())),
            ("span", f"{first}-{last} of {source.chars:,} characters of source {source.id}"),
            ("tokens", f"{chunk.tokens} in {number(chunk.positions, 'position')}"),
            ("fidelity", f"{percent(chunk.fidelity)} of the tokens from the vectors alone"),
            ("bytes", f"{chunk.stored_bytes:,}, {chunk.patch_bytes:,} of them patch"),
        ]
    )


def _expires(moment: datetime | None) -> str:
    return "" if moment is None else f"{local(moment):%Y-%m-%d %H:%M:%S %Z}"


def forgotten(done: ForgetReceipt, *, nothing: str = "nothing matches: nothing to forget") -> Text:
    """The result of a `forget`."""
    if not done.ids:
        return Text(nothing)
    verb = "would forget" if done.dry_run else "forgot"
    return Text(f"{verb} {number(len(done.ids), 'memory', 'memories')}: {ranges(done.ids)}")


def stats(found: Stats) -> Text:
    """Totals of a store or a scope, and a histogram of fidelity."""
    latents, tokens = found.latent_bytes + found.patch_bytes, found.tokens
    each = f" ({tokens / found.positions:.1f} tokens each)" if found.positions else ""
    sizes = (("all files", found.file_bytes), ("states", found.states_bytes))
    files = [(name, size(held)) for name, held in sizes if held is not None]
    table = facts(
        [
            ("memories", f"{found.memories:,}"),
            ("sources", f"{found.sources:,} messages and documents"),
            ("scopes", f"{found.scopes:,}"),
            ("tokens", f"{tokens:,}"),
            ("positions", f"{found.positions:,}{each}"),
            ("latents", size(found.latent_bytes)),
            ("patches", size(found.patch_bytes)),
            ("embeddings", size(found.embedding_bytes)),
            ("stored text", size(found.text_bytes)),
            *files,
            ("per token", f"{found.bytes_per_token:.2f} bytes of latents and patches"),
            ("model", f"{found.model} ({found.fingerprint})"),
        ]
    )
    return Text("\n").join([table, Text(), *_histogram(found)]) if latents else table


def _histogram(found: Stats) -> list[Text]:
    """A histogram of fidelity, one bar per bin."""
    highest = max(count for _, count in found.fidelity)
    ends = [edge for edge, _ in found.fidelity[1:]]
    lines = [Text("fidelity of the memories from the vectors alone", style="dim")]
    for (low, count), high in zip(found.fidelity, [*ends, None], strict=True):
        name = "exact" if high is None else f"{low * 100:g}-{high * 100:g} %"
        bar = "█" * max(round(count / highest * _BAR), min(count, 1))
        lines.append(Text.assemble((f"{name:>12}  ", "dim"), (bar, "green"), f" {count:,}"))
    return lines
