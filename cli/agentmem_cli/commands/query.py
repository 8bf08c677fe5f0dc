"""The read-only commands recall, show and list."""

from __future__ import annotations

from itertools import islice
from sys import maxsize
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from agentmem_cli import views
from agentmem_cli.diff import side_by_side
from agentmem_cli.open_memory import open_memory
from agentmem_cli.options import (
    DEFAULT_EMBEDDER,
    DEFAULT_STORE,
    AgentOption,
    EmbedderOption,
    IdArgument,
    JsonOption,
    ModelOption,
    NowOption,
    QuietOption,
    SessionOption,
    SinceOption,
    StoreOption,
    UntilOption,
    UserOption,
    WhereOption,
    local_now,
    scope_ids,
    whole,
)
from agentmem_cli.output import Output, note_unknown_keys, safe


def recall(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A question or keywords.")],
    k: Annotated[
        int,
        typer.Option("-k", parser=whole, metavar="INTEGER", help="Maximum number of hits."),
    ] = 8,
    where: WhereOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    mode: Annotated[
        Literal["hybrid", "vector", "lexical"],
        typer.Option("--mode", help="Vector and lexical search combined, or one of them."),
    ] = "hybrid",
    expand: Annotated[
        Literal["episode", "neighbors"] | None,
        typer.Option(
            "--expand",
            help="Also show the context of each hit: the memories before and after it, or more of"
            " its episode.",
        ),
    ] = None,
    order: Annotated[
        Literal["relevance", "time"],
        typer.Option("--order", help="Sort the hits by relevance, or oldest first."),
    ] = "relevance",
    prefer: Annotated[
        Literal["auto", "latest", "any"],
        typer.Option(
            "--prefer",
            help="Of memories that supersede each other, show the one that the question is about,"
            " the latest, or any first.",
        ),
    ] = "auto",
    min_relevance: Annotated[
        float | None,
        typer.Option(
            "--min-relevance",
            metavar="P",
            min=0.0,
            max=1.0,
            help="Only hits that answer the question with at least this probability.",
        ),
    ] = None,
    now: NowOption = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="TOKENS",
            help="Print the hits that fit this many tokens as a block for a prompt.",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the memories that match a question best.

    A time in the question, such as "last May" or "two days ago", boosts memories of that time.

    --quiet prints the ids, in the same order.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        found = memory.recall(
            query,
            k=k,
            **scope_ids(user, agent, session),
            where=where,
            since=since,
            until=until,
            mode=mode,
            expand=expand,
            order=order,
            prefer=prefer,
            min_relevance=min_relevance,
            now=now or local_now(),
        )
        if budget is None:
            out.emit(
                json=lambda: {
                    "query": query,
                    "candidates": found.candidates,
                    "relevance": found.relevance,
                    "confident": found.confident,
                    "unknown_keys": list(found.unknown_keys),
                    "hits": [hit.to_dict() for hit in found],
                },
                human=lambda: views.hits(found),
                quiet=lambda: [str(hit.id) for hit in found],
            )
            note_unknown_keys(found.unknown_keys, out)
            if found.candidates and found.relevance < views.UNLIKELY:
                out.note(f"probably nothing in memory fits (relevance {found.relevance:.2f})")
            return
        packed = found.pack(max_tokens=budget)
        out.emit(
            json=lambda: {
                "text": packed.to_text(),
                "ids": [hit.id for hit in packed.hits],
                "left_out": packed.left_out,
                "repeats": packed.repeats,
                "tokens": packed.tokens,
                "positions": packed.positions,
            },
            human=lambda: Text(safe(packed.to_text())),
            quiet=lambda: [str(hit.id) for hit in packed.hits],
        )
        if packed.left_out:
            out.note(f"{views.number(packed.left_out, 'hit')} did not fit {budget} tokens")
        if packed.repeats:
            out.note(f"{views.number(packed.repeats, 'hit')} omitted as repeats")


def show(
    id: IdArgument,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode",
            help="Compare the text decoded from the vectors alone with the exact text.",
        ),
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show one memory with all its attributes.

    --quiet prints the exact text, byte for byte, without a trailing newline; with --decode, the
    text regenerated from the vectors alone.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        chunk = memory.get(id, **scope_ids(user, agent, session))
        exact = chunk.text
        regenerated = memory.regenerated(id) if decode else None
    if quiet and not json:
        out.write(exact if regenerated is None else regenerated)
        return

    def plain() -> dict[str, Any]:
        known = {**chunk.to_dict(), "patch_bytes": chunk.patch_bytes}
        if regenerated is not None:
            known |= {"regenerated": regenerated, "identical": regenerated == exact}
        return known

    def human() -> RenderableType:
        text: RenderableType = Text(safe(exact))
        if regenerated is not None:
            text = side_by_side(regenerated, exact, colors=out.colors)
        return Group(views.chunk_facts(chunk), Text(), text)

    out.emit(json=plain, human=human, quiet=lambda: ())


def list_memories(
    where: WhereOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: Annotated[
        int | None,
        typer.Option("--source", metavar="ID", help="Only this message or document."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Maximum number to list; 0 lists all.")
    ] = 50,
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            parser=whole,
            metavar="ID",
            help="Continue after this memory: the last one of the page before.",
        ),
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Begin with what was added last.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    model: ModelOption = None,
    embedder: EmbedderOption = DEFAULT_EMBEDDER,
    user: UserOption = None,
    agent: AgentOption = None,
    session: SessionOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List memories in the order they were added; a note says how many the limit omits.

    --json prints one object per line, --quiet the ids.
    """
    out = Output(json=json, quiet=quiet)
    with open_memory(store, model, embedder=embedder) as memory:
        chunks = memory.list(
            **scope_ids(user, agent, session),
            source_id=source,
            where=where,
            since=since,
            until=until,
            newest_first=newest,
            after=after,
        )
        last = after
        for chunk in islice(chunks, min(limit, maxsize) or None):
            out.emit(
                json=chunk.to_dict,
                human=lambda chunk=chunk: views.line(chunk),  # type: ignore[misc]
                quiet=lambda chunk=chunk: [str(chunk.id)],  # type: ignore[misc]
                line=True,
            )
            last = chunk.id
        if more := sum(1 for _ in chunks):
            out.note(f"{more:,} more; --after {last} continues, --limit 0 lists all")
