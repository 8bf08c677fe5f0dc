"""Vector stores side by side, as tables; the best figure of each column is in bold.

A store that was given too little time to hold all rows is measured with those that it has, and not
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.report.markdown import table

_KINDS = {"all": "of all", "user": "of a user", "number": "with a number"}
_System = Mapping[str, Any]


# The figure that stores are ranked by, as it is shown, and whether more is better; None: no rank.
_Column = tuple[Callable[[_System], float], Callable[[_System], str], bool | None]


def vectorstores_tables(results: Mapping[str, Any]) -> list[str]:
    """What adding, keeping and searching the same rows takes in each store.

    Args:
        results: The ``results`` of a file of ``python -m benchmarks.vectorstores``.
    """
    systems = [one for one in results["systems"] if one["error"] is None]
    searches = {
        name: column
        for kind, head in _KINDS.items()
        for name, column in _of(kind, head, results["k"]).items()
    }
    lines = [
        *_table(systems, _KEPT),
        "",
        *_table(systems, searches),
        "",
        "Rows/s include the making of the index. Times are CPU times of the process, by which "
        f"stores are compared; in parentheses by the clock, at a load of {results['load']:.0f}.",
    ]
    for one in results["systems"]:
        if one["error"] is not None:
            lines += ["", f"{one['name']} failed: `{one['error']}`"]
        elif one not in _complete(systems):
            held = f"{one['memories']:,} rows when its time was over"
            lines += ["", f"{one['name']} had {held}, so it is not compared; {one['note']}."]
        elif one["note"]:
            lines += ["", f"{one['name']}: {one['note']}."]
    return lines


def _complete(systems: Sequence[_System]) -> list[_System]:
    """Those that hold as many rows as any."""
    most = max((int(one["memories"]) for one in systems), default=0)
    return [one for one in systems if one["memories"] == most]


def _table(systems: Sequence[_System], columns: Mapping[str, _Column]) -> list[str]:
    compared = _complete(systems)
    best = {
        name: (max if higher else min)(map(value, compared))
        for name, (value, _, higher) in columns.items()
        if higher is not None and compared
    }
    return table(
        ("Store", *columns),
        [
            (
                one["name"],
                *(
                    f"**{shown(one)}**"
                    if one in compared and value(one) == best.get(name)
                    else shown(one)
                    for name, (value, shown, _) in columns.items()
                ),
            )
            for one in systems
        ],
    )


def _of(kind: str, head: str, k: int) -> dict[str, _Column]:
    """The columns of one kind of search."""

    def median(one: _System) -> float:
        return float(one["search_cpu_ms"][kind]["p50"])

    def times(one: _System) -> str:
        used, clock = one["search_cpu_ms"][kind], one["search_ms"][kind]
        return f"{used['p50']:.1f} / {used['p95']:.1f} ({clock['p50']:.1f}) ms"

    def recall(one: _System) -> float:
        return float(one["recall"][kind])

    return {
        f"Search {head}, p50 / p95": (median, times, False),
        f"Recall@{k} {head}": (recall, lambda one: f"{recall(one):.3f}", True),
    }


def _per_second(one: _System, clock: str = "cpu") -> float:
    return float(one["memories"] / (one["add_s"][clock] + one["finish_s"][clock]))


def _bytes(one: _System) -> float:
    return float(one["disk_bytes"] / one["memories"])


def _open(one: _System) -> float:
    return float(one["open_s"]["cpu"])


def _resident(one: _System) -> float:
    return float(one["resident_mb"])


_KEPT: dict[str, _Column] = {
    "Rows": (_resident, lambda one: f"{one['memories']:,}", None),
    "Rows/s": (
        _per_second,
        lambda one: f"{_per_second(one):,.0f} ({_per_second(one, 'wall'):,.0f})",
        True,
    ),
    "Index made in": (_resident, lambda one: f"{one['finish_s']['cpu']:.0f} s", None),
    "Bytes a row": (_bytes, lambda one: f"{_bytes(one):,.0f}", False),
    "Resident": (_resident, lambda one: f"{_resident(one):,.0f} MB", False),
    "Open, first search": (
        _open,
        lambda one: f"{_open(one):.1f} ({one['open_s']['wall']:.1f}) s",
        False,
    ),
}
