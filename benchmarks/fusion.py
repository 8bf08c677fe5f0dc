"""Fits the fusion weights on dialogues that no network was trained on.

The dialogues are those of `benchmarks.dialogues`: on a source that embedder and reranker have seen,
they would get too much weight. `Memory.recall` explains each hit by its features; the weights
minimize the cross-entropy of the evidence in a softmax over the candidates. Results are from
five-fold cross-validation over groups. No evaluation set is used.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track

from agentmem import Memory
from agentmem.evaluation.metrics import recall_at_k
from agentmem.evaluation.result import build_result, write_result
from agentmem.retrieval.fusion import NEIGHBOR_DECAY, Weights
from benchmarks.command import run
from benchmarks.dialogues import DIALOGUES, LEFT_OUT, Group, dialogue_groups

# The features that are fitted; the temporal prior is not: these questions name no time.
FEATURES = ("lexical", "vector", "neighbor", "length", "rerank")
AT = (1, 5, 10, 50)
HITS, FOLDS = 1_000, 5
STEPS = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the features (N, 4) of its N candidates, and which are its evidence (N,).

    The features are lexical, vector, length and rerank; candidates are in conversation order.

    Attributes:
        group: Number of its group of dialogues.
        positions: Position of each candidate in the conversation, (N,).
        features: Features of each candidate, (N, 4).
        relevant: Which candidates are evidence, (N,).
        missed: Number of evidence turns that are not among the candidates.
    """

    group: int
    positions: NDArray[np.int64]
    features: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    missed: int


