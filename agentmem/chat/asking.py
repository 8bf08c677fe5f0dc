"""Checks what answerers are given: a question, and the hits to answer it from."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.context.hits import Hit
from agentmem.errors import InputError
from agentmem.ingest.checks import check_unicode
from agentmem_storage.text import is_blank, shown


def check_request(question: str, hits: Sequence[Hit]) -> None:
    """Check that there is a question, and that hits are hits.

    Raises:
        InputError: the question is blank or not valid Unicode.
        TypeError: the question is no string, or the hits are no sequence of `Hit`.
    """
    if not isinstance(question, str):
        raise TypeError(
            f"the question must be a string, not {shown(question)}: answer(question, hits)"
        )
    if is_blank(question):
        raise InputError(f"the question {question!r} is blank: ask something")
    check_unicode(question, "the question")
    if isinstance(hits, str) or not isinstance(hits, Sequence):
        raise TypeError(f"hits must be what a recall returned, not {shown(hits)}")
    for number, hit in enumerate(hits):
        if not isinstance(hit, Hit):
            raise TypeError(f"hits[{number}] must be a hit of a recall, not {shown(hit)}")
