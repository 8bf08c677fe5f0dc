"""Many conversations at once, busy machines, and the page of a large store, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import table

_RUNS = {"paced": "with pauses", "closed": "without pause"}


def soak_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of the calls, one of the event loop, and what was lost.

    Args:
        results: The ``results`` of a soak result file.
    """
    calls = [
        (
            _RUNS[name],
            f"{run['turns']:,}",
            f"{run['turns_per_second']:.1f}",
            f"{run['cpu_ms_per_turn']:.0f} ms",
            *(_times(run[call]) for call in ("context_ms", "observe_ms", "forget_ms")),
        )
        for name, run in results.items()
    ]
    heads = ("Conversations", "Turns", "Turns/s", "CPU a turn")
    beats = [
        (
            f"{_RUNS[name]}{other}",
            f"{beat['beats']:,}",
            *(f"{beat['late_ms'][at]:.1f} ms" for at in ("p99", "p99.9", "max")),
            f"{beat['over']:,}",
            f"{beat['over_for_want_of_a_core']:,}",
            f"{beat['late_but_for_cores_ms']['max']:.1f} ms",
            alone,
        )
        for name, run in results.items()
        for other, beat, alone in (
            ("", run["heartbeat"], f"{run['over_alone']:,}"),
            *((", an idle process on a core", one, "–") for one in run["controls"]),
        )
    ]
    kept = [
        (
            _RUNS[name],
            *(
                f"{run[key]:,}"
                for key in (
                    *("acknowledged", "forgotten", "lost", "altered", "back"),
                    *("not_among_first", "not_recalled"),
                )
            ),
            f"{run['load']['before']:.0f}",
        )
        for name, run in results.items()
    ]
    return [
        *table((*heads, "`context` p50 / p95", "`observe` p50 / p95", "`forget` p50 / p95"), calls),
        "",
        *table(
            (
                *("Event loop", "Beats", "Late p99", "p99.9", "Latest"),
                *("Over 20 ms", "for want of a core", "Latest with a core"),
                "Over with a core, no idle process late",
            ),
            beats,
        ),
        "",
        *table(
            (
                *("Messages", "Acknowledged", "Forgotten", "Lost", "Altered", "Back again"),
                *("Not among 8", "Not recalled", "Load of the machine"),
            ),
            kept,
        ),
        "",
        *_memory(results["paced"]),
    ]


def busy_table(results: Mapping[str, Any]) -> list[str]:
    """A table of the calls, alone and beside busy processes.

    Args:
        results: The ``results`` of a busy result file.
    """
    rows = [
        (
            f"`{call}`",
            *(
                f"{results[kind][call]['p50']:.1f} / {results[kind][call]['p95']:.1f} ms"
                for kind in ("idle", "busy")
            ),
            f"{ratio:.2f}",
        )
        for call, ratio in results["busy_over_idle"].items()
    ]
    return table(("Call", "Alone p50 / p95", "Beside busy processes", "Ratio of p50"), rows)


def page_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of the views.

    Args:
        results: The ``results`` of a page result file.
    """
    rows = [
        (
            view["view"],
            f"{view['first_ms']:.0f} ms",
            f"{view['first_cpu_ms']:.0f} ms",
            _times(view["again_ms"]),
            f"{view['again_cpu_ms']:.0f} ms",
            f"{view['bytes'] / 1e3:.0f} kB",
        )
        for view in results["views"]
    ]
    return [
        f"{results['memories']:,} memories in {results['scopes']:,} sessions, "
        f"{results['file_bytes'] / 1e6:.0f} MB; the load of the machine was "
        f"{results['load']['before']:.0f}:",
        "",
        *table(("View", "First", "CPU", "Again p50 / p95", "CPU", "Size"), rows),
    ]


def _times(found: Mapping[str, float] | None) -> str:
    return "–" if found is None else f"{found['p50']:.0f} / {found['p95']:.0f} ms"


def _memory(run: Mapping[str, Any]) -> list[str]:
    """A table of the memory of the process, from the first thousand turns to the last."""
    rows = [
        (label, *(f"{mib:.0f} MiB" for mib in run[key].values()))
        for label, key in (
            ("resident", "resident_mib"),
            ("allocated", "in_use_mib"),
            ("of it the index", "index_mib"),
        )
    ]
    return table(("Memory after turn", *(f"{int(at):,}" for at in run["resident_mib"])), rows)
