"""Documents with reference spans as data of recall.

JSON lines, optionally compressed with Zstandard, one document per line:

    {"id": "d1", "title": "…", "text": "…",
     "questions": [{"question": "…", "spans": [[120, 184]], "category": "…"}]}

A span is start and end (exclusive) in the text, in code points; ``title`` and ``category`` are
optional. All documents are in one store, and every question is asked over all of them. Recall at k
is the share of the spans' characters that the first k hits hold. Precision at k is the share of the
hits' characters that are in spans, and IoU the share of what is in either that is in both
(Smith and Troynikov, Evaluating Chunking Strategies for Retrieval, 2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agentmem.context.recall import Recall
from agentmem.corpus import read_records
from agentmem.errors import InputError
from agentmem.evaluation.conversations import LeftOut
from agentmem.evaluation.metrics import RECALL_AT
from agentmem.evaluation.recall_data import RecallQuestion, add_documents
from agentmem.memory import Memory
from agentmem.types import Document

# The depth of precision and IoU.
PRECISION_AT = 5
_USER = "documents"

# Start and end, exclusive.
Span = tuple[int, int]


class SpanData:
    """A file's documents and questions, see `agentmem.evaluation.recall_data.RecallData`."""

    hits = max(RECALL_AT)
    added = "documents"

    def __init__(self, path: Path, limit: int | None) -> None:
        """Read a file.

        Args:
            path: JSON lines as above.
            limit: Number of documents, at most; None means all.

        Raises:
            InputError: A line has another form, or a span is not in its text; names the line.
        """
        self._documents: list[Document] = []
        self.asked: list[RecallQuestion] = []
        self._spans: list[tuple[int, list[Span]]] = []
        without = 0
        for number, record in enumerate(read_records(path), start=1):
            if limit is not None and number > limit:
                break
            try:
                document, questions = _document(record)
            except ValueError as error:
                raise InputError(f"{path.name}:{number}: {error}") from error
            for question, spans, category in questions:
                if spans:
                    count = len(self.asked)
                    self.asked.append(RecallQuestion(count, question, _USER, len(spans), category))
                    self._spans.append((len(self._documents), spans))
                without += not spans
            self._documents.append(document)
        self.left_out = LeftOut(questions_without_evidence=without)
        self._indices: dict[int, set[int]] = {}

    def add(self, memory: Memory) -> int:
        """Add every document."""
        indices: dict[int, set[int]] = defaultdict(set)
        for place, source in enumerate(add_documents(memory, self._documents, _USER)):
            indices[source].add(place)
        self._indices = indices
        return len(self._documents)

    def scores(self, question: RecallQuestion, hits: Recall) -> dict[str, float]:
        """Recall at k, precision and IoU at 5, and the reciprocal rank of the first overlap."""
        place, wanted = self._spans[question.number]
        found = [
            (hit.span, place in self._indices[hit.source.id]) for hit in hits[: max(RECALL_AT)]
        ]
        return span_scores(found, wanted)


def span_scores(hits: Sequence[tuple[Span, bool]], wanted: Iterable[Span]) -> dict[str, float]:
    """The scores of one question.

    Args:
        hits: Span of each hit, best first, and whether it is in the document of the spans.
        wanted: The spans that answer, not empty; they may overlap.
    """
    reference = {at for start, end in wanted for at in range(start, end)}
    held: list[int] = []
    lengths: list[int] = []
    first = 0.0
    left = set(reference)
    for rank, ((start, end), same) in enumerate(hits, start=1):
        new = {at for at in range(start, end) if at in left} if same else set()
        left -= new
        held.append(len(new))
        lengths.append(end - start)
        if new and not first:
            first = 1 / rank
    inside, size = sum(held[:PRECISION_AT]), sum(lengths[:PRECISION_AT])
    scores = {f"recall@{k}": sum(held[:k]) / len(reference) for k in RECALL_AT}
    scores[f"precision@{PRECISION_AT}"] = inside / size if size else 0.0
    scores[f"iou@{PRECISION_AT}"] = inside / (len(reference) + size - inside)
    scores["mrr"] = first
    return scores


def _document(
    record: dict[str, Any],
) -> tuple[Document, list[tuple[str, list[Span], str | None]]]:
    text, title = _text(record, "text"), record.get("title")
    if title is not None:
        _text(record, "title")
    questions = record.get("questions")
    if not isinstance(questions, list) or not all(isinstance(item, dict) for item in questions):
        raise ValueError(f"'questions' must be a list of objects, got {type(questions).__name__}")
    return Document(text, title=title), [
        (
            _text(item, "question"),
            list(_spans(item.get("spans"), len(text))),
            None if item.get("category") is None else _text(item, "category"),
        )
        for item in questions
    ]


def _spans(value: Any, size: int) -> Iterator[Span]:
    if not isinstance(value, list):
        raise ValueError(f"'spans' must be a list of [start, end], got {value!r:.200}")
    for span in value:
        match span:
            case [int(start), int(end)] if 0 <= start < end <= size:
                yield start, end
            case _:
                raise ValueError(f"{span!r:.200} is no [start, end] in a text of {size} characters")


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key!r} must be non-empty text, got {value!r:.200}")
    return value
