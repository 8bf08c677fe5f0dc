"""`Memory.forget`: selectors, ids, and no trace left in any file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Document, Memory, Message
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.sql.schema.codec import HEADER_BYTES
from tests.support.archives import stream

Unchanged = Callable[[Memory], AbstractContextManager[None]]

DAY = datetime(2026, 5, 1, tzinfo=UTC)
SECRET = "Xylophon Quartz Zyklon, sagte Brünhilde"


def raw(place: Path) -> bytes:
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


def traces(place: Path, id: int) -> dict[str, bytes]:
    """What a chunk's row holds of its text, and what else is made of it."""
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        latents, key, patch = connection.execute(
            "SELECT latents, key, patch FROM chunks WHERE id = ?", (id,)
        ).fetchone()
    return {
        "latents": latents[HEADER_BYTES:],
        "key": key[HEADER_BYTES:],
        "patch": patch,
    }


@pytest.mark.parametrize("keep", [False, True], ids=["text not kept", "text kept"])
def test_no_byte_is_left_in_any_file(place: Path, forgetful_model: ModelBundle, keep: bool) -> None:
    with Memory(place, model=forgetful_model, keep_text=keep) as memory:
        memory.add([f"other memory {n}" for n in range(60)], user_id="bob")
        said = Message(SECRET, name="Kriemhild", metadata={"court": "Burgundenhof"})
        (id,) = memory.add(said, user_id="siegfried").ids
        memory.add([f"later memory {n}" for n in range(60)], user_id="bob")
        found = traces(place, id)
        words = [
            b"xylophon",
            b"quartz",
            b"zyklon",
            b"brunhild",
            b"kriemhild",
            b"burgundenhof",
            b"siegfr",
        ]
        memory.reindex()  # writes the index cache
        assert found["key"] in raw(place / "index")
        before = raw(place)
        assert {name: part in before for name, part in found.items()} == dict.fromkeys(found, True)
        # The terms of the lexical index begin where they differ from the one before.
        assert all(word[2:] in before.lower() for word in words)

        receipt = memory.forget([id])

        assert (receipt.ids, receipt.sources, receipt.purged) == ((id,), 1, True)
        after = raw(place)
        assert {name: part in after for name, part in found.items()} == dict.fromkeys(found, False)
        assert not any(word[2:] in after.lower() for word in words)
        assert memory.recall("Xylophon", mode="lexical").hits == ()
        assert id not in {hit.id for hit in memory.recall(SECRET, k=200)}
        assert memory.verify().ok
        assert memory.stats().memories == 120
    after = raw(place)
    assert {name: part in after for name, part in found.items()} == dict.fromkeys(found, False)
    assert not any(word[2:] in after.lower() for word in words)


def test_no_byte_is_in_a_later_backup_or_export(
    place: Path, tmp_path: Path, forgetful_model: ModelBundle
) -> None:
    with Memory(place, model=forgetful_model, keep_text=True) as memory:
        memory.add([f"other memory {n}" for n in range(20)], user_id="bob")
        said = Message(SECRET, name="Kriemhild", metadata={"court": "Burgundenhof"})
        (id,) = memory.add(said, user_id="siegfried", id="nibelungen-1").ids
        found = traces(place, id)
        words = (
            SECRET.encode(),
            b"Kriemhild",
            b"Burgundenhof",
            b"siegfried",
            b"nibelungen",
            b"zyklon",
        )

        def leftover(content: bytes) -> list[Any]:
            return [one for one in (*words, *found.values()) if one in content]

        whole = stream(memory.export(tmp_path / "all.amem").path)
        assert found["latents"] in whole
        for number, without in enumerate(
            ({"user_id": "siegfried"}, {"id": id}, {"name": "Kriemhild"})
        ):
            part = memory.export(tmp_path / f"part-{number}.amem", without=without)
            assert part.sources == 20
            assert leftover(stream(part.path)) == []
        memory.forget(user_id="siegfried")
        assert leftover(stream(memory.export(tmp_path / "later.amem").path)) == []
        memory.backup(tmp_path / "backup")
        assert leftover(raw(tmp_path / "backup")) == []


