"""What a reader learns: exercises over memories, drawn as a pure function of (seed, step).

A batch is one exercise: groups of memories, and rows that read them. All rows of a group read the
same memories and each asks for something else, so memories are encoded once for many questions.

- ``regenerate``: "Memory 7:" and the text of memory 7.
- ``lookup``: a few tokens of one memory, and what follows them there.
- ``answer``: a question over the memories of several contexts; "not in memory" when its own
  context is not among them.
- ``facts``: a question about one of several small facts, or about one that is not there; see
  `agentmem.training.facts`.
- ``follow``: text, with what stood before it as memories.
- ``language``: text without memories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentmem.models.reader.prompts import (
    UNKNOWN,
    answer_ids,
    continue_prompt,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.words import Words
from agentmem.models.tokenizer import SPECIAL_TOKENS, ByteTokenizer
from agentmem.training.config import Exercise
from agentmem.training.cues import LONGEST_AFTER, Cues
from agentmem.training.data import PackedFile
from agentmem.training.facts import draw_facts
from agentmem.training.questions import Asked

Ids = NDArray[np.int64]
# A neighbourhood is so many times as long as the group.
_NEIGHBOURHOOD = 4
# Share of the questions whose context is taken away.
_UNANSWERABLE = 0.1
# Most memories that a question's context may be cut into.
MEMORIES_OF_CONTEXT = 24
# Most memories before a text that follows them.
MOST_BEFORE = 4
# Answer tokens times the slots they read, in one group: what attention costs.
_MOST_READS = 1 << 22


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer stands.

    Attributes:
        memories: Places of the memories that hold it; none if none does.
        start: The slot of its first token, if the answer is copied token by token.
    """

    memories: tuple[int, ...] = ()
    start: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReadingBatch:
    """One step's exercise.

    Attributes:
        exercise: Which.
        memories: Token ids of the bundle, G groups of up to N memories; no groups without any.
        prompts: Ids of the language model, B rows; a multiple of G.
        answers: Ids of the language model that follow each prompt; the loss is theirs.
        sources: Where each answer stands in its group's memories; none if it stands nowhere.
    """

    exercise: Exercise
    memories: list[list[Ids]]
    prompts: list[list[int]]
    answers: list[list[int]]
    sources: list[Source] = field(default_factory=list)


