"""What a process keeps of statements that it has run: nothing of what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, create_engine, literal, select

from agentmem import Memory
from agentmem_storage.sql.connection import statements

_SECRETS = ("ana", "+49 151 2345678", "Lisbon", "4915123456789")


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", execution_options=statements.cached())
    yield engine
    engine.dispose()


def kept_by(engine: Engine) -> list[Any]:
    """The values that an engine keeps with its statements."""
    cache = engine.get_execution_options()["compiled_cache"]
    return [bound.value for one in cache.values() for bound in one.binds.values()]


@pytest.mark.parametrize(
    "value",
    ["a secret", "12345", "[4915123456789]", b"bytes", 4915123456789, -(2**40), 1.5e12, "[1, 2"],
)
def test_a_value_that_may_be_of_a_memory_is_dropped(engine: Engine, value: Any) -> None:
    with engine.connect() as connection:
        assert connection.scalar(select(literal(value))) == value
        assert value in kept_by(engine)
        statements.drop_quoting(engine)
        assert value not in kept_by(engine)
        assert connection.scalar(select(literal(value))) == value


@pytest.mark.parametrize("value", ["[1, 22, 333]", "[]", "", "document", 12, 0.5, True])
def test_ids_and_words_of_statements_stay(engine: Engine, value: Any) -> None:
    with engine.connect() as connection:
        connection.scalar(select(literal(value)))
        statements.drop_quoting(engine)
        assert value in kept_by(engine)


def test_a_parameter_is_not_kept(engine: Engine) -> None:
    query = select(bindparam("given"))
    with engine.connect() as connection:
        for value in _SECRETS:
            assert connection.scalar(query, {"given": value}) == value
    assert not set(_SECRETS) & set(kept_by(engine))


def test_nothing_is_kept_of_what_was_forgotten(memory: Memory) -> None:
    ana, phone, city, number = _SECRETS
    said = {"role": "user", "content": f"I moved to {city}", "name": ana}
    memory.add([said], user_id=ana, id=phone, metadata={"phone": phone, "number": int(number)})
    memory.recall(city, user_id=ana, where={"phone": phone, "number": int(number)})
    memory.update(next(iter(memory.list())).source.id, metadata={"city": city})
    memory.forget(user_id=ana)
    kept = " ".join(map(str, kept_by(memory._store._database._engine)))
    assert not [one for one in _SECRETS if one in kept]
