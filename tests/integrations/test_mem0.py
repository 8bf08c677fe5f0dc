"""The memory in mem0's shape, used as programs use mem0."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import agentmem
from agentmem import ANY
from agentmem.errors import AgentMemError, FilterError, InputError
from agentmem.integrations.mem0 import DEFAULT_STORE, Memory, NotFoundError
from agentmem.testing import tiny_model
from tests.support.llm import OPENAI_KEY, fake_llm

ANA = {"user_id": "ana"}


@pytest.fixture
def store() -> Iterator[agentmem.Memory]:
    with agentmem.Memory(":memory:", model=tiny_model()) as opened:
        yield opened


@pytest.fixture
def m(store: agentmem.Memory) -> Memory:
    return Memory(store)


def texts(answer: dict[str, Any]) -> list[str]:
    return [one["memory"] for one in answer["results"]]


def test_what_is_added_comes_back_in_mem0s_shape(m: Memory) -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "I am vegan.", "name": "Ana"},
        {"role": "assistant", "content": "Noted: vegan."},
    ]
    added = m.add(said, user_id="ana", agent_id="a", run_id="r", metadata={"topic": "food"})
    first, second = added["results"]
    assert first == {
        "id": first["id"],
        "memory": "I am vegan.",
        "event": "ADD",
        "actor_id": "Ana",
        "role": "user",
    }
    assert (second["role"], second["actor_id"]) == ("assistant", None)
    got = m.get(first["id"])
    assert got is not None
    assert got["updated_at"] == got["created_at"]
    assert datetime.fromisoformat(got.pop("created_at")) <= datetime.now(UTC)
    del got["updated_at"]
    assert got == {
        "id": first["id"],
        "memory": "I am vegan.",
        "hash": hashlib.md5(b"I am vegan.").hexdigest(),
        "metadata": {"topic": "food"},
        "user_id": "ana",
        "agent_id": "a",
        "run_id": "r",
        "actor_id": "Ana",
        "role": "user",
    }
    assert m.get_all(filters=ANA)["results"][0]["id"] == first["id"]
    (found,) = m.search("vegan", filters={"run_id": "r"}, top_k=1, threshold=0)["results"]
    assert 0 <= found["score"] <= 1
    assert "score_details" not in found
    explained = m.search("vegan", filters=ANA, threshold=0, explain=True)["results"]
    assert "lexical" in explained[0]["score_details"]


def test_messages_in_all_their_shapes(m: Memory) -> None:
    assert texts(m.add("I have a cat.", user_id=7)) == ["I have a cat."]
    assert texts(m.add({"role": "user", "content": "And a dog."}, user_id=7)) == ["And a dog."]
    blocks = [{"type": "text", "text": "See"}, {"type": "text", "text": "this."}]
    assert texts(m.add([{"role": "user", "content": blocks}], user_id=7)) == ["See\nthis."]
    assert m.add([{"role": "system", "content": "Be brief."}], user_id=7) == {"results": []}
    assert len(m.get_all(filters={"user_id": 7})["results"]) == 3
    assert len(m.get_all(filters={"user_id": "7"})["results"]) == 3


def test_said_again_and_long_messages_are_memories_each(m: Memory) -> None:
    long = " ".join(f"The train number {n} leaves at noon." for n in range(60))
    for _ in range(3):
        m.add("ok", user_id="ana")
    (added,) = m.add(long, user_id="ana")["results"]
    assert texts(m.get_all(filters=ANA)) == ["ok", "ok", "ok", long]
    assert texts(m.get_all(filters=ANA, top_k=2)) == ["ok", "ok"]
    assert m.get_all(filters=ANA, top_k=0) == {"results": []}
    m.add("The train to Lyon.", user_id="ana")
    found = texts(m.search("train", filters=ANA, top_k=2, threshold=0))
    assert sorted(found) == sorted([long, "The train to Lyon."])
    assert m.search("train", filters=ANA, top_k=0) == {"results": []}
    m.delete(added["id"])
    assert long not in texts(m.get_all(filters=ANA))


def test_a_timestamp_is_when_it_was_said(m: Memory) -> None:
    (added,) = m.add("I am vegan.", user_id="ana", timestamp=1_700_000_000)["results"]
    got = m.get(added["id"])
    assert got is not None
    assert got["created_at"] == "2023-11-14T22:13:20+00:00"


def test_update_keeps_the_id_and_what_is_not_changed(m: Memory, store: agentmem.Memory) -> None:
    (added,) = m.add("I eat fish.", user_id="ana", metadata={"a": 1, "b": 1})["results"]
    id = added["id"]
    changed = m.update(id, text="I am vegan.", metadata={"b": 2})
    assert changed == {"message": "Memory updated successfully!"}
    got = m.get(id)
    assert got is not None
    assert (got["memory"], got["metadata"]) == ("I am vegan.", {"a": 1, "b": 2})
    assert got["updated_at"] > got["created_at"]
    assert [one.text for one in store.list()] == ["I am vegan."]
    m.update(id, data="I am not.")
    m.update(id, expiration_date="2020-01-01")
    got = m.get(id)
    assert got is not None
    assert (got["memory"], got["expiration_date"]) == ("I am not.", "2020-01-01")
    m.update(id, expiration_date=None)
    assert "expiration_date" not in (m.get(id) or {})
    with pytest.raises(InputError, match="text"):
        m.update(id)


def test_what_has_expired_is_hidden(m: Memory) -> None:
    today = datetime.now(UTC).date()
    m.add("old note", user_id="ana", expiration_date=today - timedelta(days=1))
    m.add("new note", user_id="ana", expiration_date=(today + timedelta(days=1)).isoformat())
    m.add("plain note", user_id="ana")
    assert texts(m.get_all(filters=ANA)) == ["new note", "plain note"]
    assert "old note" not in texts(m.search("old note", filters=ANA, threshold=0))
    assert len(m.get_all(filters=ANA, show_expired=True)["results"]) == 3
    shown = m.search("old note", filters=ANA, threshold=0, show_expired=True)
    assert texts(shown)[0] == "old note"


def test_deleting(m: Memory) -> None:
    (first,) = m.add("one", user_id="ana", run_id="r")["results"]
    m.add("two", user_id="ana")
    m.add("three", user_id="bo")
    assert m.delete(first["id"]) == {"message": "Memory deleted successfully!"}
    assert m.get(first["id"]) is None
    m.add("one", user_id="ana", run_id="r")
    assert texts(m.get_all(filters=ANA)) == ["two", "one"]
    m.delete_all(user_id="ana", run_id="r")
    assert texts(m.get_all(filters=ANA)) == ["two"]
    assert m.delete_all(user_id="ana") == {"message": "Memories deleted successfully!"}
    assert texts(m.get_all(filters={"user_id": "bo"})) == ["three"]
    with pytest.raises(InputError, match="reset"):
        m.delete_all()
    m.reset()
    m.reset()
    assert texts(m.get_all(filters={"user_id": "bo"})) == []


@pytest.mark.parametrize("id", ["99", "none", "-1", "9" * 30, "\u0663", 1])
def test_an_id_that_is_unknown(m: Memory, id: Any) -> None:
    m.add("one", user_id="ana")
    assert m.get(id) is None
    for verb in (m.delete, lambda id: m.update(id, text="x")):
        with pytest.raises(NotFoundError) as caught:
            verb(id)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, AgentMemError)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"kind": "a"}, "13"),
        ({"kind": {"ne": "a"}}, "2"),
        ({"n": {"gte": 2}}, "23"),
        ({"n": {"gt": 1, "lt": 3}}, "2"),
        ({"n": {"in": [1, 3]}}, "13"),
        ({"n": {"nin": [1, 3]}}, "2"),
        ({"kind": {"contains": "b"}}, "2"),
        ({"role": "*"}, "123"),
        ({"extra": "*"}, "3"),
        ({"AND": [{"kind": "a"}, {"n": 1}]}, "1"),
        ({"OR": [{"kind": "b"}, {"n": 1}]}, "12"),
        ({"NOT": [{"kind": "b"}, {"n": 1}]}, "3"),
        ({"name": "key"}, "3"),
        ({"actor_id": "Ana"}, "2"),
        ({"agent_id": {"in": ["x", "y"]}}, "1"),
    ],
)
def test_filters(m: Memory, condition: dict[str, Any], found: str) -> None:
    m.add("note 1", user_id="ana", agent_id="x", metadata={"kind": "a", "n": 1})
    said = {"role": "user", "content": "note 2", "name": "Ana"}
    m.add(said, user_id="ana", metadata={"kind": "b", "n": 2})
    m.add("note 3", user_id="ana", metadata={"kind": "a", "n": 3, "extra": None, "name": "key"})
    m.add("note 4", user_id="bo", metadata={"kind": "a", "n": 1})
    filters = {**ANA, **condition}
    assert "".join(text[-1] for text in texts(m.get_all(filters=filters))) == found
    searched = texts(m.search("note", filters=filters, threshold=0))
    assert "".join(sorted(text[-1] for text in searched)) == found


def test_several_users_by_a_condition(m: Memory) -> None:
    for user in ("ana", "bo", "cy"):
        m.add(user, user_id=user)
    assert texts(m.get_all(filters={"user_id": {"in": ["ana", "bo"]}})) == ["ana", "bo"]
    assert len(texts(m.get_all(filters={"user_id": ANY}))) == 3


@pytest.mark.parametrize("name", ["user_id", "agent_id", "run_id"])
def test_a_star_from_a_form_is_nobody(m: Memory, name: str) -> None:
    m.add("a secret", user_id="ana")
    for filters in ({name: "*"}, {"user_id": "ana", "AND": [{name: "*"}]}):
        for read in (m.get_all, lambda filters: m.search("secret", filters=filters)):
            with pytest.raises(InputError, match=r"'\*' is no id: .* agentmem\.ANY"):
                read(filters=filters)
    with pytest.raises(InputError, match=r"'\*' is no id"):
        m.add("mine", **{name: "*"})
    with pytest.raises(InputError, match=r"'\*' is no id"):
        m.delete_all(**{name: "*"})


@pytest.mark.parametrize("filters", [None, {}, {"kind": "a"}, {"user_id": None}])
def test_reading_needs_a_scope(m: Memory, filters: Any) -> None:
    m.add("one", user_id="ana")
    for read in (m.get_all, lambda filters: m.search("one", filters=filters)):
        with pytest.raises(InputError, match="user_id"):
            read(filters=filters)


@pytest.mark.parametrize(
    "filters",
    [{"n": {"icontains": "x"}}, {"OR": []}, {"AND": {"n": 1}}, {"NOT": ["n"]}],
)
def test_a_malformed_filter(m: Memory, filters: dict[str, Any]) -> None:
    with pytest.raises(FilterError):
        m.get_all(filters={**ANA, **filters})


@pytest.mark.parametrize(
    ("messages", "arguments", "message"),
    [
        ("x", {}, "user_id"),
        ("x", {"user_id": " "}, "user_id"),
        ("x", {"user_id": "ana", "infer": True}, "infer=True"),
        ("x", {"user_id": "ana", "memory_type": "procedural_memory"}, "memory_type"),
        ("x", {"user_id": "ana", "prompt": "Extract."}, "prompt"),
        ("x", {"user_id": "ana", "expiration_date": "soon"}, "soon"),
        (5, {"user_id": "ana"}, "messages"),
        ([{"role": "user", "content": "x"}, {"role": "user"}], {"user_id": "ana"}, "message 1"),
        ([{"role": "user", "content": "x"}, "y"], {"user_id": "ana"}, "message 1"),
        ([{"role": "user", "content": " "}], {"user_id": "ana"}, "message 0"),
        ([{"role": "pirate", "content": "x"}], {"user_id": "ana"}, "message 0"),
    ],
)
def test_what_cannot_be_added(
    m: Memory, messages: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        m.add(messages, **arguments)
    assert m.memory.stats().memories == 0


def test_numbers_out_of_range(m: Memory) -> None:
    with pytest.raises(InputError, match="top_k"):
        m.get_all(filters=ANA, top_k=-1)
    with pytest.raises(InputError):
        m.search("x", filters=ANA, threshold=2)
    with pytest.raises(InputError):
        m.search(" ", filters=ANA)


def test_a_store_of_its_own(tmp_path: Path) -> None:
    with Memory(tmp_path / "s") as m:
        m.add("I keep bees in Lyon.", user_id="ana")
        assert texts(m.search("where are the bees?", filters=ANA)) == ["I keep bees in Lyon."]
    with Memory(tmp_path / "s") as m:
        assert texts(m.get_all(filters=ANA)) == ["I keep bees in Lyon."]


def test_a_scoped_handle_is_not_left(store: agentmem.Memory, m: Memory) -> None:
    m.add("three", user_id="bo")
    ana = Memory(store.scoped(user_id="ana"))
    ana.add("one", run_id="r")
    assert texts(ana.get_all(filters={"run_id": "r"})) == ["one"]
    with pytest.raises(InputError, match="bo"):
        ana.get_all(filters={"user_id": "bo"})
    ana.reset()
    assert texts(m.get_all(filters={"user_id": "bo"})) == ["three"]
    ana.close()
    assert m.memory.stats().memories == 1


def test_the_flow_of_the_documentation(m: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """mem0's chat loop: search, put what was found into the system prompt, reply, add."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_llm() as llm:
        client = OpenAI(base_url=f"{llm.url}/v1", api_key=OPENAI_KEY)
        llm.text = "Noted."

        def chat(message: str) -> str:
            relevant = m.search(message, filters=ANA, top_k=3, threshold=0)
            found = "\n".join(f"- {entry['memory']}" for entry in relevant["results"])
            messages: list[Any] = [
                {"role": "system", "content": f"You are a helpful AI.\nUser Memories:\n{found}"},
                {"role": "user", "content": message},
            ]
            reply = client.chat.completions.create(model="tiny", messages=messages)
            messages.append({"role": "assistant", "content": reply.choices[0].message.content})
            m.add(messages, user_id="ana")
            return str(messages[-1]["content"])

        assert chat("I am allergic to peanuts.") == "Noted."
        chat("What am I allergic to?")
        assert "- I am allergic to peanuts." in llm.seen[-1].body["messages"][0]["content"]
    # System messages are left out, so what was recalled is not stored again.
    assert len(m.get_all(filters=ANA)["results"]) == 4
    assert "User Memories" not in str(m.get_all(filters=ANA))


