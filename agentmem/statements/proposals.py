"""Tells proposals among questions: "Can we meet at five?" says when, and may be all that does."""

from __future__ import annotations

from agentmem_storage.patterns import unicode_pattern

_PROPOSAL = unicode_pattern(
    r"(?i)(?:(?:can|could|shall) we|why don['’]?t we|how about"
    r"|(?:would you like|do you want|want) to(?! (?:know|hear|see what)\b)|wanna)\b"
)
_NUMBER = r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_TIME = unicode_pattern(
    rf"(?i)\b(?:(?:at|around|by|before|after|until) (?:half past |quarter (?:past|to) )?{_NUMBER}\b"
    r"|\d{1,2}[:.]\d\d\b|\d{1,2} ?[ap]\.?m\b|noon|midnight|o['’]clock|tonight|tomorrow"
    r"|(?:on |this |next |by )?(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
    r"|(?:next|this) (?:week|weekend|month|year|morning|afternoon|evening|summer|winter)\b"
    r"|(?:in|on|by) (?:the )?(?:\d{1,2}(?:st|nd|rd|th)?(?: of)? )?"
    r"(?-i:January|February|March|April|May|June|July|August|September|October|November|December)\b"
    r"|on the \d{1,2}(?:st|nd|rd|th)\b)"
)


def proposes(sentence: str) -> bool:
    """Whether a question proposes something for a time that it names."""
    return _PROPOSAL.match(sentence) is not None and _TIME.search(sentence) is not None
