"""Training a reader: the same loop for one CPU, one GPU and many.

The autoencoder is frozen: memories are encoded and quantised as they will be in a store, and the
reader learns to read that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.attention import Sought
from agentmem.models.reader.modeling import IGNORED, ReadingModel
from agentmem.models.reader.saving import save_reader
from agentmem.training.checkpoint import save_checkpoint
from agentmem.training.config import ReaderRunConfig
from agentmem.training.curves import plot_curves
from agentmem.training.data import pack
from agentmem.training.optimiser import adamw, decay_matrices, set_rate
from agentmem.training.reader_samples import rewind_samples, tokens_right, write_samples
from agentmem.training.reader_start import check_run, dev_batches, start_reader, training_exercises
from agentmem.training.reading import ReadingBatch
from agentmem.training.reading_batches import share, tensors
from agentmem.training.setup import claim, finish, resume, start_processes

Report = Callable[[int, dict[str, Any]], None]


def train_reader(
    config: ReaderRunConfig,
    *,
    corpus: str | Path,
    lm: str | None = None,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the reader in the run's folder.

    A run that was interrupted goes on from its last checkpoint and ends with the same weights as
    an uninterrupted one (on the same kind of device): exercises, dropout and learning rate are
    functions of the step.

    Args:
        config: The run.
        corpus: Folder of the files that the configuration names.
        lm: Folder of a language model to start from; None: a fresh one of the configuration's
            sizes, which speaks the bundle's tokens.
        out: The run's folder is made in here; token ids are kept in its ``cache``.
        report: Called with the step and its figures after every step.
        stop_after: Save a checkpoint and return after this many steps, as an interruption would.

    Returns:
        The run's folder: ``model/``, ``metrics.jsonl``, ``samples.txt``, ``curves.png``,
        ``run.json``, ``origin.json`` and ``checkpoint/``.

    Raises:
        ConfigError: the configuration does not fit the corpus, the bundle, the language model or
            the number of processes.
        ModelError: there is no such bundle, or language model and bundle do not fit each other.
        MissingExtraError: LoRA without peft.
    """
    # A step without memories leaves the parts that read them at rest.
    accelerator = start_processes(config.threads, resting=True)
    folder, corpus, cache = Path(out) / config.name, Path(corpus), Path(out) / "cache"
    # Not the one that stores share: it moves to the device.
    bundle = ModelBundle(config.bundle)
    check_run(config, bundle, corpus=corpus, lm=lm, processes=accelerator.num_processes)
    torch.manual_seed(config.seed)
    parts = start_reader(config, bundle, lm)
    origin = {
        "bundle": bundle.latents_fingerprint,
        "lm": None if lm is None else parts.origin.lm_hash,
    }
    claim(accelerator, folder, config, origin)
    with accelerator.main_process_first():
        packed = {
            name: pack(corpus / name, bundle.folder / "tokenizer", cache)
            for name in (*config.texts, *config.dev_texts)
        }
    train = training_exercises(config, parts.words, bundle, corpus=corpus, packed=packed)
    dev = dev_batches(config, parts.words, bundle, corpus=corpus, packed=packed)

    bundle.autoencoder.to(accelerator.device)
    bare = parts.model
    learning = [p for p in bare.parameters() if p.requires_grad]
    model, optimiser = accelerator.prepare(bare, adamw(decay_matrices(learning), config.optimiser))
    begun = resume(accelerator, folder, bare, optimiser)
    if accelerator.is_main_process:
        rewind_samples(folder / "samples.txt", begun)
    bare.train()
    last = config.optimiser.steps

    def draw(step: int) -> ReadingBatch:
        step = min(step, last - 1)
        stage = config.stage(step)
        return train.batch(
            step,
            stage.mixture,
            memories=stage.memories,
            memory_tokens=stage.memory_tokens,
            rows=stage.rows,
            hard=stage.hard,
        )

    upcoming = draw(begun)
    for step in range(begun, last):
        began, drawn = time.perf_counter(), upcoming
        _set_positions(bare, config, step)
        part, counts = share(drawn, accelerator.process_index, accelerator.num_processes)
        density = bundle.densities[step % len(bundle.densities)]
        batch = tensors(
            part,
            parts.words,
            bundle,
            density,
            accelerator.device,
            corrupted=config.corrupted,
            generator=torch.Generator().manual_seed(config.seed * 1_000_003 + step),
        )
        set_rate(optimiser, config.optimiser, step)

        torch.manual_seed(config.seed * 1_000_003 + step)
        with torch.autocast(
            accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"
        ):
            output = model(
                batch.input_ids,
                batch.attention_mask,
                memory=batch.memory,
                labels=batch.labels,
                sought=batch.sought if config.seeking else None,
            )
        told = (batch.labels[:, 1:] != IGNORED) & counts
        # Answers are of unequal length: weighted by tokens, the processes' mean is the batch's.
        whole = sum(map(len, drawn.answers))
        weight = told.sum() * accelerator.num_processes / whole
        missed = _missed(output.missed, batch.sought, counts, accelerator)
        accelerator.backward(output.loss * weight + config.seeking * missed)
        accelerator.clip_grad_norm_(learning, config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        # A GPU still works at this step: time to draw the next.
        upcoming = draw(done)
        right = (output.logits[:, :-1].argmax(-1) == batch.labels[:, 1:]) & told
        sums = torch.stack(
            [output.loss.detach() * told.sum(), right.sum(), told.sum(), missed.detach()]
        )
        loss, correct, count, all_missed = accelerator.reduce(sums.float()).tolist()
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss / count,
            "accuracy": correct / count,
            "missed": all_missed / accelerator.num_processes,
            "lr": optimiser.param_groups[0]["lr"],
            "exercise": drawn.exercise,
            "tokens_per_s": count / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = {
                    name: tokens_right(batches, parts, bundle, config.precision)
                    for name, batches in dev.items()
                }
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
                write_samples(folder / "samples.txt", done, dev, parts, bundle)
                plot_curves(folder / "metrics.jsonl", folder / "curves.png")
            if done % config.save_every == 0 or done == last or stopping:
                save_checkpoint(folder / "checkpoint", bare, optimiser, {"step": done})
            report(done, figures)
        if stopping:
            break
    else:
        if accelerator.is_main_process:
            save_reader(parts, folder / "model")
    del model
    finish(accelerator)
    return folder


def _missed(
    missed: Tensor | None, sought: Sought | None, counts: bool, accelerator: Accelerator
) -> Tensor:
    """How much attention missed what it should seek, nats, scalar; 0 where nothing is sought.

    Weighted by what each process seeks, so that the processes' mean is the batch's.
    """
    if missed is None or sought is None:
        return torch.zeros((), device=accelerator.device)
    mine = sought.counts.sum() * counts
    weight: Tensor = mine * accelerator.num_processes / accelerator.reduce(mine)
    return missed * weight


def _set_positions(model: ReadingModel, config: ReaderRunConfig, step: int) -> None:
    """How many tokens share a position at this step, by the route positions."""
    if config.reader.route == "positions":
        given = config.stage(step).tokens_per_position
        model.positions.now = given or config.reader.tokens_per_position
