"""The things that a text names, as far as its determiners tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.statements.things import things_in


@pytest.mark.parametrize(
    ("text", "first", "others"),
    [
        ("The new fridge is a Liebherr", {"fridg"}, set()),
        ("My eye doctor is Dr Falk now", {"doctor"}, set()),
        ("We've got a new electrician, Mr Haas", set(), {"electrician"}),
        ("The gate of the allotment opens with 7052", {"gat"}, {"allotment"}),
        ("My sister's flat in Rome", {"flat"}, set()),
        ("I moved to Rome", set(), set()),
        ("New wardrobe: 180 by 210", {"wardrob"}, set()),
        ("The Alpenrose", {"alpenros"}, set()),
        ("the", set(), set()),
        ("", set(), set()),
    ],
)
def test_things(text: str, first: set[str], others: set[str]) -> None:
    assert things_in(text) == (first, others)


@given(st.text(max_size=60))
def test_any_text_has_some_or_none(text: str) -> None:
    found = things_in(text)
    assert all(found.first)
    assert all(found.others)
    assert things_in(text) == found
