"""Both ways to find neighbors agree: by a list of the whole scope, and by looking each up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_storage.errors import UnknownIdError
from agentmem_storage.records import Neighbors, Scope
from agentmem_storage.sql.reading import neighbors
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, make_source

START = datetime(2026, 1, 1, tzinfo=UTC)
SCOPES = [Scope(user_id="ana"), Scope(user_id="ana", session_id="s"), Scope(user_id="ben")]

# Of each source: its scope, its time in minutes, and its number of chunks.
SOURCES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=12
)


@given(written=SOURCES, forgotten=st.integers(0, 40), reach=st.integers(1, 5))
def test_both_ways_agree(written: list[tuple[int, int, int]], forgotten: int, reach: int) -> None:
    with Store.open(":memory:", model="m", embedding_dims=EMBEDDING_DIMS) as store:
        for number, (scope, minutes, chunks) in enumerate(written):
            source = make_source(
                f"{number:02}" * chunks,
                chunk_chars=2,
                created_at=START + timedelta(minutes=minutes),
            )
            store.add([source], SCOPES[scope])
        store.forget([forgotten], {})
        ids = store.ids().tolist()
        asked = ids[:: 1 + forgotten % 3]
        with store._database.read() as connection:
            listed = neighbors.by_listing(connection, asked, reach)
            looked_up = neighbors.by_lookup(connection, asked, reach)
        assert listed.sides == looked_up.sides
        # A look-up has read some more, which the limit then left out.
        assert listed.turns.items() <= looked_up.turns.items()
        assert store.neighbors(asked, reach).sides == listed.sides


@pytest.mark.parametrize("asked", [[1, 99], [99]])
@pytest.mark.parametrize("held", [1, 10**6])
def test_an_unknown_chunk_is_named(asked: list[int], held: int) -> None:
    with Store.open(":memory:", model="m", embedding_dims=EMBEDDING_DIMS) as store:
        store.add([make_source("one")], SCOPES[0])
        with (
            store._database.read() as connection,
            pytest.raises(UnknownIdError, match="no memory has the id 99"),
        ):
            neighbors.neighbors(connection, asked, 1, held, None)
        assert store.neighbors([]).sides == {}


@pytest.mark.parametrize("find", [neighbors.by_listing, neighbors.by_lookup])
def test_texts_are_equal_within_a_user_and_an_agent(find: Callable[..., Neighbors]) -> None:
    scopes = [
        *SCOPES,
        Scope(user_id="ana", agent_id="x"),
        Scope(user_id="anax"),
        Scope(agent_id="ana"),
        Scope(),
    ]
    with Store.open(":memory:", model="m", embedding_dims=EMBEDDING_DIMS) as store:
        for scope in scopes:
            store.add([make_source("Good night!"), make_source("Bye!")], scope)
        ids = store.ids().tolist()
        with store._database.read() as connection:
            turns = find(connection, ids, 1).turns
        texts = [turns[id].text for id in ids]
    assert texts[0] == texts[2]
    assert texts[1] == texts[3]
    assert len(set(texts)) == len(texts) - 2
