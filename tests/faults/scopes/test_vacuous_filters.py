"""`forget` and `export` refuse filters without a condition, however they are written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.errors import FilterError
from agentmem.testing import tiny_model

EMPTY: list[dict[str, Any]] = [
    {},
    {"and": []},
    {"and": [{}]},
    {"not": {"or": []}},
    {"not": {"n": {"in": []}}},
    {"or": [{"n": 1}, {}]},
    {"and": [{"not": {"not": {"and": []}}}, {"or": [{"and": [{}]}]}]},
    {"kind": {"exists": True}},
    {"id": {"exists": True}},
    {"created_at": {"not_in": []}},
    {"not": {"source_id": {"in": []}}},
    {"and": [{}] * 300},
]


@pytest.mark.parametrize("where", EMPTY, ids=lambda one: str(one)[:60])
def test_forget_refuses_it_and_reading_takes_it(memory: Memory, where: dict[str, Any]) -> None:
    memory.add(["I like tea", "and jam"], metadata={"n": 1})
    others: list[dict[str, Any]] = [{}, {"user_id": "ana"}, {"ids": [1]}]
    for other in others:
        with pytest.raises(FilterError, match="has no condition, so it matches everything"):
            memory.forget(where=where, **other)
    assert len(list(memory.list(where=where))) == 2


@pytest.mark.parametrize("without", EMPTY, ids=lambda one: str(one)[:60])
def test_an_export_that_leaves_everything_out_is_refused(
    memory: Memory, tmp_path: Path, without: dict[str, Any]
) -> None:
    memory.add("I like tea", metadata={"n": 1})
    with pytest.raises(FilterError, match="leaves everything out"):
        memory.export(tmp_path / "x.amem", without=without)
    assert list(tmp_path.glob("*.amem")) == []


def test_what_has_a_condition_that_nothing_fulfils_forgets_nothing(memory: Memory) -> None:
    memory.add("I like tea")
    for where in ({"or": []}, {"not": {}}, {"n": {"in": []}}, {"and": [{"or": []}, {}]}):
        assert memory.forget(where=where).ids == ()


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_many_empty_filters_are_an_error_of_ours(memory: Memory, count: int) -> None:
    for where in ({"and": [{}] * count}, {"or": [{}] * count}, {"not": {"and": [{}] * count}}):
        for use in (memory.forget, lambda where: list(memory.list(where=where))):
            with pytest.raises(FilterError, match="may combine 400 filters at most"):
                use(where=where)


COMPOSED = st.recursive(
    st.sampled_from([{}, {"and": []}, {"or": []}]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: {"and": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"or": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


@given(where=COMPOSED)
def test_whatever_is_composed_of_nothing_selects_nothing_or_is_refused(
    where: dict[str, Any],
) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        memory.add("I like tea")
        with suppress(FilterError):
            assert memory.forget(where=where).ids == ()
        assert memory.stats().memories == 1
