"""Putting trained parts together into a model bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from agentmem.hub import Manifest, write_manifest


def assemble_bundle(
    out: str | Path,
    *,
    name: str,
    tokenizer: str | Path,
    autoencoder: str | Path,
    keys: str | Path,
) -> Manifest:
    """Copy tokenizer, autoencoder and keys into one folder and write its manifest.

    Args:
        out: The bundle's folder; parts already there are replaced.
        name: What people call the bundle.
        tokenizer: Folder of `train_tokenizer`.
        autoencoder: Run folder of `train_autoencoder`.
        keys: Run folder of `train_keys`.
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
    (out / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    return write_manifest(out, name)