def test_a_configuration_names_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[Any] = []

    class Opened(agentmem.Memory):
        def __init__(self, location: Any) -> None:
            opened.append(location)
            super().__init__(":memory:", model=tiny_model())

    monkeypatch.setattr("agentmem.memory.Memory", Opened)
    place = {"provider": "agentmem", "config": {"path": str(tmp_path / "notes")}}
    with Memory.from_config({"vector_store": place, "version": "v1.1"}):
        assert not caplog.records
    models = {"llm": {"provider": "openai", "config": {}}, "embedder": None}
    with Memory.from_config(models) as m:
        m.add("I am vegan.", **ANA)
    assert "llm" in caplog.text
    assert "embedder" not in caplog.text
    assert opened == [str(tmp_path / "notes"), DEFAULT_STORE]


@pytest.mark.parametrize(
    "config",
    [
        {"vector_store": {"provider": "qdrant", "config": {"path": "/tmp/qdrant"}}},
        {"vector_store": "qdrant"},
        {"vector_store": {"provider": "agentmem"}},
        {"vector_store": {"provider": "agentmem", "config": {"path": "x", "collection_name": "y"}}},
        {"vector_store": {"provider": "agentmem", "config": {"path": 7}}},
        {"vectorstore": {}},
        "notes",
        None,
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_followed_is_refused(config: Any) -> None:
    with pytest.raises(InputError, match="vector_store"):
        Memory.from_config(config)
