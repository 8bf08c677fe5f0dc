"""Trains the autoencoder: the same loop for one CPU, one GPU and several."""

from __future__ import annotations

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
from agentmem.training.loop.curves import plot_curves
from agentmem.training.loop.optimizer import adamw, decay_matrices
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import start_processes
from agentmem.training.loop.step import Report, TrainingRun, no_report

# Evaluation batches per dev file; the same at every evaluation.
_EVAL_BATCHES = 4


def train_autoencoder(
    config: RunConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = no_report,
    stop_after: int | None = None,
) -> Path:
    """Train a model and save it in the run's folder.

    An interrupted run resumes from its last checkpoint and ends with the same weights as an
    uninterrupted one (on the same kind of device): batches, noise and learning rate are functions
    of the step.

    Args:
        config: The run.
        corpus: Folder of the files that the configuration names.
        out: Parent of the run's folder; token ids are cached in its ``cache``.
        report: Called with the step and its metrics after every step.
        stop_after: Save a checkpoint and return after this many steps.

    Returns:
        The run's folder: ``model/`` (save_pretrained layout), ``metrics.jsonl``, ``curves.png``,
        ``run.json`` and ``checkpoint/``.
    """
    # A step trains the projections of one quantization; the others get no gradient.
    accelerator = start_processes(config.threads, has_unused_parameters=True)
    _check(config, accelerator.num_processes)
    run = TrainingRun(
        accelerator,
        Path(out) / config.name,
        config,
        report=report,
        stop_after=stop_after,
        on_evaluation=lambda log: plot_curves(log, log.with_name("curves.png")),
    )
    with accelerator.main_process_first():
        train, prose, dev = _windows(config, Path(corpus), Path(out) / "cache")

    torch.manual_seed(config.seed)
    network = _fresh_model(config, train.frequencies())
    run.start(network, adamw(decay_matrices(network.parameters()), config.optimizer))

    finest = next(iter(network.config.quantizations))
    for step in run.steps():
        quantization = config.turns[step % len(config.turns)]
        # Random ids have no context: only the finest quantization can represent all of them.
        ids, mask = (train if quantization == finest else prose).batch(step)
        noise = _noise(network, ids.shape, config, step)
        rows = slice(accelerator.process_index, None, accelerator.num_processes)
        batch = _to_device(ids[rows], mask[rows], accelerator.device)
        own_noise = None if noise is None else noise[rows]
        with torch.autocast(
            network.device.type, torch.bfloat16, enabled=config.precision == "bf16"
        ):
            output = run.model(*batch, quantization=quantization, noise=own_noise)
        # Rows differ in length: weighted by tokens, the mean over processes is that of the batch.
        share = output.count * accelerator.num_processes / int(mask.sum())
        run.update(output.loss * share)

        sums = torch.stack([output.loss.detach() * output.count, output.correct, output.count])
        loss, correct, count = accelerator.reduce(sums).tolist()
        metrics = {
            "loss": loss / count,
            "accuracy": correct / count,
            "lr": run.lr,
            "quantization": quantization,
            "tokens_per_s": count / run.elapsed_s,
        }
        run.record(
            metrics,
            lambda: {
                f"{name}/{turn}": _evaluate(network, batches, turn)
                for name, batches in dev.items()
                for turn in sorted(set(config.turns))
            },
        )
    if run.is_complete and accelerator.is_main_process:
        network.bfloat16().save_pretrained(run.folder / "model")
        # As it will be used: the saved weights, in full precision.
        frozen = MemoryAutoencoder.from_pretrained(run.folder / "model")
        save_codebooks(run.folder / "model", make_codebooks(frozen, train, config.seed))
    run.close()
    return run.folder


def _check(config: RunConfig, processes: int) -> None:
    """Checks that need more than the configuration."""
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
        # Parameters whose shape differs (the slot projections, if slot_dims changes) start afresh.
        old = MemoryAutoencoder.from_pretrained(local_model(config.start)).state_dict()
        own = model.state_dict()
        fits = {k: v for k, v in old.items() if k in own and v.shape == own[k].shape}
        model.load_state_dict({**own, **fits})
    return model


def _noise(
    model: MemoryAutoencoder, shape: tuple[int, ...], config: RunConfig, step: int
) -> Tensor | None:
    """The noise that replaces rounding in a training step; None once rounding is real."""
    if step >= config.round_from * config.optimizer.steps:
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
    quantization: str,
) -> float:
    """Share of tokens that quantized latents alone regenerate, in full precision."""
    model.train(False)
    correct = count = 0
    for ids, mask in batches:
        output = model(*_to_device(ids, mask, model.device), quantization=quantization)
        correct += int(output.correct)
        count += int(output.count)
    model.train()
    return correct / count
