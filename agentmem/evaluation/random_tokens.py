"""Chunks of uniformly random tokens: nothing in them can be foreseen, so they take the most bytes.

They are drawn as ids: as text they would be cut into other tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from agentmem.models.base import Tokenizer
from agentmem.models.tokenizer import SPECIAL_TOKENS

CHUNK_TOKENS = 64
RANDOM_TOKENS = "random tokens"


@dataclass(frozen=True, slots=True)
class Sample:
    """A chunk: its text and its token ids, each of which decodes and encodes to the other.

    Of random tokens only the text follows from the ids.
    """

    text: str
    ids: tuple[int, ...]


def random_chunks(
    tokenizer: Tokenizer, *, count: int, seed: int, tokens: int = CHUNK_TOKENS
) -> list[Sample]:
    """Make chunks of random tokens, none of them special.

    Args:
        tokenizer: Whose tokens.
        count: How many chunks.
        seed: The same seed, the same chunks.
        tokens: Of each chunk.
    """
    rng = random.Random(f"{RANDOM_TOKENS}/{seed}")
    first, end = len(SPECIAL_TOKENS), tokenizer.vocab_size
    drawn = [tuple(rng.randrange(first, end) for _ in range(tokens)) for _ in range(count)]
    return [Sample(tokenizer.decode(ids), ids) for ids in drawn]
