"""`RemoteMemory` beside `Memory`: the same verbs, results and errors, over a real connection."""

from __future__ import annotations

import inspect
import pickle
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import ANY, Document, Memory, Message, pack
from agentmem.errors import (
    AgentMemError,
    CorruptRecordError,
    FilterError,
    InputError,
    ServiceError,
    UnknownIdError,
)
from agentmem.models.bundle.load import ModelBundle
from agentmem.remote import RemoteMemory
from agentmem.service.settings import Settings
from tests.support.service import ANA, OPERATOR, running, tokens

# They are about the machine of the store, or need the store itself.
LOCAL = {
    *("audit", "backup", "dossier", "gc", "migrate", "prepare", "reindex", "repair"),
    *("change_key", "complete", "increment", "purge"),
}
# Files of that machine, and what is called there.
LOCAL_ARGUMENTS = {"certificate", "on_progress", "signing_key"}
LONG = " ".join(f"word{n}" for n in range(900))


@pytest.fixture
def remote(memory: Memory) -> Iterator[RemoteMemory]:
    with running(memory) as url, RemoteMemory(url) as remote:
        yield remote


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_it_has_the_verbs_of_memory() -> None:
    assert public(RemoteMemory) == public(Memory) - LOCAL


@pytest.mark.parametrize("verb", sorted(public(Memory) - LOCAL))
def test_a_verb_is_called_as_that_of_memory(verb: str) -> None:
    theirs, ours = (
        inspect.signature(getattr(kind, verb)).parameters for kind in (Memory, RemoteMemory)
    )
    asked = [one for one in theirs.values() if one.name not in LOCAL_ARGUMENTS]
    assert asked == list(ours.values())


def same(one: Any, other: Any) -> None:
    """Chunks and hits are equal in all of their fields."""
    assert type(one) is type(other)
    assert one.to_dict() == other.to_dict()
    assert one.source == other.source
    assert one.text_hash == other.text_hash
    assert one.latents_fingerprint == other.latents_fingerprint
    assert (one.patch_bytes, one.text_stored) == (other.patch_bytes, other.text_stored)
    for left, right in ((one.latents, other.latents), (one.embedding, other.embedding)):
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


def fill(memory: Any) -> None:
    memory.add("Ana plays the cello.", user_id="ana", session_id="1", metadata={"n": np.int64(1)})
    memory.add(
        [
            {"role": "user", "content": "Where is \u200bthe 🚲?"},
            Message("In the cellar.\r\n", "assistant", name="Bo", metadata={"n": 2}),
            Document(iter(["# A\n\n", LONG]), title="T", uri="x:y"),
        ],
        user_id="bo",
        created_at=datetime(2026, 3, 5, tzinfo=timezone(timedelta(hours=2))),
    )


def test_what_is_added_is_what_memory_would_add(
    memory: Memory, remote: RemoteMemory, tmp_path: Path, model: ModelBundle
) -> None:
    fill(remote)
    with Memory(tmp_path / "other", model=model) as other:
        fill(other)
        for one, expected in zip(memory.list(), other.list(), strict=True):
            assert one.to_dict() | {"created_at": 0} == expected.to_dict() | {"created_at": 0}
            assert one.source.uri == expected.source.uri


def test_results_are_those_of_memory(memory: Memory, remote: RemoteMemory) -> None:
    fill(memory)
    zone = timezone(timedelta(hours=-8))
    for arguments in (
        {},
        {"mode": "lexical", "k": 2, "user_id": "bo", "order": "time"},
        {"expand": "neighbors", "where": {"n": {"gte": np.int64(1)}}, "user_id": ANY},
        {"since": datetime(2026, 1, 1), "where": {"nothing": 1}, "now": datetime.now(zone)},
        {"min_relevance": 0.5, "rerank": None, "now": datetime.now(zone)},
    ):
        expected = memory.recall("where is the bike?", **arguments)
        found = remote.recall("where is the bike?", **arguments)
        assert (found.query, found.candidates, found.relevance, found.unknown_keys) == (
            expected.query,
            expected.candidates,
            expected.relevance,
            expected.unknown_keys,
        )
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        packed = [pack(one, max_tokens=400, count_tokens=len) for one in (found, expected)]
        assert packed[0].to_text() == packed[1].to_text()
        assert pickle.loads(pickle.dumps(found)).query == found.query
    same(remote.get(1), memory.get(1))
    for one, other in zip(remote.list(user_id="bo"), memory.list(user_id="bo"), strict=True):
        same(one, other)
    source = max(chunk.source.id for chunk in memory.list())
    assert remote.get_source(source).to_dict() == memory.get_source(source).to_dict()
    assert remote.scopes() == memory.scopes()
    assert remote.scopes(user_id="ana") == memory.scopes(user_id="ana")
    for selection in ({}, {"where": {"n": 1}}, {"until": "2026-04-01"}, {"source_id": source}):
        assert remote.count(**selection) == memory.count(**selection)
    assert remote.regenerated(1) == memory.regenerated(1)
    assert remote.stats() == memory.stats()
    assert remote.stats(user_id="bo") == memory.stats(user_id="bo")
    assert remote.verify(decode=False) == memory.verify(decode=False)


