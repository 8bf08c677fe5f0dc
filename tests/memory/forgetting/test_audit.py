"""The audit log, the dossier of a person, and certificates of what was forgotten."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from agentmem import ANY, AsyncMemory, Document, Memory
from agentmem.certificates import check_certificate
from agentmem.errors import CorruptRecordError, InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_bundle

NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


class Clock:
    """A time that goes on a little whenever it is asked for."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audited(place: Path, model: ModelBundle, clock: Clock) -> Iterator[Memory]:
    with Memory(place, model=model, audit=True, clock=clock) as memory:
        yield memory


def ops(memory: Memory, **scope: Any) -> list[tuple[str, str | None, tuple[int, ...]]]:
    return [(line.op, line.scope.user_id, line.ids) for line in memory.audit(**scope)]


def test_it_tells_what_was_done_to_whom_and_when(audited: Memory, clock: Clock) -> None:
    ids = audited.add(["one thing", "another thing"], user_id="ana").ids
    audited.add(["one thing", "another thing"], user_id="ana")  # known already
    audited.add("of another", user_id="bob", id="b1", ttl=1000)
    audited.add("of another, changed", user_id="bob", id="b1")
    (new,) = audited.update(ids[0], text="one other thing").ids
    audited.update(new, metadata={"n": 1})
    audited.update(new, metadata={"n": 1})  # changes nothing
    book = audited.add(Document("A long book. " * 200), agent_id="reader").ids
    audited.forget([book[1]])
    audited.forget(user_id="ana")
    (short,) = audited.add("for a moment", user_id="eve", ttl=60).ids
    clock.now += timedelta(seconds=61)
    audited.gc()
    assert ops(audited) == [
        ("began", None, ()),
        ("added", "ana", (ids[0],)),
        ("added", "ana", (ids[1],)),
        ("added", "bob", (3,)),
        ("changed", "bob", (4,)),
        ("changed", "ana", (new,)),
        ("changed", "ana", (new,)),
        ("added", None, book),
        ("forgotten", None, (book[1],)),
        ("forgotten", "ana", (new,)),
        ("forgotten", "ana", (ids[1],)),
        ("added", "eve", (short,)),
        ("erased", "eve", (short,)),
    ]
    assert [op for op, *_ in ops(audited, user_id="bob")] == ["added", "changed"]
    assert [op for op, *_ in ops(audited.scoped(user_id="eve"))] == ["added", "erased"]
    times = [line.at for line in audited.audit()]
    assert times == sorted(times)
    assert [line.id for line in audited.audit(since=times[-1])] == [len(times)]
    assert audited.audit(until=times[0]) == ()
    assert audited.verify().ok


def test_it_is_kept_by_every_process_until_it_ends(
    audited: Memory, place: Path, model: ModelBundle
) -> None:
    with Memory(place, model=model) as other:
        other.add("said elsewhere", user_id="ana")
    audited.backup(place.parent / "copy")
    with Memory(place, model=model, audit=False) as other:
        other.add("not noted", user_id="ana")
    audited.add("nor this", user_id="ana")
    assert [op for op, *_ in ops(audited)] == ["began", "added", "ended"]
    with Memory(place.parent / "copy", model=model) as copy:
        copy.add("noted", user_id="ana")
        assert [op for op, *_ in ops(copy)] == ["began", "added", "added"]


def test_without_one_the_way_out_is_named(memory: Memory) -> None:
    memory.add("something", user_id="ana")
    with pytest.raises(InputError, match="audit=True"):
        memory.audit()
    assert memory.dossier(user_id="ana").audit is None


def test_loaded_memories_and_those_in_quarantine_are_noted(
    audited: Memory, place: Path, model: ModelBundle, tmp_path: Path
) -> None:
    with Memory(":memory:", model=model) as other:
        other.add(["loaded", "loaded too"], user_id="ana")
        made = other.export(tmp_path / "a.amem")
    audited.load(made.path)
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id = 2")
    audited.repair()
    assert ops(audited)[1:] == [
        ("added", "ana", (1,)),
        ("added", "ana", (2,)),
        ("quarantine", "ana", (2,)),
    ]
    audited.forget(user_id="ana")
    assert ops(audited)[-1] == ("forgotten", "ana", (1,))


