"""A user id that was None by mistake read, updated and forgot the memories of everybody."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from agentmem import ANY, AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli

Unchanged = Callable[[Memory], AbstractContextManager[None]]
Call = Callable[..., Any]

READING: dict[str, Call] = {
    "recall": lambda memory, **scope: memory.recall("tea", **scope),
    "get": lambda memory, **scope: memory.get(1, **scope),
    "list": lambda memory, **scope: memory.list(**scope),
    "update": lambda memory, **scope: memory.update(1, metadata={"a": 1}, **scope),
    "forget": lambda memory, **scope: memory.forget([1], **scope),
    "regenerated": lambda memory, **scope: memory.regenerated(1, **scope),
    "stats": lambda memory, **scope: memory.stats(**scope),
    "verify": lambda memory, **scope: memory.verify(**scope),
}
NAMES = ("user_id", "agent_id", "session_id")


@pytest.fixture
def shared(memory: Memory) -> Memory:
    """Chunk 1 is Ana's, 2 Ben's, 3 nobody's."""
    memory.add("I like tea", user_id="ana", agent_id="a", session_id="s")
    memory.add("I like coffee", user_id="ben", agent_id="a", session_id="s")
    memory.add("Everybody likes water")
    return memory


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", READING)
def test_none_is_refused_wherever_it_is_read(
    shared: Memory, verb: str, name: str, unchanged: Unchanged
) -> None:
    noun = name.removesuffix("_id")
    words = f"{name} is None.*pass an id, or agentmem.ANY to search every {noun}"
    with unchanged(shared):
        for handle in (shared, shared.scoped(user_id="ana")):
            with pytest.raises(InputError, match=words):
                READING[verb](handle, **{name: None})
        with pytest.raises(InputError, match=words):
            shared.scoped(**{name: None})
        with pytest.raises(InputError, match=words):
            shared.scoped(**{"session_id": "s", name: None})


def test_none_does_not_hide_behind_other_conditions(shared: Memory, unchanged: Unchanged) -> None:
    with unchanged(shared):
        for more in ({"agent_id": "a"}, {"where": {"n": 1}}, {"before": "2100-01-01"}):
            with pytest.raises(InputError, match="user_id is None"):
                shared.forget(user_id=None, **more)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="user_id is None"):
            shared.recall("tea", user_id=None, agent_id="a")  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", ["ids", "where", "before"])
def test_none_is_no_condition_for_forget(
    shared: Memory, condition: str, unchanged: Unchanged
) -> None:
    given: dict[str, Any] = {condition: None}
    others: list[dict[str, Any]] = [{}, {"user_id": "ana"}, {"dry_run": True}]
    if condition != "ids":
        others.append({"ids": [1]})
    with unchanged(shared):
        for other in others:
            with pytest.raises(InputError, match=f"{condition} is None.*leave {condition}= out"):
                shared.forget(**given, **other)
        with pytest.raises(InputError, match=f"{condition} is None"):
            shared.scoped(user_id="ana").forget(**given)


def test_an_id_that_is_not_given_or_any_selects_everybody(shared: Memory) -> None:
    for scope in ({}, {"user_id": ANY}, dict.fromkeys(NAMES, ANY)):
        assert len(shared.recall("like", **scope)) == 3
        assert [chunk.id for chunk in shared.list(**scope)] == [1, 2, 3]
        assert shared.stats(**scope).memories == 3
        assert shared.verify(**scope).checked == 3
        assert shared.get(2, **scope).text == "I like coffee"
    assert [chunk.id for chunk in shared.list(user_id=ANY, session_id="s")] == [1, 2]


def test_any_is_no_condition_for_forget(shared: Memory, unchanged: Unchanged) -> None:
    with unchanged(shared), pytest.raises(InputError, match="needs a condition"):
        shared.forget(user_id=ANY, agent_id=ANY)
    assert shared.forget(user_id=ANY, session_id="s").ids == (1, 2)


@pytest.mark.parametrize("verb", READING)
def test_a_handle_is_not_widened_by_any(shared: Memory, verb: str, unchanged: Unchanged) -> None:
    ana = shared.scoped(user_id="ana")
    with unchanged(shared):
        with pytest.raises(InputError, match="bound to user_id='ana', not agentmem.ANY"):
            READING[verb](ana, user_id=ANY)
        with pytest.raises(InputError, match="leave out what may be agentmem.ANY"):
            ana.scoped(session_id=ANY)


def test_any_is_not_written(shared: Memory, unchanged: Unchanged) -> None:
    with unchanged(shared), pytest.raises(InputError, match="agentmem.ANY is for reading"):
        shared.add("x", user_id=ANY)  # type: ignore[arg-type]


