"""Tells whether a query is about what is to come, or what was: "am I free in December?".

A date without a year is taken for the latest that has begun. In a question in the present or the
future tense, it is as often the next one.
"""

from __future__ import annotations

from agentmem.retrieval.dates.text import Text

_PRESENT = frozenset(
    "is are am isn't aren't ain't i'm we're you're they're he'll she'll it'll i'll we'll you'll "
    "they'll there'll who'll what'll will won't shall can can't cannot should shouldn't could must "
    "might do does don't doesn't gonna planned plans planning scheduled upcoming due deadline "
    "agenda appointment appointments happening happens free".split()
)
# "What's", whose "'s" is not part of the token.
_SHORT_IS = frozenset("what who where when how why which it that there he she".split())
_ORDERING = frozenset("remind book reserve schedule plan cancel add put invite set make".split())
_PAST = frozenset("did didn't was wasn't were weren't had hadn't used ago yesterday".split())
_SUBJECTS = frozenset("i we you he she they it who that which what".split())
_HAVE = frozenset({"have", "has", "haven't", "hasn't", "i've", "we've", "you've"})
_PASSIVE = _HAVE | frozenset("is are am be been being isn't aren't get gets".split())
# Past forms that are no participles.
_IRREGULAR = frozenset(
    "ate awoke became began bit blew broke came chose drank drew drove fell flew forgave forgot "
    "froze gave grew knew ran rang rode rose sang saw shook spoke stole swam swore threw took tore "
    "went woke wore wrote".split()
)
# "The wine I bought", but not "is the wine bought".
_PARTICIPLES = frozenset(
    "bent brought built bought caught crept dealt dug fed felt fought found got heard held hung "
    "kept laid left lent lost made meant met paid said sat sent shot slept sold spent spun "
    "stood stuck stung swept taught thought told understood won".split()
)
_DONE = frozenset(
    "been done eaten drunk seen said taken written spoken gone come begun broken chosen driven "
    "fallen flown forgotten given known run sung swum thrown worn woken put read".split()
)
# "Which book did I start?"
_ASKED = frozenset({"which", "what"})
_DID = frozenset({"did", "didn't"})
# What was said or done about a time to come: "what did I plan for Monday?".
_INTENDED = frozenset(
    "supposed meant mean plan plans planned planning schedule scheduled book booked reserve "
    "reserved agree agreed promise promised intend intended want wanted need needed hope hoped "
    "invite invited arrange arranged expect expected remind reminder appointment appointments "
    "deadline due would gonna upcoming i'd you'd he'd she'd we'd they'd".split()
)
_POLITE = frozenset(
    {("can", "you"), ("could", "you")}
    | {("do", "you", word) for word in ("remember", "recall", "know")}
)


def asks_ahead(text: Text) -> bool:
    """Whether a query is in the present or the future tense, and nothing in it is in the past."""
    indices = range(len(text.tokens))
    if any(_is_past(text, k) for k in indices):
        return False
    return text.at(0).text in _ORDERING or any(_is_present(text, k) for k in indices)


def asks_back(text: Text) -> bool:
    """Whether a query is in the past tense, and about nothing that was to come.

    "What was I supposed to do on Monday?" is as often about the next one.
    """
    indices = range(len(text.tokens))
    tensed = (k for k in indices if text.at(k).text not in ("yesterday", "ago"))
    if not any(_is_past(text, k) or _is_perfect(text, k) for k in tensed):
        return False
    asked = next((k for k in indices if text.at(k).text in _DID), len(text.tokens))
    return not any(
        (text.at(k).text in _INTENDED and text.at(k - 1).text not in _ASKED)
        or text.says(k, "had", "to")
        or text.says(k, "have", "to")
        or text.says(k, "going", "to")
        or (_is_present(text, k) and not (text.at(k).text == "do" and k > asked))
        for k in indices
    )


def _is_perfect(text: Text, k: int) -> bool:
    """Whether "have" and a subject are followed by what was done: "have I taken my pills"."""
    if text.at(k).text not in _HAVE:
        return False
    done = text.at(k + 2).text
    return done != "got" and (done.endswith("ed") or done in _PARTICIPLES | _DONE)


def _is_present(text: Text, k: int) -> bool:
    token = text.at(k)
    if token.text in _PRESENT:
        # not "can you tell me about May 3?"
        return not any(text.says(k, *words) for words in _POLITE)
    short = token.possessive and token.text in _SHORT_IS
    return short or (token.text in _HAVE and "got" in _two(text, k))


def _is_past(text: Text, k: int) -> bool:
    token = text.at(k)
    if token.text in _PAST:
        return True
    simple = token.text in _IRREGULAR
    regular = token.text.endswith("ed") and token.text not in ("need", "speed", "feed")
    if not (simple or regular or token.text in _PARTICIPLES):
        return False
    before, earlier = text.at(k - 1), text.at(k - 2)
    if before.possessive or not _PASSIVE.isdisjoint((before.text, earlier.text)):
        return False  # "what is planned", "are we booked", "what have I got on"
    subject = before.text in _SUBJECTS or (before.kind == "word" and before.written[0].isupper())
    return simple or subject


def _two(text: Text, k: int) -> tuple[str, str]:
    return text.at(k + 1).text, text.at(k + 2).text
