"""`Memory.export` and `Memory.load`: round trips, merging, scopes, encryption, interruptions."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Document, Memory
from agentmem.errors import (
    AgentMemError,
    ArchiveError,
    CorruptRecordError,
    FilterError,
    IncompatibleModelError,
    InputError,
    StoreUnwritableError,
)
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.text import with_embedder
from agentmem.testing import tiny_model
from agentmem_storage.archive.file import ArchiveReader, writing
from agentmem_storage.archive.records import ArchivedSource, write_source
from agentmem_storage.store import Store
from tests.support.archives import HEADER_BYTES, stream, write_stream

TALK = [
    {"role": "user", "content": "The code is 4711.", "metadata": {"n": [1, 2.5, "é", None]}},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "ok"},
    {"role": "user", "content": "ok"},
    {"role": "tool", "content": "21 degrees", "name": "weather", "tool_call_id": "c1"},
    {"role": "user", "content": "with an id", "id": "m1", "created_at": "2024-02-29T12:00:00Z"},
]
BOOK = Document("It was a dark and stormy night. " * 90, title="Storm", uri="book://1")


def fill(memory: Memory) -> None:
    """Sources of all kinds; one updated, one forgotten as a whole, and one in part."""
    talk = memory.add(TALK, user_id="ana", session_id="s1", created_at="2025-01-02T03:04:05Z")
    memory.add(TALK[2:4], user_id="ana", session_id="s2")
    memory.add("nobody's secret plan", metadata={"secret": True})
    gone = memory.add("this was forgotten", user_id="bob")
    book = memory.add(BOOK, user_id="bob", agent_id="helper")
    memory.update(talk.ids[1], text="Noted, and corrected.", metadata={"v": 2})
    memory.forget([*gone.ids, book.ids[2]])
    memory.add("The key is under the mat.", user_id="ana", id="key", expires_at="2099-01-01")


def everything(memory: Memory) -> list[Any]:
    """What a reader sees of a store, without ids."""
    return [
        (
            chunk.text,
            chunk.source.scope,
            chunk.source.kind,
            chunk.source.role,
            chunk.source.name,
            chunk.source.title,
            chunk.source.uri,
            chunk.source.created_at,
            chunk.source.added_at,
            chunk.source.metadata,
            chunk.source.external_id,
            chunk.source.expires_at,
            chunk.span,
            chunk.fidelity,
            chunk.latents.tolist(),
            chunk.embedding.tolist(),
            chunk.text_stored,
        )
        for chunk in memory.list()
    ]


@pytest.fixture
def opened(tmp_path: Path, model: ModelBundle) -> Callable[..., Memory]:
    """Another store."""

    def open(name: str = "other", **options: Any) -> Memory:
        return Memory(tmp_path / name, **{"model": model, **options})

    return open


def test_a_file_carries_everything(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    count = len(list(memory.list()))
    assert (made.memories, made.path) == (count, tmp_path / "all.amem")
    assert made.file_bytes == made.path.stat().st_size
    with opened() as other:
        loaded = other.load(made.path)
        assert (loaded.memories, loaded.sources, loaded.duplicates) == (count, made.sources, 0)
        assert not loaded.reembedded
        assert everything(other) == everything(memory)
        assert other.verify().ok
        ways: list[dict[str, Any]] = [{"mode": mode} for mode in ("hybrid", "vector", "lexical")]
        ways += [{"k": 1, "expand": expand} for expand in ("neighbors", "episode")]
        for way in ways:
            theirs, ours = (
                [hit.text for hit in one.recall("4711", user_id="ana", **way)]
                for one in (other, memory)
            )
            assert theirs == ours
        other.export(tmp_path / "again.amem")
    assert (tmp_path / "again.amem").read_bytes() == made.path.read_bytes()


def test_loading_twice_adds_nothing(
    memory: Memory,
    tmp_path: Path,
    opened: Callable[..., Memory],
    unchanged: Callable[[Memory], Any],
) -> None:
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    with opened() as other, unchanged(memory):
        other.load(made.path)
        for one in (memory, other):
            again = one.load(made.path)
            assert (again.memories, again.sources, again.duplicates) == (0, 0, made.sources)


def test_what_supersedes_what_is_carried(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    said = ("I live in Rome now", "I live in Oslo", "I live in Paris", "I like tea")
    rome, oslo, paris, tea = (memory.add(text, user_id="ana").ids[0] for text in said)
    memory.supersede(paris, oslo)
    memory.supersede(oslo, rome)
    made = memory.export(tmp_path / "all.amem")
    part = memory.export(tmp_path / "part.amem", without={"id": oslo})
    with opened() as other, opened("third") as third:
        for _ in range(2):
            other.load(made.path)
            (first, *_) = (chunk.id for chunk in other.list())
            found = [source.text for source in other.history(first)]
            assert found == ["I live in Paris", "I live in Oslo", "I live in Rome now"]
        other.export(tmp_path / "again.amem")
        assert (tmp_path / "again.amem").read_bytes() == made.path.read_bytes()
        # A link to what is left out is left out.
        third.load(part.path)
        assert all(len(third.history(chunk.id)) == 1 for chunk in third.list())
    # What the store says to the contrary stays.
    memory.supersede(oslo, rome, undo=True)
    memory.supersede(rome, oslo)
    memory.load(made.path)
    found = [source.text for source in memory.history(rome)]
    assert found.index("I live in Rome now") < found.index("I live in Oslo")
    assert tea in [chunk.id for chunk in memory.list()]


def test_external_ids_and_expiry_are_carried(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    """They were refused as damaged, because the hash of a content is one with its id."""
    memory.add("The code is 7714.", user_id="ana", id="door", expires_at="9999-01-01")
    memory.add("The code is 1234.", user_id="bob", id="door")
    memory.add(Document("A page. " * 200, title="Page"), user_id="bob", id="page")
    made = memory.export(tmp_path / "all.amem")
    with opened() as other:
        other.add("The code is 9999.", user_id="bob", id="door")
        for added in (2, 0):
            loaded = other.load(made.path)
            assert (loaded.sources, loaded.duplicates) == (added, 3 - added)
        door = other.get_source("door", user_id="ana")
        assert (door.text, str(door.expires_at)[:4]) == ("The code is 7714.", "9999")
        # What the store has under an id stays.
        assert other.get_source("door", user_id="bob").text == "The code is 9999."
        again = other.add("The code is 7714.", user_id="ana", id="door", expires_at="9999-01-01")
        assert again.duplicates == again.ids
        assert other.verify().ok


@pytest.mark.parametrize("id", [None, "door"])
def test_what_expired_in_the_file_too_is_added_once(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory], id: str | None
) -> None:
    memory.add("The code is 7714.", user_id="ana", id=id, ttl=3600)
    memory.add(Document("A page. " * 200, title="Page"), user_id="ana", ttl=3600)
    made = memory.export(tmp_path / "all.amem")
    later = datetime.now(UTC) + timedelta(hours=2)
    with opened(clock=lambda: later) as other:
        for added in (2, 0, 0):
            assert other.load(made.path).sources == added
        assert other.count() == 0
        # It is not there for those that have not expired.
        assert other.add("The code is 7714.", user_id="ana", id=id).duplicates == ()
        assert other.load(made.path).sources == 0
        assert len(other.gc().ids) > 1
        assert [chunk.text for chunk in other.list()] == ["The code is 7714."]
        assert other.verify().ok


def test_two_stores_become_one(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    with opened() as other:
        other.add(TALK, user_id="ana", session_id="s1", created_at="2025-01-02T03:04:05Z")
        other.add(BOOK, user_id="bob", agent_id="helper")
        other.add("only here", user_id="ana")
        had = other.stats().memories
        loaded = other.load(memory.export(tmp_path / "all.amem").path)
        texts = [chunk.text for chunk in other.list(user_id="ana", session_id="s1")]
        # What was updated in the other store is another message here; all else is the same.
        assert sorted(texts) == sorted([*(m["content"] for m in TALK), "Noted, and corrected."])
        assert len(list(other.list(where={"title": "Storm"}))) == len(
            other.add(BOOK, user_id="bob", agent_id="helper").duplicates
        )
        assert other.stats().memories == had + loaded.memories
        assert other.verify().ok


def test_the_store_keeps_what_it_was_changed_to(memory: Memory, tmp_path: Path) -> None:
    ids = memory.add(TALK, user_id="ana", session_id="s1").ids
    made = memory.export(tmp_path / "before.amem")
    memory.update(ids[0], text="The code is 4712.")
    memory.update(ids[1], metadata={"checked": True})
    assert memory.load(made.path).sources == 0
    assert "The code is 4711." not in [chunk.text for chunk in memory.list()]
    memory.forget([ids[2]])
    assert memory.load(made.path).sources == 1
    assert [chunk.text for chunk in memory.list()].count("ok") == 2


def test_what_was_forgotten_is_in_no_later_file(memory: Memory, tmp_path: Path) -> None:
    fill(memory)
    memory.add("xylophone quartz", user_id="ana", metadata={"who": "zanzibar"})
    found = memory.forget(where={"who": "zanzibar"})
    assert found.ids
    content = stream(memory.export(tmp_path / "all.amem").path)
    for word in (b"xylophone", b"zanzibar", b"this was forgotten"):
        assert word not in content


def test_a_file_has_what_was_chosen(memory: Memory, tmp_path: Path) -> None:
    fill(memory)

    def texts(**chosen: Any) -> list[str]:
        path = memory.export(tmp_path / f"{len(os.listdir(tmp_path))}.amem", **chosen).path
        with Memory(":memory:", model=memory._model) as other:
            other.load(path)
            return [chunk.text for chunk in other.list()]

    assert texts(user_id="ana", session_id="s2") == ["ok", "ok"]
    assert texts(where={"secret": True}) == ["nobody's secret plan"]
    assert texts(until="2024-03-01") == ["with an id"]
    assert "nobody's secret plan" not in texts(without={"user_id": None})
    everybody, but_ana = texts(), texts(without={"user_id": "ana"})
    assert but_ana == [text for text in everybody if text not in texts(user_id="ana")]
    # A document is written as a whole, or not at all.
    (chunk, *_) = memory.list(where={"title": "Storm"})
    assert len(texts(where={"id": chunk.id})) == len(list(memory.list(source_id=chunk.source.id)))
    assert "stormy" not in " ".join(texts(without={"id": chunk.id}))
    with pytest.raises(FilterError, match="unknown operator"):
        texts(without={"n": {"roughly": 3}})


def test_nothing_chosen_is_an_empty_file(memory: Memory, tmp_path: Path) -> None:
    made = memory.export(tmp_path / "none.amem", user_id="nobody")
    assert (made.memories, made.sources) == (0, 0)
    assert memory.load(made.path).sources == 0


def test_a_scoped_handle_keeps_to_its_scope(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    ana = memory.scoped(user_id="ana")
    own = ana.export(tmp_path / "ana.amem")
    whole = memory.export(tmp_path / "all.amem")
    with opened() as other:
        bound = other.scoped(user_id="ana")
        with pytest.raises(InputError, match="bound to user_id='ana'"):
            bound.load(whole.path)
        assert other.stats().memories == 0
        assert bound.load(own.path).sources == own.sources < whole.sources
    with opened("strict", require=("user_id",)) as strict:
        with pytest.raises(InputError, match="require"):
            strict.load(whole.path)
        assert strict.load(own.path).sources == own.sources


def test_texts_that_are_kept_are_kept(tmp_path: Path, opened: Callable[..., Memory]) -> None:
    with opened("kept", keep_text=True) as kept, opened() as other:
        kept.add(TALK)
        made = kept.export(tmp_path / "kept.amem")
        other.load(made.path)
        assert everything(other) == everything(kept)
        assert all(chunk.text_stored for chunk in other.list())


def test_patches_are_carried(tmp_path: Path, forgetful_model: ModelBundle) -> None:
    with (
        Memory(tmp_path / "a", model=forgetful_model) as memory,
        Memory(tmp_path / "b", model=forgetful_model) as other,
    ):
        memory.add(BOOK)
        assert memory.stats().patch_bytes
        other.load(memory.export(tmp_path / "a.amem").path)
        assert everything(other) == everything(memory)


def test_another_bundle_is_refused(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    with opened(model=tiny_model(1)) as other:
        with pytest.raises(IncompatibleModelError, match=r"Memory\(path, model=...\)"):
            other.load(made.path)
        assert other.stats().memories == 0


class Backwards:
    """An embedder of one's own."""

    name, fingerprint, dims = "backwards", "backwards-1", 16

    def embed_documents(self, texts: Any) -> Any:
        import numpy as np

        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Any:
        import numpy as np

        found = np.ones(self.dims, np.float32)
        for number, letter in enumerate(text):
            found[(number + ord(letter)) % self.dims] += 1
        return found


