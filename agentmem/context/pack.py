"""Packs hits into a budget: which memories go into a prompt, in which form and order.

A context can be used in three ways. For a chat API it is text (`Context.to_text`,
`Context.to_messages`). For a language model on this machine it is keys and values, one position for
each token (`Context.to_cache`). For a decoder of your own that reads memory vectors it is mixed:
vectors for most hits, and exact text for the few whose vectors are not faithful enough or that
matter most (the reader that comes with agentmem reads text; no decoder of vectors comes with it):

- a hit is included as vectors, one position each;
- a hit whose vectors alone regenerate less than `MIN_FIDELITY` of its tokens is included as text,
  one position per token, or not at all;
- the ``texts`` best hits are included as text too, or as vectors where their text does not fit.

The policy decides which memories go in:

- ``ranked``: only hits, best first. The same text of the same speaker goes in once, however often
  it was said; the best of the repeats represents them, with its date. A near duplicate of a hit
  that is already in (cosine similarity of `agentmem.context.budget.NEAR_DUPLICATE` or more) is
  considered after all others.
- ``auto``: everything that matches the recall's scope, filters and times, whether found or not, if
  all of it fits the budget as vectors, and as text if ``max_tokens`` is given: a model that reads
  the complete short history answers better than one that reads what a search selected from it
  (ConvoMem, arXiv 2511.10523). Repeats are kept, because a second "Yes." may answer another
  question. If not everything fits: ``ranked``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentmem.context.budget import Budget, add_best, add_everything
from agentmem.context.format import block, line, lines
from agentmem.context.full_scope import FullScope
from agentmem.context.hits import Hit
from agentmem.errors import InputError
from agentmem.models.base import Tokenizer
from agentmem.models.extras import READER, needs_extra
from agentmem_storage.numbers import as_int
from agentmem_storage.text import shown

if TYPE_CHECKING:
    from agentmem.models.reader.cache import MemoryCache

Policy = Literal["ranked", "auto"]
CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Memories that fit a budget, in chronological order; chunks of one document in text order.

    ::

        context = hits.pack(max_tokens=600)
        messages = context.to_messages("openai") + chat

    Attributes:
        vectors: Hits that go in as memory vectors.
        texts: Hits that go in as text.
        left_out: How many hits did not fit.
        repeats: How many hits were omitted because they differ from a better one only in date.
        tokens: Tokens of the hits' texts.
        positions: Decoder positions of `latents` and of `text`, by the bundle's tokenizer, for a
            decoder that reads vectors; separators between memories are not counted.
    """

    vectors: tuple[Hit, ...]
    texts: tuple[Hit, ...]
    left_out: int
    repeats: int
    tokens: int
    positions: int

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All hits in it."""
        return tuple(sorted((*self.vectors, *self.texts), key=lambda hit: hit.order))

    def to_text(self) -> str:
        """The texts in one block, each with its date and speaker; "" if there are none.

        What could end the block or pass for another line of it is escaped, see
        `agentmem.context.format`; the exact text is `Hit.text`.
        """
        return block([line(hit) for hit in self.hits])

    def to_messages(
        self, format: Literal["openai", "anthropic"] = "openai"
    ) -> list[dict[str, Any]]:
        """The block as a user message to put before a chat; an empty list if there are no hits.

        It is never a system message: whoever could write to the memory could give orders there.
        For Anthropic its content is a list with one text block.
        """
        if not isinstance(format, str) or format not in ("openai", "anthropic"):
            raise InputError(f"unknown format {shown(format)}: 'openai' or 'anthropic'")
        text = self.to_text()
        if not text:
            return []
        if format == "openai":
            return [{"role": "user", "content": text}]
        return [{"role": "user", "content": [{"type": "text", "text": text}]}]

    def to_cache(self, model: Any, *, tokenizer: Any, prefix: str | None = None) -> MemoryCache:
        """The hits in the cache of a language model, each read by itself, for ``generate``.

        Args:
            model: A Hugging Face causal language model with rotary positions.
            tokenizer: The model's.
            prefix: Text before the memories, such as a chat template up to where they stand, with
                its special tokens written out; None is the token that begins every text.

        Returns:
            The cache, and the token ids that it stands for, int64 (1, N): the prefix and each line
            of `to_text`, one position for each token. Every layer holds keys and values of shape
            (1, G, N, D), with G key-value heads of D dims.

        Raises:
            InputError: prefix and memories are longer than the model's context.
            ModelError: the model's positions are not rotary, or change with the length; or there is
                no prefix, and the tokenizer has no token that could be one.
            CorruptRecordError: a hit is damaged.
            MissingExtraError: torch or transformers is not installed.
        """
        with needs_extra(READER, "a cache of memories"):
            from agentmem.models.reader.cache import cache_memories

        return cache_memories([line(hit) for hit in self.hits], model, tokenizer, prefix=prefix)

    @property
    def latents(self) -> NDArray[np.int8]:
        """The memory vectors of `vectors`, int8 (M, D)."""
        if not self.vectors:
            return np.zeros((0, 0), dtype=np.int8)
        return np.concatenate([hit.latents for hit in self.vectors])

    @property
    def text(self) -> str:
        """The text of `texts`, one dated line per hit; "" if there are none."""
        return lines(self.texts)


def pack(
    hits: Sequence[Hit],
    *,
    max_tokens: int | None = None,
    max_positions: int | None = None,
    texts: int = 0,
    policy: Policy = "ranked",
    count_tokens: CountTokens | None = None,
) -> Context:
    """Select memories that fit a budget, and put them in chronological order.

    A hit that does not fit is skipped; smaller ones after it may still fit.

    ::

        hits = mem.recall("when is my train?", user_id="ana")
        pack([hit for hit in hits if hit.relevance > 0.3], max_tokens=600).to_messages("openai")

    Args:
        hits: A `Recall`, or any sequence of hits, such as a filtered recall or hits of several.
        max_tokens: Budget for `Context.to_text`, in tokens.
        max_positions: Budget for `Context.latents` and `Context.text`, in decoder positions.
        texts: How many of the best hits go in as text whatever their fidelity.
        policy: ``ranked`` or ``auto``, see above. ``auto`` needs a `Recall` whose store is open
            and reads what the store holds now, but only if its sums are within the budget.
        count_tokens: Counts the tokens of a text; by default the tokenizer of the recall's store,
            and for other sequences that of the bundle that comes with agentmem.

    Raises:
        InputError: there is no budget, it is not positive, ``texts`` is negative, the policy is
            unknown, or it is ``auto`` and ``hits`` is not a recall that is linked to its store; or
            ``count_tokens`` returns no number of tokens.
        CorruptRecordError: a memory to be included is damaged.
        StoreError: the policy is ``auto``, and the store has been closed.
    """
    if max_tokens is None and max_positions is None:
        raise InputError("pack() needs a budget: max_tokens=... or max_positions=...")
    max_tokens = _count("max_tokens", max_tokens, minimum=1)
    max_positions = _count("max_positions", max_positions, minimum=1)
    texts = _count("texts", texts, minimum=0) or 0
    if not isinstance(policy, str) or policy not in get_args(Policy):
        raise InputError(f"unknown policy {shown(policy)}: 'ranked' or 'auto'")
    full_scope: FullScope | None = getattr(hits, "full_scope", None)
    if policy == "auto" and full_scope is None:
        raise InputError(
            "policy='auto' reads the store: pack the Recall that recall() returned, not a copy or "
            "a part of it"
        )
    if count_tokens is None:
        count_tokens = _default_counter if full_scope is None else full_scope.count_tokens
    else:
        count_tokens = _checked(count_tokens)

    def empty() -> Budget:
        return Budget(count_tokens, max_tokens=max_tokens, max_positions=max_positions)

    if (
        policy == "auto"
        and full_scope is not None
        and _may_fit(full_scope, max_tokens, max_positions)
    ):
        budget = empty()
        if add_everything(budget, hits, full_scope, texts):
            return _context(budget, count_tokens, left_out=0, repeats=0)
    budget = empty()
    repeats = add_best(budget, hits, texts)
    left_out = len(hits) - repeats - len(budget.vectors) - len(budget.texts)
    return _context(budget, count_tokens, left_out=left_out, repeats=repeats)


def _checked(count_tokens: CountTokens) -> CountTokens:
    """A counter of the caller's; what is no number would fail later, or let everything in."""

    def count(text: str) -> int:
        tokens = count_tokens(text)
        try:
            counts = bool(tokens >= 0)
        except (TypeError, ValueError):
            counts = False
        if not counts:
            raise InputError(
                f"count_tokens returned {shown(tokens)} for a text of {len(text):,} characters: "
                f"return its number of tokens"
            )
        return tokens

    return count


