"""Selects the main figures of result files for a bundle's evaluation.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentmem.errors import ConfigError
from agentmem.models.bundle.manifest import Manifest

Figures = dict[str, Any]

_FIDELITY = (
    "token_accuracy",
    "exact_chunks",
    "exact_chunks_64",
    "stored_bytes_per_token",
    "byte_exact",
)


def choose_figures(folder: Path, manifest: Manifest) -> dict[str, Figures]:
    """Main figures of the result files of a folder, by file name without ``.json``.

    Args:
        folder: Folder of `agentmem.evaluation.result` files; tasks without weights are skipped.
        manifest: Manifest of the bundle.

    Raises:
        ConfigError: a file is not a result file, or was measured with other weights.
    """
    chosen = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            choose = _CHOSEN.get(result["task"])
            if choose is None:
                continue
            weights, figures = result["config"]["weights"], choose(result["results"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path.name!r} is not a result file: {error!r}") from error
        # Tasks without search depend on the latents alone.
        expected = (
            manifest.fingerprint if result["task"] in _WITH_SEARCH else manifest.latents_fingerprint
        )
        if weights != expected:
            raise ConfigError(
                f"{path.name!r} was measured with weights {weights!r}, the bundle's are "
                f"{expected!r}: measure again"
            )
        chosen[path.stem] = figures
    return chosen


def _texts(texts: Mapping[str, Any]) -> Figures:
    return {
        name: {
            quantization: {figure: found[figure] for figure in _FIDELITY if figure in found}
            for quantization, found in text["quantizations"].items()
        }
        for name, text in texts.items()
    }


def _fidelity(results: Mapping[str, Any]) -> Figures:
    return _texts({**results["files"], "random tokens": results["random_tokens"]})


def _robustness(results: Mapping[str, Any]) -> Figures:
    return _texts(results["kinds"])


def _recall(results: Mapping[str, Any]) -> Figures:
    return dict(results["overall"])


def _speed(results: Mapping[str, Any]) -> Figures:
    return {
        "adds_per_second": results["adds_per_second"],
        "writes_per_second": results["models"]["encode, verify, key"],
        "recall_ms": {
            f"{row['memories']:,} memories, {'reranked' if row['rerank'] else 'not reranked'}": row[
                "p50"
            ]
            for row in results["recall"]
        },
    }


def _retention(results: Mapping[str, Any]) -> Figures:
    return {
        f"{row['encoder']}, {row['tokens']} tokens": {
            name: row[name] for name in ("entropy_ratio", "gain", "token_accuracy")
        }
        for row in results["encoders"]
    }


_WITH_SEARCH = frozenset({"recall", "speed"})
_CHOSEN: Mapping[str, Callable[[Mapping[str, Any]], Figures]] = {
    "fidelity": _fidelity,
    "robustness": _robustness,
    "recall": _recall,
    "speed": _speed,
    "retention": _retention,
}
