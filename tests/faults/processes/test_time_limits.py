"""The exception of a time limit was taken for a failure of the memory, and swallowed or renamed.

Celery's and RQ's are `Exception`s that a handler of a signal raises, wherever a task is just then.
A session logged it and went on, and the embedder raised a `ModelError` in its place, so that the
task never learned of its limit.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from agentmem import Document, Memory
from agentmem.certificates import check_certificate
from agentmem.chat.servers import Server
from agentmem.errors import ModelError
from agentmem.ingest.importers.documents import has_no_text
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.onnx import OnnxSession
from agentmem.testing import tiny_model
from agentmem_storage.interruptions import is_interruption

SERVER = Server("s", "http://127.0.0.1:1/v1", "m", "openai", None, "", timeout_s=1)
QUESTION = [{"role": "user", "content": "Where is the key?"}]


class LimitError(Exception):
    """What a task queue raises."""


class Limit:
    """Handlers of all kinds."""

    def method(self, *_: object) -> None:
        raise LimitError

    def __call__(self, *_: object) -> None:
        self.method()

    def named(self, name: str, *_: object) -> None:
        raise LimitError(name)


def function(*_: object) -> None:
    raise LimitError


HANDLERS = [
    function,
    Limit().method,
    Limit(),
    partial(Limit().named, "soft"),
    lambda *_: function(),
]


@contextmanager
def handled(handler: Callable[..., None] = function) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def over(*_: object) -> int:
    """The limit is reached here."""
    signal.raise_signal(signal.SIGUSR1)
    return 1


def failing(*_: object) -> int:
    raise LimitError("of its own")


@pytest.mark.parametrize("handler", HANDLERS, ids=["function", "method", "object", "partial", "λ"])
def test_it_passes_through_a_session(memory: Memory, handler: Callable[..., None]) -> None:
    memory.add("The key is under the mat.")
    session = memory.session()
    with handled(handler), pytest.raises(LimitError):
        session.context(QUESTION, count_tokens=over)
    assert session.error is None
    assert session.context(QUESTION, count_tokens=failing) == QUESTION
    assert isinstance(session.error, LimitError)  # a failure like any other


def test_and_through_what_stores_a_conversation(model: ModelBundle) -> None:
    with Memory(":memory:", model=model, on_add=over) as memory, handled():
        session = memory.session()
        for number, store in enumerate((session.observe, session.observe_later), start=1):
            with pytest.raises(LimitError):
                store([{"role": "user", "content": f"Key {number} is under the mat."}])
            assert session.error is None
            assert memory.count() == number


def test_and_through_hooks(model: ModelBundle) -> None:
    with Memory(":memory:", model=model, on_add=over, on_forget=over) as memory, handled():
        with pytest.raises(LimitError):
            memory.add("The key is under the mat.")
        assert memory.count() == 1  # the write was done before
        with pytest.raises(LimitError):
            memory.forget([1])
        assert memory.count() == 0


def test_and_through_the_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OnnxSession.run

    def late(graph: OnnxSession, **inputs: Any) -> list[Any]:
        over()
        return run(graph, **inputs)

    def thrown(graph: OnnxSession, **inputs: Any) -> list[Any]:
        raise LimitError  # as by PyThreadState_SetAsyncExc, without a handler

    def broken(graph: OnnxSession, **inputs: Any) -> list[Any]:
        return run(graph, nothing=inputs["ids"])

    with Memory(":memory:") as memory, handled():
        memory.add("The key is under the mat.")
        for graph, raised in ((late, LimitError), (thrown, LimitError), (broken, ModelError)):
            monkeypatch.setattr(OnnxSession, "run", graph)
            for call in (memory.add, memory.recall):
                with pytest.raises(raised):
                    call("Where is the key?")
        monkeypatch.undo()
        assert memory.count() == 1
        assert memory.add("Where is the key?").duplicates == ()


def expired(*_: object) -> None:
    """An error that reading a file, or a connection, raises, too."""
    raise TimeoutError("the limit of the task")


@pytest.mark.parametrize("inside", [False, True], ids=["reading", "connecting"])
def test_and_through_what_expects_such_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    file = tmp_path / "note.md"
    file.write_text("The key is under the mat.")

    def late(*_: object, **__: object) -> Any:
        if not inside:
            over()
        try:
            over()
        except OSError as error:
            raise URLError(error) from None  # as urllib does

    with handled(expired), Memory(":memory:", model=tiny_model()) as memory:
        monkeypatch.setattr("agentmem.chat.servers._read", late)
        with pytest.raises(TimeoutError, match="the limit of the task"):
            SERVER(QUESTION)
        if inside:
            return
        monkeypatch.setattr("agentmem.types._open_regular", late)
        monkeypatch.setattr(Path, "open", late)
        for call in (
            lambda: memory.add(Document.from_file(file)),
            lambda: memory.load(file),
            lambda: check_certificate(file),
            lambda: has_no_text(file),
        ):
            with pytest.raises(TimeoutError, match="the limit of the task"):
                call()


def test_what_is_one() -> None:
    def raised(by: Callable[[], object]) -> Exception:
        try:
            by()
        except Exception as error:
            return error
        raise AssertionError

    with handled():
        assert is_interruption(raised(over))
        assert not is_interruption(raised(failing))
        assert not is_interruption(LimitError())
    assert not is_interruption(raised(failing))
