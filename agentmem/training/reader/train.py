"""Trains a reader: one pass over memories and several questions about them, at mixed ratios."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentmem.models.huggingface import load_causal_lm, load_tokenizer
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.modeling import ReadingBatch, ReadingModel
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.saving import load_weights, save_reader
from agentmem.training.loop.checkpoint import save_checkpoint
from agentmem.training.loop.optimizer import adamw, set_rate
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import claim, finish, resume, start_processes
from agentmem.training.reader.batches import collate, plan
from agentmem.training.reader.config import ReaderRunConfig
from agentmem.training.reader.packed import ExerciseReader, PackedExercises

# Number of steps over which the logged loss of each ratio is averaged.
_AVERAGED = 50

Report = Callable[[int, dict[str, Any]], None]


def train_reader(
    config: ReaderRunConfig,
    *,
    data: Sequence[str | Path],
    dev: str | Path,
    out: str | Path = "runs",
    report: Report = lambda step, metrics: None,
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
        report: Called with the step and its metrics.
        stop_after: Save a checkpoint and return after this many steps.
        stop_after_s: Save a checkpoint and return after this many seconds.

    Raises:
        ConfigError: a run of that name exists with another configuration, or the language model
            is not in its folder.
        InputError: ``data`` or ``dev`` contains no packed exercises.
        ModelError: the language model is not supported, or ``start`` is not a reader of it.
    """
    began = time.monotonic()
    accelerator = start_processes(config.threads, has_unused_parameters=True)
    device = accelerator.device
    folder = Path(out) / config.name
    claim(accelerator, folder, config)
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    place = local_model(config.language_model)
    lm = load_causal_lm(place, dtype)
    prompt = ReadingPrompt.of(load_tokenizer(place), config.system_prompt)
    torch.manual_seed(config.seed)
    ratios = {int(ratio): share for ratio, share in config.ratios.items()}
    bare = ReadingModel(
        lm,
        ReaderConfig(
            language_model=config.published_as,
            ratios=tuple(sorted(set(ratios) - {0})) or (1,),
            text_rank=config.text_rank,
            memory_rank=config.memory_rank if max(ratios) > 1 else 0,
            system_prompt=config.system_prompt,
        ),
    ).to(device)
    if config.start is not None:
        load_weights(bare, config.start, partial=True)
    if config.compile:
        bare.compile_layers()
    optimizer = adamw(bare.trainable().values(), config.optimizer)
    first = resume(accelerator, folder, bare, optimizer)
    packed = PackedExercises.joined([PackedExercises.load(Path(file)) for file in data])
    exercises = ExerciseReader(packed, prompt.prefix)
    held_out = ExerciseReader(PackedExercises.load(Path(dev)), prompt.prefix)

    last = config.optimizer.steps
    processes, rank = accelerator.num_processes, accelerator.process_index
    batches = _prefetch(exercises, config, first, last, processes, rank)
    running: dict[int, deque[torch.Tensor]] = defaultdict(lambda: deque(maxlen=_AVERAGED))
    logged, logged_at = time.monotonic(), first
    for step, batch in batches:
        ratio = _ratio(config.seed, step, ratios)
        set_rate(optimizer, config.optimizer, step)
        loss, _ = bare.loss(batch.to(device), ratio)
        torch.autograd.backward(loss)
        if processes > 1:
            _average(bare, processes)
        torch.nn.utils.clip_grad_norm_(bare.trainable().values(), config.optimizer.clip)
        optimizer.step()
        optimizer.zero_grad()
        running[ratio].append(loss.detach())

        done = step + 1
        stopping = (stop_after is not None and done >= stop_after) or (
            stop_after_s is not None and time.monotonic() - began > stop_after_s
        )
        if stop_after_s is not None and processes > 1:
            stopping = _any(stopping, device)
        if (
            done % config.eval_every == 0
            or done == last
            or stopping
            or done % config.log_every == 0
        ):
            metrics: dict[str, Any] = {
                "step": done,
                "seconds": round(time.monotonic() - began, 1),
                "s_per_step": round((time.monotonic() - logged) / (done - logged_at), 3),
                "loss": {
                    ratio: round(float(torch.stack(list(losses)).mean()), 4)
                    for ratio, losses in sorted(running.items())
                },
            }
            if done % config.eval_every == 0 or done == last:
                metrics["dev"] = evaluate(bare, held_out, ratios, config.tokens_per_step)
            if accelerator.is_main_process:
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(metrics) + "\n")
                report(done, metrics)
            logged, logged_at = time.monotonic(), done
        if accelerator.is_main_process and (
            done % config.save_every == 0 or done == last or stopping
        ):
            save_checkpoint(folder / "checkpoint", bare, optimizer, {"step": done})
            save_reader(bare, folder / "model")
        if stopping:
            break
    finish(accelerator)
    return folder


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
    exercises: ExerciseReader,
    config: ReaderRunConfig,
    first: int,
    last: int,
    processes: int,
    rank: int,
) -> Iterator[tuple[int, ReadingBatch]]:
    """Steps and their batches, prefetched by a thread."""

    def make(length: int, rows: list[int]) -> ReadingBatch:
        return collate([exercises[index] for index in rows], length)

    planned = plan(exercises.lengths, tokens=config.tokens_per_step, seed=config.seed)
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Any] = []
        for number, (length, rows) in enumerate(planned):
            step, turn = divmod(number, processes)
            if step >= last:
                break
            if step < first or turn != rank:
                continue
            waiting.append((step, pool.submit(make, length, rows)))
            if len(waiting) > 8:
                done, batch = waiting.pop(0)
                yield done, batch.result()
        for done, batch in waiting:
            yield done, batch.result()


def _any(here: bool, device: torch.device) -> bool:
    """Whether a flag is set in any process: clocks differ, and all must stop at the same step."""
    flag = torch.tensor(int(here), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)


def _average(model: ReadingModel, processes: int) -> None:
    """Average the gradients over processes; an unused weight counts as zero."""
    for parameter in model.trainable().values():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= processes
