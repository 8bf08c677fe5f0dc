"""Scores of written tokens and answers, by hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.evaluation.reading_recite import followers
from agentmem.evaluation.reading_scores import (
    answer_scores,
    mean_of,
    normalised,
    says_unknown,
    tokens_right,
)


@pytest.mark.parametrize(
    ("made", "share"),
    [
        ([5, 6, 7, 8], 1.0),
        ([5, 6, 7, 8, 9], 1.0),
        ([5, 6], 0.5),
        ([5, 9, 7, 9], 0.5),
        ([6, 7, 8, 5], 0.0),
        ([], 0.0),
    ],
    ids=["all", "more", "the end is missing", "some", "moved by one", "none"],
)
def test_tokens_right(made: list[int], share: float) -> None:
    assert tokens_right(made, [5, 6, 7, 8]) == share


def test_without_a_wanted_token_there_is_no_share() -> None:
    with pytest.raises(ValueError, match="no token"):
        tokens_right([1], [])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("a cat, an owl", "cat owl"),
        ("theory of another", "theory of another"),
        ("9:40", "940"),
        ("  A ", "a"),
        ("!", "!"),
        ("", ""),
    ],
)
def test_normalised(text: str, plain: str) -> None:
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("text", "answers", "f1", "exact"),
    [
        ("the Eiffel Tower.", ("Eiffel tower",), 1, 1),
        # Two of three words of one, two of two of the other: 2 * 2 / (3 + 2).
        ("big Eiffel tower", ("Eiffel tower",), 0.8, 0),
        # A word counts as often as it stands there.
        ("Lyon Lyon", ("Lyon",), 2 / 3, 0),
        ("Paris", ("Lyon", "in Paris", "Paris"), 1, 1),
        ("in Paris", ("Lyon", "Paris, in spring"), 0.8, 0),
        ("Lyon", ("Paris",), 0, 0),
        ("", ("Paris",), 0, 0),
        ("B", ("A",), 0, 0),
        ("A", ("A",), 1, 1),
        # What has an answer is in memory, even if it shares a word with saying that it is not.
        ("not in memory", ("in the kitchen",), 0, 0),
        ("Not in memory.", (), 1, 1),
        ("Paris", (), 0, 0),
        ("", (), 0, 0),
    ],
)
def test_answers(text: str, answers: tuple[str, ...], f1: float, exact: float) -> None:
    assert answer_scores(text, answers) == pytest.approx({"f1": f1, "exact": exact})


WORDS = st.lists(st.sampled_from(["Ana", "the", "train", "to", "Lyon"]), max_size=5).map(" ".join)


@given(WORDS, WORDS)
def test_f1_is_between_exact_and_one_and_the_same_from_both_sides(one: str, two: str) -> None:
    there, back = answer_scores(one, (two,)), answer_scores(two, (one,))
    assert there == back
    assert 0 <= there["exact"] <= 1
    assert there["f1"] <= 1
    if one and normalised(one) == normalised(two):
        assert there == {"f1": 1, "exact": 1}


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3), WORDS)
def test_another_right_answer_never_hurts(text: str, answers: list[str], more: str) -> None:
    before, after = answer_scores(text, answers), answer_scores(text, [*answers, more])
    assert all(after[name] >= before[name] for name in before)


def test_unknown_is_said_in_whatever_case() -> None:
    assert says_unknown(" NOT in memory!")
    assert not says_unknown("in memory")


def test_means() -> None:
    assert mean_of([{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}]) == {"a": 0.5, "b": 0.0}
    with pytest.raises(ValueError, match="no rows"):
        mean_of([])


def test_followers_are_found_in_all_memories_where_enough_follows() -> None:
    one = np.array([1, 2, 3, 1, 2, 4, 1, 2])
    two = np.array([9, 1, 2, 5])
    found = followers([one, two], np.array([1, 2]), 1)
    assert [ids.tolist() for ids in found] == [[3], [4], [5]]
    assert [ids.tolist() for ids in followers([one, two], np.array([1, 2]), 2)] == [[3, 1], [4, 1]]
    assert followers([two], np.array([2, 5]), 1) == []
