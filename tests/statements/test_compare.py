"""Pairs of statements of one speaker: those that contradict each other, and those that do not."""

from __future__ import annotations

import pytest

from agentmem.statements.compare import NEAREST, contradiction, is_about, stands_out
from agentmem.statements.read import read_statement

CONTRADICTING = """
I work at Siemens as an engineer | I start at Bosch on Monday
I'm learning Spanish | I gave up Spanish and learn Italian
I take sugar in my tea | I have given up sugar
I live in Paris | I moved to Rome last week!
I live in Paris with two cats | My home is Rome now
We live in Leeds | We relocated to Cardiff in spring
Home is in Graz | We moved over to Linz
I work at Acme | I joined Initech this month
I work for Acme as a clerk | New job at Initech!
I work as a nurse | I became a teacher
I'm a plumber | Career change: I'm a baker now
My phone number is 555-1234 | My new phone number is 555-9876
My phone number is 555-1234 | My phone number is 555-9876
Phone: 555-1234 | Phone: 555-9876
The deadline for Atlas is 3 March | The deadline for Atlas is 17 March
The deadline for Atlas is 3 March | The Atlas deadline was pushed to 17 March
The stand-up is at 9:15 | Stand-up moves to 9:30
The stand-up is at 9:15 | We agreed on 9:30 for the stand-up, not 9:15 any more
My rent is 780 euros a month | From May the rent goes to 850 euros
Rent: 780 euros | Rent: 850 euros
My dentist is Dr Blum | Dr Blum retired, I'm with Dr Iyer
My dentist is Dr Blum | I have a new dentist, Dr Iyer
I take 20 mg of lisinopril | The lisinopril was changed to 40 mg
I take 20 mg of lisinopril every morning | I take 40 mg of lisinopril every morning
My manager is Thea | My manager is Bashir
Thea is my manager | Bashir is my manager now
Production runs version 2.4.1 | Prod runs version 2.5.0 now
I have 2 cats | I have 3 cats now
My manager is Thea | Thea left, so Bashir is my manager
The wifi password is tango77 | The wifi password was changed to maple-49
The wifi password is tango77 | I reset the wifi password, it's maple-49
Our insurance is with Helvia | We moved the insurance to Allcare
My sister lives in Lyon | My sister moved to Dublin
My sister Ana lives in Lyon | My sister Ana left Lyon for Dublin
Bob's office is room B12 | Bob's office is room C3
Nora's school is Greenfield Primary | Nora changed her school to St Anne's
I drive a Volvo | I sold the Volvo and got a Tesla
I drive a blue Volvo | I traded my Volvo for a Tesla
My car is a Volvo | My new car is a Tesla
The meeting is on Friday at noon | The meeting was rescheduled to Monday
My favorite tea is Assam | My favorite tea is Darjeeling these days
My favorite tea is Assam | Assam is out, I've switched my favorite tea to Darjeeling
I'm reading Dune | Finished Dune, now reading Middlemarch
I pay 9.99 for streaming | Streaming went up to 11.49
Production runs version 2.4.1 | Production is on 2.5.0 now
My alarm is set for 6:10 | My alarm is set for 5:30 now
My girlfriend is called Mia | My girlfriend is called Zoe
My laptop is a ThinkPad | The ThinkPad died, I use a Framework
I use Vim | I use Emacs now
The gate code is 4711 | The gate code is 0815 since Monday
My flight is at 9:40 | My flight was moved to 11:20
My address is 9 Quarry Hill | New address: 61 Linden Close
The office is at 9 Quarry Hill | The office moved to 61 Linden Close
Phone Ana: 555-1234 | Phone Ana: 555-9876
Mail for Ana goes to ana@example.org | Mail for Ana goes to ana@example.net now
"""

