"""The share of the evidence that fits into a decoder's budget of positions.

A ranking is packed into the budget as `Recall.pack` does it: best first, what does not fit is
passed over, and smaller ones behind it may still go in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_positions(tokens: Sequence[int]) -> list[int]:
    """Positions of each turn as text: one per token."""
    return list(tokens)


def vector_positions(tokens: Sequence[int], tokens_per_position: int) -> list[int]:
    """Positions of each turn as memory vectors: ceil(tokens / tokens_per_position).

    Raises:
        ValueError: ``tokens_per_position`` is below 1.
    """
    if tokens_per_position < 1:
        raise ValueError(f"tokens per position must be 1 or more, got {tokens_per_position!r}")
    return [-(-count // tokens_per_position) for count in tokens]


def evidence_within(
    ranked: Sequence[int], evidence: Collection[int], positions: Sequence[int], budget: int
) -> float:
    """Share of the evidence that is packed into a budget.

    Args:
        ranked: Numbers of turns, best first, each once.
        evidence: Numbers of the turns that answer.
        positions: What each turn takes, by number.
        budget: How many positions there are.

    Raises:
        ValueError: There is no evidence.
    """
    if not evidence:
        raise ValueError("no evidence: leave questions without evidence out")
    left, seen = budget, 0
    for number in ranked:
        if positions[number] <= left:
            left -= positions[number]
            seen += number in evidence
    return seen / len(evidence)
