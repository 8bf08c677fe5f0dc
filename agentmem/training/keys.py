"""Training the key encoder on the frozen autoencoder's states: one contrastive loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.keys.configuration import KeyEncoderConfig
from agentmem.models.keys.modeling import KeyEncoder
from agentmem.models.tokenizer import PAD, ByteTokenizer
from agentmem.training.checkpoint import load_checkpoint, save_checkpoint
from agentmem.training.config import KeysConfig
from agentmem.training.pairs import Ids, Pair, question_pairs, turn_pairs
from agentmem.training.runs import claim_run, local_model, rewind, schedule

Report = Callable[[int, dict[str, Any]], None]

# Pairs of the evaluation: each question must find its passage among all of them.
_DEV_PAIRS = 1000


def train_keys(
    config: KeysConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the key encoder in the run's ``model/`` folder.

    The loss is symmetric cross-entropy over in-batch negatives (InfoNCE, van den Oord et al.,
    arXiv 1807.03748). The autoencoder gets no gradient. Arguments, and how an interrupted run
    goes on, are those of `train_autoencoder`; there is no picture.
    """
    torch.set_num_threads(config.threads)
    accelerator = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())
    folder, corpus = Path(out) / config.name, Path(corpus)
    if accelerator.is_main_process:
        claim_run(folder, config)
    accelerator.wait_for_everyone()

    tokenizer = ByteTokenizer.from_folder(config.tokenizer)
    size = config.max_tokens
    asked = question_pairs([corpus / f for f in config.questions], tokenizer, max_tokens=size)
    said = turn_pairs([corpus / f for f in config.conversations], tokenizer, max_tokens=size)
    dev = question_pairs([corpus / f for f in config.dev_questions], tokenizer, max_tokens=size)
    chosen = np.random.default_rng(config.seed).permutation(len(dev))[:_DEV_PAIRS]
    dev = [dev[index] for index in chosen]

    frozen = MemoryAutoencoder.from_pretrained(local_model(config.autoencoder), dtype=torch.float32)
    frozen.requires_grad_(False).to(accelerator.device)
    torch.manual_seed(config.seed)
    shape = {"vocab_size": tokenizer.vocab_size, "state_size": frozen.config.hidden_size}
    bare = KeyEncoder(KeyEncoderConfig(**shape, **config.model))
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        bare.parameters(),
        lr=config.optimiser.lr,
        betas=config.optimiser.betas,
        weight_decay=config.optimiser.weight_decay,
    )
    model, optimiser = accelerator.prepare(bare, optimiser)
    with accelerator.main_process_first():
        state = load_checkpoint(folder / "checkpoint", bare, optimiser) or {"step": 0}
    if accelerator.is_main_process:
        rewind(folder / "metrics.jsonl", state["step"])

    def keys(network: torch.nn.Module, rows: Sequence[Ids]) -> Tensor:
        ids, mask = _pad(rows, accelerator.device)
        # The frozen part needs no gradient and little precision.
        with torch.no_grad(), torch.autocast(ids.device.type, torch.bfloat16):
            states = frozen.encode_states(ids, mask)
        key: Tensor = network(ids, states.float(), mask)
        return key

    last = config.optimiser.steps
    for step in range(state["step"], last):
        began = time.perf_counter()
        rng = np.random.default_rng([config.seed, step, accelerator.process_index])
        pairs = said if rng.random() < config.neighbour_share else asked
        batch = _draw(pairs, config.pairs_per_step, rng)
        for group in optimiser.param_groups:
            group["lr"] = config.optimiser.lr * schedule(step / last, config.optimiser)
        left = keys(model, [pair[0] for pair in batch])
        right = keys(model, [pair[1] for pair in batch])
        scores = left @ right.T / config.temperature  # (B, B)
        target = torch.arange(len(batch), device=scores.device)
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss.item(),
            "pairs_per_s": len(batch) / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = _evaluate(lambda rows: keys(bare, rows), dev)
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
            if done % config.save_every == 0 or done == last or stopping:
                save_checkpoint(folder / "checkpoint", bare, optimiser, {"step": done})
            report(done, figures)
        if stopping:
            break
    else:
        if accelerator.is_main_process:
            bare.bfloat16().save_pretrained(folder / "model")
    accelerator.wait_for_everyone()
    # A process that ends with its group's threads still running is aborted now and then.
    accelerator.end_training()
    return folder


def _draw(pairs: Sequence[Pair], count: int, rng: np.random.Generator) -> list[Pair]:
    """Random pairs with distinct right sides: a passage must not be its own negative."""
    seen: dict[bytes, Pair] = {}
    for index in rng.integers(0, len(pairs), 2 * count):
        seen.setdefault(pairs[index][1].tobytes(), pairs[index])
        if len(seen) == count:
            break
    return list(seen.values())


def _pad(rows: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), PAD, dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=np.bool_)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = True
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@torch.no_grad()
def _evaluate(keys: Callable[[Sequence[Ids]], Tensor], dev: Sequence[Pair]) -> dict[str, float]:
    """Share of dev questions whose passage is the first, or among the first ten, of all."""
    left, right = (
        torch.cat(
            [keys([pair[side] for pair in dev[i : i + 100]]) for i in range(0, len(dev), 100)]
        )
        for side in (0, 1)
    )
    scores = left @ right.T
    rank = (scores > scores.diagonal()[:, None]).sum(1)
    return {
        "top1": float((rank < 1).float().mean()),
        "top10": float((rank < 10).float().mean()),
    }
