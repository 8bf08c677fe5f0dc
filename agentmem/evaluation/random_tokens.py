"""Chunks of uniformly random tokens: they are incompressible, so they bound the bytes per token.

They are drawn as ids, since tokenizing their text would give other ids.
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
    """A chunk: its token ids and the text they decode to.

    Except for random tokens, the text also encodes to the ids.
    """

    text: str
    ids: tuple[int, ...]


def random_chunks(
    tokenizer: Tokenizer, *, count: int, seed: int, tokens: int = CHUNK_TOKENS
) -> list[Sample]:
    """Make chunks of random tokens, none of them special.

    Args:
        tokenizer: Defines the vocabulary.
        count: Number of chunks.
        seed: The same seed gives the same chunks.
        tokens: Tokens of each chunk.
    """
    rng = random.Random(f"{RANDOM_TOKENS}/{seed}")
    first, end = len(SPECIAL_TOKENS), tokenizer.vocab_size
    drawn = [tuple(rng.randrange(first, end) for _ in range(tokens)) for _ in range(count)]
    return [Sample(tokenizer.decode(ids), ids) for ids in drawn]