def test_nothing_of_the_text_is_in_it(audited: Memory, place: Path) -> None:
    audited.add("xylophone quartz", user_id="ana", metadata={"m": "zanzibar"})
    audited.forget(user_id="ana")
    content = b"".join(one.read_bytes() for one in place.rglob("*") if one.is_file())
    assert not any(word in content for word in (b"xylophon", b"quartz", b"zanzibar"))
    assert b"ana" in content


def test_an_altered_line_is_found_and_named(audited: Memory, place: Path) -> None:
    audited.add("one thing", user_id="ana")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE audit SET user_id = 'bob' WHERE id = 2")
    assert "'audit'" in str(audited.verify().damage)
    with pytest.raises(CorruptRecordError, match="line 2"):
        audited.audit()
    assert audited.repair().ok
    assert [op for op, *_ in ops(audited)] == ["began", "damaged"]


def test_a_dossier_has_everything(audited: Memory, clock: Clock, tmp_path: Path) -> None:
    said = {"role": "user", "name": "Ana", "content": "I live in Paris", "metadata": {"n": [1]}}
    (old,) = audited.add(said, user_id="ana", session_id="s", id="home").ids
    (new,) = audited.add("I moved to Rome", user_id="ana", session_id="s").ids
    audited.supersede(old, new)
    text = "A long book. " * 200
    audited.add(Document(text, title="Book", uri="file:b"), user_id="ana")
    audited.add("expired", user_id="ana", ttl=60)
    clock.now += timedelta(seconds=61)
    audited.forget(audited.add("a secret", user_id="ana").ids)
    audited.add("of another", user_id="bob")
    made = audited.dossier(user_id="ana")
    found = made.to_dict()
    first, second, book, expired = found["sources"]
    assert first["text"] == "I live in Paris"
    assert (first["external_id"], first["name"], first["metadata"]) == ("home", "Ana", {"n": [1]})
    assert [one["source"] for one in first["superseded_by"]] == [second["id"]]
    assert [one["source"] for one in second["supersedes"]] == [first["id"]]
    assert (book["text"], book["title"], book["uri"]) == (text, "Book", "file:b")
    assert len(book["memories"]) > 1
    assert expired["text"] == "expired"
    assert (made.memories, found["forgotten_places"]) == (3 + len(book["memories"]), 1)
    assert [line["op"] for line in found["audit"]] == ["added"] * 5 + ["forgotten"]
    assert "bob" not in json.dumps(found)
    assert "a secret" not in json.dumps(found)
    saved = made.save(tmp_path / "ana.json")
    assert json.loads(saved.read_text(encoding="utf-8")) == found
    assert saved.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="exists already"):
        made.save(saved)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key, and its public one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    key = Ed25519PrivateKey.generate()
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, plain))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, form))
    return private, public


