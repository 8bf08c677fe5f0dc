"""Fidelity, robustness and retention as tables: what latents and embeddings hold of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.markdown import MISSING, percent, table

_BASELINES = {
    "zstd": "zstd",
    "zstd_dictionary": "zstd + dictionary",
    "id_packing": "packed ids",
    "id_huffman": "Huffman ids",
}

# What the shipped bundle calls its quantizations, in the words of `Memory`.
_QUANTIZATIONS = {"standard": "fine", "dense": "coarse"}


def fidelity_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each text and quantization.

    Args:
        results: The ``results`` of a fidelity result file.
    """
    heads = ("Text", "Quantization", "Tokens right", "Chunks right", "Of 64 tokens")
    sizes = ("Latents", "Patch", "Stored", "UTF-8", *_BASELINES.values())
    texts = {**results["files"], "random tokens": results["random_tokens"]}
    rows = [
        (
            name,
            _QUANTIZATIONS.get(quantization, quantization),
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


def robustness_table(results: Mapping[str, Any]) -> list[str]:
    """A row for each kind of text.

    Args:
        results: The ``results`` of a robustness result file.
    """
    quantizations = list(next(iter(results["kinds"].values()))["quantizations"])
    heads = ["Text", "UTF-8"]
    for name in quantizations:
        shown = _QUANTIZATIONS.get(name, name)
        heads += [f"{shown}: tokens right", "chunks right", "stored", "patch share"]
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


def retention_tables(results: Mapping[str, Any]) -> list[str]:
    """A table of frozen encoders, and one of decoders that also see the tokens before.

    Args:
        results: The ``results`` of a retention result file.
    """
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


def _baseline(measured: Mapping[str, Any], name: str) -> str:
    """A baseline's bytes per token; on some text (such as random ids) not all are measured."""
    value = measured.get("baselines", {}).get(name)
    return MISSING if value is None else f"{value:.2f}"