@pytest.fixture
def talk(memory: Memory) -> Memory:
    """Six chunks: user a has 1 to 3, user b 4 to 6; a day apart each, by turns of two channels."""
    for number in range(6):
        memory.add(
            f"memory {number + 1}",
            user_id="ab"[number // 3],
            session_id=f"s{number % 3}",
            created_at=DAY + timedelta(days=number),
            metadata={"channel": ("web", "phone")[number % 2]},
        )
    return memory


@pytest.mark.parametrize(
    ("selector", "gone"),
    [
        ({"ids": [2, 5]}, [2, 5]),
        ({"ids": [6, 6, 1]}, [1, 6]),
        ({"ids": np.array([3])}, [3]),
        ({"ids": []}, []),
        ({"user_id": "a"}, [1, 2, 3]),
        ({"session_id": "s0"}, [1, 4]),
        ({"user_id": "b", "session_id": "s2"}, [6]),
        ({"user_id": "nobody"}, []),
        ({"where": {"channel": "web"}}, [1, 3, 5]),
        ({"before": DAY + timedelta(days=2)}, [1, 2]),
        ({"before": "2026-05-03"}, [1, 2]),
        ({"user_id": "b", "where": {"channel": "web"}, "before": "2030-01-01"}, [5]),
        ({"ids": [1, 2, 3], "where": {"channel": "web"}}, [1, 3]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_all_that_is_given_must_hold(
    talk: Memory, unchanged: Unchanged, selector: dict[str, Any], gone: list[int]
) -> None:
    with unchanged(talk):
        tried = talk.forget(**selector, dry_run=True)
    assert (tried.ids, tried.dry_run) == (tuple(gone), True)
    assert not tried.purged
    done = talk.forget(**selector)
    assert (done.ids, done.sources, done.dry_run, done.purged) == (
        tuple(gone),
        len(gone),
        False,
        True,
    )
    left = [id for id in range(1, 7) if id not in gone]
    assert [chunk.id for chunk in talk.list()] == left
    assert {hit.id for hit in talk.recall("memory", k=9)} == set(left)
    assert talk.verify().ok
    for id in gone:
        with pytest.raises(UnknownIdError):
            talk.get(id)


@pytest.mark.parametrize("selector", [{}, {"dry_run": True}], ids=str)
def test_no_selector_is_refused(
    talk: Memory, unchanged: Unchanged, selector: dict[str, Any]
) -> None:
    with unchanged(talk), pytest.raises(InputError, match="needs a condition"):
        talk.forget(**selector)


@pytest.mark.parametrize(
    "more",
    [{}, {"dry_run": True}, {"before": "2030-01-01"}, {"where": {"channel": "web"}}],
    ids=str,
)
@pytest.mark.parametrize(
    ("ids", "scope"),
    [([1, 99], {}), ([0], {}), ([-1, 2], {}), ([1, 4], {"user_id": "a"})],
    ids=str,
)
def test_an_unknown_id_deletes_nothing(
    talk: Memory,
    unchanged: Unchanged,
    ids: list[int],
    scope: dict[str, Any],
    more: dict[str, Any],
) -> None:
    with unchanged(talk), pytest.raises(UnknownIdError, match="no memory of this scope has the id"):
        talk.forget(ids, **scope, **more)


@pytest.mark.parametrize("ids", [5, [1, "1"], [1.0], [None], "12"], ids=repr)
def test_ids_are_whole_numbers(talk: Memory, unchanged: Unchanged, ids: Any) -> None:
    with unchanged(talk), pytest.raises(TypeError):
        talk.forget(ids)


def test_a_forgotten_id_never_comes_back(talk: Memory) -> None:
    talk.forget(ids=[6])
    (new,) = talk.add("memory 6", user_id="b").ids
    assert new == 7


def test_what_was_forgotten_can_be_added_again(talk: Memory) -> None:
    talk.forget(user_id="a")
    receipt = talk.add("memory 1", user_id="a", session_id="s0", created_at=DAY)
    assert receipt.duplicates == ()
    assert talk.recall("memory 1", user_id="a")[0].id == receipt.ids[0]


def test_a_part_of_a_document(memory: Memory) -> None:
    text = "".join(f"Line {n} of the document.\n" for n in range(200))
    ids = memory.add(Document(text)).ids
    spans = {id: memory.get(id).span for id in ids}
    receipt = memory.forget(ids[1:3])
    assert (receipt.ids, receipt.sources) == (ids[1:3], 0)
    left = list(memory.list())
    assert [chunk.id for chunk in left] == [ids[0], *ids[3:]]
    assert all(chunk.text == text[slice(*spans[chunk.id])] for chunk in left)
    assert memory.verify().ok
    assert memory.forget([ids[0], *ids[3:]]).sources == 1
    stats = memory.stats()
    assert (stats.memories, stats.sources, stats.scopes) == (0, 0, 0)


def test_damaged_memories_can_be_forgotten(place: Path, talk: Memory) -> None:
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        connection.execute("UPDATE chunks SET latents = zeroblob(20) WHERE id IN (1, 2)")
        connection.execute("UPDATE sources SET metadata = 'x' WHERE id = 2")
        connection.commit()
    assert [damage.id for damage in talk.verify().damage] == [1, 2, 2]
    talk.forget(ids=[1])
    talk.forget(ids=[2])
    assert talk.verify().ok
    assert [chunk.text for chunk in talk.list()] == [f"memory {n}" for n in range(3, 7)]
    assert len(talk.recall("memory", mode="lexical")) == 4
    assert b"memory 1" not in raw(place)
