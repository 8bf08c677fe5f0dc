"""How much each token of the memories matters to a question: by rank, and by the words around it.

Where less is read than was kept, the question decides. A memory counts by its rank in the recall,
``1 / (1 + rank)``. In it a token counts by how near it is to words of the question, each of which
counts the less the more often it stands in what is read. That takes no pass of any model, and
leaves a fifth to what is near none of them, since an answer may be worded otherwise. The constants
were chosen on questions of qa-dev, see benchmarks/LOG.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agentmem.statements.read import stem
from agentmem_storage.words.splitting import split

# How far a word of the question reaches: the standard deviation of a bell curve, in tokens.
_REACH = 6.0
# What a token counts that is near no word of the question.
_ELSEWHERE = 0.2

Weights = NDArray[np.float32]


def question_weights(
    question: str,
    texts: Sequence[str],
    starts: Sequence[Sequence[int]],
    ranks: Sequence[int],
) -> list[Weights]:
    """The weight of each token of memories for a question.

    Args:
        question: Its text.
        texts: The memories.
        starts: Where each token of a memory begins in its text, ascending.
        ranks: Of each memory in a recall; 0 is the best.

    Returns:
        Of each memory, above 0 and up to 1, float32 (N,) of N tokens.
    """
    asked = {form for form, _ in _words(question)}
    found = [[(form, at) for form, at in _words(text) if form in asked] for text in texts]
    counts = Counter(form for words in found for form, _ in words)
    near = [
        _near([(1 / counts[form], at) for form, at in words], begins)
        for words, begins in zip(found, starts, strict=True)
    ]
    most = max((float(one.max(initial=0)) for one in near), default=0.0)
    return [
        ((_ELSEWHERE + (1 - _ELSEWHERE) * (one / most if most else one)) / (1 + rank)).astype("f4")
        for one, rank in zip(near, ranks, strict=True)
    ]


def _near(words: Sequence[tuple[float, int]], starts: Sequence[int]) -> NDArray[np.float64]:
    """What reaches each token of the words of a text, each with its weight and its place."""
    at_tokens = np.zeros(len(starts))
    if not words:
        return at_tokens
    places = np.searchsorted(starts, [at for _, at in words], side="right") - 1
    np.add.at(at_tokens, np.maximum(places, 0), [weight for weight, _ in words])
    far = int(4 * _REACH)
    curve = np.exp(-0.5 * (np.arange(-far, far + 1) / _REACH) ** 2)
    return np.convolve(at_tokens, curve)[far : far + len(starts)]


def _words(text: str) -> Iterator[tuple[str, int]]:
    """The words of a text that say something, by their stems, and where they begin.

    Of scripts that do not separate words, each pair of characters.
    """
    for word in split(text):
        if word.spaceless and len(word.form) > 1:
            # Decomposed letters, as of Korean, are more characters than the form has.
            length = len(word.written)
            for at, pair in enumerate(pairwise(word.form)):
                yield "".join(pair), word.start + at * length // len(word.form)
        elif not word.stop:
            yield stem(word.form), word.start
