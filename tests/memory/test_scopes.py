"""Scopes: isolation of ids and writes, scoped handles, and valid scope ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.text import is_blank
from tests.support.examples import HALF

Unchanged = Callable[[Memory], AbstractContextManager[None]]


def test_ids_of_other_scopes_are_unknown(memory: Memory, unchanged: Unchanged) -> None:
    scope: dict[str, Any] = {"user_id": "ana", "agent_id": "support"}
    (own,) = memory.add("mine", **scope).ids
    (foreign,) = memory.add("theirs", **scope | {"user_id": "bob"}).ids
    verbs: list[Callable[[], object]] = [
        lambda: memory.get(foreign, **scope),
        lambda: memory.regenerated(foreign, **scope),
        lambda: memory.update(foreign, text="mine now", **scope),
        lambda: memory.update(foreign, metadata={"mine": True}, **scope),
        lambda: memory.forget([foreign], **scope),
    ]
    handle = memory.scoped(**scope)
    verbs += [
        lambda: handle.get(foreign),
        lambda: handle.regenerated(foreign),
        lambda: handle.update(foreign, text="mine now"),
        lambda: handle.update(foreign, metadata={"mine": True}),
        lambda: handle.forget([foreign]),
        lambda: handle.forget([own, foreign]),
    ]
    with unchanged(memory):
        for verb in verbs:
            with pytest.raises(
                UnknownIdError, match=f"no memory of this scope has the id {foreign}"
            ):
                verb()
    assert list(handle.list(source_id=memory.get(foreign).source.id)) == []


def test_forget_and_update_touch_only_their_scope(memory: Memory) -> None:
    for user, session in product("ab", "xy"):
        memory.add(["one", "two"], user_id=user, session_id=session)
    handle = memory.scoped(user_id="a")
    first = next(handle.list(session_id="x"))
    handle.update(first.id, text="three")
    gone = handle.forget(session_id="y")
    assert len(gone.ids) == 2
    left = [(chunk.scope.user_id, chunk.scope.session_id, chunk.text) for chunk in memory.list()]
    assert sorted(left) == [
        ("a", "x", "three"),
        ("a", "x", "two"),
        *(("b", session, text) for session, text in product("xy", ["one", "two"])),
    ]


class TestHandle:
    @pytest.fixture
    def handle(self, memory: Memory) -> Memory:
        memory.add("theirs", user_id="bob", agent_id="support")
        handle = memory.scoped(user_id="ana", agent_id="support")
        handle.add("mine", session_id="s1")
        return handle

    def test_writes_and_reads_in_its_scope(self, memory: Memory, handle: Memory) -> None:
        (chunk,) = handle.list()
        scope = chunk.scope
        assert (scope.user_id, scope.agent_id, scope.session_id) == ("ana", "support", "s1")
        assert [hit.text for hit in handle.recall("theirs", k=9)] == ["mine"]
        assert len(list(memory.list())) == 2

    @pytest.mark.parametrize("verb", ["add", "recall", "get", "list", "update", "forget", "scoped"])
    def test_cannot_widen(self, handle: Memory, verb: str, unchanged: Unchanged) -> None:
        given: dict[str, tuple[Any, ...]] = {"add": ("x",), "recall": ("x",)}
        arguments = given.get(verb, () if verb in ("list", "forget", "scoped") else (1,))
        more = {"text": "x"} if verb == "update" else {}
        with (
            unchanged(handle),
            pytest.raises(InputError, match="bound to user_id='ana', not 'bob'"),
        ):
            getattr(handle, verb)(*arguments, user_id="bob", **more)

    def test_its_own_scope_ids_may_be_repeated(self, handle: Memory) -> None:
        assert handle.recall("mine", user_id="ana")[0].text == "mine"

    def test_narrows_further_but_not_back(self, handle: Memory) -> None:
        inner = handle.scoped(session_id="s2")
        inner.add("inner")
        assert [chunk.text for chunk in inner.list()] == ["inner"]
        assert [chunk.text for chunk in handle.list()] == ["mine", "inner"]
        with pytest.raises(InputError, match="bound to session_id='s2'"):
            inner.list(session_id="s1")
        with pytest.raises(InputError, match="not bound yet"):
            inner.scoped(user_id="ana")

    def test_alone_is_no_selector(self, handle: Memory, unchanged: Unchanged) -> None:
        with unchanged(handle), pytest.raises(InputError, match="needs a condition"):
            handle.forget()

    def test_closing_it_leaves_the_store_open(self, memory: Memory, handle: Memory) -> None:
        with handle:
            pass
        assert memory.recall("mine", user_id="ana")[0].text == "mine"

    def test_says_what_it_is_bound_to(self, memory: Memory, handle: Memory) -> None:
        assert repr(handle) == f"{repr(memory)[:-1]}, user_id='ana', agent_id='support')"


@pytest.mark.parametrize("name", ["user_id", "agent_id", "session_id"])
@pytest.mark.parametrize("verb", ["add", "recall", "get", "list", "update", "forget", "scoped"])
def test_an_empty_scope_id_is_rejected(
    memory: Memory, verb: str, name: str, unchanged: Unchanged
) -> None:
    memory.add("there is something")
    given: dict[str, tuple[Any, ...]] = {"add": ("x",), "recall": ("x",)}
    arguments = given.get(verb, () if verb in ("list", "forget", "scoped") else (1,))
    more = {"text": "x"} if verb == "update" else {}
    with unchanged(memory), pytest.raises(InputError, match=f"{name} must not be empty"):
        getattr(memory, verb)(*arguments, **{name: ""}, **more)


@HALF
@given(word=st.text(min_size=1, max_size=40).filter(lambda word: not is_blank(word)))
def test_any_nonempty_scope_id_is_valid(shared: Memory, word: str) -> None:
    scope: dict[str, Any] = {"session_id": word}
    shared.add("hello there", **scope)
    assert [chunk.text for chunk in shared.list(**scope)] == ["hello there"]
    assert [hit.text for hit in shared.recall("hello", **scope)] == ["hello there"]
    shared.add("to forget", **scope)
    (chunk,) = [chunk for chunk in shared.list(**scope) if chunk.text == "to forget"]
    assert chunk.scope.session_id == word
    shared.scoped(**scope).forget([chunk.id])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Iterator[Memory]:
    with Memory(tmp_path_factory.mktemp("words"), model=model) as memory:
        yield memory


@pytest.mark.parametrize(
    "word", ["ana@example.org", "urn:x:1", "a b", "🧑‍🚀", "Ä", "a'b\"c;--", "\x00", "%_*"]
)
def test_unusual_scope_ids_name_one_scope_each(memory: Memory, word: str) -> None:
    memory.add("theirs", user_id=word + "x")
    memory.add("mine", user_id=word)
    assert [chunk.text for chunk in memory.list(user_id=word)] == ["mine"]


@pytest.mark.parametrize("word", [5, b"ana", ["ana"], True])
def test_a_scope_id_that_is_not_a_string_is_rejected(memory: Memory, word: Any) -> None:
    with pytest.raises(TypeError, match="user_id must be a string"):
        memory.add("x", user_id=word)
    assert memory.stats().memories == 0


def test_a_lone_surrogate_is_refused_everywhere(memory: Memory) -> None:
    for verb in (memory.add, memory.recall):
        with pytest.raises(InputError, match="user_id: lone surrogate"):
            verb("x", user_id="\ud800")
    with pytest.raises(InputError, match="user_id: lone surrogate"):
        memory.forget(user_id="\ud800")
    assert memory.stats().memories == 0
