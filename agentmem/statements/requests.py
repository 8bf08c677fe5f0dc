"""Tells requests to be told something: "tell me where Hanna works", "remind me what I ordered"."""

from __future__ import annotations

from agentmem_storage.patterns import pattern

_WORDS = r"(?:who|whom|whose|what|when|where|which|why|how)\b"
_ASKED = rf"(?:{_WORDS}|(?:if|whether)\b)"
# "Tell me where Hanna works.", "Could you please tell me about Hanna", "remind me what I ordered".
# What somebody is to be reminded of, such as "when I am home to call Bob", is news.
_REQUEST = pattern(
    rf"(?i)(?:(?:please|just|can you|could you|would you|will you) )*"
    rf"(?:tell me (?:again )?(?:{_ASKED}|(?:about|my|our|his|her|their)\b)"
    rf"|(?:remind|show) me (?:again )?(?:(?!when\b){_WORDS}|(?:when|if|whether)\b(?!.* to\b))"
    rf"|(?:do|did) you (?:still )?(?:know|remember|recall) {_ASKED}"
    rf"|(?:i|we) (?:(?:just )?(?:want|need|would like) to know|wonder) (?:{_ASKED}|about\b)"
    rf"|i['’]d like to know (?:{_ASKED}|about\b)|i['’]m wondering {_ASKED}"
    rf"|i was (?:just )?wondering {_ASKED}|any idea {_ASKED}"
    rf"|(?:look up|find out) {_ASKED})"
)


def requests(sentence: str) -> bool:
    """Whether an English sentence begins with a request to be told something."""
    return _REQUEST.match(sentence) is not None
