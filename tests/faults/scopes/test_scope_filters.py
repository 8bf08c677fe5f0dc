"""Scope words in `where=` were read as metadata: filters by user found nobody, or everybody."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Chunk, Document, Memory
from agentmem.errors import FilterError, InputError
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli

Unchanged = Callable[[Memory], AbstractContextManager[None]]
Row = dict[str, Any]

DAY = datetime(2026, 5, 1, tzinfo=UTC)
USERS, AGENTS, SESSIONS = (None, "ana", "ben"), (None, "support"), (None, "s1")
NAMES = (None, "Ana")


def fill(memory: Memory) -> None:
    """One memory for each combination of scope ids and names, on five days."""
    whose = itertools.product(USERS, AGENTS, SESSIONS, NAMES)
    for number, (user, agent, session, name) in enumerate(whose):
        metadata = {"n": number % 4, "user_id": ("eve", 7)[number % 2]} if number % 3 else {}
        memory.add(
            {"role": ("user", "assistant")[number % 2], "content": f"memory {number}"}
            | ({} if name is None else {"name": name}),
            user_id=user,
            agent_id=agent,
            session_id=session,
            created_at=DAY + timedelta(days=number % 5),
            metadata=metadata,
        )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[Memory]:
    with Memory(tmp_path_factory.mktemp("filled") / "store", model=model) as memory:
        fill(memory)
        yield memory


def row(chunk: Chunk) -> Row:
    """What a filter may look at."""
    source = chunk.source
    return {
        "user_id": chunk.scope.user_id,
        "agent_id": chunk.scope.agent_id,
        "session_id": chunk.scope.session_id,
        "kind": source.kind,
        "role": source.role,
        "name": source.name,
        "title": source.title,
        "uri": source.uri,
        "created_at": source.created_at,
        "id": chunk.id,
        "source_id": source.id,
        "metadata": dict(source.metadata),
    }


def oracle(row: Row, where: Row) -> bool:
    """A filter as a predicate in plain Python."""
    return all(entry(row, name, value) for name, value in where.items())


def entry(row: Row, name: str, value: Any) -> bool:
    if name == "and":
        return all(oracle(row, part) for part in value)
    if name == "or":
        return any(oracle(row, part) for part in value)
    if name == "not":
        return not oracle(row, value)
    tests = value if isinstance(value, dict) else {"eq": value}
    return all(holds(row, name, op, wanted) for op, wanted in tests.items())


def holds(row: Row, name: str, op: str, wanted: Any) -> bool:
    if name in row and name != "metadata":
        found, present = row[name], row[name] is not None
        null = found is None
    else:
        key = name.removeprefix("metadata.")
        found, present = row["metadata"].get(key), key in row["metadata"]
        null = False
    if op == "exists":
        return present is wanted
    if op in ("eq", "in"):
        values = wanted if op == "in" else [wanted]
        return (present and found in values) or (null and None in values)
    if op in ("ne", "not_in"):
        return present and found not in (wanted if op == "not_in" else [wanted])
    if op == "contains":
        return isinstance(found, str) and wanted in found
    alike = isinstance(found, str) is isinstance(wanted, str)
    return present and alike and bool(ORDERED[op](found, wanted))


ORDERED = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}

TEXTS = st.sampled_from(["ana", "ben", "eve", "support", "s1", "Ana", "user", "message", "a"])
TEXT_FIELDS = st.sampled_from(["user_id", "agent_id", "session_id", "name", "title", "uri"])
# Of these, only what there is can be asked for.
CLOSED = {
    "role": st.sampled_from(["user", "assistant", "system"]),
    "kind": st.sampled_from(["message", "document"]),
}


def comparisons(values: st.SearchStrategy[Any], ordered: st.SearchStrategy[Any]) -> Any:
    several = st.lists(values, max_size=3)
    return st.one_of(
        *(st.fixed_dictionaries({op: values}) for op in ("eq", "ne")),
        *(st.fixed_dictionaries({op: several}) for op in ("in", "not_in")),
        *(st.fixed_dictionaries({op: ordered}) for op in ORDERED),
        st.fixed_dictionaries({"exists": st.booleans()}),
    )


TEXT_TESTS = comparisons(TEXTS | st.none(), TEXTS) | st.fixed_dictionaries({"contains": TEXTS})
ID_TESTS = comparisons(st.integers(-1, 30), st.integers(-1, 30))
TIMES = st.integers(0, 5).map(lambda days: DAY + timedelta(days=days))
LEAVES = st.one_of(
    st.dictionaries(TEXT_FIELDS, TEXT_TESTS | TEXTS | st.none(), min_size=1, max_size=2),
    *(
        st.fixed_dictionaries(
            {
                name: comparisons(values | st.none(), TEXTS)
                | st.fixed_dictionaries({"contains": TEXTS})
                | values
                | st.none()
            }
        )
        for name, values in CLOSED.items()
    ),
    st.dictionaries(st.sampled_from(["id", "source_id"]), ID_TESTS, min_size=1, max_size=2),
    st.fixed_dictionaries({"created_at": comparisons(TIMES, TIMES)}),
    st.fixed_dictionaries({"n": ID_TESTS | st.integers(0, 4)}),
    st.fixed_dictionaries(
        {"metadata.user_id": comparisons(TEXTS | st.just(7), TEXTS | st.just(7))}
    ),
)
FILTERS = st.recursive(
    LEAVES | st.just({}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)


@given(where=FILTERS)
def test_filters_select_what_a_python_predicate_does(filled: Memory, where: Row) -> None:
    everything = {chunk.id: row(chunk) for chunk in filled.list()}
    expected = [id for id, one in everything.items() if oracle(one, where)]
    assert [chunk.id for chunk in filled.list(where=where)] == expected
    assert filled.recall("memory", where=where).candidates == len(expected)


@given(where=FILTERS)
def test_no_filter_leaves_the_scope_of_a_handle(filled: Memory, where: Row) -> None:
    ana = filled.scoped(user_id="ana")
    hits = ana.recall("memory", k=30, where=where)
    found = [chunk.id for chunk in ana.list(where=where)]
    assert {hit.scope.user_id for hit in hits} <= {"ana"}
    assert sorted(hit.id for hit in hits) == found
    own = {chunk.id: row(chunk) for chunk in filled.list(user_id="ana")}
    assert found == [id for id, one in own.items() if oracle(one, where)]
    condition = {"and": [where, {"id": {"gte": 0}}]}
    assert ana.forget(where=condition, dry_run=True).ids == tuple(found)


@pytest.fixture
def shared(memory: Memory) -> Memory:
    """Chunk 1 is Ana's, 2 Ben's, 3 nobody's."""
    memory.add("I like tea", user_id="ana", agent_id="support", session_id="s1")
    memory.add("I like coffee", user_id="ben", metadata={"user_id": "ana"})
    memory.add("Everybody likes water")
    return memory


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"user_id": "ana"}, [1]),
        ({"user_id": {"exists": False}}, [3]),
        ({"user_id": None}, [3]),
        ({"user_id": {"in": ["ben", None]}}, [2, 3]),
        ({"user_id": {"ne": "ana"}}, [2]),
        ({"user_id": {"ne": None}}, [1, 2]),
        ({"user_id": {"not_in": ["ana", None]}}, [2]),
        ({"not": {"user_id": "ana"}}, [2, 3]),
        ({"or": [{"user_id": "ana"}, {"user_id": {"exists": False}}]}, [1, 3]),
        ({"metadata.user_id": "ana"}, [2]),
        ({"agent_id": "support", "session_id": "s1"}, [1]),
        ({"session_id": {"exists": False}}, [2, 3]),
        ({"id": 2}, [2]),
        ({"id": {"gt": 1}}, [2, 3]),
        ({"source_id": {"in": [1, 3]}}, [1, 3]),
        ({"name": None, "title": None, "kind": {"ne": None}}, [1, 2, 3]),
    ],
    ids=str,
)
def test_scope_words_are_fields(shared: Memory, where: Row, found: list[int]) -> None:
    assert [chunk.id for chunk in shared.list(where=where)] == found
    assert sorted(hit.id for hit in shared.recall("likes", where=where)) == found


