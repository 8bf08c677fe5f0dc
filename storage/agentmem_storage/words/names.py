"""Names: which stop words of a text are written like names, such as in "plan A" and "The Who".

People type questions in any case. In a query, a stop word that stands where only a name can is one
too ("will's", "does will", "the who"), and others may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentmem_storage.words.splitting import FUNCTION_WORDS, Word, are_joined

# From so many words on, a sentence without a small initial is a headline.
_MIN_HEADLINE = 4
_ENDS = frozenset('.!?:;\n\r\u2026\u3002\uff01\uff1f\u061f"\u201c\u201d\u2018(\u2022')

# A full stop behind these ends no sentence: "Dr. No".
_TITLES = frozenset(
    "dr mr mrs ms mx prof st sr jr fr rev hon gen col maj capt lt sgt cpl adm sir dame".split()
)
# Stop words that are names as well, and cannot be the subject or the object of a sentence.
_NAMESAKES = frozenset("an be by can do no on or so to will".split())
# What only a name is followed by, at the beginning of a sentence: "Will is", "Can went".
_FINITE = frozenset(
    "is was has had does did will would can could should and came went said says got made told "
    "took saw met left ate bought knew thought gave found felt kept wrote sang ran read sent drove "
    "won lost spent became began brought built chose drank fell flew forgot grew heard held led "
    "lent paid rode rose sat shot slept sold spoke stood swam taught threw woke wore".split()
)
_VOWELS = frozenset("aeiouh")
# Stop words that are common as names: people, countries, departments, bands, labels.
_AMBIGUOUS = frozenset("a an can do i it no so us who will".split())
# Where "'s" is no contraction, it follows a name: "will's", but "who's".
_POSSESSIVE = frozenset("a an can do i no on so us will".split())
# "Does will", "with can"; none of these comes before the verb.
_BEFORE_VERBS = frozenset(
    "about are by could did do does for from had has have is of was were with would".split()
)
# Among keywords, the only stop word is there on purpose: "it department floor".
_KEYWORDS = frozenset("can it us who will".split())
# "The who", "my us"; none of these comes before the pronoun.
_DETERMINERS = frozenset("an my our the their your".split())
# Of more words, "Who" at the beginning is a question word.
_MAX_KEYWORDS = 4


def find_names(words: Sequence[Word], text: str) -> Iterator[Word]:
    """The stop words that are written like names.

    Args:
        words: The words of a text.
        text: The text.
    """
    for sentence in _sentences(words, text):
        letters = [word for word in sentence if not word.spaceless and word.written[0].isalpha()]
        small = any(not word.capitalized for word in letters)
        shouted = len(letters) > 1 and all(word.written.isupper() for word in letters)
        if shouted or (not small and len(letters) >= _MIN_HEADLINE):
            continue
        # A speaker or title stands on a line of its own, before the text.
        heads = not small and text[sentence[-1].end : sentence[-1].end + 1] == "\n"
        asked = text[sentence[-1].end :].lstrip()[:1] in ("?", "\uff1f", "\u061f")
        for at, word in enumerate(letters):
            named = _begins(letters, asked) if at == 0 else _is_name(letters, at, text)
            if word.stop and (heads or named or _is_name(letters, at, text)):
                yield word


def find_governed(words: Sequence[Word], text: str) -> Iterator[Word]:
    """The stop words of a query that stand where only a name can, however they are written.

    Args:
        words: The words of the query.
        text: The query, in which every apostrophe is straight.
    """
    meant = [word for word in words if word.form not in FUNCTION_WORDS]
    asked = text.rstrip()[-1:] in ("?", "\uff1f", "\u061f")
    others = {word.form for word in words if word.stop}
    keywords = bool(meant) and not asked and len(others) == 1 and others <= _KEYWORDS
    for before, word in pairwise([None, *words]):
        if word is None or not word.stop:
            continue
        if keywords:
            yield word
        elif word.form in _POSSESSIVE and text[word.end : word.end + 2].lower() == "'s":
            yield word
        elif before is not None and not text[before.end : word.start].strip():
            person = word.form in ("will", "can") and before.form in _BEFORE_VERBS
            if person or (word.form in ("it", "us", "who") and before.form in _DETERMINERS):
                yield word


def is_ambiguous(word: Word) -> bool:
    """Whether a stop word is a name in many texts: "will", "it"."""
    return word.stop and word.form in _AMBIGUOUS


def _begins(sentence: Sequence[Word], asked: bool) -> bool:
    """Whether the first word is a name: "Will likes rowing", "An came by", "Who tickets"."""
    word, *others = sentence
    if not word.capitalized or not others:
        return False
    after = others[0]
    if word.form == "who":
        keywords = len(sentence) <= _MAX_KEYWORDS and not any(one.stop for one in others)
        return keywords and not asked and not _is_verb(after)
    if word.form not in _NAMESAKES or (word.form == "an" and after.form[0] in _VOWELS):
        return word.form == "an" and after.form in _FINITE
    # "Will Smith came"; "Will Ana come?" asks.
    surname = word.form in ("an", "can", "will") and after.capitalized and not asked
    return _is_verb(after) or (surname and not after.stop)


def _is_verb(word: Word) -> bool:
    return word.form in _FINITE or (not word.stop and word.form.endswith(("s", "ed")))


def _is_name(sentence: Sequence[Word], at: int, text: str) -> bool:
    word = sentence[at]
    before = sentence[at - 1] if at else None
    after = sentence[at + 1] if at + 1 < len(sentence) else None
    if word.form == "i" or (len(word.form) == 1 and not word.capitalized):
        # "World War I", "vitamin a": behind a word that means something, at the end of a clause.
        closed = not text[word.end : word.end + 1].strip(" \t") and after is None
        closed = closed or text[word.end : word.end + 1] in set(",;.!?:)\n")
        named = before is not None and before.form not in FUNCTION_WORDS
        return closed and named and (word.form != "i" or before.capitalized)  # type: ignore[union-attr]
    if len(word.written) > 1 and word.written.isupper():
        return after is None or not after.written.isupper() or len(after.written) == 1
    return word.capitalized and before is not None


def _sentences(words: Sequence[Word], text: str) -> Iterator[list[Word]]:
    """The words by sentence; a quotation or parenthesis begins one too."""
    sentence: list[Word] = []
    for before, word in pairwise([None, *words]):
        if sentence and before is not None and word is not None:
            gap = text[before.end : word.start]
            ends = not _ENDS.isdisjoint(gap) and not are_joined(before, word, text)
            if ends and not (before.form in _TITLES and gap.rstrip(" \t") == "."):
                yield sentence
                sentence = []
        if word is not None:
            sentence.append(word)
    if sentence:
        yield sentence
