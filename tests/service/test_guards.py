"""What is refused before a route sees it, and how errors are answered."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from agentmem import Memory
from agentmem.errors import ServiceError
from agentmem.service.app import create_app
from agentmem.service.settings import Settings
from agentmem.service.workers import Workers
from tests.support.service import HOST, client

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:7717", True),
        ("LOCALHOST", True),
        ("[::1]:80", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:7717", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_name_that_is_not_known_is_refused(memory: Memory, host: str, known: bool) -> None:
    with client(memory) as service:
        answered = service.get("/v1/count", headers={"Host": host})
        assert answered.status_code == (200 if known else 421)


def test_any_name_if_all_addresses_are_served(memory: Memory) -> None:
    with client(memory, hosts=None) as service:
        assert service.get("/v1/count", headers={"Host": "memory.example"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HOST}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
def test_a_page_of_another_origin_changes_nothing(
    memory: Memory, headers: dict[str, str], status: int
) -> None:
    memory.add("I like tea.")
    with client(memory) as service:
        asked = service.post("/v1/forget", json={"ids": [1], "dry_run": True}, headers=headers)
        assert asked.status_code == status


def test_a_form_is_no_request_of_the_api(memory: Memory) -> None:
    """Which a page of another site could send without asking first."""
    with client(memory) as service:
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            asked = service.post(
                "/v1/forget", content='{"user_id": "ana"}', headers={"Content-Type": kind}
            )
            assert asked.status_code == 422


def test_the_size_of_a_body(memory: Memory) -> None:
    with client(memory, max_body_bytes=1000) as service:
        assert service.post("/v1/memories", json={"content": "x " * 400}).status_code == 201

        def pieces() -> Any:
            for _ in range(100):
                yield b" " * 100

        for large in (b" " * 1001, pieces()):
            refused = service.post("/v1/memories", content=large)
            assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    assert memory.stats().sources == 1


def test_what_takes_too_long_is_ended(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def wait(self: Memory, **_: Any) -> int:
        release.wait(60)
        return 0

    monkeypatch.setattr(Memory, "count", wait)
    with client(memory, timeout_s=0.2) as service:
        late = service.get("/v1/count")
        release.set()
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")


def test_the_event_loop_answers_while_all_threads_work(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that touches the store runs in the event loop."""
    release = threading.Event()
    threads = set()

    def wait(self: Memory, **_: Any) -> int:
        threads.add(threading.current_thread().name)
        release.wait(60)
        return 0

    monkeypatch.setattr(Memory, "count", wait)
    with client(memory, workers=2, queue=1) as service:
        asked = [threading.Thread(target=lambda: service.get("/v1/count")) for _ in range(3)]
        for one in asked:
            one.start()
        pending = service.app.state.service.workers  # type: ignore[attr-defined]
        until = time.monotonic() + 60
        while pending.pending < 3:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert service.get("/health").status_code == 200
        full = service.get("/v1/count")
        assert (full.status_code, full.json()["error"]["code"]) == (503, "overloaded")
        assert full.headers["Retry-After"] == "1"
        release.set()
        for one in asked:
            one.join()
    assert {name.rpartition("_")[0] for name in threads} == {"agentmem-service"}


