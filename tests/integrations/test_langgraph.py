"""The LangGraph store, used through LangGraph's own interface."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

import pytest
from sqlalchemy import event

from agentmem.errors import AgentMemError, FilterError, InputError
from agentmem.memory import Memory
from agentmem.testing import tiny_model
from tests.memory.forgetting.test_expiry import Clock

base = pytest.importorskip("langgraph.store.base")

from agentmem.integrations.langgraph import (  # noqa: E402
    AgentMemStore,
    NamespaceError,
)

BAD_TTLS: list[Any] = [0, -5, True, "5", float("nan"), float("inf"), 1e30]
ANA = ("users", "ana@example.org")
FOODS = ["pizza", "pasta", "salad", "soup", "bread", "cheese", "fish", "rice", "beans", "apples"]


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(":memory:", model=tiny_model()) as opened:
        yield opened


@pytest.fixture
def store(memory: Memory) -> AgentMemStore:
    return AgentMemStore(memory)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keys(items: list[Any]) -> list[str]:
    return [item.key for item in items]


# One item


def test_a_value_comes_back_exactly(store: AgentMemStore) -> None:
    value = {
        "text": "Ünïcode \U0001f600 \u200b and\r\nlines",
        "number": 1.5,
        "big": 10**30,
        "none": None,
        "nested": {"list": [1, [True, {"": "x"}]], "a.b": "dot"},
    }
    store.put(ANA, "k", value)
    item = store.get(ANA, "k")
    assert item.value == value
    assert type(item) is base.Item
    assert (item.namespace, item.key) == (ANA, "k")


@pytest.mark.parametrize("value", [{}, {"n": 1}, {"text": " "}])
def test_a_value_without_any_text(store: AgentMemStore, value: dict[str, Any]) -> None:
    store.put(ANA, "k", value)
    assert store.get(ANA, "k").value == value
    assert [(one.key, one.score) for one in store.search((), query="anything")] == [("k", None)]


def test_nothing_is_none(store: AgentMemStore) -> None:
    assert store.get(ANA, "none") is None
    store.delete(ANA, "none")
    assert store.search(ANA) == store.search(ANA, query="x") == store.list_namespaces() == []


def test_putting_a_key_again_replaces_it(store: AgentMemStore, memory: Memory) -> None:
    store.put(ANA, "diet", {"text": "Ana eats meat."})
    first = store.get(ANA, "diet")
    assert first.updated_at == first.created_at
    store.put(ANA, "diet", {"text": "Ana is vegan."})
    second = store.get(ANA, "diet")
    assert second.value == {"text": "Ana is vegan."}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    assert second.created_at.utcoffset() == second.updated_at.utcoffset() == timedelta(0)
    assert [one.text for one in memory.list()] == ["Ana is vegan."]
    store.put(ANA, "diet", {"text": "Ana is vegan.", "sure": True})
    assert store.get(ANA, "diet").value["sure"]


def test_a_deleted_key_may_be_put_again(store: AgentMemStore, memory: Memory) -> None:
    for _ in range(2):
        store.put(ANA, "k", {"text": "once"})
        store.delete(ANA, "k")
        assert store.get(ANA, "k") is None
        assert list(memory.list()) == []


@pytest.mark.parametrize(
    ("namespace", "key"),
    [
        (("a.b", "c/d"), "e/f.g"),
        (("%2F", "*"), '\u0000\n"\\'),
        (("\ufb01",), "\u00e9"),
        ((" ",), " "),
    ],
)
def test_names_as_people_write_them(store: AgentMemStore, namespace: Any, key: str) -> None:
    store.put(namespace, key, {"text": "here"})
    (item,) = store.search(namespace, query="here")
    assert (item.namespace, item.key) == (namespace, key)
    assert store.get(namespace, key).value == {"text": "here"}
    assert store.list_namespaces() == [namespace]


def test_names_that_only_look_the_same_are_different(store: AgentMemStore) -> None:
    names = ["\ufb01", "fi", "FI", "e\u0301", "\u00e9", "a", "a/", "a%2F", "1"]
    for name in names:
        store.put((name, "x"), name, {"name": name})
        store.put(("keys",), name, {"name": name})
    for name in names:
        assert store.get((name, "x"), name).value == {"name": name}
        assert store.get(("keys",), name).value == {"name": name}
        assert [one.value for one in store.search((name,))] == [{"name": name}]
    assert store.get(("a", "/x"), "a") is None


# Search


def test_search_puts_the_best_first_and_pages_fit_together(store: AgentMemStore) -> None:
    ops = [
        base.PutOp(("food", food), str(n), {"text": f"Ana ate {food} on day {n}."})
        for food in FOODS
        for n in range(10)
    ]
    store.batch(ops)
    everything = store.search(("food",), query="pizza", limit=200)
    assert len(everything) == 100
    assert {one.namespace for one in everything[:10]} == {("food", "pizza")}
    scores = [one.score for one in everything]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    pages = [store.search(("food",), query="pizza", limit=10, offset=n) for n in range(0, 110, 10)]
    assert [len(page) for page in pages] == [10] * 10 + [0]
    where = [(one.namespace, one.key) for page in pages for one in page]
    assert where == [(one.namespace, one.key) for one in everything]


def test_items_with_the_same_text_are_all_found(store: AgentMemStore) -> None:
    for n in range(5):
        store.put(("n",), str(n), {"text": "Ana likes tea.", "n": n})
    assert sorted(keys(store.search(("n",), query="tea"))) == list("01234")
    assert len(store.search(("n",), query="tea", limit=3)) == 3


def test_a_long_value_is_found_once(store: AgentMemStore, memory: Memory) -> None:
    text = " ".join(f"The train number {n} leaves at noon." for n in range(60))
    store.put(("n",), "long", {"text": text})
    store.put(("n",), "short", {"text": "A train."})
    assert len(list(memory.list())) > 2
    assert sorted(keys(store.search(("n",), query="train"))) == ["long", "short"]
    assert sorted(keys(store.search(("n",)))) == ["long", "short"]
    store.delete(("n",), "long")
    assert len(list(memory.list())) == 1


def test_index_says_what_an_item_is_found_by(store: AgentMemStore, memory: Memory) -> None:
    value = {"title": "Lyon", "secret": "password", "notes": [{"text": "trip"}, {"text": "hotel"}]}
    store.put(("n",), "fields", value, index=["title", "notes[*].text", "missing"])
    store.put(("n",), "all", value)
    store.put(("n",), "none", value, index=False)
    texts = {one.source.external_id: one.text for one in memory.list()}
    assert texts["langgraph:n/fields"] == "Lyon\ntrip\nhotel"
    assert texts["langgraph:n/all"] == "Lyon\npassword\ntrip\nhotel"
    assert texts["langgraph:n/none"] == "n/none"
    found = store.search(("n",), query="password")
    assert keys(found) == ["all", "fields", "none"]
    assert found[2].score is None
    assert keys(store.search(("n",), query="password", limit=1, offset=2)) == ["none"]
    store.put(("n",), "none", value)
    assert all(one.score is not None for one in store.search(("n",), query="password"))


def test_a_prefix_is_one_of_labels(store: AgentMemStore) -> None:
    for namespace in [("a",), ("a", "b"), ("ab",), ("b", "a"), ("a b",)]:
        store.put(namespace, "k", {"text": "word"})
    for query in (None, "word"):
        found = store.search(("a",), query=query)
        assert sorted(one.namespace for one in found) == [("a",), ("a", "b")]
        assert len(store.search((), query=query)) == 5


def test_without_a_query_the_last_put_comes_first(store: AgentMemStore) -> None:
    for key in "abcd":
        store.put(("n",), key, {"text": key})
    store.put(("n",), "b", {"text": "again"})
    assert keys(store.search(("n",))) == ["b", "d", "c", "a"]
    assert keys(store.search(("n",), limit=2, offset=1)) == ["d", "c"]
    assert store.search(("n",), limit=0) == store.search(("n",), query="a", limit=0) == []
    assert store.search(("n",))[0].score is None
    assert keys(store.search(("n",), query=" \n")) == ["b", "d", "c", "a"]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"kind": "note"}, "ab"),
        ({"kind": {"$eq": "note"}, "year": 2024}, "b"),
        ({"kind": {"$ne": "note"}}, "c"),
        ({"year": {"$gt": 2020}}, "b"),
        ({"year": {"$gte": 2020, "$lt": 2024}}, "a"),
        ({"year": {"$lte": 2020.5}}, "a"),
        ({"date": {"$gte": "2024-01-02"}}, "bc"),
        ({"tags": ["x", "y"]}, "a"),
        ({"tags": {"$eq": ["x"]}}, "b"),
        ({"who": {"name": "Ana"}}, "ac"),
        ({"who": {"name": "Ana", "age": {"$gt": 40}}}, "c"),
        ({"done": True}, "a"),
        ({"done": 1}, "b"),
        ({"done": None}, "c"),
        ({"a.b": 1}, "c"),
        ({"lig": "fi"}, "a"),
        ({"lig": {"$ne": "fi"}}, "b"),
        ({"nothing": {"$ne": 1}}, ""),
        ({}, "abc"),
    ],
)
def test_filters(store: AgentMemStore, filter: dict[str, Any], found: str) -> None:
    who = {"name": "Ana", "age": 30}
    a = {"kind": "note", "year": 2020, "tags": ["x", "y"], "who": who, "done": True, "lig": "fi"}
    b = {
        "kind": "note",
        "year": 2024,
        "tags": ["x"],
        "date": "2024-01-02",
        "done": 1,
        "lig": "\ufb01",
    }
    c = {"kind": "task", "date": "2024-05-01", "who": {**who, "age": 50}, "done": None, "a.b": 1}
    for key, value in zip("abc", (a, b, {**c, "a": {"b": 2}}), strict=True):
        store.put(("n",), key, value)
    assert "".join(sorted(keys(store.search(("n",), filter=filter)))) == found
    assert "".join(sorted(keys(store.search(("n",), query="note", filter=filter)))) == found


def test_a_filter_loses_nothing_however_rare(store: AgentMemStore) -> None:
    ops = [
        base.PutOp(("n",), str(n), {"text": f"pizza {n}", "tags": ["rare"] if n % 50 == 7 else []})
        for n in range(150)
    ]
    store.batch(ops)
    found = store.search(("n",), query="pizza", filter={"tags": ["rare"]}, limit=3)
    assert sorted(keys(found)) == ["107", "57", "7"]


# Namespaces


def test_list_namespaces(store: AgentMemStore) -> None:
    for path in ("a/b/c", "a/b/d/e", "a/b/d/i", "a/b/f", "a/c/f", "b"):
        store.put(tuple(path.split("/")), "k", {"text": path})
    assert store.list_namespaces(prefix=("a", "b"), max_depth=3) == [
        ("a", "b", "c"),
        ("a", "b", "d"),
        ("a", "b", "f"),
    ]
    assert store.list_namespaces(suffix=("f",)) == [("a", "b", "f"), ("a", "c", "f")]
    assert store.list_namespaces(prefix=("a", "*", "f")) == [("a", "b", "f"), ("a", "c", "f")]
    assert store.list_namespaces(suffix=("d", "*")) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    assert store.list_namespaces(prefix=("a", "c"), suffix=("c", "f")) == [("a", "c", "f")]
    assert store.list_namespaces(max_depth=1) == [("a",), ("b",)]
    assert store.list_namespaces(limit=1, offset=5) == [("b",)]
    store.delete(("b",), "k")
    assert store.list_namespaces(max_depth=1) == [("a",)]


# Batches


def test_a_batch_reads_before_it_writes(store: AgentMemStore) -> None:
    store.put(ANA, "k", {"n": 1})
    results = store.batch(
        [
            base.PutOp(ANA, "k", {"n": 2}),
            base.GetOp(ANA, "k"),
            base.PutOp(ANA, "k", {"n": 3}),
            base.PutOp(ANA, "new", {"n": 1}),
            base.PutOp(ANA, "new", None),
            base.ListNamespacesOp(),
            base.SearchOp(ANA),
        ]
    )
    assert results[0] is results[2] is None
    assert results[1].value == {"n": 1}
    assert results[5] == [ANA]
    assert keys(results[6]) == ["k"]
    assert store.get(ANA, "k").value == {"n": 3}
    assert store.get(ANA, "new") is None


def test_async_methods(store: AgentMemStore) -> None:
    async def session() -> None:
        await asyncio.gather(*(store.aput(ANA, str(n), {"text": f"word {n}"}) for n in range(5)))
        assert (await store.aget(ANA, "3")).value == {"text": "word 3"}
        found = await store.asearch(ANA, query="word", filter={"text": {"$ne": "word 1"}}, limit=9)
        assert sorted(keys(found)) == ["0", "2", "3", "4"]
        assert await store.alist_namespaces(prefix=("users",)) == [ANA]
        await store.adelete(ANA, "3")
        assert await store.aget(ANA, "3") is None

    asyncio.run(session())


def test_threads_that_put_one_key_leave_one_item(tmp_path: Path) -> None:
    with Memory(tmp_path / "s", model=tiny_model()) as memory:
        stores = [AgentMemStore(memory) for _ in range(2)]

        def put(n: int) -> None:
            stores[n % 2].put(ANA, "k", {"text": f"from {n}"})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, range(20)))
        assert len(list(memory.list())) == 1
        assert stores[0].get(ANA, "k").value in [{"text": f"from {n}"} for n in range(20)]


def test_of_two_processes_that_put_one_key_the_last_wins(
    store: AgentMemStore, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, raced = memory._store.add, []

    def race(*args: Any, **more: Any) -> Any:
        if not raced:  # another process looked for the key before this one wrote it
            raced.append(True)
            store.put(ANA, "k", {"text": "theirs"})
        return add(*args, **more)

    monkeypatch.setattr(memory._store, "add", race)
    store.put(ANA, "k", {"text": "mine"})
    assert [one.value for one in store.search(ANA)] == [{"text": "mine"}]
    assert [one.text for one in memory.list()] == ["mine"]


def test_a_put_looks_at_no_other_item(store: AgentMemStore, memory: Memory) -> None:
    store.batch([base.PutOp(("n",), str(n), {"text": f"text {n}"}) for n in range(50)])
    seen: list[tuple[str, Any]] = []
    engine = memory._store._database._engine

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        seen.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        store.put(("n",), "7", {"text": "another text"})
        store.get(("n",), "7")
        store.put(("n",), "new", {"text": "new"})
        store.delete(("n",), "8")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with memory._store._database.read() as connection:
        for statement, values in seen:
            if not statement.startswith(("SELECT", "WITH")):
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            scans = [row[3] for row in plan if re.match(r"SCAN (chunks|sources)\b", row[3])]
            # The count of chunks, which is kept beside every read of the store's state.
            assert scans == [] or "count(*)" in statement, statement


# A store beside other memories


def test_a_store_sees_only_its_items_and_its_scope(memory: Memory) -> None:
    ana, bo = (AgentMemStore(memory.scoped(user_id=user)) for user in ("ana", "bo"))
    memory.add("Ana's locker is 17.", user_id="ana")
    ana.put(("n",), "k", {"text": "Ana's locker is 17."})
    bo.put(("n",), "k", {"text": "Bo's locker is 88."})
    assert [one.value["text"] for one in ana.search((), query="locker")] == ["Ana's locker is 17."]
    ana.delete(("n",), "k")
    assert bo.get(("n",), "k") is not None
    assert len(memory.recall("locker")) == 2


def test_items_are_memories(store: AgentMemStore, memory: Memory) -> None:
    store.put(ANA, "k", {"text": "The boiler code is 7714."})
    hit = memory.recall("boiler code")[0]
    assert hit.text == "The boiler code is 7714."
    assert hit.metadata["langgraph_value"] == {"text": "The boiler code is 7714."}


# What is refused


@pytest.mark.parametrize("namespace", [(), ("",), ("a", ""), (1,), "users", ("langgraph", "x")])
def test_a_namespace_that_cannot_be_one(store: AgentMemStore, namespace: Any) -> None:
    with pytest.raises(NamespaceError) as caught:
        store.put(namespace, "k", {"text": "x"})
    assert isinstance(caught.value, base.InvalidNamespaceError)
    assert isinstance(caught.value, AgentMemError)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (base.PutOp(ANA, "", {"n": 1}), "key"),
        (base.PutOp(ANA, "k", {"n": {1}}), "'k'.*JSON"),
        (base.PutOp(ANA, "k", {"n": float("nan")}), "'k'.*JSON"),
        (base.PutOp(ANA, "k", {1: "n"}), "'k'.*not a string"),
        (base.PutOp(ANA, "k", ["n"]), "'k'.*mapping"),
        (base.PutOp(ANA, "k", {"n": "\ud800"}), "'k'"),
        (base.PutOp(ANA, "k\ud800", {"n": 1}), "surrogate"),
        (base.PutOp(ANA, "k", {"n": 1}, index="n"), "index"),
        (base.PutOp(ANA, "k", {"n": 1}, index=True), "index"),
        *((base.PutOp(ANA, "k", {"n": 1}, ttl=ttl), "the ttl of 'k'") for ttl in BAD_TTLS),
        (base.GetOp(("a", ""), "k"), "label"),
        (base.SearchOp(ANA, limit=-1), "limit"),
        (base.SearchOp(ANA, offset=-1), "offset"),
        (base.SearchOp(ANA, filter={"n": {"$like": 1}}), r"'\$like'.*\$lte"),
        (base.SearchOp(ANA, filter={"n": {"m": {"$like": 1}}}), r"'\$like'"),
        (base.SearchOp(ANA, filter={"n": {"$gt": None}}), r"\$gt"),
        (base.SearchOp(ANA, filter=["n"]), "mapping"),
        (base.ListNamespacesOp(max_depth=0), "max_depth"),
        (base.ListNamespacesOp((base.MatchCondition("infix", ("a",)),)), "infix"),
        ("get", "unknown operation"),
    ],
)
def test_a_wrong_operation_fails_before_any_work(
    store: AgentMemStore, wrong: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        store.batch([base.PutOp(ANA, "other", {"text": "x"}), wrong])
    assert store.search(()) == []


# Time to live


@pytest.fixture
def expiring(clock: Clock) -> Iterator[AgentMemStore]:
    with Memory(":memory:", model=tiny_model(), clock=clock) as opened:
        yield AgentMemStore(opened)


def seen(store: AgentMemStore) -> set[str]:
    """The keys in each kind of result, which are the same."""
    found = {one.key for one in store.search((), limit=99, refresh_ttl=False)}
    assert found == {one.key for one in store.search((), query="text", limit=99, refresh_ttl=False)}
    assert found == {key for key in "abcd" if store.get(("n",), key, refresh_ttl=False)}
    assert bool(found) == bool(store.list_namespaces())
    return found


def test_an_item_whose_time_is_over_is_in_no_result(expiring: AgentMemStore, clock: Clock) -> None:
    expiring.put(("n",), "a", {"text": "text a"}, ttl=5)
    expiring.put(("n",), "b", {"text": "text b"}, ttl=0.5)
    expiring.put(("n",), "c", {"text": "text c"}, index=False, ttl=5)
    expiring.put(("n",), "d", {"text": "text d"})
    for minutes, left in ((0.4, "abcd"), (0.2, "acd"), (4.3, "acd"), (0.2, "d"), (9999, "d")):
        clock.now += timedelta(minutes=minutes)
        assert seen(expiring) == set(left)
    assert expiring.sweep_ttl() == 3
    assert expiring.sweep_ttl() == 0


@pytest.mark.parametrize(
    "read",
    [
        lambda store, refresh: store.get(("n",), "a", refresh_ttl=refresh),
        lambda store, refresh: store.search(("n",), refresh_ttl=refresh),
        lambda store, refresh: store.search(("n",), query="text", refresh_ttl=refresh),
    ],
    ids=["get", "search", "query"],
)
def test_its_time_begins_anew_when_it_is_read(
    expiring: AgentMemStore, clock: Clock, read: Any
) -> None:
    expiring.put(("n",), "a", {"text": "text a"}, ttl=5)
    updated = expiring.get(("n",), "a").updated_at
    for _ in range(3):
        clock.now += timedelta(minutes=4)
        assert read(expiring, None)
    clock.now += timedelta(minutes=4)
    found = read(expiring, False)
    assert found
    assert (found[0] if isinstance(found, list) else found).updated_at == updated
    clock.now += timedelta(minutes=1)
    assert not read(expiring, None)


def test_only_what_is_returned_lives_longer(expiring: AgentMemStore, clock: Clock) -> None:
    for key in "abcd":
        expiring.put(("n",), key, {"text": "text"}, ttl=5)
    clock.now += timedelta(minutes=4)
    first = {one.key for one in expiring.search(("n",), limit=1, offset=1)}
    clock.now += timedelta(minutes=2)
    assert seen(expiring) == first


def test_a_put_without_a_ttl_has_none(expiring: AgentMemStore, clock: Clock) -> None:
    expiring.put(("n",), "a", {"text": "text"}, ttl=5)
    expiring.put(("n",), "a", {"text": "text"})
    clock.now += timedelta(days=99)
    assert seen(expiring) == {"a"}
    expiring.put(("n",), "a", {"text": "text"}, ttl=5)
    clock.now += timedelta(minutes=5)
    assert seen(expiring) == set()
    # The key is free again, for a new item.
    expiring.put(("n",), "a", {"text": "text"})
    assert expiring.get(("n",), "a").created_at == clock.now


def test_one_batch_has_items_of_several_lives(expiring: AgentMemStore, clock: Clock) -> None:
    lives = {"a": 1, "b": 2, "c": None, "d": 1}
    expiring.batch(
        [base.PutOp(("n",), key, {"text": "text"}, ttl=ttl) for key, ttl in lives.items()]
    )
    clock.now += timedelta(minutes=1)
    assert seen(expiring) == {"b", "c"}


def test_the_settings_of_a_store(clock: Clock) -> None:
    with Memory(":memory:", model=tiny_model(), clock=clock) as memory:
        store = AgentMemStore(memory, ttl={"default_ttl": 5, "refresh_on_read": False})
        store.put(("n",), "a", {"text": "text"})
        store.put(("n",), "b", {"text": "text"}, ttl=None)
        clock.now += timedelta(minutes=4)
        assert store.get(("n",), "a") is not None
        clock.now += timedelta(minutes=1)
        assert seen(store) == {"b"}
        for wrong, message in (
            ({"sweep_interval_minutes": 5}, "sweep_ttl"),
            ({"omit_expired": False}, "always omitted"),
            ({"default_ttl": 0}, "above 0"),
        ):
            with pytest.raises(InputError, match=message):
                AgentMemStore(memory, ttl=wrong)


def test_async_time_to_live(expiring: AgentMemStore, clock: Clock) -> None:
    async def session() -> None:
        await expiring.aput(("n",), "a", {"text": "text"}, ttl=5)
        clock.now += timedelta(minutes=4)
        assert await expiring.aget(("n",), "a")
        clock.now += timedelta(minutes=4)
        assert await expiring.asearch(("n",), refresh_ttl=False)
        clock.now += timedelta(minutes=1)
        assert await expiring.aget(("n",), "a") is None
        assert await expiring.asweep_ttl() == 1

    asyncio.run(session())


def test_other_ids_of_the_memory_are_no_items(store: AgentMemStore, memory: Memory) -> None:
    memory.add("text", id="n/k")
    memory.add("text", id="langgraphy:n/k")
    store.put(("n",), "k", {"text": "text"})
    assert len(store.search((), query="text")) == len(store.search(())) == 1
    store.delete(("n",), "k")
    assert memory.count() == 2


def test_a_memory_of_several_scopes(memory: Memory) -> None:
    """What is put last counts; a deletion takes all that a get may find."""
    ana, all_ = AgentMemStore(memory.scoped(user_id="ana")), AgentMemStore(memory)
    ana.put(("n",), "k", {"text": "Ana's"})
    assert all_.get(("n",), "k").value == {"text": "Ana's"}
    all_.put(("n",), "k", {"text": "everybody's"})
    assert all_.get(("n",), "k").value == {"text": "everybody's"}
    assert ana.get(("n",), "k").value == {"text": "Ana's"}
    all_.delete(("n",), "k")
    assert all_.get(("n",), "k") is ana.get(("n",), "k") is None


def test_filter_errors_are_filter_errors(store: AgentMemStore) -> None:
    with pytest.raises(FilterError):
        store.search(ANA, filter={"n": {"$like": 1}})
    with pytest.raises(InputError, match="delete"):
        store.put(ANA, "k", None)  # type: ignore[arg-type]


# A graph


class State(TypedDict):
    text: str
    answer: str


def test_a_graph_remembers_from_one_thread_to_the_next(store: AgentMemStore) -> None:
    graphs = pytest.importorskip("langgraph.graph")
    runtimes = pytest.importorskip("langgraph.runtime")

    def respond(state: State, runtime: Any) -> dict[str, str]:
        found = runtime.store.search(ANA, query=state["text"], limit=1)
        runtime.store.put(ANA, str(len(state["text"])), {"text": state["text"]})
        return {"answer": found[0].value["text"] if found else "I do not know."}

    respond.__annotations__["runtime"] = runtimes.Runtime
    builder = graphs.StateGraph(State)
    builder.add_node("respond", respond)
    builder.add_edge(graphs.START, "respond")
    graph = builder.compile(store=store)
    assert graph.invoke({"text": "The boiler code is 7714."})["answer"] == "I do not know."
    again = asyncio.run(graph.ainvoke({"text": "boiler code?"}))
    assert again["answer"] == "The boiler code is 7714."
