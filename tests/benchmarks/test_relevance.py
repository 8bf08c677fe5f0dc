"""The benchmark of relevance: its stores, its scores, and what it fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from agentmem.retrieval.calibration import Signals
from benchmarks.relevance.fit import SIGNALS, fit, held_out, relevance
from benchmarks.relevance.items import Ask, Group, groups, keywords
from benchmarks.relevance.measure import Case
from benchmarks.relevance.scores import auroc, ece, figures, reliability


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(zstandard.compress(text.encode()))
    return path


@pytest.fixture
def stores(tmp_path: Path) -> list[Group]:
    passages = [
        {
            "source": "squad-dev",
            "kind": kind,
            "doc": f"d{n % 7}",
            "context": f"Passage {n} says so {n}.",
            "question": f"What does {n} say?",
            "answers": [f"so {n}"] if kind == "extractive" else [],
        }
        for n in range(40)
        for kind in ("extractive", "unanswerable")
    ]
    talk = {"source": "self-dialogue", "messages": [{"content": f"Film {n}"} for n in range(50)]}
    data = [write(tmp_path / "qa-dev.jsonl.zst", passages)]
    talk_file = write(tmp_path / "talk.jsonl.zst", [talk])
    return list(groups(data, talk_file, seed=0, questions=8, sizes=(5, 20)))


def test_stores_hold_the_evidence_of_their_own_questions_alone(stores: list[Group]) -> None:
    assert {(store.kind, store.size) for store in stores} == {
        ("facts", 5),
        ("facts", 20),
        ("passages", 5),
        ("passages", 20),
    }
    for store in stores:
        texts = [message["content"] for message in store.messages]
        assert len(texts) <= store.size
        for ask in store.asks:
            assert bool(ask.evidence) == (ask.how == "own")
            if store.kind == "passages" and not ask.keywords:
                number = ask.text.removeprefix("What does ").removesuffix(" say?")
                held = f"Passage {number} says so {number}." in texts
                assert ask.how not in ("own", "unanswerable") or held
                assert ask.how != "absent" or not held
    assert {ask.how for store in stores for ask in store.asks} == {
        "own",
        "absent",
        "foreign",
        "unanswerable",
        "empty",
    }


def test_keywords() -> None:
    assert keywords("Where does my sister Marta live?") == "sister Marta live"
    assert keywords("Who is it?") == ""


def test_scores() -> None:
    right = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.8, 0.2]), right) == 1
    assert auroc(np.array([0.1, 0.9, 0.2, 0.8]), right) == 0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0.5
    assert auroc(np.array([0.9, 0.8, 0.7, 0.1]), right) == 0.75
    assert ece(np.array([1.0, 0.0, 1.0, 0.0]), right) == 0
    assert ece(np.array([0.5, 0.5, 0.5, 0.5]), right) == 0
    assert ece(np.array([0.0, 1.0, 0.0, 1.0]), right) == 1
    assert reliability(np.array([0.95, 0.05, 1.0, 0.0]), right) == [(0.025, 0, 2), (0.975, 1, 2)]


def test_intervals_hold_the_figure_and_need_both_classes() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(300)
    right = rng.random(300) < probability
    shown = figures(probability, right, [str(n // 3) for n in range(300)])
    for name in ("auroc", "ece"):
        low, high = shown[f"{name}_interval"]
        assert low < high
        assert low - 0.02 <= shown[name] <= high + 0.02
    assert shown["with_evidence"] == right.sum()


def cases() -> list[Case]:
    """Cases whose best hit tells by its share whether it is the evidence."""
    rng = np.random.default_rng(0)
    made = []
    for n in range(400):
        own = bool(rng.random() < 0.5)
        shares = rng.random(4) * 0.4
        shares[0] = rng.normal(0.7 if own else 0.3, 0.15)
        signals = np.stack([rng.random(4), shares, shares, np.full(4, 3.0)], axis=1)
        ask = Ask("?", "own" if own else "absent", False, f"document {n}")
        made.append(Case("facts", 20, ask, signals, np.array([own, False, False, False])))
    return made


@pytest.mark.parametrize("names", SIGNALS.values(), ids=SIGNALS)
def test_what_is_fitted_is_calibrated(names: tuple[str, ...]) -> None:
    made = cases()
    fitted = fit(made, names)
    assert fitted == fit(made, names)
    assert set(fitted.weights) == set(names)
    assert fitted.weights["share"] + fitted.weights["information"] > 0
    of_recall = np.array([recall for recall, _ in held_out(made, names)])
    right = np.array([case.ask.how == "own" for case in made])
    assert auroc(of_recall, right) > 0.9
    assert ece(of_recall, right) < 0.1
    recall, hits = relevance(made[0], fitted)
    assert 0 <= recall <= 1
    assert hits.shape == (4,)
    assert fitted.evidence(Signals(0, 1, 1, 3)) > fitted.evidence(Signals(0, 0, 0, 3))
