"""Training the latent reranker: the piece that answers, among those that stand beside it.

It trains on token ids. At work it reads the same ids out of the codes of stored latents.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.token_table import token_table
from agentmem.models.layers.padding import pad
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.training.data.evidence import Evidence, EvidenceSet, read_evidence
from agentmem.training.loop.checkpoint import save_checkpoint
from agentmem.training.loop.optimiser import adamw, set_rate
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import claim, finish, resume, start_processes
from agentmem.training.reranker.config import RerankerConfig

Report = Callable[[int, dict[str, Any]], None]

# Questions of the evaluation, each on its own context.
_DEV_QUESTIONS = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """A question, passages, and candidates of which the first is right.

    Attributes:
        question: Its text.
        passages: Texts.
        views: For each candidate: its place, and those of what stands before and after it; -1 if
            nothing does.
    """

    question: str
    passages: tuple[str, ...]
    views: tuple[tuple[int, int, int], ...]


def train_reranker(
    config: RerankerConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the reranker in the run's ``model/`` folder.

    The loss is the cross-entropy of the right candidate among all. The autoencoder learns nothing:
    it says which token a code stands for. Arguments, and how an interrupted run goes on, are those
    of `train_autoencoder`; there is no picture.
    """
    accelerator = start_processes(config.threads)
    folder, corpus = Path(out) / config.name, Path(corpus)
    claim(accelerator, folder, config)

    tokenizer = ByteTokenizer.from_folder(config.tokenizer)
    frozen = MemoryAutoencoder.from_pretrained(local_model(config.autoencoder), dtype=torch.float32)
    table = token_table(frozen)
    asked = EvidenceSet(
        read_evidence([corpus / file for file in config.questions], leave_out=config.leave_out)
    )
    dev = read_evidence([corpus / file for file in config.dev_questions])
    rng = np.random.default_rng(config.seed)
    chosen = [dev[place] for place in rng.permutation(len(dev))[:_DEV_QUESTIONS]]
    shown = [choice(one, chosen, config.candidates, rng) for one in chosen]

    torch.manual_seed(config.seed)
    shape = {"vocab_size": tokenizer.vocab_size, "cells": len(table)}
    bare = LatentReranker(LatentRerankerConfig(**shape, **config.model))
    cast("Tensor", bare.tokens).copy_(table)
    model, optimiser = accelerator.prepare(bare, adamw(bare.parameters(), config.optimiser))
    begun = resume(accelerator, folder, bare, optimiser)

    def scores(network: torch.nn.Module, choices: Sequence[Choice]) -> Tensor:
        batch = _tensors(choices, tokenizer, config.max_tokens)
        made: Tensor = network(*(part.to(accelerator.device) for part in batch))
        return made.masked_fill(batch[-1][..., 0].to(made.device) < 0, torch.finfo(made.dtype).min)

    last = config.optimiser.steps
    for step in range(begun, last):
        began = time.perf_counter()
        rng = np.random.default_rng([config.seed, step, accelerator.process_index])
        set_rate(optimiser, config.optimiser, step)
        drawn = asked.draw(config.questions_per_step, rng)
        found = scores(model, [choice(one, drawn, config.candidates, rng) for one in drawn])
        loss = F.cross_entropy(found, torch.zeros_like(found[:, 0], dtype=torch.long))
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss.item(),
            "accuracy": float((found.argmax(-1) == 0).float().mean()),
            "questions_per_s": len(drawn) / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = _evaluate(lambda choices: scores(bare, choices), shown)
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
    del model
    finish(accelerator)
    return folder


def choice(
    one: Evidence, others: Sequence[Evidence], count: int, rng: np.random.Generator
) -> Choice:
    """A right piece of a question among wrong ones of its context, and of others if need be.

    Args:
        one: The question.
        others: Where strange pieces come from; it may be among them.
        count: Pieces of the context at most, and candidates if there are strangers enough.
        rng: Says which.
    """
    right = one.right[rng.integers(len(one.right))]
    # A stretch of the context that has the right piece somewhere.
    first = int(np.clip(right - rng.integers(count), 0, max(0, len(one.pieces) - count)))
    kept = range(first, min(first + count, len(one.pieces)))
    passages = list(one.pieces[kept.start : kept.stop])
    candidates = [right, *(place for place in one.wrong if place in kept)]
    views = [_view(place - first, 0, len(passages)) for place in candidates]
    strangers = [other for other in others if other.pieces != one.pieces]
    while strangers and len(views) < count:
        other = strangers[rng.integers(len(strangers))]
        place = int(rng.integers(len(other.pieces)))
        beside = other.pieces[max(0, place - 1) : place + 2]
        start = len(passages)
        passages += beside
        views.append(_view(start + min(place, 1), start, len(passages)))
    return Choice(one.question, tuple(passages), tuple(views))


def _view(place: int, start: int, stop: int) -> tuple[int, int, int]:
    """A place and its neighbours, as far as they lie between two others."""
    before, after = place - 1, place + 1
    return place, before if before >= start else -1, after if after < stop else -1


def _tensors(
    choices: Sequence[Choice], tokenizer: ByteTokenizer, most: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `LatentReranker.forward` takes; candidates that a question lacks are -1."""

    def ids(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        return pad([row[:most] for row in tokenizer.encode_batch(texts)])

    query, query_mask = ids([one.question for one in choices])
    count = max(len(one.passages) for one in choices)
    passages, mask = ids(
        [text for one in choices for text in (*one.passages, *[""] * (count - len(one.passages)))]
    )
    size = max(len(one.views) for one in choices)
    views = torch.full((len(choices), size, 3), -1)
    for row, one in zip(views, choices, strict=True):
        row[: len(one.views)] = torch.tensor(one.views)
    shape = (len(choices), count, -1)
    return query, query_mask, passages.view(shape), mask.view(shape), views


@torch.no_grad()
def _evaluate(
    scores: Callable[[Sequence[Choice]], Tensor], shown: Sequence[Choice]
) -> dict[str, float]:
    """Share of dev questions whose right piece is the first of the candidates, or of the three."""
    ranks = []
    for start in range(0, len(shown), 50):
        found = scores(shown[start : start + 50])
        ranks.append((found > found[:, :1]).sum(1))
    rank = torch.cat(ranks)
    return {
        "top1": float((rank < 1).float().mean()),
        "top3": float((rank < 3).float().mean()),
    }
