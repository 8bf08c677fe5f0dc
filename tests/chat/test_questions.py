"""Which messages are questions, and how bare questions are kept out of answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question, is_question


@pytest.mark.parametrize(
    ("line", "asking", "only"),
    [
        ("Where is it?", True, True),
        ("where is it", True, False),
        ("It is here, no?", True, True),
        ("I moved to Oslo. Where do I live?", True, False),
        ("When I was ten we moved to Oslo.", True, False),
        ("What's my name", True, False),
        ("Whatever you say.", False, False),
        ("I like tea.", False, False),
        ("Is that so", False, False),
        ("Tell me where Hanna works", True, True),
        ("Could you please tell me about Hanna.", True, True),
        ("Tell me where Hanna works. I like tea.", True, False),
        ("They tell me where Hanna works.", False, False),
        ("Tell me a story.", False, False),
        ("Tell me what to cook, I eat no nuts.", True, False),
        ("Could you tell me where it is?", True, True),
        ("Hi! Where does Marta live?", True, True),
        ("Hello there.\nWhere does Marta live? Thanks a lot!", True, True),
        ("So... (where does Marta live?!)", True, True),
        ("What is in config.yaml, and when is my 9.40 train?", True, True),
        ("Where is it? And whose is it?", True, True),
        ("マルタはどこですか？元気ですか？", True, True),
        ("Marta lives in Porto.\nWhere is my key?", True, False),
        ("Marta lives in Porto\nWhere is my key?", True, False),
        ("Hi! I am Ana. Where is my key?", True, False),
        ("Where is my key? I lost it at the harbor.", True, False),
        ("Can you remember that I am vegan?", True, False),
        ("Did you know I moved to Rome?", True, False),
        ("Thanks!", False, False),
    ],
)
def test_what_is_a_question(line: str, asking: bool, only: bool) -> None:
    assert (is_question(line), is_only_question(line)) == (asking, only)


@given(st.text())
def test_what_is_only_a_question_is_a_question(line: str) -> None:
    assert is_question(line) or not is_only_question(line)


def test_a_bare_question_is_kept_out_of_answers(memory: Memory) -> None:
    memory.add("Where does Marta live?", metadata={QUESTION_KEY: True})
    memory.add("Marta lives in Porto.", metadata={"channel": "web"})
    memory.add("Marta likes tea.")
    assert len(memory.recall("Where does Marta live?")) == 3
    found = memory.recall("Where does Marta live?", where=answers_only())
    assert sorted(hit.id for hit in found) == [2, 3]
    found = memory.recall("Where does Marta live?", where=answers_only({"channel": "web"}))
    assert [hit.id for hit in found] == [2]
