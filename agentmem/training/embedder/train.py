"""Training the key encoder: questions must find their pieces, and a known encoder teaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agentmem.errors import ConfigError
from agentmem.models.embedder.configuration import EmbedderConfig
from agentmem.models.embedder.modeling import EmbedderModel
from agentmem.models.layers.blocks import Block
from agentmem.models.layers.padding import pad
from agentmem.models.tokenizer import ByteTokenizer
from agentmem.training.data.evidence import Evidence, EvidenceSet, read_evidence
from agentmem.training.embedder.config import KeysConfig
from agentmem.training.embedder.lessons import choose_texts
from agentmem.training.embedder.teacher import find_teacher, teach
from agentmem.training.loop.checkpoint import save_checkpoint
from agentmem.training.loop.optimiser import adamw, set_rate
from agentmem.training.loop.setup import claim, finish, resume, start_processes

Report = Callable[[int, dict[str, Any]], None]

# Questions of the evaluation: each must find its piece among those of all.
_DEV_QUESTIONS = 1000
# How much the teacher's vectors, and the angles between them, count beside the questions. Means of
# squares are small numbers.
_VECTORS, _ANGLES = 4.0, 10.0
# Parts of a batch, by length.
_GROUPS = 6
# Share of all tokens at which a token counts half.
_FREQUENT = 1e-3


def train_keys(
    config: KeysConfig,
    *,
    corpus: str | Path,
    out: str | Path = "runs",
    report: Report = lambda step, figures: None,
    stop_after: int | None = None,
) -> Path:
    """Train as the configuration says and leave the key encoder in the run's ``model/`` folder.

    Two losses: cross-entropy over the other pieces of the batch and a wrong one of the same
    context (InfoNCE, van den Oord et al., arXiv 1807.03748); and, if there is a teacher, its
    vectors, by a linear map that is thrown away, and the cosines between them. Arguments, and how
    an interrupted run goes on, are those of `train_autoencoder`; there is no picture.
    """
    accelerator = start_processes(config.threads)
    folder, corpus = Path(out) / config.name, Path(corpus)
    claim(accelerator, folder, config)

    tokenizer = ByteTokenizer.from_folder(config.tokenizer)
    asked = EvidenceSet(
        read_evidence([corpus / file for file in config.questions], leave_out=config.leave_out)
    )
    dev = read_evidence([corpus / file for file in config.dev_questions])
    chosen = np.random.default_rng(config.seed).permutation(len(dev))[:_DEV_QUESTIONS]
    lessons = None
    if config.teacher is not None:
        with accelerator.main_process_first():
            lessons = _lessons(config, corpus, asked, Path(out) / "cache")

    torch.manual_seed(config.seed)
    bare = _Pupil(
        EmbedderModel(EmbedderConfig(vocab_size=tokenizer.vocab_size, **config.model)),
        None if lessons is None else lessons[1].shape[1],
    )
    if config.teacher is not None:
        with accelerator.main_process_first():
            start_from_words(bare, tokenizer, config, Path(out) / "cache", asked)
    model, optimiser = accelerator.prepare(bare, adamw(bare.parameters(), config.optimiser))
    begun = resume(accelerator, folder, bare, optimiser)

    def ids(texts: Sequence[str]) -> list[list[int]]:
        return [row[: config.max_tokens] for row in tokenizer.encode_batch(texts)]

    last = config.optimiser.steps
    for step in range(begun, last):
        began = time.perf_counter()
        rng = np.random.default_rng([config.seed, step, accelerator.process_index])
        set_rate(optimiser, config.optimiser, step)
        batch, texts = _batch(asked.draw(config.questions_per_step, rng), rng)
        taught = None
        if lessons is not None:
            drawn = rng.integers(0, len(lessons[0]), config.lessons_per_step)
            texts += [lessons[0][place] for place in drawn]
            taught = torch.from_numpy(lessons[1][drawn].astype(np.float32)).to(accelerator.device)
        with torch.autocast(accelerator.device.type, torch.bfloat16):
            keys, guessed = model(ids(texts), 0 if taught is None else len(taught))
        loss = _asked_loss(keys, batch, config.temperature)
        if taught is not None:
            loss = loss + _taught_loss(keys[-len(taught) :], guessed, taught)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()

        done = step + 1
        figures: dict[str, Any] = {
            "step": done,
            "loss": loss.item(),
            "questions_per_s": len(batch) / (time.perf_counter() - began),
        }
        stopping = stop_after is not None and done >= stop_after
        if accelerator.is_main_process:
            if done % config.eval_every == 0 or done == last:
                figures["dev"] = _evaluate(
                    lambda texts: bare(ids(texts), 0)[0], [dev[place] for place in chosen]
                )
                with (folder / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
            if done % config.save_every == 0 or done == last or stopping:
                save_checkpoint(folder / "checkpoint", bare, optimiser, {"step": done})
            report(done, figures)
        if stopping:
            break
    else:
        if accelerator.is_main_process:
            bare.keys.bfloat16().save_pretrained(folder / "model")
    del model
    finish(accelerator)
    return folder


class _Pupil(nn.Module):
    """The key encoder, and the map from its keys to the teacher's vectors (E dims)."""

    def __init__(self, keys: EmbedderModel, dims: int | None) -> None:
        super().__init__()
        self.keys = keys
        self.guess = None if dims is None else nn.Linear(keys.config.key_dims, dims, bias=False)

    def forward(self, texts: Sequence[Sequence[int]], taught: int) -> tuple[Tensor, Tensor | None]:
        """Keys (B, K) of all texts, and what is guessed of the last ``taught``, (.., E)."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        # Texts of one length together: else most of a batch is padding.
        size = -(-len(order) // _GROUPS)
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        made = [self.keys(*pad([texts[at] for at in group], self.device)) for group in groups]
        keys = torch.cat(made).float()[torch.tensor(order, device=self.device).argsort()]
        guess = self.guess if taught else None
        return keys, None if guess is None else guess(keys[-taught:]).float()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.keys.device


@torch.no_grad()
def start_from_words(
    pupil: _Pupil, tokenizer: ByteTokenizer, config: KeysConfig, cache: Path, asked: EvidenceSet
) -> None:
    """Let every token start as what the teacher makes of its text alone.

    A mean of such vectors, in which frequent tokens count little (Arora et al., "A Simple but
    Tough-to-Beat Baseline", 2017), is most of a sentence's vector already. Of the teacher's dims
    the directions stay in which they say most.

    Raises:
        ConfigError: the keys are wider than the teacher.
    """
    assert config.teacher is not None
    assert pupil.guess is not None
    # A token of punctuation or of half a letter has no text of its own.
    words = [tokenizer.decode([id]).strip() or "." for id in range(tokenizer.vocab_size)]
    vectors = torch.from_numpy(teach(words, find_teacher(config.teacher), cache).astype(np.float32))
    counts = torch.ones(len(words))
    for group in asked.by_source.values():
        for row in tokenizer.encode_batch(
            [one.question for one in group[: config.questions_per_source]]
        ):
            counts[row] += 1
    rare = _FREQUENT / (_FREQUENT + counts / counts.sum())
    width = pupil.keys.config.hidden_size
    if width > vectors.shape[1]:
        raise ConfigError(
            f"hidden_size={width!r} is more than the {vectors.shape[1]} dims of teacher "
            f"{config.teacher!r}: make it smaller, or train without a teacher"
        )
    _, directions = torch.linalg.eigh(vectors.T @ vectors)  # ascending
    kept = directions.flip(-1)[:, :width]  # (E, H)
    table = vectors @ kept * rare[:, None]
    scale = table.square().mean().sqrt()
    pupil.keys.embedding.weight.copy_(table / scale)
    # Blocks begin by changing nothing, and all tokens by counting as much as they are long.
    pupil.keys.weigh.weight.zero_()
    for block in pupil.keys.blocks:
        assert isinstance(block, Block)
        block.down.weight.zero_()
        block.attention.out.weight.zero_()
    if pupil.keys.config.key_dims == width:
        torch.nn.init.eye_(pupil.keys.out.weight)
        pupil.guess.weight.copy_(kept)


def _lessons(
    config: KeysConfig, corpus: Path, asked: EvidenceSet, cache: Path
) -> tuple[list[str], NDArray[np.float16]]:
    assert config.teacher is not None
    texts = choose_texts(
        [corpus / file for file in config.conversations],
        config.turns,
        asked.by_source,
        config.questions_per_source,
        config.seed,
    )
    return texts, teach(texts, find_teacher(config.teacher), cache)


def _batch(
    drawn: Sequence[Evidence], rng: np.random.Generator
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Questions, a right piece and a wrong one of each; and all of them as one list of texts."""
    batch = []
    for one in drawn:
        right = one.pieces[one.right[rng.integers(len(one.right))]]
        # A context of one piece has no wrong one: any other will do.
        other = one if one.wrong else drawn[int(rng.integers(len(drawn)))]
        places = other.wrong or range(len(other.pieces))
        batch.append((one.question, right, other.pieces[places[rng.integers(len(places))]]))
    return batch, [row[side] for side in range(3) for row in batch]


def _asked_loss(keys: Tensor, batch: Sequence[tuple[str, str, str]], temperature: float) -> Tensor:
    """Each question against all pieces, and each right piece against all questions."""
    size = len(batch)
    asked, pieces = keys[:size], keys[size : 3 * size]
    scores = asked @ pieces.T / temperature  # (B, 2 B)
    right, wrong = (np.array([row[side] for row in batch]) for side in (1, 2))
    # A piece that two questions share must not be its own negative.
    same = torch.from_numpy(right[:, None] == np.concatenate([right, wrong])).to(keys.device)
    target = torch.arange(size, device=keys.device)
    same[target, target] = False
    scores = scores.masked_fill(same, torch.finfo(scores.dtype).min)
    back = scores[:, :size].T
    return (F.cross_entropy(scores, target) + F.cross_entropy(back, target)) / 2


def _taught_loss(keys: Tensor, guessed: Tensor, taught: Tensor) -> Tensor:
    """How far guessed vectors (B, E), and cosines of keys (B, K), are from the teacher's."""
    vectors = 1 - F.cosine_similarity(guessed, taught).mean()
    angles = (keys @ keys.T - taught @ taught.T).square().mean()
    return _VECTORS * vectors + _ANGLES * angles


@torch.no_grad()
def _evaluate(keys: Callable[[Sequence[str]], Tensor], dev: Sequence[Evidence]) -> dict[str, float]:
    """Share of dev questions whose piece is the first, or among the first ten, of all."""
    left, right = (
        torch.cat([keys(side[start : start + 100]) for start in range(0, len(side), 100)])
        for side in ([one.question for one in dev], [one.pieces[one.right[0]] for one in dev])
    )
    scores = left @ right.T
    rank = (scores > scores.diagonal()[:, None]).sum(1)
    return {
        "top1": float((rank < 1).float().mean()),
        "top10": float((rank < 10).float().mean()),
    }
