"""Tells questions without a mark that begin with a verb and who it is about: "does Ana like tea".

Notes leave out their subject: "did the dishes", "is German", "was Tom at the door". So the words
behind it decide, too, and only those that are certain count.
"""

from __future__ import annotations

from agentmem_storage.patterns import unicode_pattern

# Not a possessive, nor an abbreviation.
_NAME = r"(?-i:\p{Lu}[\p{L}\p{M}'’-]*\p{Ll})(?<!['’]s)"
# "Do your homework and take a walk" has two clauses.
_NOUN = (
    r"(?!(?:and|or|but|then|with|in|on|at|for|to|of|before|after|today|again)\b)"
    r"(?-i:\p{Ll}[\p{L}\p{M}'’-]*)"
)
_NOUNS = rf"{_NOUN}(?: {_NOUN})?"
_MY = r"(?:my|our|your|his|her|their)"
_SOMEBODY = (
    rf"(?:{_NAME}(?: {_NAME}){{0,2}}(?: and {_NAME})?|{_NAME}['’]s {_NOUNS}"
    r"|(?:any|every|some|no)(?:one|body))"
)
# What people come from, believe and are is written like a name: "is German", "was Head of Sales".
_NO_NAME = (
    r"(?!(?-i:\p{L}*(?:ish|ese|an|i|ic|ist|ch)|Greek|Dutch|Thai|Swiss|Muslim|Hindu|Sikh|Arab|Black"
    r"|White|Head|Vice|Deputy|Chief|Senior|Junior|Lead|Captain|President|Director|Manager)\b)"
)
_OFTEN = r"(?:(?:still|ever|already|really|also|even|usually|often|always|actually|likely|both) )?"
_DO = r"(?:do|does|did|don['’]?t|doesn['’]?t|didn['’]?t)"
_CAN = r"(?:can|could|will|would|can['’]?t|couldn['’]?t|won['’]?t|wouldn['’]?t)"
# Verbs that are no nouns, behind whatever else does something.
_VERBS = (
    r"(?:have|know|think|live|eat|prefer|own|speak|say|tell|want|hate|enjoy|remember|believe"
    r"|understand|mean|come|go|get|give|buy|send|take|see|hear|sell|bring|keep|leave|meet|lose|find"
    r"|write|make|happen|grow|become|pursue|wish|show|help|teach|sing|swim|agree|pay|choose|forget|marry|arrive|belong|attend|wear)"
)
# And those that may be nouns, behind a name.
_ALSO_NOUNS = (
    r"(?:be|love|need|mind|drink|drive|use|work|call|visit|play|cook|travel|move|start|finish|smoke"
    r"|study|join|stay|read|ski|run|dance|reply|answer|order|book|mention|change|quit|win"
    r"|like(?! (?:an?|the|that|this|always|usual|crazy|mad|pros?)\b))"
)
_BEING = (
    r"(?:vegan|vegetarian|allergic|married|divorced|pregnant|retired|sick|ill|okay|ok|alive|awake"
    r"|available|busy|ready|open|closed)"
)
_BEING_OF_NAMES = (
    rf"(?:{_BEING}|engaged|single|asleep|free|late|early|home|here|back|away|related|afraid|older"
    rf"|younger|taller|still|already|ever|really|an?|{_MY})"
)
_DONE = (
    r"(?:called|paid|written|replied|answered|come|gone|arrived|left|moved|been|got|gotten|sent"
    r"|finished|started|booked|bought|said|told|seen|met|eaten|tried|visited|mentioned|asked|joined|changed|ever|already)"
)
_QUESTION = unicode_pattern(
    rf"(?i)(?:{_DO} {_SOMEBODY} {_OFTEN}(?:{_VERBS}|{_ALSO_NOUNS})\b"
    rf"|{_DO} (?:{_MY}|the) {_NOUNS} {_OFTEN}{_VERBS}\b"
    rf"|(?:does|did|doesn['’]?t|didn['’]?t) (?:it|this|that) {_OFTEN}{_VERBS}\b"
    # Without capitals: "did yoga" is not all of it.
    rf"|(?:does|did) (?-i:\p{{Ll}}+) (?:have|know|think|live|eat|prefer|own|speak|say|tell|want)\b"
    rf"|{_CAN} {_SOMEBODY} {_OFTEN}(?:{_VERBS}|{_ALSO_NOUNS})\b"
    rf"|(?:is|are|was|were) {_NO_NAME}{_SOMEBODY} {_BEING_OF_NAMES}\b"
    # "(It) was Tom calling again."
    rf"|(?:is|are) {_NO_NAME}{_SOMEBODY} (?-i:\p{{Ll}}+ing)\b"
    rf"|(?:is|are|was|were) {_MY} {_NOUNS} {_BEING}\b"
    rf"|(?:has|have) {_SOMEBODY} {_DONE}\b)"
)


def asks_about_somebody(sentence: str) -> bool:
    """Whether a sentence of one clause, without a question mark, is such a question."""
    return _QUESTION.match(sentence) is not None
