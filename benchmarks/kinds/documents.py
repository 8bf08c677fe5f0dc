"""Documents: passages of articles, stories and search results, in random order, with questions."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random

from agentmem.corpus import read_records
from benchmarks.kinds.collection import Collection, Item, Kind, Question, half_of

COUNT = 1_000
# Questions on privacy policies do not say whose policy is meant, so they have no right passage.
_LEFT_OUT = "policyqa"


def documents(corpus: Path) -> Kind:
    """The passages of the held-out questions, and a thousand questions that they answer.

    Args:
        corpus: Folder of the corpus.
    """
    asked: dict[str, list[str]] = defaultdict(list)
    for record in read_records(corpus / "qa-dev.jsonl.zst"):
        if record["kind"] == "extractive" and record["source"] != _LEFT_OUT and record["answers"]:
            asked[record["context"]].append(record["question"])
    rng = Random("documents")
    passages = rng.sample(list(asked), len(asked))
    questions = [
        Question(question, (index,), half_of(passage))
        for index, passage in enumerate(passages)
        for question in dict.fromkeys(asked[passage])
    ]
    # Some passages have a dozen questions: what is drawn is spread over all of them.
    kept = sorted(rng.sample(range(len(questions)), min(COUNT, len(questions))))
    items = tuple(Item(passage) for passage in passages)
    found = Collection("documents", items, tuple(questions[at] for at in kept))
    return Kind("documents", "document", (found,))
