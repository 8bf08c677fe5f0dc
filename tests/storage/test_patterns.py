"""Regular expressions that wait until they are used."""

from __future__ import annotations

import pytest
import regex

from agentmem_storage.patterns import pattern, unicode_pattern


def test_it_does_what_a_compiled_one_does() -> None:
    words, letters = pattern(r"(?i)[a-z]+"), unicode_pattern(r"(?i)\p{Lu}+")
    assert words.findall("One, two") == ["One", "two"]
    assert words.sub("x", "One, two") == "x, x"
    assert letters.fullmatch("äÖ")
    assert not letters.fullmatch("ä1")
    assert letters.pattern == r"(?i)\p{Lu}+"


def test_it_is_compiled_at_its_first_use() -> None:
    torn = unicode_pattern("(")
    with pytest.raises(regex.error, match="missing"):
        torn.search("")
