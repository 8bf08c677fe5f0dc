"""The page: every view, hostile texts, forms, logins, and how much it reads."""

from __future__ import annotations

import html
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem.service.page.difference import difference
from agentmem.service.page.projection import project
from agentmem_storage.records import ChunkRecord
from agentmem_storage.sql.reading import chunks, chunks_with_sources
from tests.support.service import ANA, HOST, client, tokens

VIEWS = ("/", "/memories", "/timeline", "/map", "/map?color=episode", "/search?q=tea")
SAME = {"Origin": HOST}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "{{ 1234567 * 2 }}{% raw %}",
    "javascript:alert(1)",
    "</pre></textarea><svg/onload=alert(1)>",
    "\u202e\u2028<b>&lt;b&gt;",
)


@pytest.fixture
def page(memory: Memory) -> Iterator[TestClient]:
    with client(memory) as made:
        yield made


def test_an_empty_store(page: TestClient) -> None:
    for view in VIEWS:
        shown = page.get(view)
        assert (shown.status_code, shown.headers["Content-Type"]) == (
            200,
            "text/html; charset=utf-8",
        )
    assert "0 memories" in page.get("/").text
    assert "agentmem add" in page.get("/").text


def test_every_view_shows_what_there_is(memory: Memory, page: TestClient) -> None:
    memory.add("I like tea.", user_id="ana", session_id="monday", metadata={"drink": "tea"})
    memory.add("Bo drinks coffee.", user_id="bo")
    for view in VIEWS[:-1]:
        shown = page.get(view).text
        assert "ana" in shown
        assert "bo" in shown
        only = page.get(view + ("&" if "?" in view else "?") + "user_id=ana").text
        assert view == "/" or "coffee" not in only
    found = page.get("/search?q=who+drinks+coffee").text
    assert "Bo drinks coffee." in found
    for part in ("score", "relevance", "lexical", "vector", "neighbors", "length"):
        assert f"<dt>{part}</dt>" in found
    one = page.get("/memories/1").text
    assert '"drink": "tea"' in html.unescape(one)
    assert "I like tea." in one
    assert "Regenerated from the vectors alone" in one
    assert 'href="/sources/1"' in one
    assert "I like tea." in page.get("/sources/1").text
    assert page.get("/map").text.count("<circle class=") == 2 + 2


def test_a_session_of_nobodys_is_not_everybodys(memory: Memory, page: TestClient) -> None:
    memory.add("Nobody said so.", session_id="monday")
    memory.add("The office said so.", agent_id="office", session_id="monday")
    for user in ("ana", "bo"):
        memory.add(f"{user} said so.", user_id=user, session_id="monday")
    nobodys = "session_id=monday&none=user_id%2Cagent_id"
    links = html.unescape(page.get("/").text)
    for view in ("/memories", "/timeline", "/map"):
        assert f'"{view}?{nobodys}"' in links
    for view in (*VIEWS[1:-1], "/search?q=said+so"):
        only = page.get(view + ("&" if "?" in view else "?") + nobodys)
        assert only.status_code == 200
        shown = html.unescape(only.text)
        assert "Nobody said so." in shown or view.startswith("/map")
        assert "ana" not in shown
        assert "office" not in shown
        # The other views go on with the same.
        assert f'"/memories?{nobodys}"' in shown
        assert 'name="none" value="user_id,agent_id"' in shown
    assert "without user, agent" in page.get(f"/memories?{nobodys}").text
    assert '"/memories?agent_id=office&none=user_id"' in links
    asked = {"session_id": "monday", "none": "user_id,agent_id"}
    chosen = html.unescape(page.post("/forget", data=asked, headers=SAME).text)
    assert "Forget 1 memory?" in chosen
    assert 'name="none" value="user_id,agent_id"' in chosen
    page.post("/forget", data={**asked, "expected": 1}, headers=SAME)
    assert memory.count() == 3
    assert page.get("/memories?none=everybody").status_code == 422


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_and_names_are_only_shown(
    memory: Memory, page: TestClient, text: str
) -> None:
    (id,) = memory.add(
        {"role": "user", "content": text, "name": text},
        user_id=text,
        agent_id=text,
        session_id=text,
        metadata={text: text},
    ).ids
    views = [page.get(view).text for view in VIEWS]
    views += [page.get(f"/memories/{id}").text, page.get("/sources/1").text]
    views += [page.get(path, params={"user_id": text}).text for path in ("/memories", "/search")]
    views += [page.get("/search", params={"q": text}).text]
    views += [page.post("/forget", data={"user_id": text}, headers=SAME).text]
    views += [page.get("/memories", params={"after": text}).text]
    views += [page.get(f"/{text}").text]
    for shown in views:
        read = Read()
        read.feed(shown)
        assert read.scripts == ["/static/page.js"]
        assert not read.tags & {"img", "b", "iframe", "object", "style"}
        assert not any(name.startswith("on") or name == "style" for name in read.attributes)
        assert all(link.startswith(("/", "#")) for link in read.links)
        assert str(1234567 * 2) not in shown
    assert sum(text.split("\u2028")[0] in shown for shown in map(html.unescape, views)) > 5