def test_another_embedder_embeds_anew(
    memory: Memory, model: ModelBundle, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    with opened(model=with_embedder(model, Backwards())) as other, opened("direct") as _:
        loaded = other.load(made.path)
        assert loaded.reembedded
        assert loaded.memories == made.memories
        assert other.verify().ok
        assert [c.text for c in other.list()] == [c.text for c in memory.list()]
        # Just as if it had been added here.
        direct = other.get(other.add("The code is 4711.", user_id="carl").ids[0])
        (carried, *_) = other.list(user_id="ana")
        assert carried.text == direct.text
        assert carried.embedding.tolist() == direct.embedding.tolist()
        assert not other.load(made.path).reembedded


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase that is tried in no time."""
    monkeypatch.setattr("agentmem_storage.archive.file.COST", 10)


@pytest.mark.usefixtures("cheap")
def test_an_encrypted_file_opens_only_with_its_passphrase(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    fill(memory)
    plain = memory.export(tmp_path / "plain.amem")
    made = memory.export(tmp_path / "sealed.amem", passphrase="a café")
    content = made.path.read_bytes()
    assert b"4711" not in content
    with opened() as other:
        for wrong in (None, "a cafe"):
            with pytest.raises(ArchiveError, match="passphrase"):
                other.load(made.path, passphrase=wrong)
        # The same letters, composed in another way.
        assert other.load(made.path, passphrase="a cafe\u0301").sources == made.sources
        assert other.export(tmp_path / "again.amem").file_bytes == plain.file_bytes
        for at in (HEADER_BYTES - 6, HEADER_BYTES + 3, HEADER_BYTES + 40, len(content) - 1):
            broken = tmp_path / "broken.amem"
            broken.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            with pytest.raises(ArchiveError):
                other.load(broken, passphrase="a café")
    with pytest.raises(InputError, match="empty"):
        memory.export(tmp_path / "x.amem", passphrase="")
    with pytest.raises(TypeError, match="passphrase"):
        memory.export(tmp_path / "x.amem", passphrase=b"x")  # type: ignore[arg-type]
    assert not (tmp_path / "x.amem").exists()


def test_two_encrypted_files_have_nothing_in_common(memory: Memory, tmp_path: Path) -> None:
    memory.add("the same")
    one, two = (memory.export(tmp_path / f"{n}.amem", passphrase="p").path for n in range(2))
    assert one.read_bytes()[HEADER_BYTES:] != two.read_bytes()[HEADER_BYTES:]


def test_a_file_is_private_and_overwrites_nothing(memory: Memory, tmp_path: Path) -> None:
    memory.add("private")
    path = memory.export(tmp_path / "a.amem").path
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        memory.export(path)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="exists already"):
        memory.export(tmp_path)
    with pytest.raises(StoreUnwritableError):
        memory.export(tmp_path / "no folder" / "a.amem")
    for odd in ("", "a\0b", "sqlite:///x", "\ud800"):
        with pytest.raises(InputError, match="path of a file"):
            memory.export(odd)
    with pytest.raises(TypeError):
        memory.export(7)  # type: ignore[arg-type]


def test_an_export_that_fails_leaves_nothing(memory: Memory, tmp_path: Path) -> None:
    fill(memory)
    (tmp_path / "out").mkdir()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory.export(tmp_path / "out" / "a.amem", on_progress=interrupt)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunks SET latents = zeroblob(40) WHERE id = 3",
        "UPDATE sources SET role = 'system' WHERE id = 2",
        "UPDATE chunks SET \"key\" = 'x' WHERE id = 3",
        "UPDATE sources SET metadata = 7 WHERE id = 1",
        "UPDATE scopes SET user_id = 'eve' WHERE id = 1",
        "DELETE FROM chunks WHERE source_id = 11 AND ordinal = 1",
    ],
)
def test_damage_is_named_and_not_exported(
    memory: Memory, place: Path, tmp_path: Path, damage: str
) -> None:
    fill(memory)
    memory.close()
    with closing(sqlite3.connect(place / "memory.db")) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(damage)
    with Memory(place, model=memory._model) as again:
        with pytest.raises(CorruptRecordError, match=r"(source|memory) ([123]|11)\b"):
            again.export(tmp_path / "a.amem")
    assert not (tmp_path / "a.amem").exists()


def test_files_that_cannot_be_read(memory: Memory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.amem", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError):
            memory.load(path)
    (tmp_path / "text.amem").write_text("Dear diary")
    with pytest.raises(ArchiveError, match=r"not an \.amem file"):
        memory.load(tmp_path / "text.amem")
    (tmp_path / "empty.amem").touch()
    with pytest.raises(ArchiveError, match=r"not an \.amem file"):
        memory.load(tmp_path / "empty.amem")


def test_an_interrupted_load_goes_on_when_it_is_run_again(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.add([f"note {n % 7}" for n in range(40)], user_id="ana", session_id="s")
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    monkeypatch.setattr("agentmem.portable._BATCH", 8)
    with opened() as other:
        seen: list[int] = []

        def interrupt(done: int, total: int) -> None:
            seen.append(done)
            if len(seen) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            other.load(made.path, on_progress=interrupt)
        assert 0 < other.stats().memories < made.memories
        assert other.verify().ok
        rest = other.load(made.path)
        assert rest.sources + rest.duplicates == made.sources
        assert everything(other) == everything(memory)
        other.export(tmp_path / "again.amem")
    assert (tmp_path / "again.amem").read_bytes() == made.path.read_bytes()


LOADER = """
import sys
from agentmem import Memory
from agentmem.testing import tiny_model
import agentmem.portable
agentmem.portable._BATCH = 4
model = tiny_model()
with Memory(sys.argv[1], model=model) as memory:
    memory.load(sys.argv[2], on_progress=lambda done, total: print(done, flush=True))
"""


def test_two_processes_load_one_file_at_once_and_one_is_killed(
    memory: Memory, tmp_path: Path, opened: Callable[..., Memory]
) -> None:
    memory.add([f"note {n % 7}" for n in range(60)], user_id="ana", session_id="s")
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    with opened() as other:
        process = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(tmp_path / "other"), str(made.path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "4\n"
        loaded = other.load(made.path)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert loaded.sources + loaded.duplicates == made.sources
        assert loaded.duplicates
        assert other.load(made.path).sources == 0
        assert sorted(map(str, everything(other))) == sorted(map(str, everything(memory)))
        assert other.verify().ok


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Path:
    """A small file with sources of all kinds."""
    folder = tmp_path_factory.mktemp("sample")
    with Memory(folder / "store", model=model, keep_text=True) as memory:
        memory.add("kept", user_id="k")
    with Memory(folder / "store", model=model) as memory:
        fill(memory)
        return memory.export(folder / "sample.amem").path


def changed(content: bytes, seed: int) -> bytes:
    """The content with a few random changes of the kinds that happen or are made."""
    at = random.Random(seed)
    made = bytearray(content)
    for _ in range(at.choice((1, 1, 1, 2, 5))):
        if not made:
            break
        place = at.randrange(len(made))
        kind = at.randrange(7)
        if kind == 0:
            made[place] ^= 1 << at.randrange(8)
        elif kind == 1:
            made[place : place + at.choice((1, 4, 8))] = at.randbytes(at.choice((1, 4, 8)))
        elif kind == 2:
            del made[place : place + at.choice((1, 4, 100))]
        elif kind == 3:
            made[place:place] = made[place : place + at.choice((1, 30, 300))]
        elif kind == 4:
            del made[place:]
        elif kind == 5:
            made[place : place + 8] = b"\xff" * 8
        else:
            other = at.randrange(len(made))
            made[place : place + 16], made[other : other + 16] = (
                made[other : other + 16],
                made[place : place + 16],
            )
    return bytes(made)


def loads_or_says_why(path: Path, model: ModelBundle) -> bool:
    """Whether a file was loaded; if so, what is stored is sound."""
    with Memory(":memory:", model=model) as memory:
        try:
            memory.load(path)
        except AgentMemError:
            assert memory.verify().ok
            return False
        assert memory.verify().ok
        return True


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_damaged_file_changes_nothing(
    sample: Path, tmp_path: Path, model: ModelBundle, count: int
) -> None:
    content, broken = sample.read_bytes(), tmp_path / "broken.amem"
    with Memory(":memory:", model=model) as memory:
        for seed in range(count):
            mutated = changed(content, seed)
            if mutated != content:
                broken.write_bytes(mutated)
                with pytest.raises(ArchiveError):
                    memory.load(broken)
        assert memory.stats().memories == 0


@pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_forged_file_is_loaded_right_or_refused(
    sample: Path, tmp_path: Path, model: ModelBundle, count: int
) -> None:
    content, forged = stream(sample), tmp_path / "forged.amem"
    write_stream(forged, content)
    assert forged.read_bytes() == sample.read_bytes()
    outcomes = set()
    for seed in range(count):
        write_stream(forged, changed(content, seed))
        outcomes.add(loads_or_says_why(forged, model))
    assert False in outcomes


@pytest.mark.parametrize("partly", [False, True], ids=["complete", "partly forgotten"])
def test_a_chunk_with_another_number_is_loaded_right_or_refused(
    tmp_path: Path, model: ModelBundle, partly: bool
) -> None:
    """A complete document whose chunk had another number was loaded, and was damaged then."""
    with Memory(":memory:", model=model) as memory:
        ids = memory.add(Document("A line of a document. " * 70, title="lines")).ids
        assert len(ids) > 3
        if partly:
            memory.forget([ids[1]])
        made = memory.export(tmp_path / "whole.amem").path
    with ArchiveReader.open(made) as file:
        manifest, (source,) = file.manifest, [*file.records()]
    assert isinstance(source, ArchivedSource)
    outcomes = []
    for at, chunk in enumerate(source.chunks):
        for ordinal in range(6):
            chunks = [*source.chunks]
            chunks[at] = replace(chunk, ordinal=ordinal)
            forged = tmp_path / f"{at}-{ordinal}.amem"
            with writing(forged, manifest, None) as blocks:
                write_source(blocks, replace(source, chunks=tuple(chunks)))
            loaded = loads_or_says_why(forged, model)
            assert loaded or ordinal != chunk.ordinal
            outcomes.append(loaded)
    # Only what was partly forgotten may have its parts at other places.
    assert sum(outcomes) == len(source.chunks) + (1 if partly else 0)


@given(texts=st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_text_is_carried(texts: list[str], model: ModelBundle) -> None:
    with (
        TemporaryDirectory() as folder,
        Memory(":memory:", model=model) as memory,
        Memory(":memory:", model=model) as other,
    ):
        with suppress(InputError):  # nothing but invisible characters
            memory.add(texts, user_id="ana")
        made = memory.export(Path(folder) / "a.amem")
        other.load(made.path)
        assert [chunk.text for chunk in other.list()] == [chunk.text for chunk in memory.list()]
        again = other.export(Path(folder) / "b.amem")
        assert again.path.read_bytes() == made.path.read_bytes()


def test_a_source_that_is_forgotten_while_it_is_loaded_is_added_again(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = memory.add(TALK, user_id="ana").ids
    made = memory.export(tmp_path / "all.amem")
    find, calls = Store.find_archived, []

    def forgotten_meanwhile(self: Store, *args: Any) -> Any:
        found = find(self, *args)
        if not calls:
            memory.forget([ids[0]])
        calls.append(1)
        return found

    monkeypatch.setattr(Store, "find_archived", forgotten_meanwhile)
    assert memory.load(made.path).sources == 1
    assert len(calls) == 2
    assert "The code is 4711." in [chunk.text for chunk in memory.list()]