def main(
    data: Annotated[list[Path], typer.Option(help="the corpus's question files")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
) -> None:
    """Measure, and write the result file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    cases = list(_cases(list(dialogue_groups(data))))
    shipped = Weights()
    without = {"nothing": FEATURES} | {
        left: tuple(name for name in FEATURES if name != left) for left in FEATURES[1:]
    }
    results: dict[str, Any] = {
        "questions": len(cases),
        "fitted": {name: round(w, 4) for name, w in _fit(cases, FEATURES).items()},
        "weights": asdict(shipped),
        "shipped": _recall(cases, [asdict(shipped)] * len(cases)),
        "held_out_without": {
            left: _held_out(cases, names) for left, names in track(without.items(), "fitting")
        },
    }
    result = build_result(
        "fusion",
        config={"data": [file.name for file in data], "source": LEFT_OUT, "dialogues": DIALOGUES},
        seed=0,
        seconds=time.perf_counter() - began,
        results=results,
        threads=threads,
    )
    write_result(json, result)
    typer.echo(str(results["fitted"]))
    for name, recalls in [("shipped", results["shipped"]), *results["held_out_without"].items()]:
        shown = {at: round(value, 4) for at, value in recalls.items()}
        typer.echo(f"{name} {shown}")


def _cases(groups: Sequence[Group]) -> Iterator[Case]:
    """Recall for every question, and collect the features from ``explain``."""
    with tempfile.TemporaryDirectory() as folder, Memory(folder) as memory:
        for number, (messages, questions) in enumerate(track(groups, "asking")):
            user = str(number)
            sources = memory.add(messages, user_id=user).sources
            order = {chunk.id: at for at, chunk in enumerate(memory.list(user_id=user))}
            for question, evidence in questions:
                hits = list(memory.recall(question, k=HITS, user_id=user, rerank="latent"))
                hits.sort(key=lambda hit: order[hit.id])
                wanted = {sources[turn] for turn in evidence}
                features = [
                    [hit.explain[name] for name in ("lexical", "vector", "length", "rerank")]
                    for hit in hits
                ]
                yield Case(
                    number,
                    np.array([order[hit.id] for hit in hits]),
                    np.array(features, dtype=np.float32),
                    np.array([hit.source.id in wanted for hit in hits]),
                    len(wanted - {hit.source.id for hit in hits}),
                )


def _inputs(case: Case) -> torch.Tensor:
    """Lexical and vector, the same of the neighbors, length and rerank: (N, 6)."""
    own = np.zeros((case.positions[-1] + 1 + 2 * len(NEIGHBOR_DECAY), 2), dtype=np.float32)
    at = case.positions + len(NEIGHBOR_DECAY)
    own[at] = case.features[:, :2]
    around = sum(
        share * (own[at - far] + own[at + far]) for far, share in enumerate(NEIGHBOR_DECAY, start=1)
    )
    return torch.from_numpy(np.concatenate([case.features[:, :2], around, case.features[:, 2:]], 1))


def _scores(inputs: torch.Tensor, weights: dict[str, Any]) -> torch.Tensor:
    """The score of `agentmem.retrieval.fusion` and `agentmem.retrieval.rerank`, not normalized."""
    lexical, vector, lexical_around, vector_around, length, rerank = inputs.unbind(-1)
    around = weights["lexical"] * lexical_around + weights["vector"] * vector_around
    score: torch.Tensor = (
        weights["lexical"] * lexical
        + weights["vector"] * vector
        + weights["neighbor"] * around
        + weights["length"] * length
        + weights["rerank"] * rerank
    )
    return score


def _fit(cases: Sequence[Case], names: Sequence[str]) -> dict[str, float]:
    """Nonnegative weights of the named features; lexical and vector sum to 1, others are 0."""
    usable = [case for case in cases if case.relevant.any()]
    most = max(len(case.relevant) for case in usable)
    inputs, target = torch.zeros(len(usable), most, 6), torch.zeros(len(usable), most)
    hidden = torch.ones(len(usable), most, dtype=torch.bool)
    for row, case in enumerate(usable):
        count = len(case.relevant)
        inputs[row, :count], hidden[row, :count] = _inputs(case), False
        target[row, :count] = torch.from_numpy(case.relevant / case.relevant.sum())
    # As logarithms, so that they stay positive. The softmax needs them about ten times as large.
    raw = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.LBFGS([raw], max_iter=STEPS, line_search_fn="strong_wolfe")

    def weigh() -> dict[str, torch.Tensor]:
        return dict.fromkeys(FEATURES, torch.tensor(0.0)) | dict(
            zip(names, raw.exp().unbind(), strict=True)
        )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        sharp = {name: w * (1 if name == "neighbor" else 10) for name, w in weigh().items()}
        log_probabilities = _scores(inputs, sharp).masked_fill(hidden, -1e9).log_softmax(-1)
        value: torch.Tensor = -(log_probabilities * target).sum(-1).mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found = {name: float(w) for name, w in weigh().items()}
    own = found["lexical"] + found["vector"]
    return {name: w if name == "neighbor" else w / own for name, w in found.items()}


def _held_out(cases: Sequence[Case], names: Sequence[str]) -> dict[str, float]:
    """Recall on each fold with weights fitted on the other folds."""
    fitted = [
        _fit([case for case in cases if case.group % FOLDS != fold], names) for fold in range(FOLDS)
    ]
    return _recall(cases, [fitted[case.group % FOLDS] for case in cases])


def _recall(cases: Sequence[Case], weights: Sequence[dict[str, float]]) -> dict[str, float]:
    """Recall at several depths, and their mean."""
    rows = []
    for case, chosen in zip(cases, weights, strict=True):
        best = torch.argsort(_scores(_inputs(case), chosen), descending=True, stable=True).tolist()
        relevant = set(np.flatnonzero(case.relevant).tolist()) | {
            -n - 1 for n in range(case.missed)
        }
        rows.append([recall_at_k(best, relevant, k) for k in AT])
    means = np.mean(rows, axis=0)
    named = {f"recall@{k}": float(mean) for k, mean in zip(AT, means, strict=True)}
    return {**named, "mean": float(means.mean())}


if __name__ == "__main__":
    run(main)