class Read(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= given.keys()
        self.links += [given[name] or "" for name in ("href", "action", "src") if name in given]
        if tag == "script":
            self.scripts.append(given.get("src"))


def test_pages_go_through_all(memory: Memory, page: TestClient) -> None:
    memory.add([f"note number {n}." for n in range(60)], user_id="ana")
    for first in ("/memories", "/memories?user_id=ana"):
        seen: list[str] = []
        path: str | None = first
        while path:
            shown = page.get(path).text
            seen += re.findall(r'class="words" href="/memories/(\d+)"', shown)
            following = re.search(r'rel="next" href="([^"]+)"', shown)
            path = html.unescape(following[1]) if following else None
        assert seen == [str(chunk.id) for chunk in memory.list(newest_first=True)]


def test_forgetting_a_scope_with_memories_in_quarantine(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(["one", "two"], user_id="ana")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id = 1")
    with Memory(place, model=model) as memory, client(memory) as page:
        assert [one.id for one in memory.repair().quarantined] == [1]
        asked = page.post("/forget", data={"user_id": "ana"}, headers=SAME).text
        assert "Forget 2 memories?" in asked
        form = {"user_id": "ana", "expected": 2}
        assert "Forgotten" in page.post("/forget", data=form, headers=SAME).text
        assert memory.verify().quarantined == ()


def test_the_timeline_goes_through_all_episodes(memory: Memory, page: TestClient) -> None:
    for day in range(1, 29):
        memory.add(f"On day {day} it rained.", created_at=f"2026-02-{day:02}", user_id="ana")
    seen: list[str] = []
    path: str | None = "/timeline?user_id=ana"
    while path:
        shown = page.get(path).text
        seen += re.findall(r"On day (\d+) it rained", shown)
        following = re.search(r'rel="next" href="([^"]+)"', shown)
        path = html.unescape(following[1]) if following else None
    assert seen == [str(day) for day in range(28, 0, -1)]


def test_forgetting_takes_two_steps(memory: Memory, page: TestClient) -> None:
    memory.add(["one", "two", "three"], user_id="ana")
    asked = page.post("/forget", data={"ids": [1, 3]}, headers=SAME).text
    assert "Forget 2 memories?" in asked
    assert memory.count() == 3
    fields = re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', asked)
    assert fields[:3] == [("ids", "1"), ("ids", "3"), ("expected", "2")]
    assert [name for name, _ in fields[3:]] == ["seen"]
    done = page.post("/forget", data={"ids": [1, 3], "expected": 2}, headers=SAME).text
    assert "none remain in any file" in done
    assert [chunk.text for chunk in memory.list()] == ["two"]
    # What is chosen has changed since it was shown.
    memory.add("four", user_id="ana")
    again = page.post("/forget", data={"user_id": "ana", "expected": 1}, headers=SAME).text
    assert "Nothing was forgotten" in again
    assert memory.count() == 2
    assert page.post("/forget", data={"user_id": "ana", "expected": 2}, headers=SAME).is_success
    assert memory.count() == 0
    none = page.post("/forget", data={"user_id": "ana", "expected": 0}, headers=SAME).text
    assert "nothing to forget" in none
    for wrong in ({}, {"user_id": ""}, {"expected": 0}, {"ids": 99}, {"ids": "x"}):
        refused = page.post("/forget", data=wrong, headers=SAME)
        assert refused.status_code in (400, 404, 422)
        assert "<h1>" in refused.text


@pytest.mark.parametrize("change", ["update", "replace"])
def test_nothing_is_forgotten_that_was_not_shown(
    memory: Memory, page: TestClient, change: str
) -> None:
    memory.add(["one", "two"], user_id="ana")
    asked = page.post("/forget", data={"user_id": "ana"}, headers=SAME).text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', asked))
    if change == "update":
        memory.update(2, text="what nobody has seen")
    else:
        memory.forget([2])
        memory.add("what nobody has seen", user_id="ana")
    again = page.post("/forget", data=fields, headers=SAME).text
    assert "Nothing was forgotten" in again
    assert "what nobody has seen" in again
    assert memory.count() == 2
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', again))
    assert "Forgotten" in page.post("/forget", data=fields, headers=SAME).text
    assert memory.count() == 0


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str
)
def test_forms_of_other_pages_are_refused(
    memory: Memory, page: TestClient, headers: dict[str, str]
) -> None:
    memory.add("one", user_id="ana")
    for path in ("/forget", "/logout", "/login"):
        form = {"user_id": "ana", "expected": 1, "token": ANA}
        refused = page.post(path, data=form, headers=headers)
        assert refused.status_code == 403, path
    assert memory.count() == 1


def test_logging_in_and_out(memory: Memory) -> None:
    memory.add("Bo's locker is 88.", user_id="bo")
    memory.add("Ana's locker is 17.", user_id="ana")
    with client(memory, tokens=tokens()) as page:
        assert page.get("/").headers["Location"] == "/login"
        assert 'type="password"' in page.get("/login").text
        wrong = page.post("/login", data={"token": "x" * 40}, headers=SAME)
        assert wrong.status_code == 401
        assert "Set-Cookie" not in wrong.headers
        entered = page.post("/login", data={"token": f" {ANA}\n"}, headers=SAME)
        assert (entered.status_code, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert ANA not in cookie
        for view in VIEWS:
            assert "locker is 88" not in page.get(view).text
        assert "locker is 17" in page.get("/memories").text
        assert page.get("/memories/1").status_code == 404
        assert page.get("/memories?user_id=bo").status_code == 400
        # A cookie is for the page, and not for programs.
        assert page.get("/v1/count").status_code == 401
        page.post("/logout", headers=SAME)
        page.cookies.set("agentmem_session", re.findall(r"=([^;]+)", cookie)[0])
        assert page.get("/").headers["Location"] == "/login"


def test_without_tokens_there_is_nothing_to_log_in_to(page: TestClient) -> None:
    assert page.get("/login").headers["Location"] == "/"


def test_errors_are_pages(page: TestClient) -> None:
    for path, status in (("/memories/99", 404), ("/memories/x", 422), ("/nowhere", 404)):
        shown = page.get(path)
        assert shown.status_code == status
        assert 'role="alert"' in shown.text


def test_a_damaged_memory_is_shown_as_such(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add(["one", "two"], user_id="ana")
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id = 1")
    with Memory(place, model=model) as memory, client(memory) as page:
        for view in ("/", "/memories", "/timeline", "/map", "/memories/1"):
            shown = page.get(view)
            assert shown.status_code == 200, view
            assert view == "/map" or "damaged" in shown.text


def test_a_view_reads_a_bounded_number_of_rows(
    memory: Memory, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time that it takes hardly depends on how much is stored."""
    rows, statements = [], []
    decode = chunks.decode_chunk

    def decoded(row: Any, **how: Any) -> ChunkRecord:
        rows.append(row.id)
        return decode(row, **how)

    for module in (chunks, chunks_with_sources):
        monkeypatch.setattr(module, "decode_chunk", decoded)
    memory.add([f"note {n}" for n in range(900)], user_id="ana")

    def executed(*_: object) -> None:
        statements.append(1)

    event.listen(Engine, "before_cursor_execute", executed)
    for path, most_rows in (("/", 10), ("/memories", 26), ("/timeline", 13 * 32), ("/map", 600)):
        rows.clear()
        statements.clear()
        assert page.get(path).status_code == 200
        assert 0 < len(rows) <= most_rows, path
        assert len(statements) <= 160, path
    event.remove(Engine, "before_cursor_execute", executed)


def test_a_difference_is_made_of_both_texts() -> None:
    one, other = "Booked the 9:40 to Lyon.", "Booked a 9:45 to Lyon."
    pieces = difference(one, other)
    assert "".join(piece.original for piece in pieces) == one
    assert "".join(piece.other for piece in pieces) == other
    assert [piece.original for piece in pieces if not piece.same] == ["the", "40"]
    assert difference("", "") == []
    assert all(piece.same for piece in difference(one, one))


def test_a_projection_keeps_what_is_near_near() -> None:
    random = np.random.default_rng(0)
    centers = np.eye(16, dtype=np.float32)[:2]
    near = np.concatenate([one + 0.01 * random.standard_normal((20, 16)) for one in centers])
    places = project(near.astype(np.float32))
    assert places.shape == (40, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    assert abs(places[:20, 0].mean() - places[20:, 0].mean()) > 0.8
    assert np.array_equal(places, project(near.astype(np.float32)))
    assert np.array_equal(project(np.ones((1, 16), np.float32)), [[0.5, 0.5]])
    assert np.array_equal(project(np.ones((3, 16), np.float32)), [[0.5, 0.5]] * 3)
