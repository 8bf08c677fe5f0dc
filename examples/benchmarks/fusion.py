"""Which fusion weights find most, on dialogues that no weights were trained on.

Dialogues of one source are put together by the dozen, so that a question has a few hundred turns
to choose from; the turns that hold its answer are its evidence. All weights are scored on the same
candidates. The choice is made here, never on an evaluation set.

They are the dialogues of the corpus's dev questions, and those of one source that the training
questions have too, which training leaves out (`leave_out` in examples/training/).
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import track

from agentmem import Memory
from agentmem.corpus import read_records
from agentmem.evaluation.metrics import recall_at_k
from agentmem.evaluation.result import build_result, write_result
from agentmem.recall.fusion import Weights, fuse

KEYS, NEIGHBOURS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 0.1, 0.2, 0.3)
RERANKS, AT = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), (1, 5, 10, 50)
DIALOGUES, MOST_EVIDENCE, HITS = 12, 3, 1_000
# Questions of one source: the largest would take most of the time and say no more.
MOST_QUESTIONS = 600
# Sources with fewer are shown, and do not count in the choice.
LEAST_QUESTIONS = 100
SKIPPED = ("unanswerable", "passage", "yesno")
LEFT_OUT = "friendsqa"

Question = tuple[str, list[int]]
Group = tuple[str, list[dict[str, str]], list[Question]]
Choice = tuple[float, float, float]


def main(
    data: Annotated[Path, typer.Option(help="the corpus's qa-dev file")],
    train: Annotated[Path, typer.Option(help="its qa-train file, for what training leaves out")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    threads: Annotated[int, typer.Option(help="torch threads")] = 2,
) -> None:
    """Measure, and write the result file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    scores: dict[Choice, dict[str, list[list[float]]]] = {
        choice: defaultdict(list) for choice in product(KEYS, NEIGHBOURS, RERANKS)
    }
    groups = [*_groups(data), *_groups(train, LEFT_OUT)]
    asked: dict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder, Memory(folder) as memory:
        for number, (source, messages, questions) in enumerate(track(groups, "asking")):
            user = str(number)
            if asked[source] >= MOST_QUESTIONS:
                continue
            asked[source] += len(questions)
            sources = memory.add(messages, user_id=user).sources
            home = {chunk.id: chunk.source.id for chunk in memory.list(user_id=user)}
            order = list(home)
            around = zip([None, *order[:-1]], [*order[1:], None], strict=True)
            beside = dict(zip(order, around, strict=True))
            for question, evidence in questions:
                hits = memory.recall(question, k=HITS, user_id=user)
                parts = {
                    part: {hit.id: said for hit in hits if (said := hit.explain[part])}
                    for part in ("lexical", "key", "rerank")
                }
                known = {id: beside[id] for id in {*parts["lexical"], *parts["key"]}}
                wanted = {sources[turn] for turn in evidence}
                for key, neighbour in product(KEYS, NEIGHBOURS):
                    weights = Weights(1 - key, key, neighbour)
                    fused = fuse(parts["lexical"], parts["key"], known, weights)
                    for rerank in RERANKS:
                        total = {
                            one.id: one.score + rerank * parts["rerank"].get(one.id, 0.0)
                            for one in fused
                        }
                        best = sorted(total, key=lambda id: (-total[id], id))
                        ranked = list(dict.fromkeys(home[id] for id in best))
                        scores[key, neighbour, rerank][source].append(
                            [recall_at_k(ranked, wanted, k) for k in AT]
                        )
    result = build_result(
        "fusion",
        config={"data": [data.name, f"{LEFT_OUT} of {train.name}"], "dialogues": DIALOGUES},
        seed=0,
        seconds=time.perf_counter() - began,
        results={"questions": _counts(scores), "grid": _grid(scores)},
        threads=threads,
    )
    write_result(json, result)
    for row in result.results["grid"][:10]:
        print(row)


def _groups(data: Path, only: str | None = None) -> Iterator[Group]:
    """Dialogues of one source by the dozen: its name, turns, questions and evidence."""
    dialogues: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for record in read_records(data):
        if only is not None and record["source"] != only:
            continue
        lines = [line for line in record["context"].split("\n") if line.strip()]
        spoken = sum(": " in line[:40] for line in lines)
        if record["kind"] not in SKIPPED and len(lines) >= 5 and spoken > 0.8 * len(lines):
            dialogues[record["source"]][record["context"]].append(record)
    for source, by_context in dialogues.items():
        contexts = list(by_context.items())
        for start in range(0, len(contexts), DIALOGUES):
            messages: list[dict[str, str]] = []
            questions: list[Question] = []
            for day, (context, records) in enumerate(contexts[start : start + DIALOGUES], start=1):
                first = len(messages)
                messages += _turns(context, f"2020-01-{day:02d}")
                for record in records:
                    evidence = [
                        place
                        for place in range(first, len(messages))
                        if any(a and a in messages[place]["content"] for a in record["answers"])
                    ]
                    if 0 < len(evidence) <= MOST_EVIDENCE:
                        questions.append((record["question"], evidence))
            if questions:
                yield source, messages, questions


def _turns(context: str, day: str) -> list[dict[str, str]]:
    turns = []
    for line in filter(str.strip, context.split("\n")):
        name, _, said = line.partition(": ")
        speaker, content = (name[:60], said) if said.strip() else ("user", line)
        turns.append({"name": speaker, "content": content, "at": day})
    return turns


def _counts(scores: dict[Choice, dict[str, list[list[float]]]]) -> dict[str, int]:
    return {source: len(rows) for source, rows in next(iter(scores.values())).items()}


def _grid(scores: dict[Choice, dict[str, list[list[float]]]]) -> list[dict[str, Any]]:
    """Means over sources that have questions enough, each of which counts the same."""
    grid = []
    for (key, neighbour, rerank), by_source in scores.items():
        large = [rows for rows in by_source.values() if len(rows) >= LEAST_QUESTIONS]
        means = np.mean([np.mean(rows, axis=0) for rows in large], axis=0)
        recalls = {f"recall@{k}": float(mean) for k, mean in zip(AT, means, strict=True)}
        grid.append(
            {
                "key": key,
                "neighbour": neighbour,
                "rerank": rerank,
                **recalls,
                "mean": float(means.mean()),
                "by_source": {
                    source: [round(float(x), 4) for x in np.mean(rows, axis=0)]
                    for source, rows in by_source.items()
                },
            }
        )
    return sorted(grid, key=lambda row: -row["mean"])


if __name__ == "__main__":
    typer.run(main)
