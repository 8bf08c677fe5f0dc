"""Fits the map of `agentmem.retrieval.slots`: sentences about one topic are made alike.

The questions of a topic are to be nearer to its statements, and its earlier statements to its later
ones, than to those of any other topic, to what is said of somebody else, and to notes. The map
begins as the main components of the embeddings, and is held near them: there are few topics.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agentmem.models.base import MemoryModel
from agentmem.retrieval.present import without_now
from benchmarks.kinds.changes import DATA, unrelated
from benchmarks.kinds.collection import HALVES, half_of

Floats = NDArray[np.float32]

DIMS = 128
_STEPS, _RATE = 300, 2e-3
# Divides cosines; and how strongly the map is held near where it begins.
_TEMPERATURE, _HELD = 0.07, 0.03
_NOTES = 128
# Values that each statement is made with.
_VALUES = 3
_ROLES = ("now", "old", "new", "other")


@dataclass(frozen=True, slots=True)
class Topic:
    """The embeddings of a topic's sentences, float32 (N, K) each.

    Attributes:
        name: The topic.
        now: Of questions for the present value.
        old: Of earlier statements.
        new: Of later ones.
        other: Of what is said of somebody else.
    """

    name: str
    now: Floats
    old: Floats
    new: Floats
    other: Floats


def read_topics(model: MemoryModel) -> list[Topic]:
    """The topics to fit on: all but those whose cases are held out."""
    found = []
    for name in ("changes", "other_changes"):
        read = tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))["topic"]
        found += [
            one for one in read if name == "other_changes" or half_of(one["name"]) == HALVES[0]
        ]
    return [_topic(one, model) for one in found]


def read_notes(corpus: Path, model: MemoryModel) -> Floats:
    """The embeddings of notes that are about nothing in particular, float32 (N, K)."""
    return _embedded(unrelated(corpus)[::2], model)


def fit_map(topics: Sequence[Topic], notes: Floats) -> Floats:
    """The map, float32 (D, K).

    Args:
        topics: What is made alike.
        notes: What is not.
    """
    torch.set_num_threads(1)
    all_of = [getattr(topic, role) for topic in topics for role in _ROLES]
    pool = torch.from_numpy(np.concatenate([*all_of, notes]))
    begin = torch.linalg.svd(pool - pool.mean(0), full_matrices=False)[2][:DIMS].clone()
    fitted = begin.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([fitted], lr=_RATE)
    rng = np.random.default_rng(0)
    for _ in range(_STEPS):
        loss = _loss(fitted, topics, notes, rng) + _HELD * ((fitted - begin) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made: Floats = fitted.detach().numpy()
    return made


def _loss(
    fitted: torch.Tensor, topics: Sequence[Topic], notes: Floats, rng: np.random.Generator
) -> torch.Tensor:
    """That of telling a topic's statement from everything else that is drawn."""

    def drawn(role: str) -> torch.Tensor:
        rows = [rng.choice(getattr(topic, role)) for topic in topics]
        return F.normalize(torch.from_numpy(np.stack(rows)) @ fitted.T, dim=1)

    now, old, new, other = (drawn(role) for role in _ROLES)
    beside = F.normalize(torch.from_numpy(rng.choice(notes, _NOTES)) @ fitted.T, dim=1)
    right = torch.arange(len(topics))
    losses = []
    for anchor, wanted in ((now, new), (old, new), (now, old)):
        cosines = anchor @ torch.cat([wanted, other, beside]).T
        losses.append(F.cross_entropy(cosines / _TEMPERATURE, right))
    return torch.stack(losses).mean()


def _topic(read: dict[str, Any], model: MemoryModel) -> Topic:
    rng = Random(read["name"])
    pairs = [rng.sample(read["values"], 2) for _ in range(_VALUES)]

    def statements(role: str) -> Floats:
        return _embedded(
            [text.format(v=v, old=old) for text in read[role] for v, old in pairs], model
        )

    now = _embedded([without_now(text) for text in read["now"]], model)
    return Topic(read["name"], now, statements("old"), statements("new"), statements("other"))


def _embedded(texts: Sequence[str], model: MemoryModel) -> Floats:
    encoded = (model.tokenizer.encode(text) for text in texts)
    return np.stack([model.embedder.embed_query(ids) for ids in encoded])
