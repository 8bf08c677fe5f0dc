"""Any sequence of calls leaves a store that holds exactly what a plain dict would."""

from __future__ import annotations

import tempfile
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentmem import ANY, Memory, Recall
from agentmem.errors import UnknownIdError
from agentmem.testing import tiny_model
from tests.support.examples import HALF

users = st.sampled_from(["ana", "bob", None])
words = st.sampled_from(["train", "Lyon", "vegan", "日本", "🚆", "9:40"])
texts = st.lists(words, min_size=1, max_size=4).map(" ".join)


class Sequences(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.memory = Memory(self.folder.name, model=tiny_model())
        self.expected: dict[int, tuple[str | None, str]] = {}  # user and text by id

    def teardown(self) -> None:
        self.memory.close()
        self.folder.cleanup()

    @rule(user=users, said=st.lists(texts, min_size=1, max_size=4), again=st.booleans())
    def add(self, user: str | None, said: list[str], again: bool) -> None:
        known = set(self.expected)
        receipt = self.memory.add(said, user_id=user)
        assert set(receipt.duplicates) == set(receipt.ids) & known
        forgotten = receipt.skipped.get("forgotten", 0)
        assert len(set(receipt.ids)) == len(said) - forgotten
        new = {id: self.memory.get(id).text for id in receipt.ids if id not in known}
        assert not Counter(new.values()) - Counter(said)
        self.expected |= {id: (user, text) for id, text in new.items()}
        if again:
            assert self.memory.add(said, user_id=user).duplicates == receipt.ids

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), text=texts)
    def update(self, data: st.DataObject, text: str) -> None:
        id = data.draw(st.sampled_from(sorted(self.expected)))
        user, _ = self.expected[id]
        (new,) = self.memory.update(id, text=text).ids
        assert new > max(self.expected)
        del self.expected[id]
        self.expected[new] = (user, text)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def forget_some(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.expected)), max_size=4))
        assert self.memory.forget(ids).purged
        for id in ids:
            self.expected.pop(id, None)
            with pytest.raises(UnknownIdError):
                self.memory.get(id)

    @rule(user=users.filter(bool))
    def forget_user(self, user: str) -> None:
        gone = [id for id, (owner, _) in self.expected.items() if owner == user]
        assert list(self.memory.forget(user_id=user).ids) == gone
        for id in gone:
            del self.expected[id]

    @rule()
    def reopen(self) -> None:
        self.memory.close()
        self.memory = Memory(self.folder.name, model=tiny_model(), create=False)

    def check(self, found: Recall, inside: dict[int, tuple[str | None, str]]) -> None:
        """Each text of each user is found once, with the ids of all of its repeats."""
        assert {(hit.scope.user_id, hit.text) for hit in found} == set(inside.values())
        assert len(found) == len(set(inside.values()))
        ids = [id for hit in found for id in (hit.id, *(one.id for one in hit.occurrences))]
        assert sorted(ids) == sorted(inside)

    @rule(user=users, word=words, mode=st.sampled_from(["hybrid", "vector"]))
    def recall(self, user: str | None, word: str, mode: str) -> None:
        found = self.memory.recall(word, k=100, user_id=user or ANY, mode=mode)  # type: ignore[arg-type]
        inside = {id: one for id, one in self.expected.items() if user in (None, one[0])}
        self.check(found, inside)
        assert found.candidates == len(inside)

    @rule(user=users, word=st.sampled_from(["train", "Lyon", "vegan", "日本"]))
    def recall_by_word(self, user: str | None, word: str) -> None:
        found = self.memory.recall(word, k=100, user_id=user or ANY, mode="lexical")
        inside = {
            id: one
            for id, one in self.expected.items()
            if user in (None, one[0]) and word in one[1]
        }
        self.check(found, inside)

    @invariant()
    def everything_is_there(self) -> None:
        held = {chunk.id: (chunk.scope.user_id, chunk.text) for chunk in self.memory.list()}
        assert held == self.expected
        stats = self.memory.stats()
        assert stats.memories == stats.sources == len(self.expected)
        assert stats.scopes == len({user for user, _ in self.expected.values()})


Sequences.TestCase.settings = settings(HALF, stateful_step_count=15)
TestSequences = Sequences.TestCase
