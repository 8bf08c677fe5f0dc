"""Every route does what the verb of `Memory` does."""

from __future__ import annotations

from typing import Any

import pytest

from agentmem import Memory
from tests.support.service import client


def fill(memory: Memory) -> None:
    memory.add("Ana plays the cello.", user_id="ana", session_id="1", metadata={"n": 1})
    memory.add(["Bo has a boat.", "Bo sails on Sundays."], user_id="bo")


def test_adding_recalling_and_forgetting(memory: Memory) -> None:
    with client(memory) as service:
        added = service.post(
            "/v1/memories",
            json={
                "content": [
                    "The boiler code is 7714.",
                    {"role": "assistant", "content": "Noted."},
                    {"document": {"text": "# Rent\n\nIt is 900.", "title": "Flat"}},
                ],
                "user_id": "ana",
                "created_at": "2026-03-05",
                "metadata": {"room": "cellar"},
            },
        )
        assert added.status_code == 201
        receipt = added.json()
        assert receipt["ids"] == [1, 2, 3]
        found = service.post("/v1/recall", json={"query": "boiler code", "mode": "lexical"}).json()
        assert found["hits"][0]["text"] == "The boiler code is 7714."
        assert found["hits"][0]["metadata"] == {"room": "cellar"}
        assert "full" not in {k for k, v in found["hits"][0].items() if v is not None}
        assert [one["kind"] for one in service.get("/v1/memories").json()["memories"]] == [
            "message",
            "message",
            "document",
        ]
        packed = service.post("/v1/context", json={"query": "boiler code", "k": 1}).json()
        assert "7714" in packed["text"]
        assert packed["messages"][0]["role"] == "user"
        dry = service.post("/v1/forget", json={"ids": [1], "dry_run": True}).json()
        assert (dry["ids"], dry["dry_run"]) == ([1], True)
        assert memory.count() == 3
        assert service.post("/v1/forget", json={"user_id": "ana"}).json()["ids"] == [1, 2, 3]
        assert memory.count() == 0


def test_reading_and_changing(memory: Memory) -> None:
    fill(memory)
    with client(memory) as service:
        first = service.get("/v1/memories/1").json()
        assert first["text"] == "Ana plays the cello."
        changed = service.patch("/v1/memories/1", json={"text": "Ana plays the harp."}).json()
        (new,) = changed["ids"]
        gone = service.get("/v1/memories/1")
        assert gone.status_code == 404
        assert gone.json()["error"]["code"] == "unknown_id"
        assert gone.json()["error"]["became"] == [new]
        source = service.get(f"/v1/sources/{changed['sources'][0]}").json()
        assert (source["text"], source["complete"]) == ("Ana plays the harp.", True)
        both = service.get(f"/v1/memories/{new}/regenerated").json()
        assert both["text"] == "Ana plays the harp."
        assert both["regenerated"] == memory.regenerated(new)


def test_overview(memory: Memory) -> None:
    fill(memory)
    with client(memory) as service:
        scopes = service.get("/v1/scopes").json()["scopes"]
        assert [one["user_id"] for one in scopes] == ["bo", "ana"]
        assert service.get("/v1/count").json() == {"count": 3}
        assert service.get("/v1/count", params={"user_id": "bo"}).json() == {"count": 2}
        assert service.get("/v1/count", params={"where": '{"n": 1}'}).json() == {"count": 1}
        stats = service.get("/v1/stats", params={"user_id": "bo"}).json()
        assert (stats["memories"], stats["file_bytes"]) == (2, None)
        assert service.post("/v1/verify", json={}).json()["ok"]
        assert service.get("/health").json()["status"] == "ok"
        metrics = service.get("/metrics").text
        assert "agentmem_memories 3.0" in metrics
        assert 'route="/v1/stats"' in metrics
        assert 'agentmem_requests_total{method="GET",route="/v1/count",status="200"} 3.0' in metrics


def test_pages_hold_each_memory_once(memory: Memory) -> None:
    memory.add([f"note {n}" for n in range(7)], user_id="ana")
    memory.add(" ".join(f"word{n}" for n in range(900)), user_id="bo")
    for newest_first in (False, True):
        expected = [chunk.id for chunk in memory.list(newest_first=newest_first)]
        with client(memory) as service:
            asked: dict[str, Any] = {"limit": 3, "newest_first": newest_first}
            found: list[int] = []
            while True:
                page = service.get("/v1/memories", params=asked).json()
                found += [one["id"] for one in page["memories"]]
                if page["next"] is None:
                    break
                asked["after"] = page["next"]
        assert found == expected


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_do_not_hold_what_is_added_or_replaced_meanwhile(
    memory: Memory, newest_first: bool
) -> None:
    memory.add([f"note {n}" for n in range(4)])
    with client(memory) as service:
        asked: dict[str, Any] = {"limit": 1, "newest_first": newest_first}
        found: list[str] = []
        while True:
            page = service.get("/v1/memories", params=asked).json()
            for one in page["memories"]:
                found.append(one["text"])
                memory.update(one["id"], text=f"changed {one['text']}")
                memory.add(f"added after {one['text']}")
            if page["next"] is None:
                break
            asked["after"] = page["next"]
    expected = [f"note {n}" for n in range(4)]
    assert found == (expected[::-1] if newest_first else expected)


def test_a_chat_loop_over_http(memory: Memory) -> None:
    said = {"role": "user", "content": "The boiler code is 7714."}
    who = {"user_id": "ana", "session_id": "monday"}
    with client(memory) as service:
        stored = service.post(
            "/v1/sessions/observe", json={"messages": [said], "reply": "Noted.", **who}
        )
        assert (stored.status_code, len(stored.json()["ids"])) == (201, 2)
        asked = [{"role": "user", "content": "What is the boiler code?"}]
        sent = service.post(
            "/v1/sessions/context", json={"messages": asked, "user_id": "ana", "k": 2}
        ).json()["messages"]
        assert "7714" in sent[0]["content"]
        assert sent[1:] == asked
        for wrong in ({"messages": [{"role": "user"}]}, {"messages": [{"text": {}}]}):
            refused = service.post("/v1/sessions/observe", json={**wrong, **who})
            assert refused.status_code in (201, 400)
        none = service.post("/v1/sessions/context", json={"messages": [said], "user_id": None})
        assert none.status_code == 400
