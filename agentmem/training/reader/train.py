"""Trains a reader: one pass over memories and several questions about them, at mixed ratios."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from agentmem.models.huggingface import load_causal_lm, load_tokenizer
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.modeling import ReadingBatch, ReadingModel
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.saving import load_weights, save_reader
from agentmem.training.loop.optimizer import adamw
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import start_processes
from agentmem.training.loop.step import Report, TrainingRun, no_report
from agentmem.training.reader.batches import collate, plan
from agentmem.training.reader.config import ReaderRunConfig
from agentmem.training.reader.packed import ExerciseReader, PackedExercises

# Number of steps over which the logged loss of each ratio is averaged.
_AVERAGED = 50
_PREFETCHED = 8


def train_reader(
    config: ReaderRunConfig,
    *,
    data: Sequence[str | Path],
    dev: str | Path,
    out: str | Path = "runs",
    report: Report = no_report,
    stop_after: int | None = None,
    stop_after_s: float | None = None,
) -> Path:
    """Train a reader and save it in the run's ``model/`` folder.

    The language model is frozen. Each batch has one ratio, determined by the seed; ratio 0 trains
    the text adapter alone on plain text, which is the baseline. An interrupted run resumes from
    its last checkpoint.

    Args:
        config: The run.
        data: Files of packed exercises to train on, at least one.
        dev: Packed exercises to evaluate on.
        out: Folder of runs.
        report: Called with the step and its metrics after every step.
        stop_after: Save a checkpoint and return after this many steps.
        stop_after_s: Save a checkpoint and return after this many seconds.

    Raises:
        ConfigError: a run of that name exists with another configuration, or the language model
            is not in its folder.
        InputError: ``data`` or ``dev`` contains no packed exercises.
        ModelError: the language model is not supported, or ``start`` is not a reader of it.
    """
    accelerator = start_processes(config.threads, has_unused_parameters=True)
    run = TrainingRun(
        accelerator,
        Path(out) / config.name,
        config,
        report=report,
        stop_after=stop_after,
        stop_after_s=stop_after_s,
    )
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    place = local_model(config.language_model)
    lm = load_causal_lm(place, dtype)
    prompt = ReadingPrompt.of(load_tokenizer(place), config.system_prompt)
    torch.manual_seed(config.seed)
    ratios = {int(ratio): share for ratio, share in config.ratios.items()}
    network = ReadingModel(
        lm,
        ReaderConfig(
            language_model=config.published_as,
            rank=config.rank,
            system_prompt=config.system_prompt,
        ),
    )
    if config.start is not None:
        load_weights(network, config.start, partial=True)
    if config.compile:
        network.compile_layers()
    packed = PackedExercises.joined([PackedExercises.load(Path(file)) for file in data])
    exercises = ExerciseReader(packed, prompt.prefix)
    held_out = ExerciseReader(PackedExercises.load(Path(dev)), prompt.prefix)
    run.start(network, adamw(network.trainable().values(), config.optimizer))

    def dev_losses() -> dict[str, float]:
        losses = evaluate(network, held_out, ratios, config.tokens_per_step)
        return {str(ratio): loss for ratio, loss in losses.items()}

    running: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_AVERAGED))
    batches = _prefetch(
        exercises, config, run.done, accelerator.num_processes, accelerator.process_index
    )
    for step, batch in zip(run.steps(), batches, strict=False):
        ratio = _ratio(config.seed, step, ratios)
        loss = run.model(batch.to(accelerator.device), ratio)
        run.update(loss)
        running[ratio].append(loss.item())
        metrics = {
            "loss": {str(r): round(fmean(running[r]), 4) for r in sorted(running)},
            "seconds": round(run.elapsed_s, 3),
        }
        run.record(metrics, dev_losses, log_every=config.log_every)
    if accelerator.is_main_process:
        save_reader(network, run.folder / "model")
    run.close()
    return run.folder


@torch.no_grad()
def evaluate(
    model: ReadingModel, exercises: ExerciseReader, ratios: dict[int, float], tokens: int
) -> dict[int, float]:
    """Mean loss per label at each ratio, in nats."""
    device = next(iter(model.trainable().values())).device
    # Sorted by length: the last of a batch is its longest. No batch exceeds the tokens of a step.
    batches: list[tuple[int, list[int]]] = []
    for index in np.argsort(exercises.lengths, kind="stable").tolist():
        length = -(-int(exercises.lengths[index]) // 128) * 128
        if batches and (len(batches[-1][1]) + 1) * length <= tokens:
            batches[-1] = (length, [*batches[-1][1], index])
        else:
            batches.append((length, [index]))
    result = {}
    for ratio in sorted(ratios):
        total, count = 0.0, 0
        for length, rows in batches:
            batch = collate([exercises[i] for i in rows], length).to(device)
            # Too rare to compile the layers again, without gradients.
            with torch.compiler.set_stance("force_eager"):
                _, losses = model.loss(batch, ratio)
            total, count = total + float(losses.sum()), count + len(losses)
        result[ratio] = round(total / max(count, 1), 4)
    return result


def _ratio(seed: int, step: int, ratios: dict[int, float]) -> int:
    """The ratio of a step."""
    shares = np.array(list(ratios.values()))
    drawn = np.random.default_rng([seed, step]).choice(len(shares), p=shares / shares.sum())
    return list(ratios)[int(drawn)]


def _prefetch(
    exercises: ExerciseReader, config: ReaderRunConfig, first: int, processes: int, rank: int
) -> Iterator[ReadingBatch]:
    """The batches of one process from a step on, prefetched by a thread."""

    def make(length: int, rows: list[int]) -> ReadingBatch:
        return collate([exercises[index] for index in rows], length)

    planned = plan(exercises.lengths, tokens=config.tokens_per_step, seed=config.seed)
    mine = islice(planned, first * processes + rank, config.optimizer.steps * processes, processes)
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[ReadingBatch]] = deque()
        for length, rows in mine:
            waiting.append(pool.submit(make, length, rows))
            if len(waiting) > _PREFETCHED:
                yield waiting.popleft().result()
        for batch in waiting:
            yield batch.result()
