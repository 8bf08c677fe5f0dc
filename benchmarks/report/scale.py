"""The index and whole stores at several sizes, as tables and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.report.markdown import percent, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        results: The ``results`` of a scale result file.
    """
    return [
        *_of_all(results["index"]),
        "",
        *_in_scopes(results["index"]),
        "",
        *_recalls(results["store"]),
        "",
        *_costs(results["store"]),
        "",
        f"CPU times; the load of the machine was {results['load']:.0f}. Recalls include embedding "
        f"the question.",
    ]


def _of_all(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = ("Embeddings", "Exact p50 / p95", "By lists", "Recall@10", "@64", "Lists made in")
    return table(
        (*heads, "Cache read in", "Cache", "Memory exact", "by lists"),
        [
            (
                f"{row['embeddings']:,}",
                _ms(row["all"]["exact_ms"]),
                _ms(row["all"]["lists_ms"]),
                *_recall(row["all"]),
                f"{row['build_s']:.1f} s",
                f"{row['lists']['load_s']:.2f} s",
                *(
                    f"{megabytes:,.0f} MB"
                    for megabytes in (
                        row["lists"]["file_bytes"] / 1e6,
                        row["exact"]["megabytes"],
                        row["lists"]["megabytes"],
                    )
                ),
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
                _ms(scope["exact_ms"]),
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


def draw_scale(results: Mapping[str, Any], index: Axes, store: Axes) -> None:
    """Draw median times over sizes, both logarithmic.

    Args:
        results: The ``results`` of a scale result file.
        index: Where the searches of the index go.
        store: Where the calls of whole stores go.
    """
    rows = results["index"]
    sizes = [row["embeddings"] for row in rows]
    for name, label in (("exact_ms", "exact"), ("lists_ms", "by lists")):
        index.plot(sizes, [row["all"][name]["p50"] for row in rows], marker="o", label=label)
    rows = results["store"]
    sizes = [row["memories"] for row in rows]
    for kind, name in _KINDS.items():
        heights = [row["recall_ms"][kind]["p50"] for row in rows]
        store.plot(sizes, heights, marker="o", label=f"recall {name}")
    for key, label in (("forget_now_ms", "forget"), ("forget_later_ms", "forget, purge later")):
        store.plot(sizes, [row[key] for row in rows], marker="s", linestyle=":", label=label)
    for axes, title in ((index, "searches of the index"), (store, "calls of a store")):
        axes.set_title(title)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("embeddings" if axes is index else "memories")
        axes.set_ylabel("median CPU time, ms")
        axes.legend()


def _ms(found: Mapping[str, float], digits: int = 1) -> str:
    return f"{found['p50']:.{digits}f} / {found['p95']:.{digits}f} ms"


def _recall(found: Mapping[str, float]) -> tuple[str, str]:
    return f"{found['recall@10']:.3f}", f"{found['recall@64']:.3f}"
