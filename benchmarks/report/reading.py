"""The answers of a reader, the time to the first token and compressed states as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import MISSING, percent, table, with_interval

_VERDICTS, _LOCOMO = ("right", "wrong", "abstained"), "LoCoMo, k = 8"
_NOTEBOOKS = "notebooks, k = 8"


def reading_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each condition.

    Args:
        results: The ``results`` of a reading result file.
    """
    heads = (
        "The model reads",
        *(f"k = 8: {verdict}" for verdict in _VERDICTS),
        *(f"k = 16: {verdict}" for verdict in _VERDICTS),
        "notebooks: right",
        "notebooks: wrong",
        "qa-dev: F1",
        "unanswerable: abstained",
        "LoCoMo: F1",
    )
    rows = [
        (
            condition,
            *(
                str(sets[personal][verdict]) if personal in sets else MISSING
                for personal in ("personal, k = 8", "personal, k = 16")
                for verdict in _VERDICTS
            ),
            *(
                str(sets[_NOTEBOOKS][verdict]) if _NOTEBOOKS in sets else MISSING
                for verdict in ("right", "wrong")
            ),
            with_interval(sets["qa-dev"], "f1"),
            percent(sets["qa-dev"]["unanswerable_abstained"]),
            f"{sets[_LOCOMO]['f1']:.3f}" if _LOCOMO in sets else MISSING,
        )
        for condition, sets in results.items()
    ]
    personal = results["text"]["personal, k = 8"]
    questions, locomo = results["text"]["qa-dev"], results["text"][_LOCOMO]
    return [
        *table(heads, rows),
        "",
        f"k = 8 and k = 16: the {personal['questions']} questions on personal facts, "
        f"{personal['answerable']} of them answerable, with so many memories recalled. "
        f"{_notebooks(results['text'])}qa-dev: "
        f"{questions['answerable']} answerable questions, word F1 with its 95 % interval, and "
        f"{questions['unanswerable']} unanswerable. LoCoMo: {locomo['answerable']} answerable "
        "questions, k = 8.",
    ]


def latency_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each length of memory.

    Args:
        results: The ``results`` of a reading-latency result file.
    """
    heads = (
        "Tokens of memory",
        "memories",
        "text, s",
        "states made now, s",
        "kept states, s",
        "text / made",
        "text / kept",
        "kept in memory",
    )
    rows = [
        (
            f"{row['tokens']:,}",
            f"{row['memories']:,}",
            *(f"{row[f'{way}_seconds']:.2f}" for way in ("text", "states_made", "states_kept")),
            f"{row['made_speedup']:.2f}",
            f"{row['kept_speedup']:.1f}",
            f"{row['states_bytes'] / 1e6:.0f} MB",
        )
        for row in results["first_token"]
    ]
    answers = results["answers"]
    return [
        *table(heads, rows),
        "",
        f"A whole answer to a personal question from the text of {answers['memories']} memories, "
        f"{answers['tokens']} tokens on average: {answers['median_seconds']:.1f} s, the longest of "
        f"{answers['questions']} {answers['longest_seconds']:.1f} s.",
    ]


def compression_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each ratio.

    Args:
        results: The ``results`` of a reading-compression result file.
    """
    heads = ("Tokens per kept state", "F1", "of all states", "exact match", "abstained")
    rows = [
        (
            ratio,
            with_interval(row, "f1"),
            # May be more than all.
            f"{100 * row['of_all_states']:.1f} %",
            percent(row["exact"]),
            percent(row["abstained"]),
        )
        for ratio, row in results["ratios"].items()
    ]
    return [
        *table(heads, rows),
        "",
        f"{results['questions']:,} questions of qa-dev that have an answer, the same in each row; "
        "word F1 with its 95 % interval. Nothing is withheld.",
    ]


def personal_compression_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each ratio, on personal facts.

    Args:
        results: The ``results`` of a personal-compression result file.
    """
    kinds = ("right", "wrong", "abstained")
    heads = (
        "Tokens per kept state",
        *(f"{kind}, as it answers" for kind in kinds),
        *(f"{kind}, nothing withheld" for kind in kinds),
    )
    rows = [
        (
            ratio,
            *(str(row[how][kind]) for how in ("withheld", "nothing withheld") for kind in kinds),
        )
        for ratio, row in results.items()
    ]
    return [*table(heads, rows)]


def _notebooks(sets: Mapping[str, Any]) -> str:
    if _NOTEBOOKS not in sets:
        return ""
    figures = sets[_NOTEBOOKS]
    return (
        f"Notebooks: {figures['questions']} questions, {figures['answerable']} of them answerable, "
        "k = 8. "
    )