def test_forget_by_a_scope_word_in_the_filter(shared: Memory) -> None:
    assert shared.forget(where={"user_id": "ana"}).ids == (1,)
    assert [chunk.scope.user_id for chunk in shared.list()] == ["ben", None]
    assert shared.forget(where={"user_id": {"exists": False}}).ids == (3,)
    assert [chunk.scope.user_id for chunk in shared.list()] == ["ben"]


def test_a_handle_sees_nothing_of_others_through_a_filter(shared: Memory) -> None:
    ana = shared.scoped(user_id="ana")
    for where in ({"user_id": "ben"}, {"user_id": None}, {"not": {"user_id": "ana"}}, {"id": 2}):
        assert ana.recall("like", where=where).hits == ()
        assert ana.forget(where=where).ids == ()
    anyone = {"or": [{"user_id": "ben"}, {"user_id": {"exists": True}}, {"id": {"gte": 0}}]}
    assert [chunk.id for chunk in ana.list(where=anyone)] == [1]
    assert ana.recall("like", where=anyone).candidates == 1


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"user_id": 5}, "'metadata.user_id'"),
        ({"user_id": ["ana"]}, "is a string"),
        ({"session_id": {"gt": None}}, "is a string"),
        ({"id": "1"}, "whole number"),
        ({"id": None}, "whole number"),
        ({"source_id": {"contains": 1}}, "any operator but 'contains'"),
        ({"user_id": {"exists": "no"}}, "True or False"),
    ],
    ids=str,
)
def test_a_field_of_another_type_is_refused(shared: Memory, where: Row, words: str) -> None:
    for verb in (lambda: shared.recall("x", where=where), lambda: shared.forget(where=where)):
        with pytest.raises(FilterError, match=words):
            verb()


