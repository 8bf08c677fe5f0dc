"""Every store and archive that a release wrote opens, with what it held, word by word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.errors import IncompatibleModelError
from tests.support.released import archive, contents, expected, names, unpack


@pytest.fixture(params=names())
def released(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def memory(released: str, tmp_path: Path) -> Iterator[Memory]:
    folder = unpack(released, tmp_path / "store")
    try:
        opened = Memory(folder, create=False)
    except IncompatibleModelError:
        # The package comes with another embedder since then.
        assert Memory.migrate(folder).changed == "embeddings"
        opened = Memory(folder, create=False)
    with opened as memory:
        yield memory


def known(now: list[dict[str, Any]], then: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of what is known now, what was known then: later releases may say more."""
    return [
        {name: value for name, value in one.items() if name in other}
        for one, other in zip(now, then, strict=True)
    ]


def test_there_are_some() -> None:
    assert names()


def test_it_holds_what_it_held(memory: Memory, released: str) -> None:
    then, now = expected(released), contents(memory)
    assert known(now["memories"], then["memories"]) == then["memories"]
    # What was not kept then is empty now.
    for name in ("histories", "audit"):
        assert now[name] == then.get(name, [])
    for query, text in then["found"].items():
        assert text in [hit.text for hit in memory.recall(query, k=3)]
    assert memory.verify().ok


def test_it_takes_new_memories_knows_its_own_and_forgets(
    memory: Memory, released: str, tmp_path: Path
) -> None:
    then = expected(released)
    door = next(one for one in then["memories"] if one["external_id"] == "door")
    again = memory.add(
        door["text"], user_id="bob", id="door", created_at=door["created_at"], ttl=None
    )
    assert again.ids == (door["id"],)
    (new,) = memory.add("zanzibar quartz", user_id="bob").ids
    assert memory.recall("zanzibar", user_id="bob", mode="lexical")[0].id == new
    assert memory.forget(user_id="bob").purged
    files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    for word in (b"zanzibar", b"7714", "ﬁn de siècle".encode()):
        assert not [file.name for file in files if word in file.read_bytes()]
    assert memory.verify().ok


def test_its_archive_is_loaded(released: str, tmp_path: Path) -> None:
    then = expected(released)
    with Memory(tmp_path / "new") as memory:
        memory.load(archive(released))
        fields = ("text", "user_id", "agent_id", "session_id", "metadata", "created_at", "title")
        found = [{name: one.to_dict()[name] for name in fields} for one in memory.list()]
        wanted = [{name: one[name] for name in fields} for one in then["memories"]]
        assert found == wanted
        assert memory.verify().ok
