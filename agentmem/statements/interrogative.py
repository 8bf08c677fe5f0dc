"""Tells by its words whether an English sentence asks, and whether it also states something.

People type questions without a question mark ("where does marta live"), and put one behind what
they state ("Marta lives in Porto, right?", "I'm vegan, what can I cook?"). A question that is taken
for a statement only competes with answers; a statement that is taken for a question is kept out of
them. So what is not certain asks nothing, and states something.
"""

from __future__ import annotations

from typing import Any

from agentmem.statements.proposals import proposes
from agentmem.statements.subjects import asks_about_somebody
from agentmem.statements.words import CHANGE, STATE
from agentmem_storage.patterns import unicode_pattern

# A longer sentence without a mark is a story that begins with "when".
_LONGEST = 200
_WH = r"(?:who|whom|whose|what|when|where|which|why|how)"
_BE = r"(?:is|are|was|were|am)"
_DO = r"(?:do|does|did|don['’]?t|doesn['’]?t|didn['’]?t)"
_MODAL = r"(?:can|could|should|would|will|shall|must|has|have|had)"
_I = r"(?:i|you|he|she|it|we|they|there)"
_MY = r"(?:my|our|your|his|her|their|the|a|an|this|that|these|those)"
_PREPOSITIONS = r"(?:in|on|at|for|from|with|about|to|of|by|during|after|before|and|or|but|not)"
# Between "which" or "how many" and the verb; what somebody does ("what I like") is no question.
_GAP = rf"(?:(?!(?:{_I}|{_BE}|{_DO}|{_MODAL}|me|us|him|them)\b)[\p{{L}}\p{{M}}\d'’-]+ ){{1,3}}"
# "What Tom did yesterday" is no question, "what car did" begins one.
_NOUNS = rf"(?:(?!(?:{_I}|{_BE}|{_DO}|{_MODAL})\b)(?-i:\p{{Ll}}+) ){{1,2}}"
_MEASURED = (
    r"(?:many|much|old|long|far|often|tall|big|large|high|late|early|soon|heavy|expensive|fast|deep"
    r"|wide|well)"
)
# "What matters is my family" begins like "what time is my train".
_NAMED = (
    r"(?:time|day|date|month|year|colou?r|size|number|name|brand|model|age|city|country|street|floor"
    r"|seat|gate|room|code|password|address|kind of \p{L}+|type of \p{L}+|sort of \p{L}+)"
)


def _sentence(*forms: str) -> Any:
    return unicode_pattern(rf"(?i)(?:{'|'.join(forms)})")


# How a question begins that has its verb before its subject, and what follows that.
_INVERTED = _sentence(
    rf"(?!which\b){_WH}(?:s|['’](?:s|re|d|ll|m|ve)| (?:{_BE}|{_MODAL}|{_DO})) \p{{L}}",
    rf"which {_DO} \p{{L}}",
    rf"how {_MEASURED} (?:{_GAP})?(?:{_BE}|{_DO}) (?!{_PREPOSITIONS}\b)\p{{L}}",
    rf"what {_NAMED} (?:{_BE}|{_DO}) \p{{L}}",
    rf"(?:which|whose) {_GAP}(?:{_BE}|{_DO}|{_MODAL}) \p{{L}}",
    rf"what {_NOUNS}{_DO} (?!{_PREPOSITIONS}\b|{_BE}\b)\p{{L}}",
    r"who (?!knows\b|cares\b)(?:\p{L}+(?:ed|s)|told|said|gave|sent|wrote|came|bought|made)"
    r" \p{L}",
    # Not "did it again", "has the flu", "was the best day": notes leave out their subject.
    r"(?:do|does|did|has|have|will) (?:i|you|he|she|we|they) \p{L}",
    r"(?:is|are|was|am|can|could|would|will) (?:i|he|she|it|we|they|there) \p{L}",
    r"should (?:i|we) \p{L}",
    r"(?:are|were) (?:you|we|they) \p{L}",
)
# "What is important to me is honesty", "what I did on Sunday was great".
_CLEFT = unicode_pattern(rf"(?i)\b(?:{_BE}|{_DO})\b.*\b{_BE}\b")

