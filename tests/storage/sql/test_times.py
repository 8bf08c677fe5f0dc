"""Times in queries over the whole store: an index finds them, whatever is asked beside them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from agentmem_storage.records import Scope, Selection
from agentmem_storage.sql.where.selection import selected
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from agentmem_storage.testing.sources import NOON

ANA = Scope("ana")
DAY = timedelta(days=1)
# Far from UTC, where days begin at another hour than dates do.
FAR = datetime(2024, 3, 1, tzinfo=timezone(timedelta(hours=13)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("times")
    with Store.open(folder / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        for number in range(10):
            source = make_source(f"text {number}", created_at=NOON + number * DAY)
            store.add([source], Scope("ana" if number % 2 else "ben"))
        yield store


def plan(store: Store, selection: Selection) -> list[str]:
    """How SQLite finds what is selected."""
    query = selected(selection, now=None)
    with store._database.read() as connection:
        compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
        return [row[3] for row in rows]


@pytest.mark.parametrize(
    ("selection", "bounds"),
    [
        (Selection(since=NOON), "created_at>?"),
        (Selection(until=NOON), "created_at<?"),
        (Selection(since=NOON, until=NOON + DAY), "created_at>? AND created_at<?"),
        (Selection(days=(FAR, None)), "created_at>?"),
        (Selection(days=(None, FAR)), "created_at<?"),
        (Selection(days=(FAR, FAR + DAY)), "created_at>? AND created_at<?"),
        (Selection(where={"created_at": {"gte": "2024-03-01"}}), "created_at>?"),
        (Selection(where={"created_at": {"lt": "2024-03-01"}}), "created_at<?"),
    ],
    ids=["since", "until", "both", "from a day", "to a day", "days", "gte", "lt"],
)
def test_an_index_finds_times_of_everybody(store: Store, selection: Selection, bounds: str) -> None:
    steps = plan(store, selection)
    assert any(f"sources_by_time ({bounds})" in step for step in steps), steps
    assert not any(step.startswith("SCAN chunks") for step in steps), steps


@pytest.mark.parametrize(
    "selection",
    [
        Selection(ANA, since=NOON),
        Selection(ANA, days=(FAR, FAR + DAY)),
        Selection(ids=(1,), since=NOON),
    ],
    ids=["since", "days", "ids"],
)
def test_times_within_a_scope_do_not_lead_through_the_whole_store(
    store: Store, selection: Selection
) -> None:
    steps = plan(store, selection)
    assert not any("sources_by_time" in step for step in steps), steps


def test_what_is_found_is_what_was_said_then(store: Store) -> None:
    since = Selection(since=NOON + 3 * DAY, until=NOON + 5 * DAY)
    assert store.ids(since).tolist() == [4, 5]
    assert store.ids(Selection(ANA, since=NOON + 3 * DAY)).tolist() == [4, 6, 8, 10]
    # Noon in UTC is the next day, one hour old, that far to the east.
    assert store.ids(Selection(days=(FAR, FAR + DAY))).tolist() == [1]
