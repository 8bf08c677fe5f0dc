"""Result files to Markdown tables, and tables into Markdown files between markers.

A marker names the table by its result file, without ``.json``:

    <!-- results:fidelity -->
    <!-- /results -->

The name ``summary`` stands for `benchmarks.report.summary`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentmem.errors import InputError
from benchmarks.report.kinds import kinds_tables, supersession_table
from benchmarks.report.load import busy_table, page_tables, soak_tables
from benchmarks.report.markdown import MISSING, percent, table
from benchmarks.report.summary import NEEDED, SUMMARY, summary_table
from benchmarks.report.torture import torture_tables
from benchmarks.sidebyside.report import sidebyside_tables

_OPEN = re.compile(r"<!-- results:(\S+) -->")
_CLOSE = "<!-- /results -->"
_BASELINES = {
    "zstd": "zstd",
    "zstd_dictionary": "zstd + dictionary",
    "id_packing": "packed ids",
    "id_huffman": "Huffman ids",
}
_VERDICTS, _LOCOMO = ("right", "wrong", "abstained"), "LoCoMo, k = 8"
_NOTEBOOKS = "notebooks, k = 8"


def render(results_dir: str | os.PathLike[str]) -> dict[str, str]:
    """Render every result of a folder that has a table, each with its provenance below.

    Returns:
        Markdown by file name without ``.json``, in alphabetical order; last the summary, if the
        folder holds every result that it needs.

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
    if all(name in loaded for name in NEEDED):
        tables[SUMMARY] = _summary(loaded)
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


def _summary(loaded: Mapping[str, Any]) -> str:
    try:
        lines = summary_table({name: loaded[name]["results"] for name in NEEDED})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"no summary of {', '.join(NEEDED)}: {error!r}") from error
    return "\n".join((*lines, "", _provenance(loaded["speed"])))


def _fidelity(results: Mapping[str, Any]) -> list[str]:
    heads = ("Text", "Quantization", "Tokens right", "Chunks right", "Of 64 tokens")
    sizes = ("Latents", "Patch", "Stored", "UTF-8", *_BASELINES.values())
    texts = {**results["files"], "random tokens": results["random_tokens"]}
    rows = [
        (
            name,
            quantization,
            percent(measured["token_accuracy"]),
            percent(measured["exact_chunks"]),
            percent(measured["exact_chunks_64"]),
            f"{measured['latent_bytes_per_token']:.2f}",
            f"{measured['patch_bytes_per_token']:.3f}",
            f"{measured['stored_bytes_per_token']:.2f}",
            f"{text['utf8_bytes_per_token']:.2f}",
            *(_baseline(text, name) for name in _BASELINES),
            "yes" if measured["byte_exact"] else "NO",
        )
        for name, text in texts.items()
        for quantization, measured in text["quantizations"].items()
    ]
    return [
        *table((*heads, *sizes, "Byte for byte"), rows),
        "",
        "Tokens and chunks right: from the int8 latents alone. Chunks are as they are stored, "
        "or of 64 tokens at most. All other figures: bytes per token.",
    ]


def _robustness(results: Mapping[str, Any]) -> list[str]:
    quantizations = list(next(iter(results["kinds"].values()))["quantizations"])
    heads = ["Text", "UTF-8"]
    for name in quantizations:
        heads += [f"{name}: tokens right", "chunks right", "stored", "patch share"]
    rows = [
        (
            kind,
            f"{text['utf8_bytes_per_token']:.2f}",
            *(
                cell
                for measured in text["quantizations"].values()
                for cell in (
                    percent(measured["token_accuracy"]),
                    percent(measured["exact_chunks"]),
                    f"{measured['stored_bytes_per_token']:.2f}",
                    f"{measured['patch_share']:.1%}".replace("%", " %"),
                )
            ),
            "yes" if all(m["byte_exact"] for m in text["quantizations"].values()) else "NO",
        )
        for kind, text in results["kinds"].items()
    ]
    return [
        *table((*heads, "Byte for byte"), rows),
        "",
        "Chunks of 64 tokens at most. Tokens and chunks right: from the int8 latents alone. "
        "UTF-8 and stored (latents and patch): bytes per token.",
    ]


def _recall(results: Mapping[str, Any]) -> list[str]:
    overall, latency = results["overall"], results["latency_ms"]
    shown = _scored("Questions", {"all": overall, **results["by_category"]})
    # Results of before have no such groups.
    if by_evidence := results.get("by_evidence"):
        shown += ["", *_scored("Pieces of evidence", by_evidence)]
    return [
        *shown,
        "",
        f"A recall takes {latency['p50']:.1f} ms (p50), {latency['p95']:.1f} ms (p95); "
        f"{results['adds_per_second']:.0f} {results.get('added', 'messages')} are added per "
        "second.",
    ]


def _scored(head: str, groups: Mapping[str, Any]) -> list[str]:
    """A row of scores for each group of questions."""
    columns = [name for name in next(iter(groups.values())) if name != "questions"]
    rows = [
        (name, *(f"{scores[column]:.3f}" for column in columns), f"{scores['questions']:,}")
        for name, scores in groups.items()
    ]
    return table((head, *columns, "number"), rows)


