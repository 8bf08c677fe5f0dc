"""What time a question is about, as far as its words tell."""

from __future__ import annotations

import pytest

from agentmem.retrieval.tense import When, when_asked

NOW = """
Where do I live?
where does Ana work these days
What is my current address?
Which phone do I use now?
What's my sister's job?
my favorite tea
How old am I?
What was my address again?
Do I still drive the Volvo?
What is the latest deadline for Atlas?
What should I do first?
When did I last read Dune?
When was my sister last in Rome?
How much have I last paid?
¿Dónde vivo?
"""
BEFORE = """
Where did I live before?
Where did I used to work?
What did I use to drink in the morning?
What is my old phone number?
Who was my previous doctor?
What was Ana's former job?
Where did my brother live?
Where was Ana working?
What was my address?
Which car did I drive?
Who was I dating back then?
Who is my ex-husband?
What is my sister's first car?
Where had we originally planned to meet?
"""
UNKNOWN = """
When did I move to Rome?
What did Ana buy at the market?
Who came to the party?
Who did I see last week?
When was I last May in Rome?
When was the last photo taken?
Did it rain?
Is my current job better than my previous one?
"""


def cases(block: str) -> list[str]:
    return block.strip().splitlines()


@pytest.mark.parametrize("question", cases(NOW))
def test_it_is_about_now(question: str) -> None:
    assert when_asked(question) is When.NOW


@pytest.mark.parametrize("question", cases(BEFORE))
def test_it_is_about_before(question: str) -> None:
    assert when_asked(question) is When.BEFORE


@pytest.mark.parametrize("question", cases(UNKNOWN))
def test_it_cannot_be_told(question: str) -> None:
    assert when_asked(question) is not When.BEFORE


@pytest.mark.parametrize("query", ["Paris", "garage code", "Rex", ""])
def test_keywords_ask_for_no_time(query: str) -> None:
    assert when_asked(query) is When.UNKNOWN


@pytest.mark.parametrize("query", ["Paris?", "my city", "where now", "garage code at home"])
def test_a_few_words_may_ask_all_the_same(query: str) -> None:
    assert when_asked(query) is When.NOW
