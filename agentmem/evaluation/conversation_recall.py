"""Conversations as data of recall: each is a user, and its turns are what is found.

The rank of a turn is that of its first chunk among the hits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from agentmem.context.recall import Recall
from agentmem.evaluation.conversations import Conversation
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.metrics import ranking_scores
from agentmem.evaluation.recall_data import RecallQuestion
from agentmem.memory import Memory


class ConversationData:
    """The conversations of a file, see `agentmem.evaluation.recall_data.RecallData`."""

    # More than the 50 turns that are scored, because long turns are several chunks.
    hits = 64
    added = "messages"

    def __init__(self, path: Path, limit: int | None) -> None:
        """Read a file.

        Args:
            path: LoCoMo's own file, or the JSON lines of `agentmem.evaluation.datasets`.
            limit: Number of conversations, at most; None means all.

        Raises:
            InputError: The file has neither form.
        """
        found = read_conversations(path)
        self.left_out = found.left_out
        self._conversations = found.conversations[:limit]
        pairs = [(one.id, question) for one in self._conversations for question in one.questions]
        self.asked: Sequence[RecallQuestion] = [
            RecallQuestion(
                number, question.question, user, len(question.evidence), question.category
            )
            for number, (user, question) in enumerate(pairs)
        ]
        self._evidence = [question.evidence for _, question in pairs]
        self._turns: dict[str, dict[int, list[str]]] = {}

    def add(self, memory: Memory) -> int:
        """Add every conversation in one call."""
        self._turns = {one.id: _add(memory, one) for one in self._conversations}
        return sum(len(one.turns) for one in self._conversations)

    def scores(self, question: RecallQuestion, hits: Recall) -> dict[str, float]:
        """Recall, NDCG and MRR of turns."""
        turns_of = self._turns[question.user_id]
        sources = dict.fromkeys(hit.source.id for hit in hits)
        ranked = [turn for source in sources for turn in turns_of[source]]
        return ranking_scores(ranked, self._evidence[question.number])


def _add(memory: Memory, conversation: Conversation) -> dict[int, list[str]]:
    """Add a conversation's turns; returns the turns of each source."""
    messages = [
        {"role": turn.role, "content": turn.content}
        | ({"name": turn.speaker} if turn.speaker else {})
        | ({"at": turn.at} if turn.at else {})
        for turn in conversation.turns
    ]
    receipt = memory.add(messages, user_id=conversation.id)
    turns_of: dict[int, list[str]] = defaultdict(list)
    for source, turn in zip(receipt.sources, conversation.turns, strict=True):
        turns_of[source].append(turn.id)
    return turns_of