def _relevance(results: Mapping[str, Any]) -> list[str]:
    heads = ("Questions", "number", "with evidence", "AUROC", "ECE", "by words alone: AUROC", "ECE")
    cosine, words = results["signals"]["cosine"], results["signals"]["words"]
    rows = [
        (
            name,
            f"{scores['questions']:,}",
            f"{scores['with_evidence']:,}",
            *(
                _with_interval(of[name], score)
                # With one way of asking without evidence, the shares are not those of the fit.
                if score == "auroc" or not name.startswith("without")
                else MISSING
                for of in (cosine, words)
                for score in ("auroc", "ece")
            ),
        )
        for name, scores in cosine.items()
        if "auroc_interval" in scores
    ]
    bins = [
        (f"{mean:.2f}", f"{share:.2f}", f"{count:,}")
        for mean, share, count in cosine["reliability"]
    ]
    medians = ", ".join(f"{how} {median:.2f}" for how, median in cosine["median"].items())
    return [
        *table(heads, rows),
        "",
        "In brackets: intervals of 95 %, by a bootstrap over documents. Median relevance of the "
        f"recall: {medians}. Of single hits, relevance has an AUROC of "
        f"{cosine['hits']['auroc']:.3f} and an ECE of {cosine['hits']['ece']:.3f}.",
        "",
        *table(("Mean relevance", "share with evidence", "number"), bins),
    ]


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    low, high = scores[f"{name}_interval"]
    return f"{scores[name]:.3f} ({low:.3f} to {high:.3f})"


def _speed(results: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"{row['memories']:,}",
            "yes" if row["rerank"] else "no",
            f"{row['p50']:.1f} ms",
            f"{row['p95']:.1f} ms",
        )
        for row in results["recall"]
    ]
    heads = ("Memories in the store", "Reranked", "Recall p50", "p95")
    models = [(name, f"{rate:.0f}") for name, rate in results["models"].items()]
    return [
        *table(heads, rows),
        "",
        f"Verified and durable, {results['adds_per_second']:.0f} turns are added per second "
        f"({results['tokens_per_second']:,.0f} tokens).",
        "",
        *table(("Models alone, in memory", "turns/s"), models),
        "",
        f"What `add` asks of the models goes {results['write_over_minilm']:.2f} times as fast as "
        f"all-MiniLM-L6-v2 only embeds ({results['write_over_minilm_bf16']:.2f} in bfloat16).",
    ]


def _startup(results: Mapping[str, Any]) -> list[str]:
    installed = results["installed"]
    rows = [
        (f"`{row['command']}`", f"{row['cpu_s']:.2f} s", f"{row['wall_s']:.2f} s")
        for row in results["commands"]
    ]
    return [
        f"The base install: {installed['packages']} packages, "
        f"{installed['bytes'] / 1e6:,.0f} MB with the models.",
        "",
        *table(("In a new process", "CPU time", "Time"), rows),
    ]


def _retention(results: Mapping[str, Any]) -> list[str]:
    heads = ("Frozen encoder", "Tokens", "Dims", "Bytes", "Nats", "I", "Gain", "Tokens right")
    rows = [
        (
            {"blank": "nothing"}.get(row["encoder"], row["encoder"]),
            *(f"{row[name]:,}" for name in ("tokens", "dims", "bytes")),
            *(f"{row[name]:.3f}" for name in ("nats", "entropy_ratio", "gain")),
            percent(row["token_accuracy"]),
        )
        for row in results["encoders"]
    ]
    forced = [
        (
            row["encoder"],
            f"{row['tokens']:,}",
            f"{row['teacher_forced_nats']:.3f}",
            *(
                percent(row[f"{condition}_accuracy"])
                for condition in ("teacher_forced", "free_running")
            ),
        )
        for row in results["trap"]
    ]
    retained = [
        *table(heads, rows),
        "",
        "A fresh decoder for each, from the embedding alone, all positions at once. I: entropy "
        "ratio over a uniform guess; gain: over the decoder without any embedding.",
    ]
    if not forced:
        return retained
    return [
        *retained,
        "",
        *table(("Frozen encoder", "Tokens", "Nats", "Teacher-forced", "Free-running"), forced),
        "",
        "A decoder that also sees the tokens before, and the share of tokens that it then gets "
        "right; the same decoder left to its own output.",
    ]


def _reading(results: Mapping[str, Any]) -> list[str]:
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
            _with_interval(sets["qa-dev"], "f1"),
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


def _notebooks(sets: Mapping[str, Any]) -> str:
    if _NOTEBOOKS not in sets:
        return ""
    figures = sets[_NOTEBOOKS]
    return (
        f"Notebooks: {figures['questions']} questions, {figures['answerable']} of them answerable, "
        "k = 8. "
    )


def _reading_latency(results: Mapping[str, Any]) -> list[str]:
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


def _reading_compression(results: Mapping[str, Any]) -> list[str]:
    heads = ("Tokens per kept state", "F1", "of all states", "exact match", "abstained")
    rows = [
        (
            ratio,
            _with_interval(row, "f1"),
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


def _personal_compression(results: Mapping[str, Any]) -> list[str]:
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


_TABLES = {
    "busy": busy_table,
    "fidelity": _fidelity,
    "kinds": kinds_tables,
    "page": page_tables,
    "personal-compression": _personal_compression,
    "robustness": _robustness,
    "reading": _reading,
    "reading-compression": _reading_compression,
    "reading-latency": _reading_latency,
    "recall": _recall,
    "relevance": _relevance,
    "retention": _retention,
    "sidebyside": sidebyside_tables,
    "soak": soak_tables,
    "speed": _speed,
    "startup": _startup,
    "supersession": supersession_table,
    "torture": torture_tables,
}


def _provenance(result: Mapping[str, Any]) -> str:
    hardware = result["hardware"]
    machine = hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores"
    # A machine that only ran the networks may have had no installed package.
    version = result["versions"].get("agentmem")
    made = f"agentmem {version}, " if version else ""
    return f"<sub>{made}seed {result['seed']}, {machine}</sub>"


def _baseline(measured: Mapping[str, Any], name: str) -> str:
    """A baseline's bytes per token; on some text (such as random ids) not all are measured."""
    value = measured.get("baselines", {}).get(name)
    return MISSING if value is None else f"{value:.2f}"
