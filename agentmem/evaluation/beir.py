"""Collections in the layout of BEIR as data of recall: documents, queries and judgments.

A folder holds ``corpus.jsonl`` (``_id``, ``text`` and perhaps ``title``), ``queries.jsonl``
(``_id``, ``text``), either perhaps as ``.jsonl.zst``, and ``qrels/test.tsv``: query, document and
a score, parted by tabs, with a line of heads. Documents with a score above 0 are evidence; the
score is their gain in NDCG, as trec_eval counts it. The rank of a document is that of its first
chunk among the hits.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentmem.context.recall import Recall
from agentmem.corpus import read_records
from agentmem.errors import InputError
from agentmem.evaluation.conversations import LeftOut
from agentmem.evaluation.metrics import ranking_scores
from agentmem.evaluation.recall_data import RecallQuestion, add_documents
from agentmem.memory import Memory
from agentmem.types import Document

_USER = "collection"

# Gains of documents by query.
Judgments = dict[str, dict[str, float]]


class BeirData:
    """A folder's documents and queries, see `agentmem.evaluation.recall_data.RecallData`."""

    # Documents of several chunks each: fifty are scored.
    hits = 256
    added = "documents"

    def __init__(self, folder: Path, limit: int | None) -> None:
        """Read a folder.

        Args:
            folder: In the layout above.
            limit: Number of queries, at most; None means all. All documents are added.

        Raises:
            InputError: A file is missing, or a line of it has another form; names both.
        """
        judgments = _judgments(folder / "qrels" / "test.tsv")
        queries = {id: text for id, _, text in _records(folder, "queries")}
        self._documents: dict[str, Document] = {}
        for id, title, text in _records(folder, "corpus"):
            if id in self._documents:
                raise InputError(f"{folder.name}: two documents have the id {id!r}")
            # Some have a title alone.
            self._documents[id] = Document(text, title=title or None) if text else Document(title)
        self.left_out = LeftOut()
        self._gains: list[dict[str, float]] = []
        self.asked: list[RecallQuestion] = []
        for id, gains in judgments.items():
            known = {document: gain for document, gain in gains.items() if self._has(document)}
            self.left_out += LeftOut(
                questions_without_evidence=int(not gains),
                evidence=len(gains) - len(known),
                questions=int(bool(gains) and (not known or id not in queries)),
            )
            if known and id in queries and (limit is None or len(self.asked) < limit):
                self.asked.append(RecallQuestion(len(self.asked), queries[id], _USER, len(known)))
                self._gains.append(known)
        self._ids: dict[int, list[str]] = {}

    def add(self, memory: Memory) -> int:
        """Add every document."""
        ids: dict[int, list[str]] = defaultdict(list)
        sources = add_documents(memory, self._documents.values(), _USER)
        for source, id in zip(sources, self._documents, strict=True):
            ids[source].append(id)
        self._ids = ids
        return len(self._documents)

    def scores(self, question: RecallQuestion, hits: Recall) -> dict[str, float]:
        """Recall, NDCG and MRR of documents."""
        sources = dict.fromkeys(hit.source.id for hit in hits)
        ranked = [id for source in sources for id in self._ids[source]]
        return ranking_scores(ranked, self._gains[question.number])

    def _has(self, document: str) -> bool:
        return document in self._documents


def _records(folder: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """Id, title and text of each line; one of the two texts may be empty."""
    path = folder / f"{name}.jsonl"
    if not path.exists() and (packed := folder / f"{name}.jsonl.zst").exists():
        path = packed
    try:
        for number, record in enumerate(read_records(path), start=1):
            id, title, text = (record.get(key) or "" for key in ("_id", "title", "text"))
            if not all(isinstance(one, str) for one in (id, title, text)) or not id:
                raise InputError(f"{path.name}:{number}: '_id', 'title' and 'text' must be text")
            if not (title + text).strip():
                raise InputError(f"{path.name}:{number}: {id!r} has no text")
            yield id, title, text if text.strip() else ""
    except OSError as error:
        raise InputError(f"{folder.name}: cannot read {path.name!r}: {error.strerror}") from error


def _judgments(path: Path) -> Judgments:
    """Positive gains by query; a query whose documents all have 0 has none."""
    found: Judgments = defaultdict(dict)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: Iterator[Any] = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, row in enumerate(rows, start=1):
                if not row or (number == 1 and row[-1].strip().lower() == "score"):
                    continue
                try:
                    query, document, gain = row[0], row[1], float(row[2])
                except (IndexError, ValueError) as error:
                    raise InputError(
                        f"{path.name}:{number} is no query, document and score: {row!r:.200}"
                    ) from error
                gains = found[query]
                if gain > 0:
                    gains[document] = gain
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read qrels/{path.name}: {error}") from error
    return dict(found)
