"""Recall and list inside scopes, compared with brute force."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.sql.schema.codec import decode_embeddings
from agentmem_storage.words import phrases

Scope = dict[str, Any]
# 100 scopes; the same agents and sessions belong to every user.
SCOPES: list[Scope] = [
    {"user_id": f"user{u}", "agent_id": f"agent{a}", "session_id": f"session{s}"}
    for u, a, s in product(range(10), range(5), range(2))
]
WORDS = [f"w{number}" for number in range(60)]
EACH = 30


@pytest.fixture(scope="module")
def crowd_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scopes")


@pytest.fixture(scope="module")
def crowd(crowd_place: Path, model: ModelBundle) -> Iterator[Memory]:
    """100 scopes with 30 memories each, all of the same few words; written in turns."""
    chance = random.Random(0)
    texts = []
    for _ in SCOPES:
        own = dict.fromkeys(["w1 w2 w3", "w4 w5"])  # what all scopes have, word for word
        while len(own) < EACH:
            own[" ".join(chance.choices(WORDS, k=chance.randint(2, 9)))] = None
        texts.append(list(own))
    with Memory(crowd_place, model=model) as memory:
        for first in range(0, EACH, 15):
            for scope, own_texts in zip(SCOPES, texts, strict=True):
                memory.add(own_texts[first : first + 15], **scope)
        yield memory


@pytest.fixture(scope="module")
def members(crowd: Memory) -> dict[int, tuple[Scope, str]]:
    """Scope and text by id, read without any filter."""
    return {
        chunk.id: (
            {
                "user_id": chunk.scope.user_id or "",
                "agent_id": chunk.scope.agent_id or "",
                "session_id": chunk.scope.session_id or "",
            },
            chunk.text,
        )
        for chunk in crowd.list()
    }


@pytest.fixture(scope="module")
def vectors(crowd: Memory, crowd_place: Path) -> dict[int, NDArray[np.float32]]:
    with closing(sqlite3.connect(crowd_place / "memory.db")) as connection:
        rows = connection.execute("SELECT id, key FROM chunks").fetchall()
    ids = [id for id, _ in rows]
    return dict(zip(ids, decode_embeddings([blob for _, blob in rows], ids), strict=True))


def inside(members: dict[int, tuple[Scope, str]], words: Scope) -> list[int]:
    return [id for id, (scope, _) in members.items() if words.items() <= scope.items()]


# One full scope, and what a reader may leave out.
READS: list[Scope] = [
    SCOPES[0],
    SCOPES[57],
    {"user_id": "user3"},
    {"agent_id": "agent2"},
    {"session_id": "session1"},
    {"user_id": "user9", "session_id": "session0"},
    {},
]
read_ids = ["+".join(words) or "none" for words in READS]


@pytest.mark.parametrize("words", READS, ids=read_ids)
def test_list_gives_all_of_a_scope_and_nothing_else(
    crowd: Memory, members: dict[int, tuple[Scope, str]], words: Scope
) -> None:
    assert [chunk.id for chunk in crowd.list(**words)] == inside(members, words)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "lexical"])
@pytest.mark.parametrize("words", READS, ids=read_ids)
def test_recall_never_leaves_its_scope(
    crowd: Memory, members: dict[int, tuple[Scope, str]], words: Scope, mode: Any
) -> None:
    found = crowd.recall("w1 w2 w7", k=50, mode=mode, **words)
    allowed = set(inside(members, words))
    assert found.candidates == len(allowed)
    assert {hit.id for hit in found} <= allowed
    assert len(found) > 0


@pytest.mark.parametrize("k", [1, 8, 40])
@pytest.mark.parametrize("words", READS, ids=read_ids)
def test_vector_search_equals_brute_force(
    crowd: Memory,
    members: dict[int, tuple[Scope, str]],
    vectors: dict[int, NDArray[np.float32]],
    model: ModelBundle,
    words: Scope,
    k: int,
) -> None:
    query = "w11 w12 w13"
    vector = model.embedder.embed_query(model.tokenizer.encode(query))
    cosines = {id: float(vectors[id] @ vector) for id in inside(members, words)}
    found = crowd.recall(query, k=k, mode="vector", **words)
    best = sorted(cosines.values(), reverse=True)[:k]
    assert [cosines[hit.id] for hit in found] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("query", ["w1 w2", "w30", "what is w4 to w5?", "w1 w1 w59 nothing"])
@pytest.mark.parametrize("words", READS, ids=read_ids)
def test_lexical_search_equals_brute_force(
    crowd: Memory, members: dict[int, tuple[Scope, str]], words: Scope, query: str
) -> None:
    expected = by_words(
        query, {id: text for id, (_, text) in members.items()}, inside(members, words)
    )
    found = crowd.recall(query, k=40, mode="lexical", **words)
    # What one user said to one agent several times is one hit.
    distinct = {
        (text, scope["user_id"], scope["agent_id"]): expected[id]
        for id, (scope, text) in members.items()
        if id in expected
    }
    best = sorted(distinct.values(), reverse=True)[:40]
    assert [expected[hit.id] for hit in found] == pytest.approx(best)
    assert [hit.score for hit in found] == pytest.approx([score / best[0] for score in best])


def by_words(query: str, texts: dict[int, str], among: Iterable[int]) -> dict[int, float]:
    """The root of BM25 times how many of the query's words a text has, times their share.

    A word is as rare as it is among some, and weighs in the share as much. Text lengths are
    normalized over all of them.
    """
    k1, b = 1.2, 0.75
    lengths = [len(text.split()) for text in texts.values()]
    counts = {id: Counter(texts[id].split()) for id in among}
    mean = sum(lengths) / len(lengths)
    asked = [word for word in dict.fromkeys(query.rstrip("?").split()) if word in WORDS]
    scores: dict[int, float] = {}
    shares = dict.fromkeys(counts, 0.0)
    total = 0.0
    for word in phrases(query):
        having = [id for id, count in counts.items() if count[word]]
        idf = math.log(1 + (len(counts) - len(having) + 0.5) / (len(having) + 0.5))
        total += idf
        for id in having:
            shares[id] += idf
            often, length = counts[id][word], counts[id].total() / mean
            part = often * (k1 + 1) / (often + k1 * (1 - b + b * length))
            scores[id] = scores.get(id, 0.0) + idf * part
    return {
        id: math.sqrt(sum(counts[id][word] > 0 for word in asked) * score) * shares[id] / total
        for id, score in scores.items()
    }


def test_other_scopes_change_no_lexical_ranking(tmp_path: Path) -> None:
    mine = [
        "Ana said that the train is late",
        "Ana said that Ana saw a fox",
        "the fox met a train at night",
    ]
    query = "Did Ana see the fox by the train?"

    def scores(memory: Memory) -> dict[str, float]:
        found = memory.recall(query, mode="lexical", user_id="me")
        return {hit.text: hit.score for hit in found}

    with Memory(tmp_path / "alone") as alone, Memory(tmp_path / "shared") as shared:
        for memory in (alone, shared):
            memory.add(mine, user_id="me")
        # As long as mine, so that only how rare a word is could tell.
        shared.add([f"the fox {n} took the next train" for n in range(50)], user_id="you")
        assert len(scores(alone)) == 3
        assert scores(shared) == pytest.approx(scores(alone))
