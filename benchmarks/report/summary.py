"""A short table of headline figures, drawn from several result files; it stands in the README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import percent, table

# Its name in a marker; no result file may have it.
SUMMARY = "summary"
# Result files that it draws on.
NEEDED = ("fidelity", "sidebyside", "speed")
_CONVERSATIONS = "dev-conversations.jsonl.zst"
_BASELINES = ("BM25, stemmed", "all-MiniLM-L6-v2")


def summary_table(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines of the table.

    Args:
        results: The ``results`` of each file in `NEEDED`, by name.

    Raises:
        KeyError: A result has another shape, or lacks a system.
        ValueError: No speed was measured as a recall is by default.
    """
    fidelity, sidebyside, speed = (results[name] for name in NEEDED)
    texts = [*fidelity["files"].values(), fidelity["random_tokens"]]
    measured = [one for text in texts for one in text["quantizations"].values()]
    exact = all(one["byte_exact"] for one in measured)
    talk = fidelity["files"][_CONVERSATIONS]
    auto = talk["quantizations"]["auto"]
    recall = {
        system["name"]: system["inside"]["overall"]["recall@10"]
        for system in sidebyside["systems"]
        if system["error"] is None
    }
    baselines = ", ".join(f"{name} {recall[name]:.3f}" for name in _BASELINES)
    largest = max((row for row in speed["recall"] if not row["rerank"]), key=_memories)
    rows = [
        ("Text comes back byte for byte, all test sets", "yes" if exact else "NO"),
        ("Tokens right from the vectors alone, conversations", percent(auto["token_accuracy"])),
        (
            f"Stored bytes per token, conversations (UTF-8: {talk['utf8_bytes_per_token']:.2f})",
            f"{auto['stored_bytes_per_token']:.2f}",
        ),
        (
            f"LoCoMo, recall@10 over {sidebyside['questions']:,} questions ({baselines})",
            f"{recall['agentmem']:.3f}",
        ),
        (
            f"Recall with {largest['memories']:,} memories, p50 / p95",
            f"{largest['p50']:.1f} / {largest['p95']:.1f} ms",
        ),
        ("Messages added per second, verified and durable", f"{speed['adds_per_second']:.0f}"),
    ]
    return table(("Figure", "agentmem"), rows)


def _memories(row: Mapping[str, Any]) -> int:
    return int(row["memories"])
