"""Trains the latent reranker: to rank the passage that answers above the others of its context.

It trains on token ids; at inference it looks the same ids up from the codes of stored latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.token_table import token_table
from agentmem.models.layers.tensors import pad
from agentmem.models.reranker.configuration import LatentRerankerConfig
from agentmem.models.reranker.modeling import LatentReranker
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.training.data.evidence import Evidence, EvidenceSet, read_evidence
from agentmem.training.loop.optimizer import adamw
from agentmem.training.loop.runs import local_model
from agentmem.training.loop.setup import start_processes
from agentmem.training.loop.step import Report, TrainingRun, no_report
from agentmem.training.reranker.config import RerankerConfig

# Questions of the evaluation, each with its own context.
_DEV_QUESTIONS = 500


@dataclass(frozen=True, slots=True)
class RankingTask:
    """A question, passages, and candidates, the first of which is the positive.

    Attributes:
        question: Its text.
        passages: Texts.
        views: For each candidate its index among the passages, and those of the passages before
            and after it; -1 where there is none.
    """

    question: str
    passages: tuple[str, ...]
    views: tuple[tuple[int, int, int], ...]


def train_reranker(
    config: RerankerConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = no_report,
    stop_after: int | None = None,
) -> Path:
    """Train a reranker and save it in the run's ``model/`` folder.

    The loss is the cross-entropy of the positive among all candidates. The autoencoder is frozen:
    it only provides the token table. Arguments and resuming are as in `train_autoencoder`; no
    curves are plotted.
    """
    accelerator = start_processes(config.threads)
    corpus = Path(corpus)
    run = TrainingRun(
        accelerator, Path(out) / config.name, config, report=report, stop_after=stop_after
    )

    tokenizer = ByteTokenizer.from_folder(config.tokenizer)
    frozen = MemoryAutoencoder.from_pretrained(local_model(config.autoencoder))
    table = token_table(frozen)
    examples = EvidenceSet(
        read_evidence([corpus / file for file in config.questions], leave_out=config.leave_out)
    )
    dev = read_evidence([corpus / file for file in config.dev_questions])
    rng = np.random.default_rng(config.seed)
    chosen = [dev[index] for index in rng.permutation(len(dev))[:_DEV_QUESTIONS]]
    dev_tasks = [ranking_task(one, chosen, config.candidates, rng) for one in chosen]

    torch.manual_seed(config.seed)
    shape = {"vocab_size": tokenizer.vocab_size, "codes": len(table)}
    network = LatentReranker(LatentRerankerConfig(**shape, **config.model))
    cast("Tensor", network.tokens).copy_(table)
    run.start(network, adamw(network.parameters(), config.optimizer))

    def scores(model: torch.nn.Module, tasks: Sequence[RankingTask]) -> Tensor:
        batch = _tensors(tasks, tokenizer, config.max_tokens)
        made: Tensor = model(*(part.to(accelerator.device) for part in batch))
        return made.masked_fill(batch[-1][..., 0].to(made.device) < 0, torch.finfo(made.dtype).min)

    def evaluate() -> dict[str, float]:
        return _evaluate(lambda tasks: scores(network, tasks), dev_tasks)

    for step in run.steps():
        rng = np.random.default_rng([config.seed, step, accelerator.process_index])
        drawn = examples.draw(config.questions_per_step, rng)
        tasks = [ranking_task(one, drawn, config.candidates, rng) for one in drawn]
        logits = scores(run.model, tasks)
        loss = F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long))
        run.update(loss)
        metrics = {
            "loss": loss.item(),
            "accuracy": float((logits.argmax(-1) == 0).float().mean()),
            "questions_per_s": len(drawn) / run.elapsed_s,
        }
        run.record(metrics, evaluate)
    if run.is_complete and accelerator.is_main_process:
        network.bfloat16().save_pretrained(run.folder / "model")
    run.close()
    return run.folder


def ranking_task(
    one: Evidence, others: Sequence[Evidence], count: int, rng: np.random.Generator
) -> RankingTask:
    """A positive of a question among negatives of its context, filled up from other contexts.

    Args:
        one: The question.
        others: Examples that further negatives come from; may include ``one``.
        count: Number of passages of the context, at most, and of candidates, if the others suffice.
        rng: Makes the random choices.
    """
    positive = one.positives[rng.integers(len(one.positives))]
    # A window of the context that contains the positive at a random offset.
    first = int(np.clip(positive - rng.integers(count), 0, max(0, len(one.passages) - count)))
    window = range(first, min(first + count, len(one.passages)))
    passages = list(one.passages[window.start : window.stop])
    candidates = [positive, *(index for index in one.negatives if index in window)]
    views = [_view(index - first, 0, len(passages)) for index in candidates]
    foreign = [other for other in others if other.passages != one.passages]
    while foreign and len(views) < count:
        other = foreign[rng.integers(len(foreign))]
        index = int(rng.integers(len(other.passages)))
        start = len(passages)
        passages += other.passages[max(0, index - 1) : index + 2]
        views.append(_view(start + min(index, 1), start, len(passages)))
    return RankingTask(one.question, tuple(passages), tuple(views))


def _view(index: int, start: int, stop: int) -> tuple[int, int, int]:
    """An index and its neighbors, -1 where they lie outside a range."""
    before, after = index - 1, index + 1
    return index, before if before >= start else -1, after if after < stop else -1


def _tensors(
    tasks: Sequence[RankingTask], tokenizer: ByteTokenizer, max_tokens: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Arguments of `LatentReranker.forward`; missing candidates are -1."""

    def ids(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        return pad([row[:max_tokens] for row in tokenizer.encode_batch(texts)])

    query, query_mask = ids([one.question for one in tasks])
    count = max(len(one.passages) for one in tasks)
    passages, mask = ids(
        [text for one in tasks for text in (*one.passages, *[""] * (count - len(one.passages)))]
    )
    size = max(len(one.views) for one in tasks)
    views = torch.full((len(tasks), size, 3), -1)
    for row, one in zip(views, tasks, strict=True):
        row[: len(one.views)] = torch.tensor(one.views)
    shape = (len(tasks), count, -1)
    return query, query_mask, passages.view(shape), mask.view(shape), views


@torch.no_grad()
def _evaluate(
    scores: Callable[[Sequence[RankingTask]], Tensor], tasks: Sequence[RankingTask]
) -> dict[str, float]:
    """Share of dev questions whose positive is ranked first, or among the first three."""
    ranks = []
    for start in range(0, len(tasks), 50):
        made = scores(tasks[start : start + 50])
        ranks.append((made > made[:, :1]).sum(1))
    rank = torch.cat(ranks)
    return {
        "top1": float((rank < 1).float().mean()),
        "top3": float((rank < 3).float().mean()),
    }