def _default_counter(text: str) -> int:
    return len(_shipped_tokenizer().encode(text))


@cache
def _shipped_tokenizer() -> Tokenizer:
    # Hits of a recall bring their own tokenizer: only plain sequences need this one.
    from agentmem.models.bundle.manifest import shipped_bundle
    from agentmem.models.tokenizer import ByteTokenizer

    return ByteTokenizer.from_folder(shipped_bundle() / "tokenizer")


def _may_fit(full_scope: FullScope, max_tokens: int | None, max_positions: int | None) -> bool:
    """Whether everything may fit, by lower bounds of what it takes.

    A memory takes at least one position as vectors; as text it takes more tokens than its own,
    because a date and a speaker precede them.
    """
    limits = [limit for limit in (max_tokens, max_positions) if limit is not None]
    if full_scope.count > min(limits):
        return False
    sums = full_scope.sums()
    return (max_tokens is None or sums.tokens <= max_tokens) and (
        max_positions is None or sums.positions <= max_positions
    )


def _context(budget: Budget, count_tokens: CountTokens, *, left_out: int, repeats: int) -> Context:
    vectors = tuple(sorted(budget.vectors, key=lambda hit: hit.order))
    texts = tuple(sorted(budget.texts, key=lambda hit: hit.order))
    text = lines(texts)
    return Context(
        vectors,
        texts,
        left_out=left_out,
        repeats=repeats,
        tokens=sum(hit.tokens for hit in (*vectors, *texts)),
        positions=sum(hit.positions for hit in vectors)
        + (count_tokens(text + "\n") if text else 0),
    )


def _count(name: str, number: int | None, *, minimum: int) -> int | None:
    if number is None:
        return None
    number = as_int(number, name)
    if number < minimum:
        raise InputError(f"{name}={number!r} must be at least {minimum}")
    return number
