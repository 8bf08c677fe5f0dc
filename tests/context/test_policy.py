"""Packing policies: no repeats, near duplicates last, or the whole scope."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem import AsyncMemory, Context, Document, Hit, Memory, Message, Recall
from agentmem.context.budget import NEAR_DUPLICATE
from agentmem.context.format import frame_tokens, line
from agentmem.errors import CorruptRecordError, InputError, StoreError
from agentmem.models.bundle.load import ModelBundle
from tests.support.hits import with_hits

DAY = timedelta(days=1)
FIRST = datetime(2026, 5, 1, tzinfo=UTC)
TALK = [
    ("Ana", "Shall we have tea?"),
    ("Bob", "Yes."),
    ("Ana", "Yes."),
    ("Bob", "I drink tea with milk, and with honey if there is any left in the jar."),
    ("Ana", "Then I boil water. " * 6),
    ("Bob", "Yes."),
    ("Ana", "The tea is ready, and the jar is empty."),
    ("Bob", "A pity."),
]


def tell(memory: Memory) -> Memory:
    """Two who speak of tea, a line a day, not written in the order of time; and a stranger."""
    said = [
        Message(text, name=name, created_at=FIRST + day * DAY, metadata={"day": day})
        for day, (name, text) in enumerate(TALK)
    ]
    memory.add([*said[4:], *said[:4]], user_id="ana")
    memory.add(Message("A stranger's tea", created_at=FIRST), user_id="zoe")
    return memory


@pytest.fixture
def talk(memory: Memory) -> Memory:
    return tell(memory)


@pytest.fixture(scope="module")
def recalls(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[list[Recall]]:
    """One query with every k, from none of what there is to all of it."""
    with Memory(tmp_path_factory.mktemp("policy"), model=model) as memory:
        tell(memory)
        yield [memory.recall("tea", k=k, user_id="ana") for k in range(1, len(TALK) + 1)]


def altered(
    found: Recall,
    *,
    scores: Sequence[float] | None = None,
    fidelities: Sequence[float] | None = None,
    alike: Sequence[int] | None = None,
) -> Recall:
    """The same hits with other scores and fidelities; those with one number have one key.

    Without numbers, no two are alike: the tiny model's keys mean nothing.
    """
    count = len(found)
    groups = range(count) if alike is None else alike
    embeddings: NDArray[np.float32] = np.eye(64, dtype=np.float32)
    hits = tuple(
        replace(
            hit,
            score=hit.score if scores is None else scores[n],
            embedding=embeddings[groups[n]],
            fidelity=hit.fidelity if fidelities is None else fidelities[n],
        )
        for n, hit in enumerate(found)
    )
    return with_hits(found, hits)


def embedding_bytes(hit: Hit) -> bytes:
    assert hit.embedding is not None
    return hit.embedding.tobytes()


def days(context: Context) -> list[int]:
    return [hit.metadata["day"] for hit in context.hits]


def once(hits: Sequence[Hit]) -> list[Hit]:
    """Hits without those that read like one before them but for the date."""
    return list({(hit.name, hit.text): hit for hit in reversed(hits)}.values())


def yes(talk: Memory) -> Recall:
    """Each "Yes." as a hit of its own, as recalls of several days find them."""
    found = talk.recall("yes", k=8, mode="lexical", user_id="ana")
    spans = [(FIRST + day * DAY, FIRST + (day + 1) * DAY) for day in range(len(TALK))]
    recalls = [
        talk.recall("yes", mode="lexical", user_id="ana", since=since, until=until)
        for since, until in spans
    ]
    return with_hits(found, [hit for one in recalls for hit in one])


@pytest.mark.parametrize("best", [1, 5])
def test_repeats_by_one_speaker_are_packed_once(talk: Memory, best: int) -> None:
    found = yes(talk)
    said_on = [hit.metadata["day"] for hit in found]
    assert sorted(said_on) == [1, 2, 5]
    scores = [0.9 if day == best else 0.5 for day in said_on]
    context = altered(found, scores=scores).pack(max_positions=100)
    # Bob says it twice; what Ana says is another memory.
    assert days(context) == sorted([2, best])
    assert (context.repeats, context.left_out) == (1, 0)
    assert f"[2026-05-{best + 1:02d}] Bob: Yes." in context.to_text()


def test_a_repeat_costs_no_budget(talk: Memory) -> None:
    context = altered(yes(talk)).pack(max_positions=2)
    assert {hit.name for hit in context.hits} == {"Ana", "Bob"}
    assert (context.positions, context.left_out, context.repeats) == (2, 0, 1)


def test_a_hit_that_is_also_an_expansion_is_packed_once(talk: Memory) -> None:
    found = talk.recall("milk", k=3, expand="neighbors", user_id="ana")
    assert any(hit.expanded_from is not None for hit in found)
    context = found.pack(max_positions=1000)
    assert len({hit.id for hit in context.hits}) == len(context.hits)
    twice = with_hits(found, found.hits * 2).pack(max_positions=1000)
    assert [hit.id for hit in twice.hits] == [hit.id for hit in context.hits]
    assert twice.repeats == context.repeats + len(found)


def three(recalls: list[Recall]) -> tuple[Recall, tuple[Hit, Hit, Hit], int]:
    """Three hits, best first, of which two alone fit: the first and any one of the others."""
    found = recalls[-1]
    first, near, other = [hit for hit in found if hit.text != "Yes."][:3]
    some = with_hits(found, (first, near, other))
    return some, (first, near, other), first.positions + max(near.positions, other.positions)


def ids(hits: Sequence[Hit]) -> set[int]:
    return {hit.id for hit in hits}


def test_near_duplicates_are_packed_last(recalls: list[Recall]) -> None:
    some, (first, near, other), room = three(recalls)
    scores = (0.9, 0.8, 0.1)
    plain = altered(some, scores=scores).pack(max_positions=room)
    assert ids(plain.hits) == {first.id, near.id}
    alike = altered(some, scores=scores, alike=(0, 0, 1))
    context = alike.pack(max_positions=room)
    assert ids(context.hits) == {first.id, other.id}
    assert (context.left_out, context.repeats) == (1, 0)
    # With room for all, all are in.
    assert len(alike.pack(max_positions=1000).hits) == 3
    # The best as text are the best, whenever it is their turn.
    assert ids(alike.pack(max_positions=1000, texts=2).texts) == {first.id, near.id}


@pytest.mark.parametrize(("above", "taken"), [(0.01, 2), (-0.01, 1)])
def test_embeddings_are_near_duplicates_from_a_cosine_on(
    recalls: list[Recall], above: float, taken: int
) -> None:
    some, three_hits, room = three(recalls)
    first, near, other = altered(some, scores=(0.9, 0.8, 0.1))
    cosine = NEAR_DUPLICATE + above
    key = np.zeros(64, dtype=np.float32)
    key[0], key[-1] = cosine, np.sqrt(1 - cosine**2)
    near = replace(near, embedding=key)
    context = with_hits(some, (first, near, other)).pack(max_positions=room)
    assert ids(context.hits) == {first.id, three_hits[taken].id}


def test_a_memory_with_a_damaged_embedding_is_packed_all_the_same(
    place: Path, talk: Memory
) -> None:
    broken = {chunk.id for chunk in talk.list() if "water" in chunk.text or "ready" in chunk.text}
    assert len(broken) == 2
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        for one in broken:
            connection.execute("UPDATE chunks SET key = x'00' WHERE id = ?", (one,))
        connection.commit()
    found = talk.recall("water ready tea", k=8, mode="lexical", user_id="ana")
    assert {hit.id for hit in found if hit.embedding is None} == broken
    assert len(found) > 2
    assert ids(found.pack(max_positions=1000).hits) == ids(found)


def test_only_hits_go_in_unless_asked_for(talk: Memory) -> None:
    found = talk.recall("tea", k=2, user_id="ana")
    assert {hit.id for hit in found.pack(max_positions=1000).hits} <= {hit.id for hit in found}
    ranked = found.pack(max_positions=1000, policy="ranked")
    assert ranked.hits == found.pack(max_positions=1000).hits


def test_everything_goes_in_as_it_was_said(talk: Memory) -> None:
    found = talk.recall("tea", k=2, user_id="ana")
    context = found.pack(max_positions=1000, policy="auto")
    assert days(context) == list(range(len(TALK)))
    assert (context.left_out, context.repeats) == (0, 0)
    by_id = {hit.id: hit for hit in found}
    assert all(by_id.get(hit.id, hit) is hit for hit in context.hits)
    unfound = [hit for hit in context.hits if hit.id not in by_id]
    assert len(unfound) == len(TALK) - 2
    assert {hit.score for hit in unfound} == {0.0}
    assert all(set(hit.explain) == set(found[0].explain) for hit in unfound)
    text = found.pack(max_tokens=1000, policy="auto").to_text().split("\n")
    assert text[1:-1] == [
        f"[2026-05-{day:02d}] {name}: {said}" for day, (name, said) in enumerate(TALK, start=1)
    ]


def test_a_document_stands_in_its_own_order(memory: Memory) -> None:
    text = "".join(f"This is sentence {n} of a long note. " for n in range(120))
    memory.add(Document(text, title="note", created_at=FIRST))
    context = memory.recall("sentence 100", k=1).pack(max_positions=1000, policy="auto")
    assert len(context.hits) > 1
    assert "".join(hit.text for hit in context.hits) == text


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"where": {"name": "Ana"}}, [0, 2, 4, 6]),
        ({"where": {"day": {"gte": 6}}}, [6, 7]),
        ({"since": FIRST + 5 * DAY}, [5, 6, 7]),
        ({"until": FIRST + 2 * DAY}, [0, 1]),
        ({"since": FIRST + DAY, "until": FIRST + 4 * DAY, "where": {"name": "Bob"}}, [1, 3]),
    ],
    ids=str,
)
def test_everything_is_what_the_filters_let_through(
    talk: Memory, selection: dict[str, Any], expected: list[int]
) -> None:
    found = talk.recall("tea", k=1, user_id="ana", **selection)
    assert found.candidates == len(expected)
    assert days(found.pack(max_positions=1000, policy="auto")) == expected
    handle = talk.scoped(user_id="ana")
    assert days(handle.recall("tea", **selection).pack(max_tokens=1000, policy="auto")) == expected


def test_everything_goes_in_as_vectors_even_if_text_was_requested(recalls: list[Recall]) -> None:
    found = recalls[1]
    room = found.pack(max_positions=1000, policy="auto").positions
    tight = found.pack(max_positions=room, policy="auto", texts=2)
    assert (len(tight.vectors), tight.texts, tight.positions) == (len(TALK), (), room)
    loose = found.pack(max_positions=1000, policy="auto", texts=2)
    assert set(loose.texts) == set(found)
    assert len(loose.hits) == len(TALK)


def test_what_does_not_fit_is_ranked(recalls: list[Recall]) -> None:
    found = recalls[3]
    whole = found.pack(max_positions=1000, policy="auto")
    budgets: list[dict[str, Any]] = [
        {"max_positions": whole.positions - 1},
        {"max_tokens": whole.tokens},
    ]
    for budget in budgets:
        packed = found.pack(**budget, policy="auto")
        ranked = found.pack(**budget)
        assert packed.hits == ranked.hits
        assert (packed.left_out, packed.repeats) == (ranked.left_out, ranked.repeats)
        assert len(packed.hits) < len(TALK)


def test_everything_is_what_the_store_holds_when_it_is_packed(talk: Memory) -> None:
    found = talk.recall("tea", k=2, user_id="ana")
    late = Message("Late tea", created_at=FIRST, metadata={"day": 8})
    (new,) = talk.add(late, user_id="ana").ids
    assert 8 in days(found.pack(max_positions=1000, policy="auto"))
    talk.forget([new, found[0].id])
    left = found.pack(max_positions=1000, policy="auto")
    assert len(left.hits) == len(TALK) - 1
    assert found[0].id not in {hit.id for hit in left.hits}


def test_nothing_is_loaded_that_may_not_fit(place: Path, talk: Memory) -> None:
    found = talk.recall("pity", k=1, mode="lexical", user_id="ana")
    (other,) = [chunk for chunk in talk.list(user_id="ana") if "honey" in chunk.text]
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        connection.execute(
            "UPDATE chunks SET latents = substr(latents, 1, 8) WHERE id = ?", (other.id,)
        )
        connection.commit()
    assert found.full_scope is not None
    whole = found.full_scope.sums()
    assert len(found.pack(max_positions=whole.positions - 1, policy="auto").hits) == 1
    assert len(found.pack(max_tokens=whole.tokens - 1, policy="auto").hits) == 1
    budgets: list[dict[str, Any]] = [{"max_positions": whole.positions}, {"max_tokens": 1000}]
    for budget in budgets:
        with pytest.raises(CorruptRecordError, match=f"memory {other.id} "):
            found.pack(**budget, policy="auto")


def test_a_closed_store_has_hits_only(model: ModelBundle, place: Path) -> None:
    with Memory(place, model=model) as memory:
        found = tell(memory).recall("tea", user_id="ana")
    assert len(found.pack(max_positions=1000).hits) > 0
    with pytest.raises(StoreError, match="closed"):
        found.pack(max_positions=1000, policy="auto")


def test_an_empty_memory_packs_to_nothing(memory: Memory) -> None:
    context = memory.recall("tea").pack(max_positions=1, policy="auto")
    assert (context.hits, context.left_out, context.to_text()) == ((), 0, "")


def test_everything_of_an_async_memory(place: Path, model: ModelBundle) -> None:
    async def run() -> Context:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add([text for _, text in TALK[3:7]], user_id="ana")
            found = await memory.recall("tea", k=1, user_id="ana")
            return await asyncio.to_thread(found.pack, max_tokens=1000, policy="auto")

    assert len(asyncio.run(run()).hits) == 4


@pytest.mark.parametrize("policy", ["all", "", None, 1], ids=repr)
def test_an_unknown_policy_is_refused(recalls: list[Recall], policy: Any) -> None:
    with pytest.raises(InputError, match="unknown policy .*'ranked' or 'auto'"):
        recalls[0].pack(max_positions=10, policy=policy)


n = len(TALK)
many_scores = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9]), min_size=n, max_size=n)
many_fidelities = st.lists(st.sampled_from([1.0, 0.99, 0.9]), min_size=n, max_size=n)
many_groups = st.lists(st.integers(0, n), min_size=n, max_size=n)


@given(
    k=st.integers(1, n),
    scores=many_scores,
    fidelities=many_fidelities,
    alike=many_groups,
    max_tokens=st.one_of(st.none(), st.integers(1, 600)),
    max_positions=st.one_of(st.none(), st.integers(1, 200)),
    texts=st.integers(0, 3),
)
def test_auto_is_everything_exactly_if_it_fits(
    recalls: list[Recall],
    k: int,
    scores: list[float],
    fidelities: list[float],
    alike: list[int],
    max_tokens: int | None,
    max_positions: int | None,
    texts: int,
) -> None:
    if max_tokens is None and max_positions is None:
        max_positions = 20
    found = altered(recalls[k - 1], scores=scores, fidelities=fidelities, alike=alike)
    budget: dict[str, Any] = {"max_tokens": max_tokens, "max_positions": max_positions}
    assert found.full_scope is not None
    context = found.pack(**budget, texts=texts, policy="auto")
    ranked = found.pack(**budget, texts=texts)

    known = {hit.id: hit for hit in found}
    everything = [known.get(hit.id, hit) for hit in recalls[-1]]
    costs = [found.full_scope.count_tokens(line(hit) + "\n") for hit in everything]
    as_vectors = [
        hit.positions if hit.fidelity >= 0.99 else cost
        for hit, cost in zip(everything, costs, strict=True)
    ]
    frame = frame_tokens(found.full_scope.count_tokens)
    fits = (max_tokens is None or frame + sum(costs) <= max_tokens) and (
        max_positions is None or sum(as_vectors) <= max_positions
    )
    expected = {hit.id for hit in (everything if fits else ranked.hits)}
    assert {hit.id for hit in context.hits} == expected
    assert fits or (context.vectors, context.texts) == (ranked.vectors, ranked.texts)

    for packed in (context, ranked):
        times = [(hit.created_at, hit.id) for hit in packed.hits]
        assert all(one < next_one for one, next_one in pairwise(times))
        assert max_tokens is None or found.full_scope.count_tokens(packed.to_text()) <= max_tokens
        assert max_positions is None or packed.positions <= max_positions
        words = found.full_scope.count_tokens(packed.text + "\n") if packed.text else 0
        assert packed.positions == len(packed.latents) + words
        assert all(hit.fidelity >= 0.99 for hit in packed.vectors)
    again = found.pack(**budget, texts=texts, policy="auto")
    assert [hit.id for hit in again.vectors] == [hit.id for hit in context.vectors]
    assert [hit.id for hit in again.texts] == [hit.id for hit in context.texts]


@given(
    k=st.integers(1, n),
    scores=many_scores,
    alike=st.one_of(st.none(), many_groups),
    max_positions=st.integers(1, 30),
)
def test_the_best_are_packed_first(
    recalls: list[Recall],
    k: int,
    scores: list[float],
    alike: list[int] | None,
    max_positions: int,
) -> None:
    found = altered(recalls[k - 1], scores=scores, alike=alike)
    packed = found.pack(max_positions=max_positions)
    best_first = sorted(found, key=lambda hit: -hit.score)
    hits = [hit for hit in best_first if hit in once(best_first)]
    assert packed.repeats == len(found) - len(hits)
    assert packed.left_out == len(hits) - len(packed.hits)
    assert set(packed.hits) <= set(hits)
    taken = set(packed.hits)
    for rank, hit in enumerate(hits):
        if hit not in taken:
            before = sum(one.positions for one in hits[:rank] if one in taken)
            others = sum(one.positions for one in hits[rank:] if one in taken)
            waited = any(
                one in taken and embedding_bytes(one) == embedding_bytes(hit) for one in hits[:rank]
            )
            assert hit.positions + before + (others if waited else 0) > max_positions