# A clause that begins so asks, or says when, where or on which condition, and states nothing.
_FRAME = _sentence(
    rf"{_WH}\b",
    rf"(?:{_BE}|{_DO}|{_MODAL}|may|might|isn['’]?t|aren['’]?t|wasn['’]?t|weren['’]?t|won['’]?t"
    r"|can['’]?t|couldn['’]?t|shouldn['’]?t|wouldn['’]?t|haven['’]?t|hasn['’]?t)\b",
    r"(?:if|unless|whether|in|on|at|for|from|with|about|during|of|by|to|before|after|until|regarding"
    r"|concerning|besides|among|between|under|please|tell|remind|show|let(?!['’]?s\b)|any)\b",
    r"(?:i|we) (?:wonder|forgot|forget|(?:want|need|would like) to (?:know|ask)"
    r"|(?:can['’]?t|don['’]?t"
    r"|cannot|do not) (?:remember|recall|know)|have (?:a|an|another|one|one more|some|two) "
    r"(?:\p{L}+ )?questions?)\b",
    r"(?:i|we)['’](?:d like to (?:know|ask)|m (?:wondering|curious|not sure))\b",
    r"i was (?:just )?wondering\b",
)
_PERSON = unicode_pattern(
    r"(?i)(?:(?:and|so|but|since|because|as|given that|now that) )?"
    r"(?:(?:i|we|he|she|they)(?:['’](?:m|re|s|ve|d|ll))?|let['’]?s) \p{L}"
)
_CLAUSE_END = unicode_pattern(r"[,;:–—] ?|(?<=[^-]) - (?=[^-])")
_MARK = unicode_pattern(r"[?？؟]")
# What asks nothing but whether it is so; the comma is often left out.
_TAG = unicode_pattern(
    r"(?i)(?:,\s*+|\s)(?:right|correct|yeah|huh|innit|true|isn['’]?t (?:it|that so)|am i right)\s*$"
    r"|,\s*+(?:¿\s*+)?(?:no|yes|eh|okay|ok"
    rf"|(?:is|are|was|were|do|does|did|has|have|can|will|wo|ca|should|would)(?:n['’]?t)? {_I}"
    r"|oder|nicht wahr|nicht|gell?|ne|verdad|cierto|non|n['’]est-ce pas|hein|vero|giusto|né|certo"
    r"|não é|toch|hè|inte sant|eller hur|да|так|верно)\s*$"
)
_LEAST_WORDS = 3


def is_inverted(sentence: str) -> bool:
    """Whether a sentence without a question mark is a question by the order of its words."""
    if len(sentence) > _LONGEST or _CLAUSE_END.search(sentence):
        return False
    if asks_about_somebody(sentence):
        return True
    if proposes(sentence):
        return False
    return _INVERTED.match(sentence) is not None and _CLEFT.search(sentence) is None


def states(sentence: str) -> bool:
    """Whether a sentence that ends in a question mark states something, too.

    Either nothing but a tag asks ("She lives in Porto, right?"), or what stands before the question
    says how something is ("I'm vegan, what can I cook?"), or it proposes a time.
    """
    plain = _MARK.sub(" ", sentence).rstrip()
    if proposes(plain):
        return True
    tag = _TAG.search(plain)
    if tag is not None:
        told = plain[: tag.start()].strip()
        return len(told.split()) >= _LEAST_WORDS and _FRAME.match(told) is None
    end = _CLAUSE_END.search(plain)
    told = plain if end is None else plain[: end.start()]
    if _FRAME.match(told) is not None:
        return False
    if _PERSON.match(told) is not None:
        return True
    return end is not None and (STATE.search(told) is not None or CHANGE.search(told) is not None)
