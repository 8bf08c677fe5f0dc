"""The branch of a tree of messages that is shown, of trees whose links may be broken, too.

A node names its parent, and its parent lists it among its children, so that either link can stand
in for the other. Where both are missing, or lead in a circle, the tree falls into pieces; what was
said before the gap is then the newest branch of another piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Nodes = dict[str, Mapping[str, Any]]


def shown_ids(nodes: Nodes, current: object) -> list[str]:
    """The ids of the branch that ends in the current node, after those of what came before a gap.

    Args:
        nodes: The nodes of the conversation, by id, with "parent", "children" and "message".
        current: The id of the current node. If there is no such node, the branch ends in the
            newest leaf.

    Returns:
        The ids in the order in which they were said. All others are on other branches.
    """
    parents = _parents(nodes)
    roots = _roots(nodes, parents)
    leaves = set(nodes).difference(parents.values())
    if not isinstance(current, str) or current not in nodes:
        current = _newest(nodes, leaves)
    ends = {roots[current]: current} if isinstance(current, str) else {}
    pieces: dict[str, list[str]] = {}
    for id in nodes:
        if id in leaves:
            pieces.setdefault(roots[id], []).append(id)
    for root, found in pieces.items():
        if root not in ends and (end := _newest(nodes, found)) is not None:
            ends[root] = end
    branches = [_branch(nodes, parents, end) for end in ends.values()]
    place = {id: at for at, id in enumerate(nodes)}
    # Without times, in the order of the export.
    branches.sort(key=lambda ids: (_began(nodes, ids), place[ids[0]]))
    return [id for branch in branches for id in branch]


def _parents(nodes: Nodes) -> dict[str, str]:
    """The parent of each node that has one; it need not be there, but the links form no circle."""
    listed: dict[str, list[str]] = {}
    for id, node in nodes.items():
        children = node.get("children")
        for child in children if isinstance(children, list | tuple) else ():
            if isinstance(child, str) and child in nodes:
                listed.setdefault(child, []).append(id)
    parents: dict[str, str] = {}
    for id, node in nodes.items():
        named = node.get("parent")
        if isinstance(named, str) and named in nodes:
            parents[id] = named
        elif id in listed:
            parents[id] = listed[id][0]
        elif isinstance(named, str):
            parents[id] = named
    sound: set[str] = set()
    for id in nodes:
        while circle := _circle(id, parents, sound):
            _open_circle(circle, nodes, parents, listed, sound)
    return parents


def _circle(start: str, parents: Mapping[str, str], sound: set[str]) -> list[str]:
    """The nodes of the circle that the way up from a node runs into; none if it has an end.

    Args:
        start: The node.
        parents: The parent of each.
        sound: Nodes whose way up has an end; those on this way are added if it has.
    """
    way: dict[str, None] = {}
    at: str | None = start
    while at is not None and at not in sound:
        if at in way:
            ids = list(way)
            return ids[ids.index(at) :]
        way[at] = None
        at = parents.get(at)
    sound.update(way)
    return []


def _open_circle(
    circle: list[str],
    nodes: Nodes,
    parents: dict[str, str],
    listed: Mapping[str, list[str]],
    sound: set[str],
) -> None:
    """Give one node of a circle the parent that lists it and leads to no circle, or else none.

    Without such a parent it is the node that was written first: its own link is what is wrong.
    """
    for id in circle:
        for other in listed.get(id, ()):
            if not _circle(other, parents, sound):
                parents[id] = other
                return
    del parents[min(circle, key=lambda id: _written(nodes[id]))]


def _roots(nodes: Nodes, parents: Mapping[str, str]) -> dict[str, str]:
    """For each node, where its way up ends. Siblings whose parent is not there have one root."""
    roots: dict[str, str] = {}
    for id in nodes:
        way = []
        at = id
        while at not in roots and at in parents:
            way.append(at)
            at = parents[at]
        root = roots.setdefault(at, at)
        roots.update(dict.fromkeys(way, root))
    return roots


def _branch(nodes: Nodes, parents: Mapping[str, str], end: str) -> list[str]:
    ids = []
    at: str | None = end
    while at is not None and at in nodes:
        ids.append(at)
        at = parents.get(at)
    return ids[::-1]


def _newest(nodes: Nodes, leaves: Iterable[str]) -> str | None:
    """The leaf that was written last; of several without times, the last of the export."""
    wanted = set(leaves)
    return max(
        (id for id in reversed(nodes) if id in wanted),
        key=lambda id: _written(nodes[id]),
        default=None,
    )


def _began(nodes: Nodes, ids: Iterable[str]) -> float:
    """When the first message with a time was written; 0 if none has."""
    return next((time for id in ids if (time := _written(nodes[id]))), 0.0)


def _written(node: Mapping[str, Any]) -> float:
    message = node.get("message")
    time = message.get("create_time") if isinstance(message, Mapping) else None
    return float(time) if isinstance(time, int | float) else 0.0