def test_changing_and_forgetting(memory: Memory, remote: RemoteMemory) -> None:
    fill(memory)
    changed = remote.update(1, text="Ana plays the harp.", metadata={"n": 3})
    assert memory.get(changed.ids[0]).text == "Ana plays the harp."
    with pytest.raises(UnknownIdError) as caught:
        remote.get(1)
    assert caught.value.became == changed.ids
    assert remote.forget(user_id="bo", dry_run=True) == memory.forget(user_id="bo", dry_run=True)
    assert remote.forget(iter(changed.ids)).purged
    assert remote.forget(where={"n": 2}, before=datetime.now(UTC)).ids
    assert memory.count(user_id="ana") == 0


def test_external_ids_and_expiry(memory: Memory, remote: RemoteMemory) -> None:
    first = remote.add("The door code is 1.", user_id="ana", id="code", ttl=timedelta(hours=1))
    second = remote.add("The door code is 2.", user_id="ana", id="code", ttl=3600)
    assert second.replaced == second.ids != first.ids
    later = datetime(2999, 1, 1, tzinfo=UTC)
    remote.add(
        [
            Message("one", external_id="1", expires_at=later),
            Document("two", external_id="2", expires_at=later),
            {"role": "user", "content": "three", "external_id": "3", "expires_at": later},
        ],
        user_id="ana",
    )
    assert remote.get_source("code").to_dict() == memory.get_source("code").to_dict()
    assert {memory.get_source(id).expires_at for id in "123"} == {later}
    for one, other in zip(remote.list(), memory.list(), strict=True):
        same(one, other)
    remote.update("1", text="uno", expires_at=None)
    assert (memory.get_source("1").text, memory.get_source("1").expires_at) == ("uno", None)
    remote.update("2", expires_at=later + timedelta(days=1))
    remote.update("3", ttl=60)
    assert memory.get_source("2").expires_at == later + timedelta(days=1)
    assert remote.forget(["2", "3"], user_id="ana").sources == 2
    assert remote.count(where={"external_id": {"in": ["1", "2"]}}) == 1


