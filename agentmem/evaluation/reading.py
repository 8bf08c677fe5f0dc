"""What a reader makes of memories, every figure beside its rivals'.

All answers are free-running (greedy), from int8 latents alone, quantised as a store keeps them;
only perplexity is teacher-forced, as it must be. `agentmem.evaluation.reading_sheets` says in what
ways the same memories are read.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import torch

from agentmem.errors import ConfigError
from agentmem.evaluation.progress import Progress
from agentmem.evaluation.reading_config import ReaderEvalConfig
from agentmem.evaluation.reading_cost import Cost
from agentmem.evaluation.reading_following import Following
from agentmem.evaluation.reading_questions import Questions
from agentmem.evaluation.reading_recite import Lookup, Regeneration
from agentmem.evaluation.reading_sheets import Report, Sheet, ways_of
from agentmem.evaluation.result import EvalResult, build_result
from agentmem.models.bundle import ModelBundle, load_bundle
from agentmem.models.reader.reader import MemoryReader
from agentmem.training.data import PackedFile, pack
from agentmem.training.questions import read_questions

# What a draw is for, as a part of its seed.
_REGENERATION, _LOOKUP, _QUESTIONS, _FOLLOWING, _COST = range(5)


def evaluate_reader(
    config: ReaderEvalConfig,
    *,
    corpus: Path,
    reader: Path | None = None,
    raw: Path | None = None,
    model: Path | None = None,
    cache: Path = Path("runs/cache"),
    on_progress: Progress | None = None,
) -> EvalResult:
    """Measure a reader, on the CPU.

    Args:
        config: What is measured, and on how much.
        corpus: Folder of the files that the configuration names.
        reader: The reader's folder; None: the bundle's own.
        raw: Folder of its rival, which reads one token per position; None: no rival.
        model: A bundle's folder; None: the one that comes with the package.
        cache: Folder where token ids are kept.
        on_progress: Called after every batch; counts rows.

    Raises:
        ConfigError: a file is not in the corpus, a density is not the bundle's, the reader holds
            fewer memories than the configuration asks for, or the rival reads several tokens per
            position.
        InputError: a file is damaged, or too short.
        ModelNotFoundError: there is no such reader or bundle.
        ModelError: a reader belongs to another bundle.
    """
    began, threads = time.perf_counter(), torch.get_num_threads()
    bundle = load_bundle(None if model is None else str(model))
    under_test = MemoryReader.from_pretrained(reader, bundle)
    rival = None if raw is None else MemoryReader.from_pretrained(raw, bundle)
    _check(config, corpus, bundle, under_test, rival)
    torch.set_num_threads(config.threads)
    try:
        results = _run(config, corpus, cache, bundle, under_test, rival, on_progress)
    finally:
        torch.set_num_threads(threads)
    return build_result(
        "reader",
        config={
            **config.model_dump(mode="json"),
            "model": bundle.name,
            "weights": bundle.latents_fingerprint,
            "reader": _facts(under_test),
            "raw": None if rival is None else _facts(rival),
        },
        seed=config.seed,
        seconds=time.perf_counter() - began,
        results=results,
        threads=config.threads,
    )


def _check(
    config: ReaderEvalConfig,
    corpus: Path,
    bundle: ModelBundle,
    reader: MemoryReader,
    raw: MemoryReader | None,
) -> None:
    for name in (*config.texts, config.questions.file):
        if not (corpus / name).is_file():
            raise ConfigError(f"{name!r} is not in the corpus folder {str(corpus)!r}")
    for density in config.densities:
        if density not in bundle.densities:
            raise ConfigError(f"density {density!r} is none of the bundle's {bundle.densities!r}")
    longest = max(
        config.regeneration.memory_tokens,
        config.lookup.memory_tokens,
        config.questions.memory_tokens,
        config.following.memory_tokens,
        config.cost.memory_tokens,
    )
    if longest > bundle.max_tokens:
        raise ConfigError(
            f"memory_tokens = {longest}: bundle {bundle.name!r} holds {bundle.max_tokens} at most"
        )
    most = max(*config.regeneration.memories, *config.lookup.memories, config.following.memories)
    if most > reader.config.max_memories:
        raise ConfigError(
            f"{most} memories are more than the {reader.config.max_memories} that the reader holds"
        )
    if raw is not None and (raw.config.route, raw.config.tokens_per_position) != ("positions", 1):
        raise ConfigError(
            "the rival must read raw tokens: one with route = 'positions' and "
            f"tokens_per_position = 1, not {raw.config.route!r} and "
            f"{raw.config.tokens_per_position}"
        )


def _run(
    config: ReaderEvalConfig,
    corpus: Path,
    cache: Path,
    bundle: ModelBundle,
    reader: MemoryReader,
    raw: MemoryReader | None,
    on_progress: Progress | None,
) -> dict[str, Any]:
    # All that is drawn, before anything is read: what cannot be measured is refused at once.
    files = [pack(corpus / name, bundle.folder / "tokenizer", cache) for name in config.texts]
    seed, densities = config.seed, config.densities
    regeneration = [
        Regeneration(
            config.regeneration,
            file,
            bundle,
            densities,
            memories=count,
            seed=(seed, _REGENERATION, place, count),
        )
        for count in config.regeneration.memories
        for place, file in enumerate(files)
    ]
    lookup = [
        Lookup(config.lookup, files, bundle, densities, memories=count, seed=(seed, _LOOKUP, count))
        for count in config.lookup.memories
    ]
    asked = read_questions(
        [corpus / config.questions.file],
        bundle.tokenizer,
        max_context=config.questions.max_context,
    )
    questions = Questions(config.questions, asked, bundle, densities, seed=(seed, _QUESTIONS))
    following = [
        Following(config.following, file, bundle, densities, seed=(seed, _FOLLOWING, place))
        for place, file in enumerate(files)
    ]
    cost = Cost(config.cost, _longest(files), reader, densities[0], seed=(seed, _COST))

    ways = ways_of(reader, raw)
    cut = [way for way in ways if way.shown == "cut"]
    sheets: list[Sheet] = [questions.sheet]
    for drawn in (regeneration, lookup, following):
        sheets += [part.sheet for part in drawn]
    rows = len(ways) * sum(sheet.rows for sheet in sheets)
    report = _reporter(rows + len(cut) * questions.curve_rows + cost.rows, on_progress)
    return {
        "ways": [way.name for way in ways],
        "regeneration": [part.measure(way, report) for part in regeneration for way in ways],
        "lookup": [part.measure(way, report) for part in lookup for way in ways],
        "questions": [questions.measure(way, report) for way in ways],
        "curve": [row for way in cut for row in questions.curve(way, report)],
        "following": [part.measure(way, report) for part in following for way in ways],
        "cost": cost.measure(report),
    }


def _longest(files: list[PackedFile]) -> PackedFile:
    return max(files, key=lambda file: len(file.ids))


def _reporter(total: int, on_progress: Progress | None) -> Report:
    done = 0

    def report(rows: int, note: str) -> None:
        nonlocal done
        done += rows
        if on_progress is not None:
            on_progress(done, total, note)

    return report


def _facts(reader: MemoryReader) -> dict[str, Any]:
    """What a result says of a reader: its shape, and a hash of all its weights."""
    model = reader.parts.model
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return {
        **model.config.model_dump(mode="json"),
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "hash": digest.hexdigest()[:16],
    }
