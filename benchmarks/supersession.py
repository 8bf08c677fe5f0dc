"""``python -m benchmarks.supersession``: fits how likely one memory supersedes an earlier one.

Every pair of an older and a newer memory among the best hits of a question is a case; right are the
old and the new statement of a fact that changes. The weights are fitted on the first halves of the
changing facts and the dialogues of `benchmarks.kinds`, and the figures are of both halves. In the
dialogues, nothing supersedes anything. No evaluation set has a part in it.
"""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from agentmem import Memory
from agentmem.context.lookup import read_wordings
from agentmem.evaluation.result import build_result, write_result
from agentmem.retrieval.fusion import Scored
from agentmem.retrieval.recency import (
    COMPARED_BY_TIME,
    asks_how_it_is,
    candidates,
    may_supersede,
)
from agentmem.retrieval.repeats import Group
from agentmem.retrieval.supersession import Candidate, Signals, signals
from agentmem.retrieval.tense import When, when_asked
from benchmarks.command import run
from benchmarks.kinds.collection import HALVES, Collection, Half, Question, questions_of
from benchmarks.kinds.kept import filled
from benchmarks.kinds.ours import Indices
from benchmarks.kinds.study import KINDS
from benchmarks.relevance.fit import logistic

# Of the dialogues' questions, one in so many is enough.
_EVERY = {"changes": 1, "chats": 3}
# What is asked for at a time of its own has another right answer.
_LEFT_OUT = "dated"


class Case(NamedTuple):
    """A pair, and whether the later memory supersedes the earlier one."""

    kind: str
    half: Half
    signals: Signals
    right: bool


def main(
    corpus: Annotated[Path, typer.Option(exists=True, file_okay=False, help="the corpus's folder")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    weights: Annotated[Path | None, typer.Option(help="where the fitted numbers go")] = None,
    least: Annotated[float, typer.Option(help="the probability from which a pair counts")] = 0.25,
    work: Annotated[
        Path | None, typer.Option(file_okay=False, help="folder that keeps stores for the next run")
    ] = None,
) -> None:
    """Fit and measure, and write the result file."""
    began = time.perf_counter()
    cases = [case for name in _EVERY for case in _cases(name, corpus, work)]
    fitted_on = [case for case in cases if case.half == HALVES[0]]
    numbers = logistic(
        np.array([case.signals for case in fitted_on]), np.array([one.right for one in fitted_on])
    )
    fitted = {
        "least": least,
        "weights": dict(zip(Signals._fields, numbers[:-1], strict=True)),
        "bias": numbers[-1],
    }
    results = {
        "fitted": fitted,
        "kinds": {
            name: {half: _figures(cases, name, half, numbers, least) for half in HALVES}
            for name in _EVERY
        },
    }
    write_result(
        json,
        build_result(
            "supersession",
            config={"least": least, "every": _EVERY, "compared": COMPARED_BY_TIME},
            seed=0,
            seconds=time.perf_counter() - began,
            results=results,
            threads=1,
        ),
    )
    if weights is not None:
        content = json_format.dumps(fitted, indent=2)
        weights.write_text(content + "\n", encoding="utf-8", newline="\n")
    typer.echo(json_format.dumps(results["kinds"]))


def _figures(
    cases: list[Case], kind: str, half: Half, numbers: list[float], least: float
) -> dict[str, int]:
    """How many pairs there are and are found, of those that are right and of the others."""
    of_half = [case for case in cases if case.kind == kind and case.half == half]
    found = {True: 0, False: 0}
    for case in of_half:
        odds = float(np.dot(case.signals, numbers[:-1])) + numbers[-1]
        found[case.right] += int(odds >= np.log(least / (1 - least)))
    right = sum(case.right for case in of_half)
    return {
        "right": right,
        "right found": found[True],
        "wrong": len(of_half) - right,
        "wrong found": found[False],
    }


def _cases(name: str, corpus: Path, work: Path | None) -> Iterator[Case]:
    kind = KINDS[name](corpus)
    with filled(kind, work) as (memory, added):
        for collection, question in list(questions_of(kind))[:: _EVERY[name]]:
            asked = question.text
            tells = when_asked(asked) is not When.UNKNOWN and asks_how_it_is(asked)
            if not tells or question.category == _LEFT_OUT:
                continue
            found, indices = _found(memory, collection, question, added[collection.id])
            fact = {*question.evidence, *question.distractors[:1]} if name == "changes" else set()
            for old, new in may_supersede(found):
                pair = signals(asked, old, new, found)
                yield Case(name, question.half, pair, {indices[old.id], indices[new.id]} == fact)


def _found(
    memory: Memory, collection: Collection, question: Question, added: Indices
) -> tuple[list[Candidate], dict[int, int]]:
    """What is compared, as a recall finds it, and the index of each of it among the items."""
    hits = memory.recall(
        question.text, k=COMPARED_BY_TIME, user_id=collection.id, now=collection.now, prefer="any"
    )
    groups = [
        Group(Scored(hit.id, hit.score, hit.explain["lexical"], hit.explain["vector"]), ())
        for hit in hits
    ]

    def read(snapshot: Any) -> list[Candidate]:
        return candidates(snapshot, groups, partial(read_wordings, snapshot, memory._model))

    return memory._store.snapshot(read), {hit.id: added[hit.source.id][0] for hit in hits}


if __name__ == "__main__":
    run(main)
