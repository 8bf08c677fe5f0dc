"""Archives over HTTP: what a token may see leaves as one file, and comes back as it was."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem.service.guards import Bounded
from agentmem.testing import tiny_model
from tests.support.service import ANA, BO, HOST, client, tokens

BYTES = {"Content-Type": "application/octet-stream"}


def fill(memory: Memory) -> None:
    memory.add("Ana's locker is 17.", user_id="ana", id="locker", metadata={"n": 1})
    memory.add("Ana plays the cello.", user_id="ana", session_id="s")
    memory.add("Bo's locker is 88.", user_id="bo", agent_id="x")


def texts(memory: Memory, content: bytes) -> list[str]:
    """What a file has."""
    with Memory(":memory:", model=memory._model) as other:
        other.load(io.BytesIO(content))
        return [chunk.text for chunk in other.list()]


def test_there_and_back(
    memory: Memory, tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    fill(memory)
    made = memory.export(tmp_path / "all.amem")
    with client(memory) as service:
        asked = service.get("/v1/export")
        assert asked.content == made.path.read_bytes()
        assert asked.headers["Content-Length"] == str(made.file_bytes)
        assert asked.headers["Content-Type"] == "application/octet-stream"
        chosen = service.get("/v1/export", params={"where": '{"n": 1}', "user_id": "ana"})
        assert texts(memory, chosen.content) == ["Ana's locker is 17."]
        rest = service.get("/v1/export", params={"without": '{"user_id": "ana"}'})
        assert texts(memory, rest.content) == ["Bo's locker is 88."]
        until = service.get("/v1/export", params={"until": "2001-01-01"})
        assert texts(memory, until.content) == []
    with Memory(tmp_path / "other", model=model) as other, client(other) as service:
        loaded = service.post("/v1/import", content=asked.content, headers=BYTES)
        assert loaded.json() == {
            "memories": 3,
            "sources": 3,
            "duplicates": 0,
            "reembedded": False,
        }
        assert service.get("/v1/export").content == asked.content
        again = service.post("/v1/import", content=asked.content, headers=BYTES)
        assert again.json()["duplicates"] == 3
    # No file with memories is left anywhere.
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_token_gets_and_gives_its_own_scope(memory: Memory, tmp_path: Path) -> None:
    fill(memory)
    whole = memory.export(tmp_path / "all.amem").path.read_bytes()
    with client(memory, tokens=tokens(), secret=ANA) as service:
        own = service.get("/v1/export").content
        assert texts(memory, own) == ["Ana's locker is 17.", "Ana plays the cello."]
        for wide in ({"user_id": "bo"}, {"any_id": ["user_id"]}):
            assert service.get("/v1/export", params=wide).status_code == 400
        memory.forget(user_id="bo")
        refused = service.post("/v1/import", content=whole, headers=BYTES)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "input")
        assert memory.count(user_id="bo") == 0
        assert service.post("/v1/import", content=own, headers=BYTES).status_code == 200
        bound = {"Authorization": f"Bearer {BO}"}
        assert texts(memory, service.get("/v1/export", headers=bound).content) == []


def test_a_file_of_another_bundle(memory: Memory, tmp_path: Path) -> None:
    with Memory(tmp_path / "other", model=tiny_model(1)) as other:
        fill(other)
        content = other.export(tmp_path / "other.amem").path.read_bytes()
    with client(memory) as service:
        refused = service.post("/v1/import", content=content, headers=BYTES)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "incompatible_model")
    assert memory.count() == 0


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", BYTES, 400),
        (b"Dear diary", BYTES, 400),
        (b"\x89AMEM\r\n\x1a" + bytes(40), BYTES, 400),
        (b"x", {}, 415),
        (b"x", {"Content-Type": "text/plain"}, 415),
        (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (bytes(2001), BYTES, 413),
    ],
    ids=str,
)
def test_what_is_no_archive(
    memory: Memory, content: bytes, headers: dict[str, str], status: int
) -> None:
    with client(memory, max_body_bytes=2000) as service:
        refused = service.post("/v1/import", content=content, headers=headers)
        assert refused.status_code == status
        # No path of this machine is told.
        assert "/" not in refused.json()["error"]["message"].replace("application/octet-stream", "")
    assert memory.count() == 0


def answer(pieces: int, pause_s: float) -> tuple[list[dict[str, Any]], BaseException | None]:
    """What is sent of an answer whose client takes so long for each piece of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(pieces):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        await asyncio.sleep(pause_s)
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "headers": [(b"host", HOST.encode())]}
    bounded = Bounded(app, max_body_bytes=10, timeout_s=0.5)
    try:
        asyncio.run(bounded(scope, receive, send))
    except TimeoutError as error:
        return sent, error
    return sent, None


def test_a_long_answer_may_take_longer_than_one_request() -> None:
    sent, error = answer(pieces=30, pause_s=0.02)
    assert error is None
    assert len(sent) == 32


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    sent, error = answer(pieces=3, pause_s=600)
    assert isinstance(error, TimeoutError)
    assert sent == []