def test_work_that_was_not_begun_is_not_done_for_who_is_gone() -> None:
    done = []
    release = threading.Event()

    async def main() -> None:
        workers = Workers(1, 2)
        first = asyncio.create_task(workers.run(lambda: release.wait(60)))
        second = asyncio.create_task(workers.run(lambda: done.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        release.set()
        await first
        await workers.run(lambda: done.append(3))
        for _ in range(1000):
            if not workers.pending:
                break
            await asyncio.sleep(0.01)
        assert workers.pending == 0
        workers.close()

    asyncio.run(main())
    assert done == [3]


def test_the_queue_is_bounded() -> None:
    async def main() -> None:
        workers = Workers(1, 1)
        release = threading.Event()
        tasks = [asyncio.create_task(workers.run(lambda: release.wait(60))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceError, match="waiting already"):
            await workers.run(lambda: None)
        release.set()
        await asyncio.gather(*tasks)
        workers.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "json", "status", "code"),
    [
        ("GET", "/v1/memories/99", None, 404, "unknown_id"),
        ("GET", "/v1/memories/x", None, 422, "invalid_request"),
        ("GET", "/v1/nowhere", None, 404, "not_found"),
        ("DELETE", "/v1/memories/1", None, 405, "method_not_allowed"),
        ("GET", "/v1/memories?after=soon", None, 400, "input"),
        ("GET", "/v1/memories?where={", None, 422, "invalid_request"),
        ("GET", "/v1/count?since=soon", None, 400, "input"),
        ("POST", "/v1/recall", {}, 422, "invalid_request"),
        ("POST", "/v1/recall", {"query": " "}, 400, "input"),
        ("POST", "/v1/recall", {"query": "x", "k": 10**6}, 422, "invalid_request"),
        ("POST", "/v1/recall", {"query": "x", "K": 1}, 422, "invalid_request"),
        ("POST", "/v1/recall", {"query": "x", "user_id": None}, 400, "input"),
        ("POST", "/v1/recall", {"query": "x", "where": {"a": {"b": 1}}}, 400, "filter"),
        ("POST", "/v1/memories", {"content": " "}, 400, "blank"),
        ("POST", "/v1/memories", {"content": []}, 400, "input"),
        ("POST", "/v1/memories", {"content": {"document": {}}}, 400, "input"),
        ("POST", "/v1/forget", {}, 400, "input"),
        ("POST", "/v1/forget", {"where": None}, 400, "input"),
        ("POST", "/v1/forget", {"where": {}}, 400, "filter"),
        ("POST", "/v1/forget", {"ids": ["1"]}, 404, "unknown_id"),
        ("PATCH", "/v1/memories/1", {}, 400, "input"),
    ],
)
def test_errors_have_a_status_a_code_and_say_what_to_do(
    memory: Memory, method: str, path: str, json: Any, status: int, code: str
) -> None:
    with client(memory) as service:
        asked = service.request(method, path, json=json)
    assert (asked.status_code, asked.json()["error"]["code"]) == (status, code)
    assert asked.json()["error"]["message"]


def test_json_that_cannot_be_read(memory: Memory) -> None:
    with client(memory) as service:
        for body in (
            b"{",
            b"\xff",
            b"[" * 100_000,
            b'{"query": ' + b"9" * 5000 + b"}",
            b'{"query": "\\ud800"}',
        ):
            asked = service.post(
                "/v1/recall", content=body, headers={"Content-Type": "application/json"}
            )
            assert asked.status_code in (400, 422)
            assert asked.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "headers", "said"),
    [
        (b'{"query": "x"}', {}, "send it with Content-Type: application/json"),
        (
            b'{"query": "x"}',
            {"Content-Type": "application/x-www-form-urlencoded"},
            "send it with Content-Type: application/json",
        ),
        (b'{"query": "caf\xe9"}', JSON, "not UTF-8 at byte 14: send JSON in UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, JSON, "nested too deeply"),
        (b'{"query": "x", "user_id": null}', JSON, 'user_id is null: .*"any_id": \\["user_id"\\]'),
    ],
)
def test_a_body_that_is_not_read_is_told_with_the_way_out(
    memory: Memory, sent: bytes, headers: dict[str, str], said: str
) -> None:
    with client(memory) as service:
        asked = service.post("/v1/recall", content=sent, headers=headers)
        assert asked.status_code in (400, 415, 422)
        assert re.search(said, asked.json()["error"]["message"])
        asked = service.get("/v1/memories?user_id=")
        assert "user_id is blank: " in asked.json()["error"]["message"]


def test_what_is_unexpected_is_told_without_details(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Memory, **_: Any) -> int:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Memory, "count", fail)
    app = create_app(memory, Settings())
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as service:
        asked = service.get("/v1/count")
    assert (asked.status_code, asked.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in asked.text


def test_headers(memory: Memory) -> None:
    with client(memory) as service:
        for path in ("/health", "/v1/nowhere"):
            headers = service.get(path).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
