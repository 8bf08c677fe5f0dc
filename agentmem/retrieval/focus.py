"""What a long query asks, wherever in it that stands.

A query may be a question behind a hundred words of talk, or a pasted mail with one in the middle.
Searched as a whole, such a text finds what resembles the talk. Of a query longer than `SHORT`
tokens, only the sentences that ask are searched, if one of them is a question; "right?" and the
like are none. "How are you doing today?" may stand in front of what is wanted, so requests such as
"Tell me ..." count beside questions, and an end that begins like a question without its mark. In
English, so do sentences that are certainly questions by their words, also if nothing has a mark. An
embedder reads a limited number of tokens, so what is longer is embedded in windows; their mean does
not depend on their order. Of a pasted log, `MOST_WINDOWS` of them stand for the rest, so that a
reply does not wait for all of it. The limits were chosen on dialogues that no model was trained on,
see benchmarks/LOG.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.base import Embedder, Tokenizer
from agentmem.statements.marks import FULL_STOPS, QUESTION_MARKS, has_question_mark
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words import phrases

# Tokens of a query that is searched as it stands.
SHORT = 64
# What is embedded of a long query: a mean of more says little else, and takes seconds.
MOST_WINDOWS = 8
_MARKS = "".join(("!", "\u2026", *QUESTION_MARKS))
# What ends a sentence: not the point of "p.m. today" or "config.yaml", nor the mark inside a URL.
_END = unicode_pattern(
    # Only from the first of a run: from each of its marks, the time would be quadratic.
    rf"(?<![{_MARKS}])[{_MARKS}]++(?=[\s\"')\]]|$)"
    r"|\.(?=\s{1,3}[^\s\p{Ll}]|$)"
    rf"|[\n\u3002\uff01\uff1f\uff61{FULL_STOPS}]|(?<=\p{{Greek}}\p{{M}}?);(?=\s|$)"
)
# Fewer words than these ask nothing that could be searched for: "Wow?", ", right?".
_LEAST_WORDS = 3
# English requests and beginnings of questions.
_REQUEST = unicode_pattern(
    r"(?i)\A(?:(?:ok(?:ay)?|so|and|now|then|anyway|but|also|please|just|kindly)\b,?+ ++)*+"
    r"(?:tell|show|find|list|give|remind|name|explain|describe|summari[sz]e|recall|look up|search"
    r"|check|help me|let me know|i(?: want| need| would like|['\u2019]d like) to know|i wonder"
    r"|i am wondering|i['\u2019]m wondering|(?:can|could|would|will) you)\b",
)
_ASKING = unicode_pattern(
    r"(?i)\A(?:(?:ok(?:ay)?|so|and|now|then|anyway|but|also)\b,?+ ++)*+"
    r"(?:who|whom|whose|what|when|where|which|why|how|do|does|did|is|are|was|were|has|have|had|can"
    r"|could|should|will|would)\b",
)
# What is wanted, wherever a sentence says so: "the form asks for my insurance number".
_WANTED = unicode_pattern(
    r"(?i)\b(?:please|pls|plz)\b|\bask(?:s|ed|ing)? (?:me |us )?for (?:the|my|our)\b"
    r"|\b(?:wants?|wanted|needs?) to know (?:the|my|our)\b"
    r"|\A(?:can|could|would|will) (?:you|u) (?:send|give|tell|show|find|check|remind|look up)\b",
)


def focused(query: str, tokenizer: Tokenizer) -> str:
    """The part of a query to search for."""
    if len(query) <= SHORT or len(tokenizer.encode(query)) <= SHORT:
        return query
    sentences = [one for one in _sentences(query) if one]
    if not any(map(_asks, sentences)):
        return " ".join(dict.fromkeys(filter(_asks_unmarked, sentences))) or query
    asking = [
        one for one in sentences[:-1] if _asks(one) or _REQUEST.match(one) or _asks_unmarked(one)
    ]
    last = sentences[-1]
    # Without capitals, the point before it is not known for the end of a sentence.
    ends = [last] if _asks(last) else [last, last.rpartition(". ")[2]]
    asking += [one for one in ends if _asks(one) or _REQUEST.match(one) or _ASKING.match(one)][:1]
    # What a pasted text repeats outweighs no other question.
    return " ".join(dict.fromkeys(asking))


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        yield text[start : end.end()].strip()
        start = end.end()
    yield text[start:].strip()


def _asks(sentence: str) -> bool:
    if not has_question_mark(sentence.rstrip("!\u2026\"')] ")):
        return False
    # Words by spaces, or by what is searched where a script has no spaces.
    last_clause = sentence.rpartition(",")[2]
    return len(last_clause.split()) >= _LEAST_WORDS or len(phrases(last_clause)) >= _LEAST_WORDS


def _asks_unmarked(sentence: str) -> bool:
    """Whether an English sentence without a question mark is a question or a request."""
    said = sentence.rstrip(" .!\u2026")
    if len(said.split()) < _LEAST_WORDS:
        return False
    # Most queries are short, and do without these expressions.
    from agentmem.statements.interrogative import is_inverted
    from agentmem.statements.requests import requests

    return is_inverted(said) or requests(said) or _WANTED.search(said) is not None


def embed_query(embedder: Embedder, ids: Sequence[int], max_tokens: int) -> NDArray[np.float32]:
    """The embedding (K,) of a query of any length, unit norm.

    Args:
        embedder: Embeds each window.
        ids: Token ids of the query.
        max_tokens: The longest window.
    """
    if len(ids) <= max_tokens:
        return embedder.embed_query(ids)
    windows = np.array_split(np.asarray(ids), -(-len(ids) // max_tokens))
    if len(windows) > MOST_WINDOWS:
        # Evenly, and with both ends: what is wanted often stands there.
        read = np.linspace(0, len(windows) - 1, MOST_WINDOWS).round().astype(int)
        windows = [windows[at] for at in read]
    embeddings = np.stack([embedder.embed_query(window.tolist()) for window in windows])
    mean: NDArray[np.float32] = embeddings.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return mean / norm if norm else embeddings[0]
