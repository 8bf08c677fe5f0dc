"""Training the autoencoder: one loop, the same for one CPU, one GPU and many."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.errors import ConfigError
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.initialization import init_on_grid
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import save_codebooks
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.training.autoencoder.codebook import make_codebooks
from agentmem.training.autoencoder.config import RunConfig
from agentmem.training.data.packed import Windows, pack
from agentmem.training.loop.checkpoint import save_checkpoint
from agentmem.training.loop.curves import plot_curves
from agentmem.training.loop.optimiser import adamw, decay_matrices, set_rate
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import claim, finish, resume, start_processes

Report = Callable[[int, dict[str, Any]], None]

# Evaluation batches per dev file; drawn once, the same at every evaluation.
_EVAL_BATCHES = 4


def train_autoencoder(
    config: RunConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the model in the run's folder.

    A run that was interrupted goes on from its last checkpoint and ends with the same weights as
    an uninterrupted one (on the same kind of device): batches, noise and learning rate are
    functions of the step.

    Args:
        config: The run.
        corpus: Folder of the files that the configuration names.
        out: The run's folder is made in here; token ids are kept in its ``cache``.
        report: Called with the step and its figures after every step.
        stop_after: Save a checkpoint and return after this many steps, as an interruption would.

    Returns:
        The run's folder: ``model/`` (save_pretrained layout), ``metrics.jsonl``, ``curves.png``,
        ``run.json`` and ``checkpoint/``.
    """
    # A step trains the slot maps of one density; those of the others rest.
    accelerator = start_processes(config.threads, resting=True)
    folder = Path(out) / config.name
    _check(config, accelerator.num_processes)
    claim(accelerator, folder, config)
    with accelerator.main_process_first():
        train, prose, dev = _windows(config, Path(corpus), Path(out) / "cache")

    torch.manual_seed(config.seed)
    bare = _fresh_model(config, train.frequencies())
    groups = decay_matrices(bare.parameters())
    model, optimiser = accelerator.prepare(bare, adamw(groups, config.optimiser))
    begun = resume(accelerator, folder, bare, optimiser)

    last = config.optimiser.steps
    finest = next(iter(bare.config.densities))
    for step in range(begun, last):
        began = time.perf_counter()
        density = config.turns[step % len(config.turns)]
        # Random ids have no context: only the finest density has room for every one of them.
        ids, mask = (train if density == finest else prose).batch(step)
        noise = _noise(bare, ids.shape, config, step)
        rows = slice(accelerator.process_index, None, accelerator.num_processes)
        batch = _to_device(ids[rows], mask[rows], accelerator.device)
        set_rate(optimiser, config.optimiser, step)

        with torch.autocast(bare.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            output = model(
                *batch, quantization=density, noise=None if noise is None else noise[rows]
            )
        # Rows are of unequal length: weighted by tokens, the processes' mean is the batch's.
        share = output.count * accelerator.num_processes / int(mask.sum())
        accelerator.backward(output.loss * share)
        accelerator.clip_grad_norm_(model.parameters(), config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        sums = torch.stack([output.loss.detach() * output.count, output.correct, output.count])
        loss, correct, count = accelerator.reduce(sums).tolist()
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss / count,
            "accuracy": correct / count,
            "lr": optimiser.param_groups[0]["lr"],
            "density": density,
            "tokens_per_s": count / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = {
                    f"{name}/{density}": _evaluate(bare, batches, density)
                    for name, batches in dev.items()
                    for density in sorted(set(config.turns))
                }
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
                plot_curves(folder / "metrics.jsonl", folder / "curves.png")
            if done % config.save_every == 0 or done == last or stopping:
                save_checkpoint(folder / "checkpoint", bare, optimiser, {"step": done})
            report(done, figures)
        if stopping:
            break
    else:
        if accelerator.is_main_process:
            bare.bfloat16().save_pretrained(folder / "model")
            # As it will be used: the saved weights, in full precision.
            frozen = MemoryAutoencoder.from_pretrained(folder / "model", dtype=torch.float32)
            save_codebooks(folder / "model", make_codebooks(frozen, train, config.seed))
    del model
    finish(accelerator)
    return folder


def _check(config: RunConfig, processes: int) -> None:
    """What the configuration alone cannot know to be wrong."""
    tokens, longest = config.data.tokens_per_step, max(config.data.lengths)
    if max(1, tokens // longest) < processes:
        raise ConfigError(
            f"data.tokens_per_step = {tokens!r} makes less than one row of {longest} tokens for "
            f"each of {processes} processes"
        )
    own = AutoencoderConfig(**config.model).vocab_size
    given = ByteTokenizer.from_folder(config.data.tokenizer).vocab_size
    if own != given:
        raise ConfigError(
            f"model.vocab_size = {own!r}, but the tokenizer {config.data.tokenizer!r} has {given}"
        )


def _windows(
    config: RunConfig, corpus: Path, cache: Path
) -> tuple[Windows, Windows, dict[str, list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]]]:
    data = config.data
    vocab_size = AutoencoderConfig(**config.model).vocab_size

    def windows(files: list[str], weights: list[float], tokens: int, random: float) -> Windows:
        packed = [pack(corpus / file, data.tokenizer, cache) for file in files]
        return Windows(
            packed,
            weights=weights,
            lengths=data.lengths,
            tokens_per_batch=tokens,
            vocab_size=vocab_size,
            random_share=random,
            seed=config.seed,
        )

    train, prose = (
        windows(list(data.train), list(data.train.values()), data.tokens_per_step, random)
        for random in (data.random_share, 0)
    )
    dev = {file.split(".")[0]: windows([file], [1], 8192, 0) for file in data.dev}
    dev["random-tokens"] = windows(data.dev[:1], [1], 8192, 1)
    return (
        train,
        prose,
        {
            name: [source.batch(index) for index in range(_EVAL_BATCHES)]
            for name, source in dev.items()
        },
    )


def _fresh_model(config: RunConfig, frequencies: NDArray[np.float64]) -> MemoryAutoencoder:
    model = MemoryAutoencoder(AutoencoderConfig(**config.model))
    by_frequency = np.argsort(-frequencies, kind="stable").tolist()
    init_on_grid(model, config.seed, by_frequency=by_frequency)
    if config.start is not None:
        # Whatever has another shape there (the slot maps, when slot_dims changes) starts afresh.
        old = MemoryAutoencoder.from_pretrained(
            local_model(config.start), dtype=torch.float32
        ).state_dict()
        own = model.state_dict()
        fits = {k: v for k, v in old.items() if k in own and v.shape == own[k].shape}
        model.load_state_dict({**own, **fits})
    return model


def _noise(
    model: MemoryAutoencoder, shape: tuple[int, ...], config: RunConfig, step: int
) -> Tensor | None:
    """The noise that stands for the rounding in a training step; None once it is real."""
    if step >= config.round_from * config.optimiser.steps:
        return None
    generator = torch.Generator(model.device).manual_seed(config.seed * 1_000_003 + step)
    size = (*shape, model.config.slot_dims)
    return torch.rand(size, generator=generator, device=model.device) - 0.5


def _to_device(
    ids: np.ndarray[Any, Any], mask: np.ndarray[Any, Any], device: torch.device
) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@torch.no_grad()
def _evaluate(
    model: MemoryAutoencoder,
    batches: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
    density: str,
) -> float:
    """Share of tokens that the rounded latents alone regenerate, in full precision."""
    model.train(False)
    correct = count = 0
    for ids, mask in batches:
        output = model(*_to_device(ids, mask, model.device), quantization=density)
        correct += int(output.correct)
        count += int(output.count)
    model.train()
    return correct / count
