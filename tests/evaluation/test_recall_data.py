"""Collections in BEIR's layout, documents with reference spans, and groups by evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import zstandard
from hypothesis import given

from agentmem.errors import InputError
from agentmem.evaluation.beir import BeirData
from agentmem.evaluation.conversation_recall import ConversationData
from agentmem.evaluation.conversations import LeftOut
from agentmem.evaluation.recall import evaluate_recall, evidence_group, open_data
from agentmem.evaluation.spans import SpanData, span_scores
from agentmem.testing import tiny_bundle

CORPUS = [
    {"_id": "a", "title": "Apples", "text": "Apples grow on trees."},
    {"_id": "b", "title": "", "text": "Bridges are built over rivers."},
    {"_id": "c", "title": "Candles burn slowly"},
    {"_id": "d", "text": "Dragons guard their gold."},
]
QUERIES = [
    {"_id": "q1", "text": "apples"},
    {"_id": "q2", "text": "bridges and dragons"},
    {"_id": "q3", "text": "candles"},
    {"_id": "train", "text": "asked elsewhere"},
]
QRELS = ("q1\ta\t1", "q2\tb\t2", "q2\td\t1", "q2\ta\t0", "q3\tc\t1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def lines(records: Sequence[object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def beir(
    folder: Path,
    *,
    corpus: Sequence[object] = CORPUS,
    queries: Sequence[object] = QUERIES,
    qrels: Sequence[str] = QRELS,
) -> Path:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text(lines(corpus), encoding="utf-8")
    (folder / "queries.jsonl").write_text(lines(queries), encoding="utf-8")
    heads = "query-id\tcorpus-id\tscore\n"
    text = heads + "".join(f"{row}\n" for row in qrels)
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_is_evaluated(bundle: Path, tmp_path: Path) -> None:
    result = evaluate_recall(beir(tmp_path), model=bundle, mode="lexical").results
    assert result["overall"]["questions"] == 3
    assert result["overall"]["recall@5"] == result["overall"]["mrr"] == 1
    assert result["memories"] == 4
    assert result["added"] == "documents"
    assert list(result["by_evidence"]) == ["1", "2"]
    assert result["by_evidence"]["2"]["questions"] == 1
    assert result["left_out"] == {"questions_without_evidence": 0, "evidence": 0, "questions": 0}


def test_queries_of_the_test_split_alone_are_asked(tmp_path: Path) -> None:
    data = BeirData(beir(tmp_path), None)
    assert [asked.question for asked in data.asked] == [
        "apples",
        "bridges and dragons",
        "candles",
    ]
    assert [asked.evidence for asked in data.asked] == [1, 2, 1]
    assert [asked.question for asked in BeirData(tmp_path, 1).asked] == ["apples"]


def test_what_a_folder_names_and_does_not_hold_is_counted(tmp_path: Path) -> None:
    qrels = ("q1\ta\t1", "q1\tz\t1", "q2\tz\t1", "q3\tc\t0", "q9\ta\t1")
    data = BeirData(beir(tmp_path, qrels=qrels), None)
    assert [asked.question for asked in data.asked] == ["apples"]
    assert data.left_out == LeftOut(questions_without_evidence=1, evidence=2, questions=2)


def test_packed_files_are_read(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    for name in ("corpus.jsonl", "queries.jsonl"):
        path = folder / name
        (folder / f"{name}.zst").write_bytes(zstandard.compress(path.read_bytes()))
        path.unlink()
    assert len(BeirData(folder, None).asked) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"corpus": [{"_id": "a"}]}, r"corpus\.jsonl:1: 'a' has no text"),
        ({"corpus": [{"text": "a"}]}, r"corpus\.jsonl:1: '_id', 'title' and 'text' must be text"),
        ({"corpus": [{"_id": 1, "text": "a"}]}, r"corpus\.jsonl:1: '_id'"),
        ({"corpus": [*CORPUS, CORPUS[0]]}, "two documents have the id 'a'"),
        ({"qrels": ["q1\ta"]}, r"test\.tsv:2 is no query, document and score"),
        ({"qrels": ["q1\ta\tmuch"]}, r"test\.tsv:2 is no query"),
    ],
)
def test_another_form_of_folder_is_refused_by_line(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        BeirData(beir(tmp_path, **changed), None)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_folder_without_a_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = beir(tmp_path)
    (folder / name).unlink()
    with pytest.raises(InputError, match=Path(name).name):
        BeirData(folder, None)


def document(text: str, *questions: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"id": "d", "text": text, "questions": list(questions), **more}


def test_spans_are_evaluated_over_all_documents(bundle: Path, tmp_path: Path) -> None:
    filler = "Nothing of note happened on that day, and everybody went home early. " * 20
    first = f"{filler}The treasure lies under the oak. {filler}"
    start = first.index("The treasure")
    asked = {"question": "treasure oak", "spans": [[start, start + 32]], "category": "where"}
    path = tmp_path / "documents.jsonl"
    other = document("Pirates sail at dawn.", {"question": "pirates dawn", "spans": [[0, 21]]})
    path.write_text(lines([document(first, asked, title="Map"), other]), encoding="utf-8")
    result = evaluate_recall(path, model=bundle, mode="lexical").results
    overall = result["overall"]
    assert overall["questions"] == 2
    assert overall["recall@5"] == overall["mrr"] == 1
    assert 0 < result["by_category"]["where"]["precision@5"] < 0.5
    assert result["by_category"]["none"]["iou@5"] == 1
    assert result["added"] == "documents"
    limited = evaluate_recall(path, model=bundle, mode="lexical", limit=1).results
    assert limited["overall"]["questions"] == 1


def test_span_scores_by_hand() -> None:
    # Ten characters, of which the second hit holds four, and the third the rest among others.
    hits = [((0, 20), False), ((10, 24), True), ((24, 44), True), ((24, 44), True)]
    scores = span_scores(hits, [(20, 28), (26, 30)])
    assert scores["recall@1"] == 0
    assert scores["recall@5"] == 1
    assert scores["mrr"] == 0.5
    assert scores["precision@5"] == pytest.approx(10 / 74)
    assert scores["iou@5"] == pytest.approx(10 / 74)
    assert set(span_scores([], [(0, 1)]).values()) == {0}


SPANS = st.tuples(st.integers(0, 30), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(st.tuples(SPANS, st.booleans()), max_size=8), st.lists(SPANS, min_size=1))
def test_span_scores_are_shares(
    hits: list[tuple[tuple[int, int], bool]], wanted: list[tuple[int, int]]
) -> None:
    scores = span_scores(hits, wanted)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores["iou@5"] <= scores["precision@5"] or not hits
    assert scores["recall@1"] <= scores["recall@5"] <= scores["recall@10"]
    everything = span_scores([((0, 60), True)], wanted)
    assert everything["recall@1"] == everything["mrr"] == 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (document("text", {"question": "?", "spans": [[0, 9]]}), "no .start, end. in a text of 4"),
        (document("text", {"question": "?", "spans": [[2, 2]]}), "no .start, end."),
        (document("text", {"question": "?", "spans": [["0", 2]]}), "no .start, end."),
        (document("text", {"question": "?"}), "'spans' must be a list"),
        (document("text", {"question": " ", "spans": []}), "'question' must be non-empty"),
        (document(" "), "'text' must be non-empty"),
        ({"text": "a"}, "'questions' must be a list of objects"),
    ],
)
def test_another_form_of_document_is_refused_by_line(
    tmp_path: Path, record: dict[str, Any], message: str
) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text(lines([document("fine"), record]), encoding="utf-8")
    with pytest.raises(InputError, match=rf"documents\.jsonl:2: .*{message}"):
        SpanData(path, None)


def test_the_form_of_the_data_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "collection"
    folder.mkdir()
    assert isinstance(open_data(beir(folder), None), BeirData)
    documents = tmp_path / "documents.jsonl"
    documents.write_text(lines([document("fine")]), encoding="utf-8")
    assert isinstance(open_data(documents, None), SpanData)
    talk = {"id": "c", "messages": [{"id": "m", "role": "user", "content": "a"}], "questions": []}
    conversations = tmp_path / "conversations.jsonl"
    conversations.write_text(lines([talk]), encoding="utf-8")
    assert isinstance(open_data(conversations, None), ConversationData)
    with pytest.raises(InputError, match="missing.jsonl"):
        open_data(tmp_path / "missing.jsonl", None)


def test_data_without_a_question_are_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text(lines([document("fine", {"question": "?", "spans": []})]), encoding="utf-8")
    assert SpanData(path, None).left_out == LeftOut(questions_without_evidence=1)
    with pytest.raises(InputError, match=r"documents\.jsonl has no question"):
        evaluate_recall(path, model=bundle)


def test_groups_by_evidence() -> None:
    groups = [evidence_group(count) for count in (1, 2, 3, 5, 6, 10, 11)]
    assert groups == ["1", "2", "3-5", "3-5", "6-10", "6-10", "11 or more"]