def test_a_certificate_says_what_was_forgotten(memory: Memory, tmp_path: Path) -> None:
    ids = memory.add(["one secret", "two secrets"], user_id="ana").ids
    path = tmp_path / "gone.json"
    done = memory.forget(user_id="ana", before="2100-01-01", certificate=path)
    found = check_certificate(path)
    assert found["ids"] == list(done.ids) == list(ids)
    assert (found["memories"], found["sources"], found["purged"]) == (2, 2, True)
    assert found["asked"] == {"user_id": "ana", "before": "2100-01-01T00:00:00+00:00"}
    assert found["signature"] is None
    assert datetime.fromisoformat(found["began_at"]) <= datetime.fromisoformat(found["ended_at"])
    assert "secret" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_altered_certificate_is_refused(
    memory: Memory, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    private, public = keys
    (id,) = memory.add("one secret", user_id="ana", id="x").ids
    path = tmp_path / "gone.json"
    memory.forget(iter(["x"]), user_id="ana", certificate=path, signing_key=private)
    found = check_certificate(path, public_key=public)
    assert (found["ids"], found["asked"]) == ([id], {"user_id": "ana", "ids": ["x"]})
    whole = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {"memories": 2},
        {"purged": False},
        {"asked": {}},
        {"certificate": "another"},
        {"signature": {}},
        {"signature": {**whole["signature"], "value": "00" * 64}},
        {"signature": {**whole["signature"], "public_key": "00" * 32}},
        {"sha256": None},
        {"more": 1},
    ]
    for change in changes:
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(InputError):
            check_certificate(path)
    path.write_text(json.dumps({**whole, "signature": None}))
    assert check_certificate(path)["signature"] is None
    with pytest.raises(InputError, match="not signed"):
        check_certificate(path, public_key=public)
    for text in ("", "[]", "{", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")):
        path.write_text(text)
        with pytest.raises(InputError, match="not a certificate"):
            check_certificate(path)


def test_a_certificate_of_another_key_is_refused(
    memory: Memory, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    memory.add("one secret", user_id="ana")
    memory.forget(user_id="ana", certificate=tmp_path / "c.json", signing_key=keys[0])
    other = tmp_path / "other.pem"
    other.write_bytes(
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(InputError, match="another key"):
        check_certificate(tmp_path / "c.json", public_key=other)
    with pytest.raises(InputError, match="public key"):
        check_certificate(tmp_path / "c.json", public_key=keys[0])


def test_what_cannot_be_certified_is_not_forgotten(
    memory: Memory, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    (id,) = memory.add("one secret", user_id="ana").ids
    taken, new = tmp_path / "taken", tmp_path / "new.json"
    taken.write_text("mine")
    wrong: list[dict[str, Any]] = [
        {"certificate": taken},
        {"certificate": tmp_path / "no" / "folder.json"},
        {"certificate": new, "signing_key": keys[1]},
        {"certificate": new, "signing_key": tmp_path / "none.pem"},
        {"certificate": new, "dry_run": True},
        {"signing_key": keys[0]},
    ]
    for options in wrong:
        with pytest.raises(InputError):
            memory.forget(user_id="ana", **options)
    with pytest.raises(UnknownIdError):
        memory.forget([id + 1], certificate=new)
    for ids in (b"\1", [1.5], [None], 1):
        with pytest.raises(TypeError):
            memory.forget(ids, certificate=new)  # type: ignore[arg-type]
    assert memory.get(id).text == "one secret"
    assert taken.read_text() == "mine"
    assert not new.exists()


async def _asynchronously(place: Path, model: ModelBundle) -> list[str]:
    async with AsyncMemory(place, model=model, audit=True) as memory:
        await memory.add("something", user_id="ana")
        made = await memory.dossier(user_id="ana")
        assert [source["text"] for source in made.to_dict()["sources"]] == ["something"]
        return [line.op for line in await memory.audit(user_id=ANY)]


def test_asynchronously(place: Path, model: ModelBundle) -> None:
    import asyncio

    assert asyncio.run(_asynchronously(place, model)) == ["began", "added"]


def test_one_that_is_sent_elsewhere_does_not_begin_it_again(place: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with Memory(place, model=bundle, audit=True) as memory:
        sent = pickle.dumps(memory)
        Memory(place, model=bundle, audit=False).close()
        with pickle.loads(sent) as again:
            assert [op for op, *_ in ops(again)] == ["began", "ended"]


def test_a_certificate_says_what_was_asked_for_in_any_types(memory: Memory, tmp_path: Path) -> None:
    memory.add("of the year 2000", created_at="2000-01-01", metadata={"year": 3})
    filters: list[tuple[Any, Any]] = [
        ({"year": np.int64(3)}, {"year": 3}),
        ({"year": {"lt": np.float32(1.5)}}, {"year": {"lt": 1.5}}),
        ({"ok": np.True_}, {"ok": True}),
        ({"year": {"in": {4}}}, {"year": {"in": [4]}}),
        ({"year": {"in": (np.int8(4),)}}, {"year": {"in": [4]}}),
        (MappingProxyType({"year": 3}), {"year": 3}),
        (
            {"created_at": {"lt": datetime(2001, 1, 1, tzinfo=UTC)}},
            {"created_at": {"lt": "2001-01-01T00:00:00+00:00"}},
        ),
        ({"created_at": {"lt": date(2001, 1, 1)}}, {"created_at": {"lt": "2001-01-01"}}),
    ]
    for number, (where, asked) in enumerate(filters):
        path = tmp_path / f"{number}.json"
        memory.forget(where=where, certificate=path)
        assert check_certificate(path)["asked"] == {"where": asked}
    assert check_certificate(tmp_path / "0.json")["memories"] == 1
