"""Result of a reader's evaluation to Markdown tables: a way of reading beside the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.evaluation.markdown import MISSING, percent, table

_SIDES = ("vectors", "raw")
_GROUPS = ("all", "answerable", "unanswerable")


def reader_tables(results: Mapping[str, Any]) -> list[str]:
    """Lines of all tables of a result file."""
    return [
        *_recited(results),
        "",
        *_asked(results),
        "",
        *_followed(results),
        "",
        *_costs(results),
    ]


def _recited(results: Mapping[str, Any]) -> list[str]:
    ways: Sequence[str] = results["ways"]
    heads = ["Written from N memories"]
    for way in ways:
        heads += [f"{way}: tokens right", "all right"]
    rows = [
        (name, *(_share(row[figure]) for row in found for figure in ("token_accuracy", "exact")))
        for name, found in (
            *(
                (f"whole memory, {_memories(rows)}, {rows[0]['file']}", rows)
                for rows in by_way(results["regeneration"], ways)
            ),
            *(
                (f"after a cue, {_memories(rows)}", rows)
                for rows in by_way(results["lookup"], ways)
            ),
        )
    ]
    rivals = (
        "Cut text: the raw-token reader, given only as many tokens as the vectors are. "
        f"{MISSING}: more than that reader holds."
    )
    said = ["Free-running, from int8 latents alone.", *([rivals] if "cut text" in ways else [])]
    return [*table(heads, rows), "", " ".join(said)]


def _asked(results: Mapping[str, Any]) -> list[str]:
    ways: Sequence[str] = results["ways"]
    found = results["questions"]
    heads = ["Questions", "number"]
    for way in ways:
        heads += [f"{way}: F1", "exact"]
    kinds = dict.fromkeys(kind for row in found for kind in row["kinds"])
    rows = [
        (name, _number(scores), *(_share(_figure(s, f)) for s in scores for f in ("f1", "exact")))
        for name, scores in (
            *((name, [row[name] for row in found]) for name in _GROUPS),
            *(
                (kind, [row["kinds"].get(kind) for row in found])
                for kind in kinds
                if kind not in _GROUPS
            ),
        )
        if any(scores)
    ]
    positions = ", ".join(f"{row['way']} {row['positions']:,.1f}" for row in found)
    return [
        *table(heads, rows),
        "",
        "Positions that a context takes on average, a token or a memory vector being one: "
        f"{positions}.",
    ]


def _followed(results: Mapping[str, Any]) -> list[str]:
    ways: Sequence[str] = results["ways"]
    rows = [
        (rows[0]["file"], *(decimal(row["perplexity"], ".2f") for row in rows))
        for rows in by_way(results["following"], ways)
    ]
    return table(["Perplexity of what follows", *ways], rows)


def _costs(results: Mapping[str, Any]) -> list[str]:
    heads = ["Tokens of memory", "First token, vectors", "raw tokens", "raw / vectors"]
    heads += ["Kept, vectors", "raw tokens", "raw / vectors", "Bytes per token, vectors", "raw"]
    rows = [
        (
            f"{row['tokens']:,}",
            *(decimal(_figure(row[side], "first_token_ms"), ",.0f", " ms") for side in _SIDES),
            decimal(row["first_token_ratio"], ".1f"),
            *(_mebibytes(_figure(row[side], "kv_bytes")) for side in _SIDES),
            decimal(row["kv_ratio"], ".1f"),
            *(decimal(_figure(row[side], "kv_bytes_per_token"), ",.0f") for side in _SIDES),
        )
        for row in results["cost"]
    ]
    return [
        *table(heads, rows),
        "",
        "One language model on both sides, from packed latents or token ids to the first token of "
        "an answer. Kept: what every further token reads.",
    ]


def by_way(
    rows: Sequence[Mapping[str, Any]], ways: Sequence[str]
) -> list[Sequence[Mapping[str, Any]]]:
    """Rows of the same measure together, one for each way."""
    return [rows[at : at + len(ways)] for at in range(0, len(rows), len(ways))]


def _memories(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"N = {rows[0]['memories']:,}"


def _number(scores: Sequence[Mapping[str, Any] | None]) -> str:
    return f"{next(found['questions'] for found in scores if found):,}"


def _figure(row: Mapping[str, Any] | None, name: str) -> float | None:
    return None if row is None else row[name]


def _share(share: float | None) -> str:
    return MISSING if share is None else percent(share)


def decimal(value: float | None, form: str, unit: str = "") -> str:
    """A figure in a format of Python's, with its unit; a dash where nothing was measured."""
    return MISSING if value is None else f"{value:{form}}{unit}"


def _mebibytes(value: float | None) -> str:
    return MISSING if value is None else f"{value / 2**20:,.2f} MiB"