def test_none_on_writing_is_unspecified(memory: Memory) -> None:
    (id,) = memory.add("I like tea", user_id=None, agent_id="a").ids
    assert memory.get(id).scope.user_id is None
    (id,) = memory.scoped(user_id="ana").add("I like tea", user_id=None).ids
    assert memory.get(id).scope.user_id == "ana"


def test_any_is_one_tidy_object() -> None:
    assert repr(ANY) == "agentmem.ANY"
    assert pickle.loads(pickle.dumps(ANY)) is ANY
    assert copy.deepcopy(ANY) is ANY


@pytest.fixture
def strict(place: Path, model: ModelBundle) -> Any:
    with Memory(place, model=model, require=("user_id",)) as memory:
        memory.add("I like tea", user_id="ana")
        memory.add("I like coffee", user_id="ben")
        yield memory


@pytest.mark.parametrize("verb", READING)
def test_a_required_id_is_required_by_every_verb(strict: Memory, verb: str) -> None:
    for scope in ({}, {"session_id": "s"}):
        with pytest.raises(InputError, match=r"require=\('user_id',\): give user_id=, or agentmem"):
            READING[verb](strict, **scope)
    with pytest.raises(InputError, match="user_id is None"):
        READING[verb](strict, user_id=None)
    READING[verb](strict, user_id=ANY)


@pytest.mark.parametrize("verb", READING)
def test_a_handle_gives_what_is_required(strict: Memory, verb: str) -> None:
    READING[verb](strict.scoped(user_id="ana"))
    with pytest.raises(InputError, match="give user_id="):
        READING[verb](strict.scoped(session_id="s"))
    assert list(strict.scoped(session_id="s").scoped(user_id="ben").list()) == []


def test_a_required_id_is_required_on_writing(strict: Memory) -> None:
    before = strict.stats(user_id=ANY).memories
    for content in ("x", ["x", "y"], [{"role": "user", "content": "x", "user_id": "ana"}, "y"]):
        for scope in ({}, {"user_id": None}, {"agent_id": "a"}):
            with pytest.raises(InputError, match=r"opened with require=.*give user_id=$"):
                strict.add(content, **scope)
    assert strict.stats(user_id=ANY).memories == before
    strict.add({"role": "user", "content": "I like cake", "user_id": "ana"})
    strict.scoped(user_id="ana").add("I like jam")
    assert strict.stats(user_id="ana").memories == 3


@pytest.mark.parametrize("require", [("user",), ("user_id", "x"), "user_id", [None], 5], ids=repr)
def test_only_scope_ids_can_be_required(tmp_path: Path, model: ModelBundle, require: Any) -> None:
    with pytest.raises(InputError, match="require= takes a tuple of 'user_id', 'agent_id'"):
        Memory(tmp_path / "store", model=model, require=require)
    assert not (tmp_path / "store").exists()


