"""What each token counts for a question."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.models.reader.question_weights import Weights, question_weights


def weigh(question: str, *texts: str, ranks: tuple[int, ...] | None = None) -> list[Weights]:
    """Weights where each character is a token."""
    starts = [range(len(text)) for text in texts]
    return question_weights(question, texts, starts, ranks or (0,) * len(texts))


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.text(max_size=60), st.integers(0, 9)), max_size=4),
)
def test_any_text(question: str, memories: list[tuple[str, int]]) -> None:
    texts, ranks = [text for text, _ in memories], tuple(rank for _, rank in memories)
    found = weigh(question, *texts, ranks=ranks)
    assert [len(one) for one in found] == list(map(len, texts))
    for one, rank in zip(found, ranks, strict=True):
        assert one.dtype == np.float32
        assert bool((one >= np.float32(0.2 / (1 + rank))).all())
        assert bool((one <= np.float32(1 / (1 + rank)) * 1.0001).all())


def test_what_is_near_words_of_the_question_counts_most() -> None:
    text = "the weather was fine. " * 5 + "her dentist is Dr. Moreau. " + "we had lunch. " * 5
    [found] = weigh("Which dentists does she see?", text)
    assert text[int(found.argmax()) :].startswith(tuple("dentist"))
    assert found[0] == found[-1] == np.float32(0.2)


def test_what_no_word_is_of_counts_alike() -> None:
    for question in ("Who is it?", "", "?", "zebra"):
        first, second = weigh(question, "Ana lives in Lyon.", "Bo has a dog.", ranks=(1, 0))
        assert np.unique(first) == np.float32(0.2 / 2)
        assert np.unique(second) == np.float32(0.2)


def test_words_that_stand_in_every_memory_count_little() -> None:
    often = ["my car is red"] * 5
    *_, found = weigh("what does my car insurance cost?", *often, "insurance: 40 a month, car too")
    car, insurance = found[len("insurance: 40 a month, car") - 1], found[0]
    assert insurance > car


@pytest.mark.parametrize(
    ("question", "text", "word"),
    [
        ("我的牙医叫什么", "天气很好。" * 10 + "牙医是王先生", "牙医"),
        ("où est la clé ?", "il fait beau. " * 5 + "la clé est là", "clé"),
        ("wann ist der Zahnarzt?", "Es war schön. " * 5 + "Zahnarzt am Montag", "Zahnarzt"),
    ],
)
def test_other_languages(question: str, text: str, word: str) -> None:
    [found] = weigh(question, text)
    assert abs(int(found.argmax()) - text.index(word)) <= len(word)
    assert found[0] < 0.3 < 0.9 < found.max()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("question", "text", "word"),
    [
        ("제 치과의사는 누구예요?", "날씨가 좋다. " * 9 + "치과의사는 김 선생님", "치과"),
        ("où est la clé ?", "il fait beau. " * 5 + "la clé est là", "clé"),
        ("デンタルクリニックは?", "はれていた。" * 9 + "デンタルクリニックは駅前", "デンタル"),
    ],
)
def test_decomposed_letters_are_the_same(form: Any, question: str, text: str, word: str) -> None:
    kept, own = (unicodedata.normalize(form, one) for one in (text, word))
    for asked in (question, unicodedata.normalize("NFD", question)):
        [found] = weigh(asked, kept)
        assert abs(int(found.argmax()) - kept.index(own)) <= 4 * len(own)
        assert found[0] < 0.3 < 0.9 < found.max()


def test_tokens_of_several_characters() -> None:
    text = "Ana said that her dentist moved to Lyon"
    [found] = question_weights("dentist", [text], [[0, 4, 9, 14, 18, 26, 32, 35]], [0])
    assert int(found.argmax()) == 4


def test_a_long_question_about_much_text_takes_no_time_that_grows_as_their_product() -> None:
    # Ten thousand words that all match: as a product of words and tokens, gigabytes.
    text = "dentist " * 10_000
    [found] = weigh("dentist " * 1_000, text)
    assert len(found) == len(text)