VACUOUS: list[Row] = [
    {},
    {"and": []},
    {"and": [{}]},
    {"and": [{"and": []}, {"or": [{}]}]},
    {"or": [{}]},
    {"or": [{"user_id": "ana"}, {}]},
    {"not": {"or": []}},
    {"not": {"and": [{"channel": "web"}, {"or": []}]}},
    {"not": {"channel": {"in": []}}},
    {"id": {"exists": True}},
    {"not": {"created_at": {"exists": False}}},
    {"kind": {"not_in": []}},
]


@pytest.mark.parametrize("where", VACUOUS, ids=str)
def test_a_filter_that_matches_everything_forgets_nothing(
    shared: Memory, where: Row, unchanged: Unchanged
) -> None:
    assert len(list(shared.list(where=where))) == 3
    handle = shared.scoped(user_id="ana")
    with unchanged(shared):
        for more in ({}, {"user_id": "ana"}, {"ids": [1]}, {"dry_run": True}):
            with pytest.raises(FilterError, match="has no condition, so it matches everything"):
                shared.forget(where=where, **more)
        with pytest.raises(FilterError, match="matches everything"):
            handle.forget(where=where)


def test_a_filter_that_matches_nothing_is_a_condition(shared: Memory, unchanged: Unchanged) -> None:
    with unchanged(shared):
        assert shared.forget(where={"or": []}).ids == ()
        assert shared.forget(where={"user_id": {"in": []}}).ids == ()


@pytest.mark.parametrize(
    "where",
    [
        {"and": [{}] * 1000},
        {"or": [{"not": {}}] * 1000},
        {"and": [{"or": []}] * 1000},
        {"or": [{"user_id": "ana"}] * 1000},
        {"not": {"and": [{"and": [{}] * 30}] * 40}},
    ],
    ids=lambda where: repr(where)[:30],
)
def test_a_thousand_filters_are_refused_cleanly(shared: Memory, where: Row) -> None:
    for verb in (lambda: list(shared.list(where=where)), lambda: shared.forget(where=where)):
        with pytest.raises(FilterError, match="at most"):
            verb()


