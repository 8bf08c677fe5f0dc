"""Conditions given twice, or where nobody reads them: one was lost, and more was read or forgotten.

`POST /v1/forget?user_id=ben` forgot everybody's, because that route reads its body, and of two
"not" in one JSON filter the first did not count.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from tests.support.cli import Cli
from tests.support.service import ANA, client, tokens

NEITHER = '{"not": {"user_id": "ana"}, "not": {"user_id": "ben"}}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def shared(memory: Memory) -> Memory:
    for user in ("ana", "ben"):
        memory.add(f"The code of {user}.", user_id=user)
    return memory


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/forget?user_id=ben", {"where": {"role": "user"}}),
        ("POST", "/v1/recall?user_id=ben", {"query": "code"}),
        ("POST", "/v1/recall?k=1", {"query": "code"}),
        ("POST", "/v1/context?session_id=s", {"query": "code"}),
        ("POST", "/v1/memories?user_id=ben", {"content": "A text."}),
        ("POST", "/v1/sessions/observe?user_id=ben", {"messages": []}),
        ("POST", "/v1/verify?user_id=ben", {}),
        ("PATCH", "/v1/memories/1?user_id=ben", {"text": "Of somebody else."}),
        ("PATCH", "/v1/sources?external_id=x&user_id=ben", {"text": "Of somebody else."}),
    ],
)
def test_a_scope_in_the_query_of_a_route_that_reads_its_body(
    shared: Memory, method: str, path: str, body: dict[str, Any]
) -> None:
    with client(shared) as service:
        answered = service.request(method, path, json=body)
    assert answered.status_code == 422
    assert "give it in the body" in answered.json()["error"]["message"]
    assert [chunk.text for chunk in shared.list()] == ["The code of ana.", "The code of ben."]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/memories?user_id=ana&user_id=ben",
        "/v1/count?user_id=ana&user_id=ana",
        "/v1/memories/1?detail=plain&detail=full",
        '/v1/count?where={"role": "user"}&where={"name": "Ana"}',
        "/v1/sources?external_id=a&external_id=b",
    ],
)
def test_a_parameter_given_twice(shared: Memory, path: str) -> None:
    with client(shared) as service:
        answered = service.get(path)
    assert answered.status_code == 422
    assert "given several times" in answered.json()["error"]["message"]


def test_ids_that_may_be_any_are_a_list(shared: Memory) -> None:
    with client(shared) as service:
        answered = service.get("/v1/count?any_id=user_id&any_id=agent_id")
    assert answered.json() == {"count": 2}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/forget", f'{{"where": {NEITHER}}}'),
        ("/v1/forget", '{"user_id": "ana", "user_id": "ben"}'),
        ("/v1/recall", f'{{"query": "code", "where": {NEITHER}}}'),
        ("/v1/recall", '{"query": "code", "query": "door"}'),
        ("/v1/memories", '{"content": {"role": "user", "content": "One.", "content": "Two."}}'),
        ("/v1/memories", '{"content": "A text.", "metadata": {"a": 1, "a": 2}}'),
    ],
)
def test_a_key_twice_in_a_body(shared: Memory, path: str, body: str) -> None:
    with client(shared) as service:
        answered = service.post(path, content=body, headers=JSON)
    assert answered.status_code == 422
    assert "stands twice" in answered.json()["error"]["message"]
    assert shared.count() == 2


@pytest.mark.parametrize("route", ["memories", "count", "export"])
def test_a_key_twice_in_a_filter_of_a_query(shared: Memory, route: str) -> None:
    with client(shared) as service:
        answered = service.get(f"/v1/{route}", params={"where": NEITHER})
    assert answered.status_code == 422
    assert "stands twice" in answered.json()["error"]["message"]


def test_a_token_of_one_user_gets_the_same_answers(shared: Memory) -> None:
    with client(shared, tokens=tokens(), secret=ANA) as service:
        assert service.post("/v1/recall?user_id=ana", json={"query": "code"}).status_code == 422
        assert service.post("/v1/recall", json={"query": "code"}).status_code == 200
        assert service.get("/v1/count?user_id=ana").json() == {"count": 1}


def test_a_key_twice_in_a_filter_of_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "A text.", "--user", "ana")
    for command in (["forget", "--yes"], ["list"], ["recall", "code"], ["export", tmp_path / "x"]):
        assert "'not' stands twice" in cli.error(2, *command, "--where", NEITHER)
    assert len(cli.ok("list", "--json").splitlines()) == 1


def test_an_argument_twice_in_the_call_of_a_tool(shared: Memory) -> None:
    tools = shared.scoped(user_id="ana").as_tools("openai")
    told = tools.call_tool("forget", '{"ids": [1], "ids": [99]}')
    assert "'ids' stands twice" in told
    assert json.loads(tools.call_tool("forget", ' {"ids": [1]}\n')) == {"memories": 1}