class Exercises:
    """Draws batches from packed texts and questions."""

    def __init__(
        self,
        files: Sequence[PackedFile],
        weights: Sequence[float],
        questions: Sequence[Asked],
        words: Words,
        tokenizer: ByteTokenizer,
        *,
        seed: int,
        most: int,
        random_share: float = 0.0,
        dev: bool = False,
    ) -> None:
        """Draw from these.

        Args:
            files: Texts, packed with the bundle's tokenizer.
            weights: Share of the texts that each file gives.
            questions: For the exercise ``answer``.
            words: Of the language model.
            tokenizer: The bundle's.
            seed: The draw is a function of it and the step.
            most: Memories that a reader holds; groups of contexts are cut short at it.
            random_share: Share of the memories to recite that are uniformly random ids: nothing
                but reading helps there.
            dev: Whether facts are of the forms that are never trained on.
        """
        self._files = list(files)
        self._shares = np.array(weights, dtype=np.float64) / sum(weights)
        self._questions = list(questions)
        self._words = words
        self._seed, self._most = seed, most
        self._random_share, self._dev = random_share, dev
        self._tokenizer = tokenizer

    def batch(
        self,
        step: int,
        mixture: dict[Exercise, float],
        *,
        memories: Sequence[int],
        memory_tokens: tuple[int, int],
        rows: int,
        hard: float = 0.0,
    ) -> ReadingBatch:
        """The batch of a step.

        Args:
            step: With the seed, all that chance depends on.
            mixture: Shares of the exercises.
            memories: How many memories a group has; one of these numbers is drawn. For answers:
                how many contexts.
            memory_tokens: Shortest and longest memory.
            rows: B, about.
            hard: Share of the groups to recite from that are of one neighbourhood, since like texts
                are easily mixed up, and of the cues that are hard to go on from.
        """
        rng = np.random.default_rng([self._seed, step])
        names = sorted(mixture)
        shares = np.array([mixture[name] for name in names])
        exercise = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        count = int(rng.choice(memories))
        if exercise == "answer":
            return self._answer(rng, count, memory_tokens, rows)
        if exercise == "facts":
            return self._facts(rng, count, rows)
        if exercise in ("follow", "language"):
            return self._follow(rng, exercise, count, memory_tokens, rows)
        return self._recite(rng, exercise, count, memory_tokens, rows, hard)

    def _recite(
        self,
        rng: np.random.Generator,
        exercise: Exercise,
        count: int,
        lengths: tuple[int, int],
        rows: int,
        hard: float,
    ) -> ReadingBatch:
        groups = max(1, rows // count)
        told = lengths[1] if exercise == "regenerate" else LONGEST_AFTER
        each = max(1, min(rows // groups, _MOST_READS // (count * lengths[1] * told)))
        memories = [self._group(rng, count, lengths, hard) for _ in range(groups)]
        prompts, answers, sources = [], [], []
        for group in memories:
            cues = Cues(group)
            # Each row another memory, as far as there are so many.
            order = [int(x) for _ in range(-(-each // count)) for x in rng.permutation(count)]
            for chosen in order[:each]:
                prompt, answer, start = (
                    self._whole(group[chosen], chosen)
                    if exercise == "regenerate"
                    else self._after_cue(group[chosen], *cues.draw(rng, chosen, hard=hard))
                )
                prompts.append(prompt)
                answers.append(answer)
                sources.append(Source((chosen,), start))
        return ReadingBatch(exercise, memories, prompts, answers, sources)

    def _whole(self, memory: Ids, place: int) -> tuple[list[int], list[int], int]:
        prompt = regenerate_prompt(self._words, place + 1)
        return prompt, [*self._words.of_chunk(memory.tolist()), self._words.end], 0

    def _after_cue(
        self, memory: Ids, start: int, end: int, stop: int
    ) -> tuple[list[int], list[int], int]:
        words = self._words
        answer = words.of_chunk(memory[end:stop].tolist())
        if stop == len(memory):
            answer.append(words.end)
        return continue_prompt(words, words.of_chunk(memory[start:end].tolist())), answer, end

    def _answer(
        self, rng: np.random.Generator, count: int, lengths: tuple[int, int], rows: int
    ) -> ReadingBatch:
        words = self._words
        groups = max(1, rows // count)
        memories: list[list[Ids]] = []
        asked_of: list[list[tuple[list[int], list[int], Source]]] = []
        for _ in range(groups):
            group: list[Ids] = []
            rows_of: list[tuple[list[int], list[int], range]] = []
            for place in rng.integers(0, len(self._questions), count).tolist():
                if group and len(group) > self._most - MEMORIES_OF_CONTEXT:
                    break
                asked = self._questions[place]
                absent = rng.random() < _UNANSWERABLE
                shown = self._questions[int(rng.integers(0, len(self._questions)))]
                own = memories_of(shown if absent else asked, rng, lengths)
                answer = UNKNOWN if absent or asked.answer is None else asked.answer
                held = range(len(group), len(group) + (0 if answer == UNKNOWN else len(own)))
                group.extend(own)
                prompt = question_prompt(words, asked.question)
                rows_of.append((prompt, answer_ids(words, answer), held))
            order = rng.permutation(len(group))
            now = np.argsort(order).tolist()
            memories.append([group[place] for place in order.tolist()])
            asked_of.append(
                [(p, a, Source(tuple(now[place] for place in held))) for p, a, held in rows_of]
            )
        # Groups that were full early have fewer questions, and all have the same number.
        each = min(map(len, asked_of))
        kept = [row for rows_of in asked_of for row in rows_of[:each]]
        prompts, answers, sources = (list(column) for column in zip(*kept, strict=True))
        return ReadingBatch("answer", memories, prompts, answers, sources)

    def _facts(self, rng: np.random.Generator, count: int, rows: int) -> ReadingBatch:
        words = self._words
        groups = max(1, rows // count)
        memories: list[list[Ids]] = []
        prompts, answers, sources = [], [], []
        for _ in range(groups):
            # The last of them is asked for and not told.
            *told, absent = draw_facts(rng, count + 1, dev=self._dev)
            memories.append(
                [np.array(self._tokenizer.encode(fact.told), dtype=np.int64) for fact in told]
            )
            for place in rng.permutation(len(told)).tolist():
                known = rng.random() >= _UNANSWERABLE
                asked = told[place] if known else absent
                prompts.append(question_prompt(words, asked.question))
                answers.append(answer_ids(words, asked.answer if known else UNKNOWN))
                sources.append(Source((place,) if known else ()))
        return ReadingBatch("facts", memories, prompts, answers, sources)

    def _follow(
        self,
        rng: np.random.Generator,
        exercise: Exercise,
        count: int,
        lengths: tuple[int, int],
        rows: int,
    ) -> ReadingBatch:
        words, longest = self._words, lengths[1]
        count = 0 if exercise == "language" else min(count, MOST_BEFORE)
        memories: list[list[Ids]] = []
        prompts, answers = [], []
        for _ in range(rows):
            file = self._file(rng)
            start = int(rng.integers(0, len(file.ids) - (count + 1) * longest))
            parts = [
                np.asarray(file.ids[at : at + longest], dtype=np.int64)
                for at in range(start, start + (count + 1) * longest, longest)
            ]
            if count:
                memories.append(parts[:-1])
            text = [*words.start, *words.of_chunk(parts[-1].tolist())]
            # Nothing comes before the first token, so it cannot be asked for.
            begun = max(1, len(words.start))
            prompts.append(text[:begun])
            answers.append(text[begun:])
        return ReadingBatch(exercise, memories, prompts, answers)

    def _group(
        self, rng: np.random.Generator, count: int, lengths: tuple[int, int], alike: float
    ) -> list[Ids]:
        """Memories from all over the files, or of one neighbourhood."""
        near = None
        if rng.random() < alike:
            file = self._file(rng)
            size = min(len(file.ids), _NEIGHBOURHOOD * count * lengths[1])
            first = int(rng.integers(0, len(file.ids) - size + 1))
            near = (file, first, first + size)
        return [self._text(rng, lengths, near) for _ in range(count)]

    def _file(self, rng: np.random.Generator) -> PackedFile:
        return self._files[int(rng.choice(len(self._files), p=self._shares))]

    def _text(
        self,
        rng: np.random.Generator,
        lengths: tuple[int, int],
        near: tuple[PackedFile, int, int] | None,
    ) -> Ids:
        """A memory: from a text's start or anywhere, to its end or flowing on."""
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        if rng.random() < self._random_share:
            return rng.integers(len(SPECIAL_TOKENS), self._tokenizer.vocab_size, length)
        if near is None:
            file = self._file(rng)
            near = (file, 0, len(file.ids))
        file, first, last = near
        anywhere = int(rng.integers(first, last - length))
        text = int(np.searchsorted(file.starts, anywhere, side="right")) - 1
        begun = int(file.starts[text])
        start = begun if rng.random() < 0.5 and begun >= first else anywhere
        start = min(start, len(file.ids) - length)
        end = int(file.starts[text + 1]) if rng.random() < 0.3 else len(file.ids)
        # A cue and something behind it want a few tokens.
        end = max(end, start + min(length, lengths[0]))
        return np.asarray(file.ids[start : min(start + length, end)], dtype=np.int64)


def memories_of(asked: Asked, rng: np.random.Generator, lengths: tuple[int, int]) -> list[Ids]:
    """A question's context as memories: of one drawn length, or half of all dialogues by turns."""
    length = int(rng.integers((lengths[0] + lengths[1]) // 2, lengths[1] + 1))
    whole = asked.context.astype(np.int64)
    by_turns = rng.random() < 0.5 and len(asked.turns) <= MEMORIES_OF_CONTEXT // 2
    starts = asked.turns if by_turns else (0,)
    ends = (*starts[1:], len(whole))
    return [
        whole[at : min(at + length, end)]
        for start, end in zip(starts, ends, strict=True)
        for at in range(start, end, length)
    ]
