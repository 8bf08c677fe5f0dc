"""What a reader needs: small readers, trained alike but for one thing, and read free-running.

One of them lets the encoder learn too, by next-token prediction alone; for it, the share of tokens
that the autoencoder's own decoder still regenerates is told before and after.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import Field
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agentmem.evaluation.reading_config import LookupConfig, RegenerationConfig
from agentmem.evaluation.reading_recite import Lookup, Regeneration
from agentmem.evaluation.reading_sheets import ways_of
from agentmem.evaluation.result import build_result, write_result
from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.reader import MemoryReader
from agentmem.models.reader.saving import ReaderParts, new_reader, save_reader
from agentmem.models.reader.slots import Slots
from agentmem.training.config import ReaderRunConfig, Section, load_config
from agentmem.training.data import PackedFile, pack
from agentmem.training.fit import fit
from agentmem.training.reader import train_reader
from agentmem.training.reader_start import fresh_lm
from agentmem.training.reading import Exercises
from agentmem.training.reading_batches import tensors


class Variant(Section):
    """One change."""

    name: str
    reader: dict[str, Any] = Field(default_factory=dict, description="ReaderConfig arguments")
    stages: list[dict[str, Any]] | None = Field(default=None, description="in place of the base's")
    unfrozen: bool = Field(default=False, description="whether the encoder learns too")


class AblationConfig(Section):
    """A run of this benchmark."""

    seed: int
    threads: int
    memories: list[int]
    memory_tokens: int
    rows: int
    base: dict[str, Any] = Field(description="a run of `agentmem train reader`")
    variants: list[Variant]


def main(
    config: Annotated[Path, typer.Option(help="the runs, as a TOML file")],
    corpus: Annotated[Path, typer.Option(help="folder of the corpus files")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    runs: Annotated[Path, typer.Option(help="folder for the runs; those done are kept")] = Path(
        "runs"
    ),
) -> None:
    """Train, measure, and write the result file."""
    told = load_config(config, AblationConfig)
    torch.set_num_threads(told.threads)
    began = time.perf_counter()
    bundle = ModelBundle()
    rows = []
    for variant in track(told.variants, "variants"):
        run = run_of(told, variant)
        start = time.perf_counter()
        kept: dict[str, float] = {}
        if variant.unfrozen:
            # It changes the encoder: a bundle of its own.
            own = ModelBundle()
            folder, kept = train_unfrozen(run, own, corpus, runs)
            reader = MemoryReader.from_pretrained(folder, own)
        else:
            folder = train_reader(run, corpus=corpus, out=runs) / "model"
            reader = MemoryReader.from_pretrained(folder, bundle)
        rows.append(
            {
                "variant": variant.name,
                "seconds": time.perf_counter() - start,
                **kept,
                **measured(told, run, reader, corpus, runs),
            }
        )
    result = build_result(
        "ablations",
        config={**told.model_dump(mode="json"), "weights": bundle.fingerprint},
        seed=told.seed,
        seconds=time.perf_counter() - began,
        results={"variants": rows},
        threads=told.threads,
    )
    write_result(json, result)
    show(rows)


def run_of(told: AblationConfig, variant: Variant) -> ReaderRunConfig:
    """The base run with one change."""
    run = copy.deepcopy(told.base)
    run["name"] = "ablation-" + "".join(c if c.isalnum() else "-" for c in variant.name)
    run["reader"] = {**run["reader"], **variant.reader}
    if variant.stages is not None:
        run["stages"] = variant.stages
    return ReaderRunConfig.model_validate(run)


def measured(
    told: AblationConfig, run: ReaderRunConfig, reader: MemoryReader, corpus: Path, runs: Path
) -> dict[str, float]:
    """Shares of tokens that the reader writes right by itself."""
    bundle = reader.bundle
    files = _packed(run.dev_texts, bundle, corpus, runs)
    (way, *_) = ways_of(reader, None)
    found: dict[str, float] = {}
    for count in told.memories:
        regeneration = [
            Regeneration(
                RegenerationConfig(memory_tokens=told.memory_tokens, rows=told.rows),
                file,
                bundle,
                ["standard"],
                memories=count,
                seed=(told.seed, 0, place, count),
            ).measure(way, lambda rows, note: None)["token_accuracy"]
            for place, file in enumerate(files)
        ]
        found[f"regenerate of {count}"] = sum(regeneration) / len(regeneration)
        found[f"look up in {count}"] = Lookup(
            LookupConfig(memory_tokens=told.memory_tokens, cue=6, following=8, rows=told.rows),
            files,
            bundle,
            ["standard"],
            memories=count,
            seed=(told.seed, 1, count),
        ).measure(way, lambda rows, note: None)["token_accuracy"]
    return found


def train_unfrozen(
    run: ReaderRunConfig, bundle: ModelBundle, corpus: Path, runs: Path
) -> tuple[Path, dict[str, float]]:
    """Train reader and encoder together; the encoder's rounding is passed straight through."""
    torch.manual_seed(run.seed)
    parts = new_reader(fresh_lm(run.lm, bundle), bundle, run.reader)
    files = _packed(list(run.texts), bundle, corpus, runs)
    exercises = Exercises(
        files,
        list(run.texts.values()),
        [],
        parts.words,
        bundle.tokenizer,
        seed=run.seed,
        most=64,
    )
    dev = _packed(run.dev_texts, bundle, corpus, runs)
    before = regenerated(bundle, dev)
    both = torch.nn.ModuleList([parts.model, bundle.autoencoder])

    def loss_at(step: int) -> torch.Tensor:
        stage = run.stage(step)
        drawn = exercises.batch(
            step,
            stage.mixture,
            memories=stage.memories,
            memory_tokens=stage.memory_tokens,
            rows=stage.rows,
        )
        batch = tensors(drawn, parts.words, bundle, "standard", torch.device("cpu"))
        memory = live_slots([ids for group in drawn.memories for ids in group], parts, bundle)
        memory = Slots(
            memory.codes.reshape(len(drawn.memories), -1, *memory.codes.shape[2:]),
            memory.lengths.reshape(len(drawn.memories), -1),
        )
        output = parts.model(
            batch.input_ids, batch.attention_mask, memory=memory, labels=batch.labels
        )
        loss: torch.Tensor = output.loss
        return loss

    fit(both, loss_at, run.optimiser, precision=run.precision, report=lambda step, loss: None)
    folder = save_reader(parts, runs / run.name / "model")
    return folder, {"decoder before": before, "decoder after": regenerated(bundle, dev)}


