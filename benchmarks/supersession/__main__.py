"""``python -m benchmarks.supersession``: fits how likely one memory supersedes an earlier one.

Every pair of an older and a newer memory among the best hits of a question is a case; right are the
old and the new statement of a fact that changes. Fitted on are the first half of the changing facts
of `benchmarks.kinds`, facts of other topics, the first half of facts that resemble each other but
are of two people or things, and the first half of the dialogues, in which nothing supersedes
anything. The figures are of both halves. The map of slots is fitted first; the signals of a topic
that it is fitted on are those of a map that is fitted without that topic. No evaluation set has a
part in it.
"""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agentmem.evaluation.result import build_result, write_result
from agentmem.models.bundle.load import load_bundle
from agentmem.retrieval.recency import COMPARED_BY_TIME
from agentmem.retrieval.supersession import SLOTS, Signals
from benchmarks.command import run
from benchmarks.kinds.collection import HALVES
from benchmarks.relevance.fit import logistic
from benchmarks.supersession.cases import FOLDS, KINDS, Case, cases, fold_of, found
from benchmarks.supersession.slots import Floats, fit_map, read_notes, read_topics

# A pair of siblings counts as so many, as there are few, and each is of another kind.
_SIBLING = 10
_SIGNALS = {
    "slots": Signals._fields,
    "words": tuple(name for name in Signals._fields if name not in SLOTS),
}


def main(
    corpus: Annotated[Path, typer.Option(exists=True, file_okay=False, help="the corpus's folder")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    weights: Annotated[Path | None, typer.Option(help="where the fitted numbers go")] = None,
    slots: Annotated[Path | None, typer.Option(help="where the map of slots goes")] = None,
    least: Annotated[float, typer.Option(help="the probability from which a pair counts")] = 0.13,
    work: Annotated[
        Path | None, typer.Option(file_okay=False, help="folder that keeps stores for the next run")
    ] = None,
) -> None:
    """Fit and measure, and write the result file."""
    began = time.perf_counter()
    maps = _maps(corpus)
    everything = [one for name in KINDS for one in found(name, corpus, work)]
    all_cases = [case for one in everything for case in cases(one, maps)]
    fitted_on = [case for case in all_cases if case.found.half == HALVES[0]]
    fitted = {
        name: _fitted(fitted_on, [Signals._fields.index(one) for one in fields])
        for name, fields in _SIGNALS.items()
    }
    content = {"model": load_bundle().fingerprint, "least": least, **fitted}
    results = {
        "fitted": content,
        "kinds": {
            name: {
                half: _figures(all_cases, name, half, fitted["slots"], least)
                for half in HALVES
                if any((one.kind, one.half) == (name, half) for one in everything)
            }
            for name in KINDS
        },
    }
    write_result(
        json,
        build_result(
            "supersession",
            config={
                "least": least,
                "every": {name: every for name, (_, every) in KINDS.items()},
                "compared": COMPARED_BY_TIME,
                "sibling": _SIBLING,
            },
            seed=0,
            seconds=time.perf_counter() - began,
            results=results,
            threads=1,
        ),
    )
    if weights is not None:
        text = json_format.dumps(content, indent=2)
        weights.write_text(text + "\n", encoding="utf-8", newline="\n")
    if slots is not None:
        np.save(slots, maps[-1].astype(np.float16))
    typer.echo(json_format.dumps(results["kinds"]))


def _maps(corpus: Path) -> dict[int, Floats]:
    """The map of slots, by the fold whose topics it is fitted without; -1 is that of all."""
    model = load_bundle()
    topics, notes = read_topics(model), read_notes(corpus, model)
    return {
        fold: fit_map([one for one in topics if fold_of(one.name) != fold], notes)
        for fold in range(-1, FOLDS)
    }


def _fitted(fitted_on: Sequence[Case], columns: Sequence[int]) -> dict[str, Any]:
    """Weights by signal, and the bias."""
    often = [_SIBLING if case.sibling else 1 for case in fitted_on]
    made = np.array([case.signals for case in fitted_on])[:, columns]
    right = np.array([case.right for case in fitted_on])
    numbers = logistic(np.repeat(made, often, axis=0), np.repeat(right, often))
    names = [Signals._fields[column] for column in columns]
    return {"weights": dict(zip(names, numbers[:-1], strict=True)), "bias": numbers[-1]}


def _figures(
    all_cases: Sequence[Case], kind: str, half: str, fitted: dict[str, Any], least: float
) -> dict[str, int]:
    """How many pairs there are and are found, of those that are right and of the others.

    Of the siblings, only the pairs that resemble each other are counted.
    """
    found: dict[bool, list[bool]] = {True: [], False: []}
    for case in all_cases:
        of_kind = case.found.kind == kind and case.found.half == half
        if of_kind and (case.sibling or kind != "siblings"):
            known = case.signals._asdict()
            odds = fitted["bias"] + sum(
                weight * known[name] for name, weight in fitted["weights"].items()
            )
            found[case.right].append(bool(odds >= np.log(least / (1 - least))))
    return {
        "right": len(found[True]),
        "right found": sum(found[True]),
        "wrong": len(found[False]),
        "wrong found": sum(found[False]),
    }


if __name__ == "__main__":
    run(main)