def test_pages(memory: Memory, remote: RemoteMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentmem.remote.reading._PAGE", 3)
    memory.add([f"note {n}" for n in range(8)])
    for more in ({}, {"limit": 0}, {"limit": 4}, {"after": 3}, {"after": 2, "limit": 5}):
        for newest_first in (False, True):
            found = [one.id for one in remote.list(**more, newest_first=newest_first)]
            assert found == [one.id for one in memory.list(**more, newest_first=newest_first)]
    assert [one.id for one in remote.list(after=2, where={"kind": "document"})] == []


def test_what_supersedes_what(memory: Memory, remote: RemoteMemory) -> None:
    (old,) = remote.add("I live in Paris.", user_id="ana", created_at="2024-01-01").ids
    (new,) = remote.add("I moved to Rome!", user_id="ana", supersedes=old).ids
    assert [one.text for one in remote.history(old)] == [one.text for one in memory.history(new)]
    assert len(remote.history(old)) == 2
    hits = remote.recall("Where do I live?", prefer="latest")
    assert {hit.id: hit.superseded_by for hit in hits} == {old: (new,), new: ()}
    remote.supersede(old, new, undo=True)
    assert len(remote.history(old)) == 1
    remote.supersede(old, new)
    assert len(memory.history(old)) == 2
    assert remote.conflicts() == memory.conflicts()
    with pytest.raises(InputError):
        remote.supersede(old, old)
    with pytest.raises(UnknownIdError):
        remote.add("x", user_id="bo", supersedes=old)
    remote.update(new, created_at="2025-01-01")
    assert memory.get(new).created_at.year == 2025


def test_a_conversation_remembers(memory: Memory, remote: RemoteMemory) -> None:
    said = {"role": "user", "content": "My sister Marta lives in Porto."}
    session = remote.session(user_id="ana", session_id="monday")
    assert session.context([said]) == [said]
    receipt = session.observe([said], "Noted.")
    assert receipt is not None
    assert [chunk.text for chunk in memory.list(user_id="ana")] == [said["content"], "Noted."]
    again = session.observe([said, Message("Noted.", "assistant")], {"content": [], "role": "x"})
    assert session.error is None or again is None
    asked = [{"role": "user", "content": "Where does my sister live?"}]
    for kind in (remote, memory):
        friday = kind.session(user_id="ana", session_id="friday")
        sent = friday.context(asked, count_tokens=len, max_tokens=900)
        assert "Porto" in sent[0]["content"]
        assert sent[1:] == asked
    with pytest.raises(InputError, match="belongs to somebody"):
        remote.session(user_id=ANY)
    with pytest.raises(InputError, match="a list of messages"):
        session.observe("x")
    with RemoteMemory("http://127.0.0.1:9") as gone:
        broken = gone.session(user_id="ana")
        assert broken.context(asked) == asked
        assert broken.observe(asked, "Yes.") is None
        assert isinstance(broken.error, ServiceError)


def test_a_list_of_several_pages_ends_while_it_changes(
    memory: Memory, remote: RemoteMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem.remote.reading._PAGE", 3)
    memory.add([f"note {n}" for n in range(8)])
    seen = []
    for chunk in remote.list():
        seen.append(chunk.text)
        remote.update(chunk.id, text=f"changed {chunk.text}")
    assert seen == [f"note {n}" for n in range(8)]


def failures(memory: Any) -> list[tuple[type, str]]:
    calls = [
        lambda: memory.recall("x", user_id=None),
        lambda: memory.recall(" "),
        lambda: memory.recall("x", k=0),
        lambda: memory.recall("x", k=True),
        lambda: memory.recall("x", mode="fuzzy"),
        lambda: memory.recall("x", where={"a": {"near": 1}}),
        lambda: memory.recall("x", since="soon"),
        lambda: memory.recall("x\ud800"),
        lambda: memory.get(99),
        lambda: memory.get("1"),
        lambda: memory.add(""),
        lambda: memory.add([]),
        lambda: memory.add(5),
        lambda: memory.add("x", user_id=" "),
        lambda: memory.add("x", metadata={"a": float("nan")}),
        lambda: memory.add({"role": "user", "content": "x", "user_id": "bo"}, user_id="ana"),
        lambda: memory.update(1),
        lambda: memory.forget(),
        lambda: memory.forget(ids=None),
        lambda: memory.forget(3),
        lambda: memory.forget([99]),
        lambda: memory.forget(where={"and": []}),
        lambda: memory.scoped(user_id="ana").forget(),
        lambda: memory.scoped(user_id="ana").recall("x", user_id="bo"),
        lambda: memory.scoped(user_id="ana").recall("x", user_id=ANY),
        lambda: memory.scoped(),
        lambda: list(memory.list(where={"a": {"near": 1}})),
        lambda: memory.list(limit=-1),
        lambda: list(memory.list(after=99)),
        lambda: memory.add("x", id=""),
        lambda: memory.add(["x", "y"], id="z"),
        lambda: memory.add("x", ttl=0),
        lambda: memory.add("x", ttl="1"),
        lambda: memory.add("x", ttl=1, expires_at="2999-01-01"),
        lambda: memory.add("x", expires_at="2001-01-01"),
        lambda: memory.get_source("z"),
        lambda: memory.update("z", text="x"),
        lambda: memory.forget(["z"]),
        lambda: memory.forget(["z", 1]),
    ]
    found = []
    for call in calls:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            call()
        kind = caught.type
        found.append(
            next(
                one
                for one in (FilterError, InputError, UnknownIdError, TypeError)
                if issubclass(kind, one)
            )
        )
    return found


def test_errors_are_those_of_memory(memory: Memory, remote: RemoteMemory) -> None:
    memory.add("I like tea.", user_id="ana")
    assert failures(remote) == failures(memory)


def test_a_damaged_memory_is_told(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(["one", "two"])
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id = 1")
    with Memory(place, model=model) as memory, running(memory) as url:
        with RemoteMemory(url) as remote:
            damaged, intact = remote.list()
            assert intact.text == "two"
            for read in (lambda: damaged.text, lambda: damaged.latents, lambda: damaged.positions):
                with pytest.raises(CorruptRecordError) as caught:
                    read()
                assert caught.value.id == 1
            with pytest.raises(CorruptRecordError):
                remote.get_source(1)
            assert not remote.verify().ok


def test_tokens_and_scopes(memory: Memory) -> None:
    memory.add("Bo's locker is 88.", user_id="bo")
    with running(memory, Settings(tokens=tokens())) as url:
        for token in (None, "x" * 40):
            with RemoteMemory(url, token=token) as nobody, pytest.raises(ServiceError) as caught:
                nobody.stats()
            assert (caught.value.status, caught.value.code) == (401, "unauthorized")
        with RemoteMemory(url, token=ANA) as ana, RemoteMemory(url, token=OPERATOR) as all:
            ana.add("Ana's locker is 17.")
            assert [hit.text for hit in ana.recall("locker")] == ["Ana's locker is 17."]
            for call in (
                lambda: ana.recall("locker", user_id="bo"),
                lambda: ana.recall("locker", user_id=ANY),
                lambda: ana.add("x", user_id="bo"),
                lambda: ana.forget(user_id="bo"),
            ):
                with pytest.raises(InputError, match="bound to user_id='ana'"):
                    call()
            assert all.count() == 2
            with all.scoped(user_id="bo") as bo:
                assert [chunk.text for chunk in bo.list()] == ["Bo's locker is 88."]
            assert repr(bo) == f"RemoteMemory({url!r}, user_id='bo')"
            assert all.count() == 2  # still open
            tools = ana.as_tools("anthropic")
            assert "17" in tools.call_tool("recall", {"query": "locker"})


def test_a_required_id(remote: RemoteMemory) -> None:
    with RemoteMemory(remote._client.url, require=("user_id",)) as strict:
        with pytest.raises(InputError, match="give user_id="):
            strict.recall("x")
        with pytest.raises(InputError, match="give user_id="):
            strict.add("x")
        assert len(strict.recall("x", user_id=ANY)) == 0


def test_a_service_that_is_not_there() -> None:
    with RemoteMemory("http://127.0.0.1:9") as remote:
        with pytest.raises(ServiceError, match="agentmem serve") as caught:
            remote.stats()
        assert caught.value.status is None
        assert isinstance(caught.value, AgentMemError)
    with pytest.raises(ServiceError, match="closed"):
        remote.stats()
    remote.close()  # twice does no harm


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "notes"},
        {"url": "ftp://x"},
        {"url": "http://"},
        {"url": "http://x?y=1"},
        {"url": "http://[x"},
        {"url": "http://x", "token": ""},
        {"url": "http://x", "token": "a\nb" * 20},
        {"url": "http://x", "timeout_s": 0},
        {"url": "http://x", "timeout_s": float("inf")},
        {"url": "http://x", "require": ("user",)},
    ],
    ids=str,
)
def test_what_is_no_service(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RemoteMemory(**arguments)


def test_what_does_not_answer_as_a_service_does() -> None:
    import http.server

    answers: list[tuple[int, bytes, str]] = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, place = answers.pop()
            self.send_response(status)
            if place:
                self.send_header("Location", place)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with RemoteMemory(f"http://127.0.0.1:{server.server_port}") as remote:
                for status, body, place, said in (
                    (500, b"<html>", "", "500"),
                    (404, b'{"error": {"code": 404, "message": "no"}}', "", "404"),
                    (301, b"", "https://example.org/", "https://example.org/"),
                    (200, b"<html>", "", "<html>"),
                    (200, b"[]", "", "agentmem serve"),
                ):
                    answers.append((status, body, place))
                    with pytest.raises(ServiceError, match=said) as caught:
                        remote.count()
                    assert caught.value.status in (status, None)
        finally:
            server.shutdown()
            thread.join()


def test_what_is_too_large_is_refused_as_such(memory: Memory) -> None:
    """A body over the limit was told as a connection that broke."""
    with running(memory, Settings(max_body_bytes=1000)) as url, RemoteMemory(url) as remote:
        with pytest.raises(ServiceError, match="--max-body"):
            remote.add("x" * 5_000_000)
        with pytest.raises(InputError, match="too long"):
            remote.count(where={"metadata.kind": "x" * 70_000})
        assert remote.count() == 0
