"""Numbers, serial numbers and names that are written in another way than they are asked for."""

from __future__ import annotations

import pytest

from agentmem import Memory
from agentmem.testing import tiny_model
from agentmem_storage import words

STORED = [
    "Our landlord is Mr. Oyelaran; his phone is +49 170 5551234.",
    "Luc: +33612345678.",
    "The plumber is at 07700 900123.",
    "The serial number of the dishwasher is SN:4F-9920-XK.",
    "My IBAN is DE89 3704 0044 0532 0130 00.",
    "I read the Qur'an every evening.",
    "Release 9fceb02d0ae598e95dc970b74767f19372d61af8.",
]


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("01705551234", 0),
        ("0170 5551234", 0),
        ("whose number is 0170/5551234?", 0),
        ("06 12 34 56 78", 1),
        ("0612345678", 1),
        ("+44 7700 900123", 2),
        ("+447700900123", 2),
        ("4F9920XK", 3),
        ("sn4f9920xk", 3),
        ("Quran", 5),
    ],
)
def test_it_is_found(query: str, at: int) -> None:
    with Memory(":memory:", model=tiny_model()) as memory:
        memory.add(STORED)
        found = memory.recall(query, mode="lexical")
        assert found[0].text == STORED[at]


@pytest.mark.parametrize("query", ["007", "0 5551234", "2026", "at 10:45", "9,5", "covid19", "1st"])
def test_what_is_none_has_no_other_writing(query: str) -> None:
    made = words.parse(query).variants
    assert not [one for one in made if one.isdecimal() and len(one) > 6]
