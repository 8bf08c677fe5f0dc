"""Values that said nothing or broke: handles in other processes, slices, unknown keys, old ids."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import AsyncMemory, Memory
from agentmem.context.recall import Recall
from agentmem.errors import InputError, StoreError, StoreNotFoundError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from tests.support.cli import Cli, bundle

# --- a handle in another process ---


@pytest.fixture
def sent(tmp_path: Path) -> Memory:
    memory = Memory(tmp_path / "store", model=bundle(), require=("user_id",), keep_text=True)
    memory.add("I live in Porto.", user_id="ana")
    memory.add("I live in Lyon.", user_id="ben")
    return memory


def test_it_opens_the_store_there(sent: Memory, tmp_path: Path) -> None:
    program = """
import pickle, sys
memory = pickle.load(sys.stdin.buffer)
memory.add("I moved to Braga.", user_id="ana")
print([chunk.text for chunk in memory.list(user_id="ana")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(sent),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert done.stdout.decode().strip() == "['I live in Porto.', 'I moved to Braga.']"
    assert len(list(sent.list(user_id="ana"))) == 2


def test_it_is_opened_as_before(sent: Memory) -> None:
    with pickle.loads(pickle.dumps(sent)) as again:
        with pytest.raises(InputError, match="require"):
            again.recall("where?")
        (added,) = again.add("A third.", user_id="ana").ids
        assert again.get(added, user_id="ana").text_stored


def test_a_scoped_handle_stays_bound(sent: Memory) -> None:
    ana = pickle.loads(pickle.dumps(sent.scoped(user_id="ana")))
    assert [chunk.text for chunk in ana.list()] == ["I live in Porto."]
    with pytest.raises(InputError, match="bound to user_id='ana'"):
        ana.list(user_id="ben")


def test_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Memory("here", model=bundle()) as memory:
        memory.add("kept")
        data = pickle.dumps(memory)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(data) as again:
        assert [chunk.text for chunk in again.list()] == ["kept"]


def test_nothing_is_created_there(sent: Memory, tmp_path: Path) -> None:
    data = pickle.dumps(sent)
    sent.close()
    (tmp_path / "store").rename(tmp_path / "moved")
    with pytest.raises(StoreNotFoundError):
        pickle.loads(data)
    assert not (tmp_path / "store").exists()


def test_what_cannot_be_sent_says_so(tmp_path: Path, model: ModelBundle) -> None:
    with Memory(":memory:", model=bundle()) as memory:
        with pytest.raises(StoreError, match="in memory belongs to its process: use a folder"):
            pickle.dumps(memory)
    with Memory(tmp_path / "store", model=model) as memory:
        with pytest.raises(StoreError, match="model= as a folder"):
            pickle.dumps(memory)
        with pytest.raises(StoreError, match="model= as a folder"):
            pickle.dumps(memory.scoped(user_id="ana"))

    async def main() -> None:
        async with AsyncMemory(tmp_path / "store", model=model) as memory:
            with pytest.raises(StoreError, match="send the location, and open it there"):
                pickle.dumps(memory)

    asyncio.run(main())


# --- a slice of hits ---


@pytest.mark.parametrize(
    "part", [slice(2), slice(1, None), slice(None, None, -1), slice(9, None)], ids=str
)
def test_a_slice_of_hits_is_a_recall(memory: Memory, part: slice) -> None:
    memory.add([f"note {number}" for number in range(5)])
    hits = memory.recall("note")
    some = hits[part]
    assert isinstance(some, Recall)
    assert some.hits == hits.hits[part]
    assert (some.query, some.candidates, some.relevance) == ("note", 5, hits.relevance)
    assert some.confident is hits.confident
    assert len(some.pack(max_tokens=1000).hits) == len(some)


# --- a filter on a key that no memory has ---

WHERE: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"shelve": "travel"}, ("shelve",)),
    ({"metadata.shelve": "travel"}, ("shelve",)),
    ({"shelf": "travel", "shelve": {"ne": "x"}}, ("shelve",)),
    ({"or": [{"shelve": 1}, {"box.m": 1}]}, ("shelve", "box.m")),
    ({"or": [{"shelve": 1}, {"and": [{"box.n": 1}, {"y": 2}]}]}, ("shelve", "y")),
    ({"shelf": "none of these"}, ()),
    ({"role": "tool"}, ()),
    ({"user_id": "cleo"}, ()),
]


@pytest.mark.parametrize(("where", "keys"), WHERE, ids=[str(one) for one, _ in WHERE])
def test_a_key_that_no_memory_has_is_named(
    memory: Memory, where: dict[str, Any], keys: tuple[str, ...]
) -> None:
    memory.add("to Porto", user_id="ana", metadata={"shelf": "travel", "box": {"n": 1}})
    memory.add("of Ben", user_id="ben", metadata={"mine": 1})
    hits = memory.recall("Porto", user_id="ana", where=where)
    assert (hits.candidates, hits.unknown_keys) == (0, keys)
    assert all(key in repr(hits) for key in keys)
    assert memory.forget(user_id="ana", where=where).unknown_keys == keys
    assert memory.forget(user_id="ana", where=where, dry_run=True).unknown_keys == keys
    # A key of another user's memories is unknown here.
    assert memory.recall("Porto", user_id="ana", where={"mine": 1}).unknown_keys == ("mine",)


def test_nothing_is_named_where_something_matches(memory: Memory) -> None:
    memory.add("to Porto", metadata={"shelf": "travel"})
    for where in ({"shelf": "travel"}, {"not": {"shelve": "x"}}, {}):
        assert memory.recall("Porto", where=where).unknown_keys == ()
    assert memory.recall("Porto", user_id="nobody", where={"shelve": 1}).unknown_keys == ()


