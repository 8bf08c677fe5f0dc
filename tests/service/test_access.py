"""Who may do what: tokens on every route, scopes that none of them leaves, sessions, limits."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from agentmem import Memory
from agentmem.service.access import PUBLIC, is_api
from agentmem.service.app import PARTS, create_app
from agentmem.service.rate import Rate
from agentmem.service.sessions import LASTS_S, MOST, Sessions
from agentmem.service.settings import Settings
from agentmem.service.tokens import Token
from tests.support.service import ANA, BO, HOST, OPERATOR, client, tokens

SECRET = "Bo's locker is 88"

# A request to every route, as if to get at what another user has; {id} is that memory.
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/openapi.json"): {},
    ("GET", "/metrics"): {},
    ("POST", "/v1/memories"): {"json": {"content": "x", "user_id": "bo"}},
    ("GET", "/v1/memories"): {},
    ("GET", "/v1/memories/{id}"): {},
    ("GET", "/v1/memories/{id}/regenerated"): {},
    ("PATCH", "/v1/memories/{id}"): {"json": {"text": "x"}},
    ("POST", "/v1/forget"): {"json": {"ids": [1]}},
    ("GET", "/v1/sources/{id}"): {},
    ("GET", "/v1/sources"): {"params": {"external_id": "locker"}},
    ("PATCH", "/v1/sources"): {"params": {"external_id": "locker"}, "json": {"text": "x"}},
    ("POST", "/v1/recall"): {"json": {"query": "locker"}},
    ("POST", "/v1/context"): {"json": {"query": "locker"}},
    ("POST", "/v1/supersede"): {"json": {"old": 1, "new": 2}},
    ("GET", "/v1/memories/{id}/history"): {},
    ("GET", "/v1/conflicts"): {},
    ("POST", "/v1/sessions/context"): {"json": {"messages": ["Where is my locker?"]}},
    ("POST", "/v1/sessions/observe"): {"json": {"messages": ["x"], "user_id": "bo"}},
    ("GET", "/v1/scopes"): {},
    ("GET", "/v1/episodes"): {},
    ("GET", "/v1/count"): {},
    ("GET", "/v1/stats"): {},
    ("POST", "/v1/verify"): {"json": {}},
    ("GET", "/v1/export"): {},
    ("POST", "/v1/import"): {
        "content": b"",
        "headers": {"Content-Type": "application/octet-stream"},
    },
    ("GET", "/"): {},
    ("GET", "/memories"): {},
    ("GET", "/memories/{id}"): {},
    ("GET", "/sources/{id}"): {},
    ("GET", "/search"): {"params": {"q": "locker"}},
    ("GET", "/timeline"): {},
    ("GET", "/map"): {},
    ("POST", "/forget"): {"data": {"ids": 1}, "headers": {"Origin": HOST}},
    ("POST", "/logout"): {"headers": {"Origin": HOST}},
}


def routes() -> set[tuple[str, str]]:
    return {
        (method, route.path)
        for part in PARTS
        for route in part.router.routes
        if isinstance(route, APIRoute)
        for method in (route.methods or ()) - {"HEAD"}
    }


def test_every_route_is_asked(memory: Memory) -> None:
    app = create_app(memory)
    described = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    assert described <= routes()
    # Nothing but its parts and its own description answers.
    assert len(app.routes) == len(PARTS) + 1
    asked = set(REQUESTS) - {("GET", "/openapi.json")}
    assert {one for one in routes() if one[1] not in PUBLIC} == asked
    assert {path for path in PUBLIC if not path.startswith("/static/")} == {"/health", "/login"}


def test_every_route_needs_a_token(memory: Memory) -> None:
    memory.add(SECRET, user_id="bo")
    with client(memory, tokens=tokens()) as service:
        for (method, path), arguments in REQUESTS.items():
            for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": OPERATOR}):
                given = {**arguments, "headers": {**arguments.get("headers", {}), **header}}
                refused = service.request(method, path.format(id=1), **given)
                if method == "GET" and not is_api(path):
                    assert (refused.status_code, refused.headers["Location"]) == (303, "/login")
                    continue
                assert refused.status_code == 401, path
                assert refused.json()["error"]["code"] == "unauthorized"
                assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert [one.text for one in memory.list()] == [SECRET]


def test_a_service_that_another_application_mounts(memory: Memory) -> None:
    """Its health needed a token there, and the errors of its API were pages for people."""
    memory.add(SECRET, user_id="bo")
    outer = FastAPI()
    outer.mount("/memory", create_app(memory, Settings(tokens=tokens())))
    with TestClient(outer, base_url=HOST, follow_redirects=False) as service:
        assert service.get("/memory/health").json()["status"] == "ok"
        for (method, path), arguments in REQUESTS.items():
            refused = service.request(method, f"/memory{path.format(id=1)}", **arguments)
            if method == "GET" and not is_api(path):
                assert (refused.status_code, refused.headers["Location"]) == (303, "/memory/login")
                continue
            assert refused.status_code == 401, path
        service.headers["Authorization"] = f"Bearer {ANA}"
        assert service.get("/memory/v1/memories/1").json()["error"]["code"] == "unknown_id"
        assert service.get("/memory/v1/count").json() == {"count": 0}
        del service.headers["Authorization"]
        sent = {"data": {"token": ANA}, "headers": {"Origin": HOST}}
        assert service.post("/memory/login", **sent).status_code == 303
        # The cookie of the page is none of the API's, there as everywhere.
        assert service.get("/memory/v1/count").status_code == 401


@pytest.mark.parametrize("ids", [{}, {"user_id": "bo"}, {"any_id": ["user_id"]}], ids=str)
def test_a_token_does_not_leave_its_scope(memory: Memory, ids: dict[str, Any]) -> None:
    memory.add(SECRET, user_id="bo", id="locker")
    memory.add("Ana's locker is 17.", user_id="ana")
    with client(memory, tokens=tokens(), secret=ANA) as service:
        for (method, path), arguments in REQUESTS.items():
            kind = next((one for one in ("json", "data") if one in arguments), "params")
            given = {**arguments, kind: {**arguments.get(kind, {}), **ids}}
            asked = service.request(method, path.format(id=1), **given)
            assert asked.status_code in (200, 303, 400, 403, 404, 422), path
            assert "locker is 88" not in asked.text
            if ids and path.startswith("/v1/"):
                assert asked.status_code >= 400, path
            assert [one.text for one in memory.list(user_id="bo")] == [SECRET]


def test_what_a_token_may_do_in_its_scope(memory: Memory) -> None:
    with client(memory, tokens=tokens(), secret=ANA) as service:
        service.post("/v1/memories", json={"content": "Ana's locker is 17."})
        assert service.get("/v1/count").json() == {"count": 1}
        assert service.get("/metrics").status_code == 403
        bound = {"Authorization": f"Bearer {BO}"}
        service.post("/v1/memories", json={"content": "Bo's locker is 88."}, headers=bound)
        assert service.get("/v1/count", headers=bound).json() == {"count": 1}
        whole = {"Authorization": f"Bearer {OPERATOR}"}
        assert service.get("/v1/count", headers=whole).json() == {"count": 2}
        assert service.get("/metrics", headers=whole).status_code == 200
    assert [(one.scope.user_id, one.scope.agent_id) for one in memory.list()] == [
        ("ana", None),
        ("bo", "x"),
    ]


def test_each_token_has_a_rate_of_its_own(memory: Memory) -> None:
    with client(memory, tokens=tokens(), secret=ANA, rate=0.001) as service:
        assert service.get("/v1/count").status_code == 200
        refused = service.get("/v1/count")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 1
        other = service.get("/v1/count", headers={"Authorization": f"Bearer {BO}"})
        assert other.status_code == 200
        assert service.get("/health").status_code == 200
        assert service.head("/health").status_code == 200  # as balancers of load ask


def test_a_bucket_fills_with_time() -> None:
    now = [0.0]
    rate = Rate(2.0, clock=lambda: now[0])
    assert [rate.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 1]
    now[0] = 0.5
    assert [rate.wait_s("a"), rate.wait_s("a")] == [0, 1]
    now[0] = 1000.0
    assert [rate.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 1]


def test_sessions_end() -> None:
    now = [0.0]
    sessions = Sessions(clock=lambda: now[0])
    token = Token("ana", b"")
    id = sessions.begin(token)
    assert sessions.find(id) is token
    assert sessions.find("x") is None
    now[0] = LASTS_S
    assert sessions.find(id) is None
    ids = [sessions.begin(token) for _ in range(MOST + 1)]
    assert sessions.find(ids[0]) is None
    assert sessions.find(ids[1]) is token
    sessions.end(ids[1])
    assert sessions.find(ids[1]) is None
