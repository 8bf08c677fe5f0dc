"""The map: the newest memories of a scope by what they are about."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Response

from agentmem.context.hits import Chunk
from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.projection import project
from agentmem.service.page.render import render
from agentmem.service.page.scope import PageScope

router = APIRouter(include_in_schema=False)

# Enough for an impression, and few enough to be drawn at once.
MOST = 600
COLORS = 8
WIDTH, HEIGHT, MARGIN = 1000, 640, 14


class Point(NamedTuple):
    """A memory on the map; ``color`` is its number in the legend, `COLORS` for all others."""

    chunk: Chunk
    x: float
    y: float
    color: int


class MapQuery(PageScope):
    """Which memories, and what their colors mean."""

    color: Literal["scope", "episode"] = "scope"


@router.get("/map")
async def show(asked: Annotated[MapQuery, Query()], caller: PageCaller) -> Response:
    """A drawing of the memories, near each other if they are about the same."""

    def work(memory: Memory) -> Response:
        newest = tuple(memory.list(newest_first=True, limit=MOST, **asked.selection))
        chunks = [one for one in newest if one.embedding is not None]
        embeddings = [one.embedding for one in newest if one.embedding is not None]
        names = _names(memory, chunks, asked)
        legend = Counter(names).most_common(COLORS)
        colors = {name: number for number, (name, _) in enumerate(legend)}
        points = []
        if chunks:
            coordinates = project(np.stack(embeddings))
            points = [
                Point(
                    chunk,
                    round(MARGIN + x * (WIDTH - 2 * MARGIN), 1),
                    round(MARGIN + y * (HEIGHT - 2 * MARGIN), 1),
                    colors.get(name, COLORS),
                )
                for chunk, (x, y), name in zip(chunks, coordinates.tolist(), names, strict=True)
            ]
        return render(
            "map.html",
            caller=caller,
            scope=asked.fields,
            color=asked.color,
            points=points,
            legend=legend,
            others=len(chunks) - sum(count for _, count in legend),
            width=WIDTH,
            height=HEIGHT,
            most=MOST,
            capped=len(newest) == MOST,
        )

    return await caller.run(work)


def _names(memory: Memory, chunks: list[Chunk], asked: MapQuery) -> list[str]:
    """What the color of each memory stands for."""
    if asked.color == "scope":
        return [_scope(one) for one in chunks]
    names: dict[int, str] = {}
    for episode in memory.episodes(limit=MOST, **asked.given):
        name = f"{episode.started_at:%Y-%m-%d %H:%M}, {_scope(episode.chunks[0])}"
        names |= {chunk.id: name for chunk in episode.chunks}
    return [names.get(one.id, "others") for one in chunks]


def _scope(chunk: Chunk) -> str:
    scope = chunk.scope
    ids = (scope.user_id, scope.agent_id, scope.session_id)
    return " / ".join(id for id in ids if id is not None) or "no ids"