def test_the_command_line_names_the_key(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "to Porto", "--meta", "shelf=travel")
    where = ["--where", '{"shelve": "travel"}']
    for command in (["recall", "Porto"], ["forget"], ["forget", "--dry-run"]):
        assert "no memory has the metadata key 'shelve'" in cli.run(*command, *where).stderr
        assert json.loads(cli.ok(*command, *where, "--json"))["unknown_keys"] == ["shelve"]
    assert "no memory has" not in cli.run("recall", "Porto").stderr


# --- blank scope ids ---


@pytest.mark.parametrize("blank", [" ", "\n\t", "\u200b", "\u00a0"], ids=ascii)
def test_blank_scope_ids_are_refused(memory: Memory, tmp_path: Path, blank: str) -> None:
    memory.add("there is something")
    for name in ("user_id", "agent_id", "session_id"):
        ids: dict[str, Any] = {name: blank}
        for call in (
            lambda ids=ids: memory.add("x", **ids),
            lambda ids=ids: memory.add({"role": "user", "content": "x", **ids}),
            lambda ids=ids: memory.recall("x", **ids),
            lambda ids=ids: list(memory.list(**ids)),
            lambda ids=ids: memory.forget(**ids),
            lambda ids=ids: memory.scoped(**ids),
        ):
            with pytest.raises(InputError, match=name):
                call()
    with pytest.raises(InputError, match="userId"):
        memory.add({"role": "user", "content": "x", "userId": blank})
    with Store.open(":memory:", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        with pytest.raises(InputError, match="user_id"):
            store.add([make_source("x")], Scope(user_id=blank))
    cli = Cli(tmp_path)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"role": "user", "content": "x", "user_id": blank}), "utf-8")
    assert "--user must not be empty or blank" in cli.error(3, "add", "x", "--user", blank)
    assert "--session must not be" in cli.error(3, "recall", "x", "--session", blank)
    assert "'user_id'" in cli.error(3, "add", "-f", path)


# --- ids from before an update ---


def test_an_old_id_names_the_new_one(memory: Memory) -> None:
    (old,) = memory.add("We meet on Friday.", user_id="ana").ids
    (middle,) = memory.update(old, text="We meet on Monday.").ids
    (new,) = memory.update(middle, text="We meet on Tuesday.").ids
    for id in (old, middle):
        for call in (
            lambda id=id: memory.get(id),
            lambda id=id: memory.get(id, user_id="ana"),
            lambda id=id: memory.update(id, text="x"),
            lambda id=id: memory.forget([id]),
            lambda id=id: memory.regenerated(id),
        ):
            with pytest.raises(
                UnknownIdError, match=rf"memory {id} was replaced .* id {new}$"
            ) as e:
                call()
            assert e.value.became == (new,)
            assert pickle.loads(pickle.dumps(e.value)).became == (new,)
        # Other users do not learn of it.
        with pytest.raises(UnknownIdError, match="no memory of this scope") as other:
            memory.get(id, user_id="ben")
        assert other.value.became == ()
    memory.forget([new])
    with pytest.raises(UnknownIdError, match="no memory of this scope"):
        memory.get(old)


def test_so_does_one_of_many(memory: Memory) -> None:
    ids = memory.add("word " * 900).ids
    now = memory.update(ids[-1], text="term " * 900).ids
    assert len(ids) > 2
    with pytest.raises(UnknownIdError) as error:
        memory.get(ids[0])
    assert error.value.became == now
    with pytest.raises(UnknownIdError, match="no memory of this scope has the id 99999"):
        memory.get(99_999)


def test_the_command_line_names_the_new_one(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "We meet on Friday.")
    cli.ok("update", "1", "--text", "We meet on Monday.")
    for command in (["show", "1"], ["forget", "1"], ["update", "1", "--text", "x"]):
        assert "memory 1 was replaced" in cli.error(4, *command)


def test_of_a_forgotten_source_no_number_is_kept(memory: Memory) -> None:
    (old,) = memory.add("a", user_id="ana").ids
    memory.update(old, text="b")
    memory.forget(user_id="ana")
    with memory._store._database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM replaced").scalar_one() == 0


# --- ids that were not meant as such ---


@pytest.mark.parametrize("ids", [b"\x01\x02", bytearray(b"\x01"), memoryview(b"\x02"), "1"])
def test_bytes_are_no_ids(memory: Memory, ids: Any) -> None:
    memory.add(["one", "two"])
    with pytest.raises(TypeError, match="iterable of integers"):
        memory.forget(ids)
    assert memory.count() == 2


def test_an_error_says_which_ids_to_pass(memory: Memory) -> None:
    receipt: Any = memory.add(["one", "two"])
    first: Any = memory.get(receipt.ids[0])
    hits: Any = memory.recall("one")
    for given, said in [
        (3, r"ids=\[3\]"),
        (np.int64(3), r"ids=\[3\]"),
        (receipt, "Receipt: pass its .ids"),
        (memory.forget(receipt.ids, dry_run=True), "ForgetReceipt: pass its .ids"),
        (first, rf"ids=\[{first.id}\]"),
        (hits, "Hit: pass its .id"),
        (True, "not True"),
    ]:
        with pytest.raises(TypeError, match=said):
            memory.forget(given)
    assert memory.count() == 2
    assert memory.forget(np.array(receipt.ids)).ids == receipt.ids


@pytest.mark.parametrize("ids", [[True], ["2"], [1.0]])
def test_a_model_that_gives_no_ids_is_told(memory: Memory, ids: list[Any]) -> None:
    memory.add(["one", "two"])
    assert memory.as_tools().call_tool("forget", {"ids": ids}).startswith("error: ids.0 ")
    assert memory.count() == 2
