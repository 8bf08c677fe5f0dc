"""Trained parts put together into a model bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentmem.errors import ConfigError
from agentmem.models.bundle.inspect import describe_bundle
from agentmem.models.bundle.manifest import EMBEDDER, READER, RERANKER, Manifest, write_manifest
from agentmem.training.bundle.card import write_card
from agentmem.training.bundle.figures import choose_figures


def assemble_bundle(
    out: str | Path,
    *,
    name: str,
    tokenizer: str | Path,
    autoencoder: str | Path,
    embedder: str | Path,
    encoder: str | Path | None = None,
    reranker: str | Path | None = None,
    results: str | Path | None = None,
) -> Manifest:
    """Copy trained parts into one folder and write its manifest and model card.

    Args:
        out: The bundle's folder; parts already there are replaced.
        name: What people call the bundle.
        tokenizer: Folder of `train_tokenizer`.
        autoencoder: Run folder of `train_autoencoder`.
        embedder: Run folder of `train_embedder`.
        encoder: Folder of `export_sentence_encoder`, which becomes the default embedder; None: the
            bundle has no other embedder.
        reranker: Run folder of `train_reranker`; None: the bundle has no reranker.
        results: Folder of result files, whose main figures go into ``evaluation.json`` and the
            model card. None: the bundle has no figures.

    Raises:
        ConfigError: a run is not finished, a reranker or sentence encoder in the folder would
            be lost, or a result file is none, or was measured with other weights.
    """
    out = Path(out)
    runs = {"autoencoder": Path(autoencoder), "keys": Path(embedder)}
    for part, option, given in ((RERANKER, RERANKER, reranker), (EMBEDDER, "encoder", encoder)):
        if given is None and (out / part).exists():
            raise ConfigError(
                f"{str(out)!r} has a {part}, and none is given: name its folder with --{option}, "
                f"or remove {str(out / part)!r}"
            )
    if reranker is not None:
        runs[RERANKER] = Path(reranker)
    sources = {"tokenizer": Path(tokenizer), **{part: run / "model" for part, run in runs.items()}}
    if encoder is not None:
        sources[EMBEDDER] = Path(encoder)
    # All of it before anything is replaced: `out` may hold a bundle that is in use.
    _check_whole(sources)
    training = {part: _read_run(run) for part, run in runs.items()}
    if (out / READER).is_dir() and (kept := _reader_run(out)):
        training[READER] = kept
    for part, source in sources.items():
        if source.resolve() == (out / part).resolve():
            continue
        shutil.rmtree(out / part, ignore_errors=True)
        shutil.copytree(source, out / part)
    _write(out / "training.json", training)
    manifest = write_manifest(out, name)
    # What was said of the bundle that was here before is not true of this one.
    for notes in ("evaluation.json", "README.md"):
        (out / notes).unlink(missing_ok=True)
    if results is not None:
        _write(out / "evaluation.json", choose_figures(Path(results), manifest))
    write_card(out, describe_bundle(out), training)
    return manifest


# Parts whose training command is not called like their folder.
_COMMANDS = {"keys": "embedder", EMBEDDER: "encoder"}


def _check_whole(sources: Mapping[str, Path]) -> None:
    """A run that is not finished has no model yet."""
    marks = dict.fromkeys(("tokenizer", "autoencoder", "keys", RERANKER, EMBEDDER), "config.json")
    marks["tokenizer"] = "tokenizer.json"
    for part, mark in marks.items():
        if part in sources and not (sources[part] / mark).is_file():
            raise ConfigError(
                f"no {part} in {str(sources[part])!r}: `agentmem train "
                f"{_COMMANDS.get(part, part)}` makes one, or resumes an unfinished run"
            )


def _read_run(run: Path) -> dict[str, Any]:
    """The configuration of a run."""
    try:
        config: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{str(run)!r} is not the folder of a run: run.json is missing or damaged ({error})"
        ) from error
    return config


def _reader_run(out: Path) -> dict[str, Any] | None:
    """How the reader was trained that lies in a bundle, and stays there."""
    try:
        run: dict[str, Any] | None = json.loads(
            (out / "training.json").read_text(encoding="utf-8")
        ).get(READER)
    except (OSError, ValueError, AttributeError):
        return None
    return run


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
