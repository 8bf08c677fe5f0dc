"""The table of what stores went through, and what was lost of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import table

_COUNTS = {
    "acknowledged": "acknowledged, there",
    "found": "found",
    "lost": "lost",
    "duplicated": "duplicated",
    "in_part": "done in part",
    "leaked": "leaked",
    "left_behind": "left behind",
    "damaged": "damaged stores",
    "failed": "failed calls",
}


def torture_tables(results: Mapping[str, Any]) -> list[str]:
    """A row for the kills, the power cuts, the server and the crowd."""
    names = ("kills", "power", "servers", "crowd")
    kills, power, servers, crowd = (results[name] for name in names)
    parts = {
        f"{kills['rounds']:,} processes killed{_encrypted(kills)}": kills,
        f"{power['rounds']:,} power cuts{_encrypted(power)}": power,
        f"{servers['rounds']:,} deaths of a PostgreSQL server, or of what worked on it": servers,
        f"{crowd['rounds']:,} calls of {crowd['threads']} threads in each of "
        f"{crowd['processes']} processes{_encrypted(crowd)}": crowd,
    }
    rows = [
        (name, f"{part['calls']:,}", *(f"{part[count]:,}" for count in _COUNTS))
        for name, part in parts.items()
    ]
    return table(("Torture", "Calls returned", *_COUNTS.values()), rows)


def _encrypted(part: Mapping[str, Any]) -> str:
    """How many of them were at encrypted stores; results of before there were any do not say."""
    return f", {part['encrypted']:,} of them at encrypted stores" if part.get("encrypted") else ""
