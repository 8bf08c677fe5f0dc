"""Putting trained parts together into a model bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from agentmem.hub import Manifest, write_manifest
from agentmem.inspection import describe_bundle
from agentmem.training.card import write_card
from agentmem.training.figures import choose_figures


def assemble_bundle(
    out: str | Path,
    *,
    name: str,
    tokenizer: str | Path,
    autoencoder: str | Path,
    keys: str | Path,
    results: str | Path | None = None,
) -> Manifest:
    """Copy tokenizer, autoencoder and keys into one folder and write its manifest and model card.

    Args:
        out: The bundle's folder; parts already there are replaced.
        name: What people call the bundle.
        tokenizer: Folder of `train_tokenizer`.
        autoencoder: Run folder of `train_autoencoder`.
        keys: Run folder of `train_keys`.
        results: Folder of result files, whose main figures go into ``evaluation.json`` and the
            model card. None: the bundle has no figures.

    Raises:
        ConfigError: a result file is none, or was measured with other weights.
    """
    out = Path(out)
    sources = {
        "tokenizer": Path(tokenizer),
        "autoencoder": Path(autoencoder) / "model",
        "keys": Path(keys) / "model",
    }
    for part, source in sources.items():
        if source.resolve() == (out / part).resolve():
            continue
        shutil.rmtree(out / part, ignore_errors=True)
        shutil.copytree(source, out / part)
    training = {
        part: json.loads((Path(run) / "run.json").read_text(encoding="utf-8"))
        for part, run in (("autoencoder", autoencoder), ("keys", keys))
    }
    _write(out / "training.json", training)
    manifest = write_manifest(out, name)
    # What was said of the bundle that was here before is not true of this one.
    for notes in ("evaluation.json", "README.md"):
        (out / notes).unlink(missing_ok=True)
    if results is not None:
        _write(out / "evaluation.json", choose_figures(Path(results), manifest.fingerprint))
    write_card(out, describe_bundle(out), training)
    return manifest


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
