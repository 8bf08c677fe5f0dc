"""Tells questions that say something in passing: "As a vegan, what can I cook?".

What a question says of the speaker may be all that a conversation ever says of it: a diet, a child,
a car. A question too many among memories costs less than that, but few questions say something, so
only what is certain counts: that the reader should keep or know something, who or what the speaker
is, and what or whom the speaker has, with an age, a model or what they do.
"""

from __future__ import annotations

from agentmem.statements.words import PERSONS
from agentmem_storage.patterns import unicode_pattern

_I = r"(?:i|we|my|our|i['’]m|we['’]re|i['’]ve|we['’]ve)"
_KEPT = (
    r"\b(?:remember|note|know|mind|forget|record|save|store) that\b|\bdid you know\b"
    r"|\b(?:remember|note|know) (?:i|we|i['’]m|we['’]re|i['’]ve|we['’]ve)\b"
    r"|\b(?:did|have) i (?:ever |already )?(?:tell|told|mention(?:ed)?)(?: (?:to )?you)?(?: that)?"
    r" (?:i|we|my)\b"
    r"|\b(?:can|could|would|will) you (?:please )?"
    r"(?:note|save|record|store|write down|jot down|log|add)\b"
    r"|\bremind (?:me|us) (?:to|that)\b|\bdon['’]?t forget\b|\bkeep in mind\b|\bmake a note\b"
    rf"|\b(?:believe|realize|realise|hear|heard)(?: that)? {_I}\b"
    rf"|\bremember (?:when|how) {_I}\b|\btold you(?: that)? {_I}\b"
    rf"|\b(?:funny|weird|strange|odd|crazy|great|nice|sad|lucky|amazing) that {_I}\b"
)
# "Why don't you call me Max?"
_NAMED = r"\bcall me (?-i:\p{Lu})\p{L}+"
_BEING = (
    r"(?:\A|[.!?,;] )(?:as (?:an?|someone|somebody|the) |being an? |since (?:i|we)\b|given that\b)"
)
_RELATED = rf"(?:{'|'.join(sorted(PERSONS))})s?"
# What is said of somebody in passing: "my diabetic father".
_STATES = (
    "diabetic|coeliac|celiac|vegan|vegetarian|pregnant|deaf|blind|disabled|autistic|asthmatic"
    "|allergic|adopted|unemployed|divorced|widowed|late"
)
# "My 12-year-old", "my 2014 Toyota", "my wheelchair-bound mother", "my wife she".
_HAVING = (
    r"\b(?:my|our) (?:\d{1,3}[- ]?(?:year|month|week)s?[- ]old\b|\d{4} \p{L})"
    rf"|\b(?:my|our) (?:{_STATES}|\p{{L}}+-(?:bound|\p{{L}}+ed)) {_RELATED}\b"
    rf"|\b(?:my|our) {_RELATED}(?: \p{{L}}+)?,? (?:he|she|they|who) "
    r"(?:is|are|has|have|loves?|likes?|hates?|lives?|works?|wants?|needs?|turns?|just)\b"
)
# The same in other languages: "Weißt du, dass ich ...", "¿Sabes que soy ...".
_ELSEWHERE = (
    r"\b(?:wei(?:ß|ss)t|wusste(?:st)?|merk\w*|erinner\w*|vergiss|notier\w*)\b[^?.!]*? dass\b"
    r"|\b(?:sab(?:es|e|ías|ias)|recuerd\w+|recordar|acuérdate)(?: de)? que "
    r"(?:yo|mis?|me|soy|estoy|tengo|vivo|trabajo|no|ya|nos|somos|estamos|tenemos|nuestr\w+)\b"
    r"|\b(?:sais|savais|savez|saviez|rappelle\w*|souviens|souvenez)\b(?:-(?:tu|vous|toi))? "
    r"(?:bien |déjà )?qu(?:e |['’])(?:je\b|j['’]|m(?:a|on|es)\b|on\b|nous\b|notre\b)"
    r"|\b(?:sai|sapevi|sapete|ricord\w+) che "
    r"(?:io|sono|ho|(?:il )?mio|(?:la )?mia|i miei|mi|non|vivo|abito|abbiamo|siamo)\b"
    r"|\b(?:sab(?:e|ia|es|ias)|lembr\w+)(?: de)? que "
    r"(?:eu|meus?|minhas?|sou|estou|tenho|moro|não|a gente|nós)\b"
    r"|\b(?:зна(?:ешь|ете|л|ла|ли)|помни(?:шь|те)|запомни\w*),? что "
    r"(?:я|мо[йяеёиюх]\w*|у меня|мы|наш\w*|у нас)\b"
    r"|\b(?:weet|wist) je,? dat (?:ik|mijn|we|wij|ons|onze)\b"
    r"|って(?:知って|言った|話した|言って|話して)"
)
_TELLING = unicode_pattern("(?i)" + "|".join((_KEPT, _NAMED, _BEING, _HAVING, _ELSEWHERE)))


def tells(text: str) -> bool:
    """Whether a text with a question says something of the speaker, too."""
    return _TELLING.search(text) is not None