def test_the_most_conditions_on_scopes_run(shared: Memory) -> None:
    words = [f"user {n}" for n in range(199)] + ["ana"]
    where = {"or": [{"user_id": word} for word in words]}
    assert [chunk.id for chunk in shared.list(where=where)] == [1]
    assert [chunk.id for chunk in shared.list(where={"not": where})] == [2, 3]


def test_async_filters_are_the_same(place: Path, model: ModelBundle) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(place, model=model) as memory:
            await memory.add("I like tea", user_id="ana")
            await memory.add("Everybody likes water")
            nobody = {"user_id": {"exists": False}}
            assert [chunk.id async for chunk in memory.list(where=nobody)] == [2]
            with pytest.raises(FilterError, match="matches everything"):
                await memory.forget(where={"and": [{}]})
            assert (await memory.forget(where={"not": {"user_id": None}})).ids == (1,)

    asyncio.run(run())


def test_filters_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "I like tea", "--user", "ana")
    cli.ok("add", "I like coffee", "--user", "ben")
    cli.ok("add", "Everybody likes water")
    assert cli.ok("list", "--where", '{"user_id": "ana"}', "-q") == "1\n"
    assert cli.ok("list", "--where", '{"user_id": null}', "-q") == "3\n"
    assert cli.ok("recall", "like", "--where", '{"id": 2}', "-q") == "2\n"
    assert cli.ok("list", "--where", '{"not": {"user_id": "ana"}}', "-q") == "2\n3\n"
    for where in ("{}", '{"and": []}', '{"not": {"or": []}}'):
        assert "matches everything" in cli.error(3, "forget", "--where", where, "--yes")
    assert cli.ok("forget", "--where", '{"user_id": "ben"}', "--yes", "-q") == "2\n"
    assert cli.ok("list", "-q") == "1\n3\n"


def test_a_filter_is_no_substitute_for_a_required_id(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model, require=("user_id",)) as memory:
        memory.add("I like tea", user_id="ana")
        with pytest.raises(InputError, match="give user_id="):
            memory.recall("tea", where={"user_id": "ana"})


# Fields of few values

NEVER = [
    {"role": "human"},
    {"role": {"in": ["user", "ai"]}},
    {"not": {"role": "User"}},
    {"role": {"ne": "model"}},
    {"kind": "note"},
    {"kind": {"not_in": ["message", "messages"]}},
    {"or": [{"kind": "tool"}, {"user_id": "ana"}]},
]


@pytest.mark.parametrize("where", NEVER, ids=str)
def test_a_value_that_a_field_never_has_is_no_filter(memory: Memory, where: dict[str, Any]) -> None:
    # It forgot nothing, or everybody's, and said that all was purged.
    memory.add({"role": "human", "content": "tea"}, user_id="ana")
    for call in (memory.forget, memory.count, partial(memory.recall, "tea"), memory.list):
        with pytest.raises(FilterError, match="is never"):
            list(call(where=where)) if call == memory.list else call(where=where)
    assert memory.count() == 1


def test_those_that_it_has(memory: Memory) -> None:
    memory.add([{"role": role, "content": "tea"} for role in ("human", "ai", "developer", "tool")])
    memory.add(Document("tea"))
    for role in ("user", "assistant", "developer", "tool"):
        assert memory.count(where={"role": role}) == 1
    assert memory.count(where={"role": None}) == memory.count(where={"kind": "document"}) == 1
    assert memory.count(where={"role": "system"}) == 0
    assert memory.count(where={"kind": {"in": ["message", "tool_result"]}}) == 4
    assert memory.count(where={"role": {"contains": "ass"}}) == 1
    assert memory.count(where={"metadata.role": "human"}) == 0