COMPATIBLE = """
Marta keeps box 7 in cellar 7 | Marta keeps box 11 in cellar 11
Gate 4 opens at 4 sharp | Gate 9 opens at 9 sharp
I live in Paris | I love Paris
I live in Paris | I live for tea
I live in Paris | My sister moved to Rome
I live in Paris | I bought a bicycle today
My dentist is Dr Blum | My lawyer is Dr Iyer
My dentist is Dr Blum | My sister's dentist is Dr Iyer
Bob's office is room B12 | Ana's office is room C3
My rent is 780 euros a month | Lena pays 850 euros for her studio
I had lunch with Tom on Monday | I had lunch with Ann on Tuesday
Meeting with Bob at 3 | Meeting with Tom at 3
Ticket SMK-1199 assigned to Lisa, status in review | Ticket ZBZ-7788 assigned to Robyn, status open
I bought apples at the market | I bought pears at the market
I visited Rome | I visited Oslo
The wifi password is tango77 | What is the new wifi password?
I live in Paris | I live in Paris
We moved from Porto to Ghent | As I said, we moved from Porto to Ghent in March
My brother is a doctor | My brother also sings
I like jazz | The neighbours moved out today
I take 20 mg of lisinopril | Dad takes 10 mg of atorvastatin
My flight is at 9:40 | The bakery opens at 7:00 now
I'm not going | I'm not hungry any more, thanks
Phone Ana: 555-1234 | Phone Bob: 555-9876
Airports of Jordan: 18 (2025) | Airports of Somalia: 40 (2025)
Suffrage of Andorra: 18 years of age | Somalia, Suffrage: 18 years, starting with the 2024 elections
Terrain of Andorra: rugged mountains | Terrain of Norfolk: raised flat
Mail for Ana goes to ana@example.org | Mail for Bob goes to bob@example.org
I live in Paris | My parents moved to Rome
I live in Paris | Anna moved to Rome
I live in Paris | She moved to Rome
I live in Paris | The company moved to Rome
I live in Paris | In 2019 we lived in Rome
I live in Paris | We'll move to Lima next year
I work at Siemens | Tom works at Bosch now
Tom said he lives in Paris | I moved to Rome
My sister Eva lives in Milan | My sister Ida lives in Turin
My flatmate Jo works at Acme | My flatmate Sam works at Initech
On Mondays I work at the bakery | On Tuesdays I work at the bar
I am allergic to peanuts | I am allergic to shellfish
I speak French | I speak Dutch
I'm afraid of spiders | I'm afraid of heights
The cellar code is 9999 | They changed the garage code to 4321
The code for the cellar is 9999 | The code for the garage was changed to 4321
The alarm password is fig11 | New router! The wifi password is now oak77
My dentist appointment is on 3 May | My haircut appointment moved to 4 May
Ana Lee works on NWM-2438, blocked | SHD-9934 went to Bob Hale (blocked)
Ana Lee's birthday: 17 December 1981 | Ana Lee works on PJV-5953, open
Ana Lee: 499 Puri Road | Ana Lee's number is 001-560-861
I have 2 kids | I have 3 bikes now
The office opens at 9 | The gym opens at 6 now
Room 12 is reserved for Ana | Room 14 is reserved for Ben now
We meet on Mondays | The choir meets on Tuesdays now
Our Wednesday speaker is Professor Gill | The Friday speaker is Dr Okoro now
My Netflix password is Blue7Whale | My Spotify password is Red9Finch now
Ana Lee was born on 31 October 1963 | Bob Hale comes from New Victoria, born 16 November 1926
"""


def pairs(block: str) -> list[tuple[str, str]]:
    return [
        (old, new) for old, _, new in (line.partition(" | ") for line in block.strip().splitlines())
    ]


def score(old: str, new: str) -> float:
    one, two = read_statement(old), read_statement(new)
    return contradiction(one, two) if one and two else 0.0


@pytest.mark.parametrize(("old", "new"), pairs(CONTRADICTING))
def test_another_value_of_the_same_supersedes(old: str, new: str) -> None:
    assert 0.5 < score(old, new) < 1


@pytest.mark.parametrize(("old", "new"), pairs(COMPATIBLE))
def test_what_may_both_be_true_does_not(old: str, new: str) -> None:
    assert score(old, new) == 0


@pytest.mark.parametrize(
    ("question", "old", "new", "about"),
    [
        ("What is the garage code?", "The garage code is 7719", "The cellar code is 8825", False),
        ("What is the garage code?", "The garage code is 7719", "The garage code is 88", True),
        ("What is the garage code?", "The garage code is 7719", "I changed it to 8825", True),
        ("What's the cellar code?", "The cellar code is 1", "They changed the garage code", False),
        ("What's the cellar code?", "The cellar code is 1", "The code of the cellar is new", True),
        ("What's my phone number?", "My phone number is 12", "New mobile number: 34", True),
        ("What's the alarm password?", "The alarm password is fig", "wifi password changed", False),
        ("Who is my dentist?", "My dentist is Dr Blum", "My cardiologist is Dr Iyer", False),
        ("Who is my dentist?", "My dentist is Dr Blum", "Blum sold his practice to Iyer", True),
        ("Where does Tom live?", "Tom lives in Oslo", "Anna moved to Bergen", False),
        ("Where did Tom live before Bergen?", "Tom lives in Oslo", "Tom moved to Bergen", True),
        ("Where did I live after Berlin?", "I live in Berlin", "I moved to Madrid", True),
        ("Where do I live?", "I live in Paris", "My parents moved to Rome", False),
        ("Where do my parents live?", "I live in Paris", "My parents moved to Rome", True),
    ],
)
def test_only_what_may_be_about_the_question_supersedes(
    question: str, old: str, new: str, about: bool
) -> None:
    assert is_about(question, old, new) is about


@pytest.mark.parametrize("text", ["Is it at nine?", "Perhaps it is at nine.", "It is so. " * 40])
def test_what_is_not_certain_or_long_states_nothing(text: str) -> None:
    assert read_statement(text) is None


def test_what_only_the_embeddings_tell_needs_a_change() -> None:
    """Both must be the speaker's own, and the later one say that something changed."""
    old = read_statement("My Wednesday training is rowing")
    new = read_statement("I switched to bouldering")
    other = read_statement("The neighbours switched to gas")
    assert old
    assert new
    assert other
    assert contradiction(old, new) == 0
    assert contradiction(old, new, nearest=True) == NEAREST
    assert contradiction(new, old, nearest=True) == 0
    assert contradiction(old, other, nearest=True) == 0


def test_what_counts_something_else_is_of_another_kind() -> None:
    old, new = (
        read_statement("My shoe size is 42.5"),
        read_statement("I bench 80 kg for 5 reps now"),
    )
    assert old
    assert new
    assert contradiction(old, new, nearest=True) == 0


def test_the_nearest_stands_out_from_the_next() -> None:
    assert stands_out([0.4, 0.2, 0.1])
    assert not stands_out([0.4, 0.35, 0.1])
    assert not stands_out([0.0, 0.0])
