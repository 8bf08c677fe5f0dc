"""Words that say no more than that a question is about now: "where do I live now?".

In a memory, "now" is the time at which it was said. Searched, it would find "I am a baker now".
So it is neither a word of the question nor a part of what it means.
"""

from __future__ import annotations

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words import asks_nothing

# In lower case, or where a question begins: "Apocalypse Now" is a film.
_NOW = unicode_pattern(
    r"\s?(?<![\w'\u2019-])"
    r"(?:right now|as of now|for now|now|nowadays|currently|presently|at present|at the moment"
    r"|at this (?:point|moment)|these days|any ?more|any longer"
    r"|\A(?:Now|Nowadays|Currently|At the moment|These days|At present)(?! \p{Lu}))"
    r"(?![\w'\u2019-])"
)
# "Until now", "now that", "now and then" say something else.
_OTHER = unicode_pattern(
    r"\b(?:until|till|before|by|from|than|to|just|every) now\b"
    r"|\bnow (?:that|and (?:then|again))\b"
)


def without_now(question: str) -> str:
    """A question without words that say "now"; as it is if it says nothing else."""
    if _OTHER.search(question):
        return question
    rest: str = _NOW.sub("", question)
    return question if asks_nothing(rest) else rest
