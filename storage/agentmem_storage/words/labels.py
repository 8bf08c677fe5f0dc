"""Labels: single letters that tell one thing of a kind from the others, as in "plan B", "gate C".

What is asked about plan Z is not answered by what is known of plan A, so "plan" alone says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from agentmem_storage.words.splitting import FUNCTION_WORDS, Word


def labeled(
    words: Sequence[Word], text: str, names: Collection[int]
) -> Iterator[tuple[Word, Word]]:
    """Each word of a query that a single letter ends, with that letter.

    Not an initial, behind which a name goes on ("Samuel L Jackson"), nor a letter that other
    languages have for a word.

    Args:
        words: The words of the query.
        text: The query.
        names: Where those stop words start that are names.
    """
    for (noun, letter), after in zip(pairwise(words), [*words[2:], None], strict=False):
        if len(letter.form) > 1 or not letter.form.isascii() or not letter.form.isalpha():
            continue
        if letter.stop and letter.start not in names:
            continue
        meant = len(noun.form) > 1 and noun.form.isalpha() and noun.form not in FUNCTION_WORDS
        apart = text[noun.end : letter.start]
        if not meant or noun.spaceless or not apart or apart.strip():
            continue
        if after is None or after.form in FUNCTION_WORDS or not text[letter.end] == " ":
            yield noun, letter