class TestIdsOfMessages:
    """A message dict's own ids are kept, as the command line keeps those of a JSONL file."""

    def said(self, text: str, **ids: Any) -> dict[str, Any]:
        return {"role": "user", "content": text, **ids}

    def test_they_are_its_scope(self, memory: Memory) -> None:
        receipt = memory.add(
            [
                self.said("I like tea", user_id="ana", session_id="s1"),
                self.said("I like coffee", user_id="ben"),
                self.said("I like cake", user_id="ana", session_id="s1"),
                "I like water",
            ],
            agent_id="a",
        )
        found = [memory.get(id) for id in receipt.ids]
        assert [(c.scope.user_id, c.scope.agent_id, c.scope.session_id) for c in found] == [
            ("ana", "a", "s1"),
            ("ben", "a", None),
            ("ana", "a", "s1"),
            (None, "a", None),
        ]
        texts = [c.text for c in found]
        assert texts == ["I like tea", "I like coffee", "I like cake", "I like water"]
        assert [c.text for c in memory.list(user_id="ana")] == ["I like tea", "I like cake"]
        assert receipt.duplicates == ()

    def test_every_part_of_a_message_has_them(self, memory: Memory) -> None:
        call = {"type": "tool_use", "id": "1", "name": "find", "input": {}}
        blocks = [{"type": "text", "text": "I look."}, call]
        message = {"role": "assistant", "content": blocks, "user_id": "ana"}
        receipt = memory.add([message, self.said("Thanks", session_id="s")])
        scopes = [memory.get(id).scope for id in receipt.ids]
        assert [s.user_id for s in scopes] == ["ana", "ana", None]
        assert [s.session_id for s in scopes] == [None, None, "s"]

    def test_equal_texts_of_two_users_are_two_memories(self, memory: Memory) -> None:
        both = [self.said("I like tea", user_id=user) for user in ("ana", "ben")]
        receipt = memory.add(both)
        assert len(set(receipt.ids)) == 2
        assert memory.add(both[1]).duplicates == receipt.ids[1:]

    @pytest.mark.parametrize("name", NAMES)
    def test_a_contradiction_is_refused(
        self, memory: Memory, name: str, unchanged: Unchanged
    ) -> None:
        messages = ["I like tea", self.said("I like coffee", **{name: "ben"})]
        words = f"message 1: its {name} is 'ben', but {name}='ana' was given"
        with unchanged(memory):
            for add in (memory.add, memory.scoped(**{name: "ana"}).add):
                given = {name: "ana"} if add == memory.add else {}
                with pytest.raises(InputError, match=words):
                    add(messages, **given)
        memory.add(messages, **{name: "ben"})
        memory.scoped(**{name: "ben"}).add([self.said("I like jam", **{name: "ben"})])
        assert memory.stats(**{name: "ben"}).memories == 3

    @pytest.mark.parametrize("value", ["", 5, ["ana"], "\ud800"], ids=repr)
    def test_an_id_that_is_none_is_refused(
        self, memory: Memory, value: Any, unchanged: Unchanged
    ) -> None:
        with unchanged(memory), pytest.raises(InputError, match="message 1: 'user_id'"):
            memory.add(["x", self.said("y", user_id=value)])

    def test_all_or_none_across_scopes(self, memory: Memory, unchanged: Unchanged) -> None:
        with unchanged(memory), pytest.raises(InputError, match="message 1"):
            memory.add([self.said("x", user_id="ana"), {"role": "nobody", "content": "y"}])

    def test_the_command_line_agrees(self, tmp_path: Path, memory: Memory) -> None:
        messages = [
            self.said("I like tea", user_id="ana", session_id="s1"),
            self.said("I like coffee", user_id="ben"),
            self.said("I like water"),
        ]
        file = tmp_path / "chat.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in messages), encoding="utf-8")
        cli = Cli(tmp_path)
        cli.ok("add", "--file", file)
        memory.add(messages)
        for user in ("ana", "ben"):
            listed = [chunk.text for chunk in memory.list(user_id=user)]
            lines = cli.ok("list", "--user", user, "--json").splitlines()
            assert [json.loads(line)["text"] for line in lines] == listed
            assert len(listed) == 1


def test_async_refuses_none_too(place: Path, model: ModelBundle) -> None:
    async def run() -> None:
        opened = await AsyncMemory.open(place, model=model, require=("user_id",))
        async with opened as memory:
            await memory.add("I like tea", user_id="ana")
            nothing: Any = None
            with pytest.raises(InputError, match="user_id is None"):
                await memory.recall("tea", user_id=nothing)
            with pytest.raises(InputError, match="user_id is None"):
                await memory.forget([1], user_id=nothing)
            with pytest.raises(InputError, match="ids is None"):
                await memory.forget(nothing, user_id="ana")
            with pytest.raises(InputError, match="user_id is None"):
                _ = [chunk async for chunk in memory.list(user_id=nothing)]
            with pytest.raises(InputError, match="user_id is None"):
                memory.scoped(user_id=nothing)
            with pytest.raises(InputError, match="give user_id="):
                await memory.stats()
            assert (await memory.stats(user_id=ANY)).memories == 1
            assert (await memory.scoped(user_id="ana").get(1)).text == "I like tea"

    asyncio.run(run())


def test_tools_that_no_call_could_use_are_refused(model: ModelBundle) -> None:
    with Memory(":memory:", model=model, require=("user_id",)) as memory:
        with pytest.raises(InputError, match=r"call as_tools\(\) on scoped\(user_id=...\)"):
            memory.as_tools("openai")
        with pytest.raises(InputError, match="as_tools"):
            memory.scoped(session_id="s").as_tools("anthropic")
        assert memory.scoped(user_id="ana").as_tools("openai").names


@pytest.mark.parametrize(
    "command",
    [("recall", "tea"), ("list",), ("show", 1), ("forget", 1), ("stats",), ("verify",)],
    ids=lambda command: command[0],
)
def test_an_empty_id_on_the_command_line_is_refused(tmp_path: Path, command: Any) -> None:
    """As from a shell variable that is not set."""
    cli = Cli(tmp_path)
    cli.ok("add", "I like tea", "--user", "ana")
    for option in ("--user", "--agent", "--session"):
        assert "must not be empty" in cli.error(3, *command, option, "")
    assert cli.json("stats")["memories"] == 1
