"""Result files to Markdown tables, and tables into Markdown files between markers.

A marker names the table by its result file, without ``.json``:

    <!-- results:fidelity -->
    <!-- /results -->

The name ``summary`` stands for `benchmarks.report.summary`, ``plan`` for `benchmarks.report.plan`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from benchmarks.report.fidelity import fidelity_table, retention_tables, robustness_table
from benchmarks.report.kinds import kinds_tables, supersession_table
from benchmarks.report.load import busy_table, page_tables, soak_tables
from benchmarks.report.plan import PLAN, PLAN_NEEDED, plan_tables
from benchmarks.report.reading import (
    compression_table,
    latency_table,
    personal_compression_table,
    reading_table,
)
from benchmarks.report.recall import recall_tables, relevance_tables
from benchmarks.report.scale import scale_tables
from benchmarks.report.speed import speed_tables, startup_table
from benchmarks.report.summary import NEEDED, SUMMARY, summary_table
from benchmarks.report.torture import torture_tables
from benchmarks.report.vectorstores import vectorstores_tables
from benchmarks.sidebyside.report import sidebyside_tables

_OPEN = re.compile(r"<!-- results:(\S+) -->")
_CLOSE = "<!-- /results -->"


def render(results_dir: str | os.PathLike[str]) -> dict[str, str]:
    """Render every result of a folder that has a table, each with its provenance below.

    Returns:
        Markdown by file name without ``.json``, in alphabetical order; last the summary and the
        plan, if the folder holds every result that they need.

    Raises:
        InputError: A file is not a result file; names it.
    """
    tables = {}
    loaded = {}
    for path in sorted(Path(results_dir).glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if lines := _TABLES.get(result["task"]):
                tables[path.stem] = "\n".join((*lines(result["results"]), "", _provenance(result)))
                loaded[path.stem] = result
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path.name} is not a result file: {error!r}") from error
    for name, needed, lines in (
        (SUMMARY, NEEDED, summary_table),
        (PLAN, PLAN_NEEDED, plan_tables),
    ):
        if all(one in loaded for one in needed):
            tables[name] = _drawn_from(loaded, name, needed, lines)
    return tables


def update_tables(
    markdown_path: str | os.PathLike[str],
    results_dir: str | os.PathLike[str],
    *,
    check: bool = False,
) -> tuple[str, ...]:
    """Write the tables of a results folder between their markers.

    Args:
        markdown_path: A Markdown file in UTF-8.
        results_dir: The folder with the result files.
        check: Compare only, and write nothing.

    Returns:
        Names of the tables that were (or with ``check`` would be) changed.

    Raises:
        InputError: A marker has no end, or names no result; or a file is not a result file.
    """
    path = Path(markdown_path)
    before, tables = path.read_text(encoding="utf-8"), render(results_dir)
    parts, changed, position = [], [], 0
    while opening := _OPEN.search(before, position):
        name, start = opening[1], opening.end()
        end = before.find(_CLOSE, start)
        following = _OPEN.search(before, start)
        if end < 0 or (following is not None and following.start() < end):
            raise InputError(f"{path.name}: the marker of {name!r} has no end: add {_CLOSE!r}")
        if name not in tables:
            raise InputError(f"{path.name} wants {name!r}, which is not among {sorted(tables)!r}")
        filled = f"\n{tables[name]}\n"
        if before[start:end] != filled:
            changed.append(name)
        parts += [before[position:start], filled]
        position = end
    if changed and not check:
        path.write_text("".join((*parts, before[position:])), encoding="utf-8", newline="\n")
    return tuple(changed)


def _drawn_from(
    loaded: Mapping[str, Any],
    name: str,
    needed: Sequence[str],
    make: Callable[[Mapping[str, Any]], list[str]],
) -> str:
    try:
        lines = make({one: loaded[one]["results"] for one in needed})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"no {name} of {', '.join(needed)}: {error!r}") from error
    return "\n".join((*lines, "", _provenance(loaded["speed"])))


_TABLES = {
    "busy": busy_table,
    "fidelity": fidelity_table,
    "kinds": kinds_tables,
    "page": page_tables,
    "personal-compression": personal_compression_table,
    "robustness": robustness_table,
    "reading": reading_table,
    "reading-compression": compression_table,
    "reading-latency": latency_table,
    "recall": recall_tables,
    "relevance": relevance_tables,
    "retention": retention_tables,
    "scale": scale_tables,
    "sidebyside": sidebyside_tables,
    "soak": soak_tables,
    "speed": speed_tables,
    "startup": startup_table,
    "supersession": supersession_table,
    "torture": torture_tables,
    "vectorstores": vectorstores_tables,
}


def _provenance(result: Mapping[str, Any]) -> str:
    hardware = result["hardware"]
    machine = hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores"
    # A machine that only ran the networks may have had no installed package.
    version = result["versions"].get("agentmem")
    made = f"agentmem {version}, " if version else ""
    return f"<sub>{made}seed {result['seed']}, {machine}</sub>"
