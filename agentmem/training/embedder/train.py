"""Trains the embedder: contrastively on questions, and by distillation from a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agentmem.errors import ConfigError
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.blocks import Block
from agentmem.models.layers.tensors import pad
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.training.data.evidence import Evidence, EvidenceSet, read_evidence
from agentmem.training.embedder.config import EmbedderRunConfig
from agentmem.training.embedder.distillation_texts import choose_texts
from agentmem.training.embedder.teacher import find_teacher, teacher_embeddings
from agentmem.training.loop.optimizer import adamw
from agentmem.training.loop.setup import start_processes
from agentmem.training.loop.step import Report, TrainingRun, no_report

# Questions of the evaluation; each is searched among the passages of all.
_DEV_QUESTIONS = 1000
# Weights of the two distillation losses relative to the contrastive one.
_VECTORS, _COSINES = 4.0, 10.0
# Sub-batches of similar length that a batch is split into.
_GROUPS = 6
# Relative frequency at which a token is down-weighted to one half.
_FREQUENT = 1e-3


def train_embedder(
    config: EmbedderRunConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = no_report,
    stop_after: int | None = None,
) -> Path:
    """Train an embedder and save it in the run's ``model/`` folder.

    Two losses: cross-entropy over the other passages of the batch and a hard negative of the same
    context (InfoNCE, van den Oord et al., arXiv 1807.03748); and, with a teacher, distillation of
    its embeddings, through a linear map that is discarded, and of the cosines between them.
    Arguments and resuming are as in `train_autoencoder`; no curves are plotted.
    """
    accelerator = start_processes(config.threads)
    corpus, cache = Path(corpus), Path(out) / "cache"
    run = TrainingRun(
        accelerator, Path(out) / config.name, config, report=report, stop_after=stop_after
    )

    tokenizer = ByteTokenizer.from_folder(config.tokenizer)
    examples = EvidenceSet(
        read_evidence([corpus / file for file in config.questions], leave_out=config.leave_out)
    )
    dev = read_evidence([corpus / file for file in config.dev_questions])
    chosen = np.random.default_rng(config.seed).permutation(len(dev))[:_DEV_QUESTIONS]
    distilled = None
    if config.teacher is not None:
        with accelerator.main_process_first():
            distilled = _distillation_data(config, corpus, examples, cache)

    torch.manual_seed(config.seed)
    student = _Student(
        EmbedderModel(EmbedderConfig(vocab_size=tokenizer.vocab_size, **config.model)),
        None if distilled is None else distilled[1].shape[1],
    )
    if config.teacher is not None:
        with accelerator.main_process_first():
            init_from_teacher(student, tokenizer, config, cache, examples)
    run.start(student, adamw(student.parameters(), config.optimizer))

    def ids(texts: Sequence[str]) -> list[list[int]]:
        return [row[: config.max_tokens] for row in tokenizer.encode_batch(texts)]

    def evaluate() -> dict[str, float]:
        return _evaluate(lambda texts: student(ids(texts), 0)[0], [dev[at] for at in chosen])

    for step in run.steps():
        rng = np.random.default_rng([config.seed, step, accelerator.process_index])
        batch, texts = _batch(examples.draw(config.questions_per_step, rng), rng)
        targets = None
        if distilled is not None:
            drawn = rng.integers(0, len(distilled[0]), config.lessons_per_step)
            texts += [distilled[0][index] for index in drawn]
            targets = torch.from_numpy(distilled[1][drawn].astype(np.float32))
            targets = targets.to(accelerator.device)
        with torch.autocast(accelerator.device.type, torch.bfloat16):
            embeddings, predicted = run.model(ids(texts), 0 if targets is None else len(targets))
        loss = _contrastive_loss(embeddings, batch, config.temperature)
        if targets is not None:
            loss = loss + _distillation_loss(embeddings[-len(targets) :], predicted, targets)
        run.update(loss)
        run.record({"loss": loss.item(), "questions_per_s": len(batch) / run.elapsed_s}, evaluate)
    if run.is_complete and accelerator.is_main_process:
        student.embedder.bfloat16().save_pretrained(run.folder / "model")
    run.close()
    return run.folder


class _Student(nn.Module):
    """The embedder, and a linear map from its embeddings to the teacher's (E dims)."""

    def __init__(self, embedder: EmbedderModel, dims: int | None) -> None:
        super().__init__()
        self.embedder = embedder
        self.guess = (
            None if dims is None else nn.Linear(embedder.config.embedding_dims, dims, bias=False)
        )

    def forward(
        self, texts: Sequence[Sequence[int]], distilled: int
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings (B, K), and the last ``distilled`` of them mapped to the teacher's space."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        # Texts of similar length together: otherwise most of a batch is padding.
        size = -(-len(order) // _GROUPS)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        made = [self.embedder(*pad([texts[at] for at in group], self.device)) for group in groups]
        embeddings = torch.cat(made).float()[torch.tensor(order, device=self.device).argsort()]
        guess = self.guess if distilled else None
        return embeddings, None if guess is None else guess(embeddings[-distilled:]).float()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.embedder.device


@torch.no_grad()
def init_from_teacher(
    student: _Student,
    tokenizer: ByteTokenizer,
    config: EmbedderRunConfig,
    cache: Path,
    examples: EvidenceSet,
) -> None:
    """Initialize every token embedding with the teacher's embedding of the token's text.

    A mean of these in which frequent tokens count little (Arora et al., "A Simple but Tough-to-Beat
    Baseline", 2017) already approximates most of a sentence's embedding. The teacher's dims are
    reduced to their principal components.

    Raises:
        ConfigError: the embedder is wider than the teacher.
    """
    assert config.teacher is not None
    assert student.guess is not None
    # Whitespace tokens have no text of their own.
    words = [tokenizer.decode([id]).strip() or "." for id in range(tokenizer.vocab_size)]
    embedded = teacher_embeddings(words, find_teacher(config.teacher), cache)
    vectors = torch.from_numpy(embedded.astype(np.float32))
    counts = torch.ones(len(words))
    for group in examples.by_source.values():
        for row in tokenizer.encode_batch(
            [one.question for one in group[: config.questions_per_source]]
        ):
            counts[row] += 1
    rare = _FREQUENT / (_FREQUENT + counts / counts.sum())
    width = student.embedder.config.hidden_size
    if width > vectors.shape[1]:
        raise ConfigError(
            f"hidden_size={width!r} is more than the {vectors.shape[1]} dims of teacher "
            f"{config.teacher!r}: make it smaller, or train without a teacher"
        )
    _, directions = torch.linalg.eigh(vectors.T @ vectors)  # ascending
    kept = directions.flip(-1)[:, :width]  # (E, H)
    table = vectors @ kept * rare[:, None]
    scale = table.square().mean().sqrt()
    student.embedder.embedding.weight.copy_(table / scale)
    # Blocks start as identities, and pooling weights all tokens by their norm.
    student.embedder.weigh.weight.zero_()
    for block in student.embedder.blocks:
        assert isinstance(block, Block)
        block.down.weight.zero_()
        block.attention.out.weight.zero_()
    if student.embedder.config.embedding_dims == width:
        torch.nn.init.eye_(student.embedder.out.weight)
        student.guess.weight.copy_(kept)


def _distillation_data(
    config: EmbedderRunConfig, corpus: Path, examples: EvidenceSet, cache: Path
) -> tuple[list[str], NDArray[np.float16]]:
    """Texts, and the teacher's embeddings of them."""
    assert config.teacher is not None
    texts = choose_texts(
        [corpus / file for file in config.conversations],
        config.turns,
        examples.by_source,
        config.questions_per_source,
        config.seed,
    )
    return texts, teacher_embeddings(texts, find_teacher(config.teacher), cache)


def _batch(
    drawn: Sequence[Evidence], rng: np.random.Generator
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Triples of question, positive and negative; and all of them as one list of texts."""
    batch = []
    for one in drawn:
        positive = one.passages[one.positives[rng.integers(len(one.positives))]]
        # A context of one passage has no negative: a passage of any other will do.
        other = one if one.negatives else drawn[int(rng.integers(len(drawn)))]
        indices = other.negatives or range(len(other.passages))
        negative = other.passages[indices[rng.integers(len(indices))]]
        batch.append((one.question, positive, negative))
    return batch, [row[side] for side in range(3) for row in batch]


def _contrastive_loss(
    embeddings: Tensor, batch: Sequence[tuple[str, str, str]], temperature: float
) -> Tensor:
    """Each question against all passages, and each positive against all questions."""
    size = len(batch)
    questions, passages = embeddings[:size], embeddings[size : 3 * size]
    scores = questions @ passages.T / temperature  # (B, 2 B)
    positives, negatives = (np.array([row[side] for row in batch]) for side in (1, 2))
    # A passage that two questions share must not be its own negative.
    same = torch.from_numpy(positives[:, None] == np.concatenate([positives, negatives]))
    same = same.to(embeddings.device)
    target = torch.arange(size, device=embeddings.device)
    same[target, target] = False
    scores = scores.masked_fill(same, torch.finfo(scores.dtype).min)
    back = scores[:, :size].T
    return (F.cross_entropy(scores, target) + F.cross_entropy(back, target)) / 2


def _distillation_loss(embeddings: Tensor, predicted: Tensor, targets: Tensor) -> Tensor:
    """Distance of predictions (B, E), and of cosines of embeddings (B, K), from the teacher's."""
    vectors = 1 - F.cosine_similarity(predicted, targets).mean()
    cosines = (embeddings @ embeddings.T - targets @ targets.T).square().mean()
    return _VECTORS * vectors + _COSINES * cosines


@torch.no_grad()
def _evaluate(
    embed: Callable[[Sequence[str]], Tensor], dev: Sequence[Evidence]
) -> dict[str, float]:
    """Share of dev questions whose passage is ranked first, or among the first ten, of all."""
    left, right = (
        torch.cat([embed(side[start : start + 100]) for start in range(0, len(side), 100)])
        for side in ([one.question for one in dev], [one.passages[one.positives[0]] for one in dev])
    )
    scores = left @ right.T
    rank = (scores > scores.diagonal()[:, None]).sum(1)
    return {
        "top1": float((rank < 1).float().mean()),
        "top10": float((rank < 10).float().mean()),
    }
