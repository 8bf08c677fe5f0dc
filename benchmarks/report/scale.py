"""The index and whole stores at several sizes, as tables and as a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.markdown import MISSING, percent, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {
    "all": "all",
    "user": "of a user",
    "filter": "with a filter",
    "filter of a user": "of a user, with a filter",
    "since": "since a day",
}


def scale_tables(results: Mapping[str, Any]) -> list[str]:
    """The index of everything and in scopes, recalls of whole stores, and what else they cost.

    Args:
        results: The ``results`` of a scale result file; without a section, without its tables.
    """
    note = f"CPU times; the load of the machine was {results['load']:.0f}."
    lines: list[str] = []
    if index := results.get("index"):
        lines += [*_of_all(index), "", *_in_scopes(index), ""]
    if stores := results.get("store"):
        lines += [*_recalls(stores), "", *_costs(stores), ""]
        note += " Recalls include embedding the question."
    return [*lines, note]


def _of_all(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ("Embeddings", "Exact p50 / p95", "By lists", "Recall@10", "@64", "Lists made in")
    return table(
        (*heads, "Cache read in", "Cache", "Memory exact", "by lists"),
        [
            (
                f"{row['embeddings']:,}",
                _if_measured(_ms, row["all"]["exact_ms"]),
                _ms(row["all"]["lists_ms"]),
                *_recall(row["all"]),
                f"{row['build_s']:.1f} s",
                f"{row['lists']['load_s']:.2f} s",
                f"{row['lists']['file_bytes'] / 1e6:,.0f} MB",
                _if_measured(_megabytes, row["exact"]),
                _megabytes(row["lists"]),
            )
            for row in rows
        ],
    )


def _in_scopes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return table(
        ("Embeddings", "In the scope", "Exact p50 / p95", "By lists", "Recall@10", "@64"),
        [
            (
                f"{row['embeddings']:,}",
                percent(scope["share"]),
                _if_measured(_ms, scope["exact_ms"]),
                _ms(scope["lists_ms"]),
                *_recall(scope),
            )
            for row in rows
            for scope in row["scopes"]
        ],
    )


def _recalls(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return table(
        ("Memories", *(f"Recall {name}, p50 / p95" for name in _KINDS.values())),
        [
            (
                f"{row['memories']:,}",
                *(_ms(row["recall_ms"][kind], digits=0) for kind in _KINDS),
            )
            for row in rows
        ],
    )


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    verbs = ("Open, first recall", "Page of `list`", "`count` with a filter", "All rows, each")
    forgetting = ("Forget one", 'the same, `purge="later"`', "then `purge`")
    return table(
        ("Memories", *verbs, *forgetting, "Rows written", "Bytes each", "Cache", "Resident"),
        [
            (
                f"{row['memories']:,}",
                f"{row['open_s']:.2f} s",
                f"{row['list_ms']:.0f} ms",
                f"{row['count_ms']:.0f} ms",
                f"{row['iterate_us']:.0f} µs",
                *(
                    f"{row[f'{name}_ms']:,.0f} ms"
                    for name in ("forget_now", "forget_later", "purge")
                ),
                f"{row['written_per_second']:,.0f}/s",
                f"{row['bytes_per_memory']['database']:,.0f}",
                f"{row['bytes_per_memory']['index']:,.0f}",
                f"{row['resident_mb']['store']:,.0f} MB",
            )
            for row in rows
        ],
    )


def draw_scale(results: Mapping[str, Any], figure: Figure) -> None:
    """Draw median times over sizes, both logarithmic.

    Args:
        results: The ``results`` of a scale result file; a section that it lacks is not drawn.
        figure: An empty one.
    """
    parts = [part for part in _DRAWN if part in results]
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        _DRAWN[part](results[part], axes)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylabel("median CPU time, ms")
        axes.legend()


def _draw_index(rows: Sequence[Mapping[str, Any]], axes: Axes) -> None:
    for name, label in (("exact_ms", "exact"), ("lists_ms", "by lists")):
        measured = [row for row in rows if row["all"][name] is not None]
        if measured:
            sizes = [row["embeddings"] for row in measured]
            heights = [row["all"][name]["p50"] for row in measured]
            axes.plot(sizes, heights, marker="o", label=label)
    axes.set_title("searches of the index")
    axes.set_xlabel("embeddings")


def _draw_store(rows: Sequence[Mapping[str, Any]], axes: Axes) -> None:
    sizes = [row["memories"] for row in rows]
    for kind, name in _KINDS.items():
        heights = [row["recall_ms"][kind]["p50"] for row in rows]
        axes.plot(sizes, heights, marker="o", label=f"recall {name}")
    for key, label in (("forget_now_ms", "forget"), ("forget_later_ms", "forget, purge later")):
        axes.plot(sizes, [row[key] for row in rows], marker="s", linestyle=":", label=label)
    axes.set_title("calls of a store")
    axes.set_xlabel("memories")


_DRAWN = {"index": _draw_index, "store": _draw_store}


def _ms(found: Mapping[str, float], digits: int = 1) -> str:
    return f"{found['p50']:.{digits}f} / {found['p95']:.{digits}f} ms"


def _recall(found: Mapping[str, float]) -> tuple[str, str]:
    return f"{found['recall@10']:.3f}", f"{found['recall@64']:.3f}"


def _if_measured(shown: Callable[[Any], str], found: Mapping[str, Any] | None) -> str:
    """An index that is too large to be searched exactly has no such figures."""
    return MISSING if found is None else shown(found)


def _megabytes(found: Mapping[str, float]) -> str:
    """What is resident, where that was measured, or else what the arrays take."""
    held = found["resident_mb"] if "resident_mb" in found else found["megabytes"]
    return f"{held:,.0f} MB"
