"""Questions answered from memories, scored as SQuAD scores them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from agentmem.errors import InputError
from agentmem.evaluation.reading_config import QuestionsConfig
from agentmem.evaluation.reading_scores import answer_scores, mean_of
from agentmem.evaluation.reading_sheets import Ids, Report, Sheet, Way, vectors_of
from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.prompts import answer_text, question_prompt
from agentmem.training.questions import Asked


class Questions:
    """A fixed draw of questions, each over its own context, cut into memories."""

    def __init__(
        self,
        config: QuestionsConfig,
        asked: Sequence[Asked],
        bundle: ModelBundle,
        densities: Sequence[str],
        *,
        seed: Sequence[int],
    ) -> None:
        """Draw the questions.

        Raises:
            InputError: there is none.
        """
        if not asked:
            raise InputError(
                f"{config.file!r} has no question over a context of at most "
                f"max_context = {config.max_context} tokens"
            )
        rng = np.random.default_rng(list(seed))
        chosen = rng.permutation(len(asked))[: config.count]
        self._asked = [asked[place] for place in sorted(chosen.tolist())]
        self._config, self._bundle, self._densities = config, bundle, densities
        self._contexts = [one.context.astype(np.int64) for one in self._asked]
        self.sheet = self._sheet(
            [context[: self._vectors(len(context))] for context in self._contexts]
        )
        self._shorter = {
            positions: self._sheet([context[:positions] for context in self._contexts])
            for positions in config.positions
        }

    def measure(self, way: Way, report: Report) -> dict[str, Any]:
        """Scores of one way of reading.

        Returns:
            ``way``, ``positions`` (of a context, on average), and ``all``, ``answerable``,
            ``unanswerable`` and ``kinds``, each with ``f1``, ``exact`` and ``questions``; None
            where there are no such questions.
        """
        return {"way": way.name, **self._scores(self.sheet, way, report)}

    def curve(self, way: Way, report: Report) -> list[dict[str, Any]]:
        """Scores of a way that reads cut text, by the number of positions it is cut to."""
        return [
            {"at_most": positions, **self._scores(sheet, way, report)}
            for positions, sheet in self._shorter.items()
        ]

    @property
    def curve_rows(self) -> int:
        """How many rows `curve` reports."""
        return len(self._asked) * len(self._shorter)

    def _sheet(self, cut: Sequence[Ids]) -> Sheet:
        return Sheet(
            self._bundle,
            self._densities,
            memories=[self._memories(context) for context in self._contexts],
            cut=[self._memories(context) for context in cut],
            prompts=[[partial(question_prompt, question=one.question)] for one in self._asked],
        )

    def _scores(self, sheet: Sheet, way: Way, report: Report) -> dict[str, Any]:
        words = way.reader.words
        made = sheet.answers(way, self._config.answer_tokens, report, "questions")
        found: dict[str, Any] = {"positions": sheet.positions(way)}
        if made is None:
            return {**found, "all": None, "answerable": None, "unanswerable": None, "kinds": {}}
        rows = [
            (one, answer_scores(answer_text(words, ids), one.answers))
            for one, ids in zip(self._asked, made, strict=True)
        ]
        kinds = sorted({one.kind for one in self._asked})
        return {
            **found,
            "all": _mean([scores for _, scores in rows]),
            "answerable": _mean([scores for one, scores in rows if one.answers]),
            "unanswerable": _mean([scores for one, scores in rows if not one.answers]),
            "kinds": {
                kind: _mean([scores for one, scores in rows if one.kind == kind]) for kind in kinds
            },
        }

    def _memories(self, context: Ids) -> list[Ids]:
        size = self._config.memory_tokens
        return [context[at : at + size] for at in range(0, len(context), size)]

    def _vectors(self, tokens: int) -> int:
        size = self._config.memory_tokens
        whole, rest = divmod(tokens, size)
        return whole * vectors_of(self._bundle, size) + vectors_of(self._bundle, rest)


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float | int] | None:
    return {**mean_of(rows), "questions": len(rows)} if rows else None