def live_slots(memories: list[Any], parts: ReaderParts, bundle: ModelBundle) -> Slots:
    """Codes (1, N, T, s) of memories of one length, rounded, with the encoder's gradient."""
    ids = torch.stack([torch.from_numpy(one) for one in memories])
    network = bundle.autoencoder
    tape = network.tape(network.encode_states(ids, None), "standard")
    codes = tape * LEVELS + (network.quantise(tape, "standard") - tape * LEVELS).detach()
    return Slots(codes[None], torch.full((1, len(ids)), ids.shape[1]))


@torch.no_grad()
def regenerated(bundle: ModelBundle, files: list[PackedFile]) -> float:
    """Share of tokens that the autoencoder itself regenerates."""
    right = count = 0
    for file in files:
        ids = torch.from_numpy(file.ids[: 64 * 256].astype("int64")).reshape(256, 64)
        output = bundle.autoencoder(ids, density="standard")
        right, count = right + int(output.correct), count + int(output.count)
    return right / count


def show(rows: list[dict[str, Any]]) -> None:
    """A table for people."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names)
    for row in rows:
        cells = [row.get(name) for name in names]
        table.add_row(
            *[f"{one:.3f}" if isinstance(one, float) else str(one or "") for one in cells]
        )
    Console().print(table)


def _packed(names: list[str], bundle: ModelBundle, corpus: Path, runs: Path) -> list[PackedFile]:
    return [pack(corpus / name, bundle.folder / "tokenizer", runs / "cache") for name in names]


if __name__ == "__main__":
    typer.run(main)
