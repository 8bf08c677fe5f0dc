"""What a recall asks of the store: one transaction, and few statements."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.snapshot import Snapshot

WORDS = ("train", "harbour", "violin", "garden", "kitchen", "winter", "letter", "doctor")
# One each for: sizes and the ids of the scope, how often words occur, matches of words,
# neighbours, repeats, what supersedes what, words of the best, rows; and for the reranker, which
# the shipped bundle does without, latents.
PLAIN = 8 + 1


@contextmanager
def statements(memory: Memory) -> Iterator[list[str]]:
    """The statements that a block sends to the database."""
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    engine = memory._store._database._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(scope="module", params=["folder", ":memory:"])
def talk(
    request: pytest.FixtureRequest, model: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Memory]:
    """Two users' memories, many more than a search fetches."""
    place = tmp_path_factory.mktemp("talk") if request.param == "folder" else request.param
    with Memory(place, model=model) as memory:
        for user in ("ana", "ben"):
            memory.add(
                [
                    {
                        "role": "user",
                        "name": user,
                        "content": f"{WORDS[n % 8]} and {WORDS[n // 8 % 8]} on day {n}",
                        "metadata": {"n": n % 5},
                    }
                    for n in range(120)
                ],
                user_id=user,
            )
        memory.recall("warm", user_id="ana")
        yield memory


@pytest.mark.parametrize("k", [1, 8, 50])
@pytest.mark.parametrize("scope", [{}, {"user_id": "ana"}, {"user_id": "nobody"}])
def test_a_plain_recall(talk: Memory, k: int, scope: dict[str, str]) -> None:
    with statements(talk) as seen:
        hits = talk.recall("the violin in the winter garden", k=k, **scope)
    assert len(hits) == (0 if scope.get("user_id") == "nobody" else k)
    assert seen[0] == "BEGIN"
    assert sum(one.startswith("BEGIN") for one in seen) == 1
    assert len(seen) - 1 <= PLAIN


def test_one_memory(talk: Memory) -> None:
    """Whether anything has expired, whether it is in the scope, and its row."""
    (hit,) = talk.recall("garden", user_id="ana", k=1)
    with statements(talk) as seen:
        assert talk.get(hit.id, user_id="ana").text == hit.text
    assert [one.split()[0] for one in seen] == ["BEGIN", "SELECT", "SELECT", "SELECT"]
    assert not any("count(*)" in one for one in seen)


@pytest.mark.parametrize(
    ("more", "options"),
    [
        (0, {"rerank": None}),
        # Words of what is added.
        (1, {"expand": "neighbors"}),
        (0, {"min_relevance": 0.0}),
        (1, {"where": {"n": {"lt": 3}}}),
        (1, {"since": "2020-01-01"}),
        (2, {"expand": "episode"}),
        # A time in the query is searched separately.
        (3, {"query": "the violin of last week"}),
    ],
    ids=str,
)
def test_what_options_add(talk: Memory, more: int, options: dict[str, Any]) -> None:
    with statements(talk) as seen:
        assert talk.recall(**{"query": "the violin in winter", "user_id": "ana"} | options)
    assert sum(one.startswith("BEGIN") for one in seen) == 1
    assert len(seen) - 1 <= PLAIN + more


def test_whatever_is_forgotten_meanwhile(
    tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recall is neither started again nor short of hits."""
    with Memory(tmp_path / "store", model=model, timeout_s=0.2) as memory:
        memory.add([f"the {word} of ana" for word in WORDS])
        before = memory.recall("what is of ana?", k=8)
        runs = []
        unhindered = Snapshot.latents

        def forget(snapshot: Snapshot, ids: Any) -> Any:
            runs.append(ids)
            with Memory(tmp_path / "store", model=model, timeout_s=0.2) as other:
                other.forget([before[0].id])
            return unhindered(snapshot, ids)

        monkeypatch.setattr(Snapshot, "latents", forget)
        found = memory.recall("what is of ana?", k=8)
        monkeypatch.undo()
        assert [hit.id for hit in found] == [hit.id for hit in before]
        assert found[0].text == before[0].text
        assert len(runs) == 1
        assert len(memory.recall("what is of ana?", k=8)) == 7


def test_interrupted_while_the_reranker_works(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler's exception comes out, nothing more is read, and no transaction stays open."""
    memory.add([f"the {word} of ana" for word in WORDS])
    begun, go_on = threading.Event(), threading.Event()
    read: list[str] = []
    reranker = memory._model.reranker
    assert reranker is not None
    kind = type(reranker)
    unhindered = kind.rerank

    class HandlerError(BaseException):
        pass

    def slow(*args: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return unhindered(*args)

    def handler(number: int, frame: FrameType | None) -> None:
        threading.Timer(0.1, go_on.set).start()
        raise HandlerError

    monkeypatch.setattr(kind, "rerank", slow)
    monkeypatch.setattr(Snapshot, "chunks_with_sources", lambda *_, **__: read.append("rows"))
    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(
        target=lambda: begun.wait(60) and os.kill(os.getpid(), signal.SIGUSR1)
    )
    sender.start()
    try:
        with pytest.raises(HandlerError):
            memory.recall("what is of ana?")
    finally:
        signal.signal(signal.SIGUSR1, before)
        sender.join()
    monkeypatch.undo()
    assert read == []
    memory.add("life goes on")
    assert memory.forget([memory.recall("life")[0].id]).purged
