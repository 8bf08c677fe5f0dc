"""Exercises, the reader's training examples: memories, and several questions about them.

From a corpus or generated; all but those of `agentmem.training.reader.notebooks` may include
repetition:

- **questions** over a context that is cut into memories, sometimes among memories of another
  context; a question whose context is absent is answered with "not in memory";
- **personal** facts, as people tell them to an assistant (see
  `agentmem.training.reader.personal`);
- **turns** of conversations, each a memory;
- **repetition**: repeat a memory word for word, or continue a quotation of it, which keeps
  compressed states faithful (Badger 2026, arXiv 2602.13466).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random
from typing import Any

from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.prompt import ReadingPrompt, memory_line
from agentmem.models.reader.sequence import Branch
from agentmem.training.reader.personal import exercises as personal_exercises

# Sources whose questions are self-contained: no other context can answer them.
_SELF_CONTAINED = ("squad-dev", "nq-open", "fairytaleqa", "synthetic-lookup", "factbook-lookup")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_REPEAT_WEIGHT = 0.25
_LONGEST_ANSWER = 40


@dataclass(frozen=True, slots=True)
class Exercise:
    """Memories and questions about them, as token ids.

    Attributes:
        memories: Token ids of each memory.
        branches: Prompts with the tokens to predict.
    """

    memories: tuple[list[int], ...]
    branches: tuple[Branch, ...]

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(map(len, self.memories)) + sum(
            len(b.prompt) + len(b.target) for b in self.branches
        )


@dataclass(frozen=True, slots=True)
class Context:
    """A context with its questions; None as an answer means that it is not in the context."""

    source: str
    text: str
    dialogue: bool
    questions: tuple[tuple[str, str | None], ...]


def contexts(records: Iterable[dict[str, Any]]) -> Iterator[Context]:
    """Group the records of a question set that share their context."""
    held: list[dict[str, Any]] = []
    for record in records:
        if record["kind"] == "passage":
            continue
        if held and record["context"] != held[0]["context"]:
            yield _context(held)
            held = []
        held.append(record)
    if held:
        yield _context(held)


def _context(records: Sequence[dict[str, Any]]) -> Context:
    questions = tuple(
        (r["question"], next((a.strip() for a in r["answers"] if a.strip()), None)) for r in records
    )
    first = records[0]
    dialogue = first["kind"].startswith("dialogue") or first["source"] == "molweni"
    return Context(first["source"], first["context"], dialogue, questions)


def cut(text: str, prompt: ReadingPrompt, *, most: int, dialogue: bool) -> list[list[int]]:
    """Split a context into memories of at most ``most`` tokens, at lines or ends of sentences.

    Args:
        text: The context.
        prompt: Provides the tokenizer.
        most: Maximum number of tokens of a memory; a longer sentence is split.
        dialogue: Whether its lines are turns, which are never joined when ``most`` is 0.
    """
    parts = [p for p in (text.splitlines() if dialogue else _pieces(text)) if p.strip()]
    if not parts:
        return []
    joined: list[str] = []
    room = 0
    for part, ids in zip(
        parts, prompt.tokenizer(parts, add_special_tokens=False).input_ids, strict=True
    ):
        if joined and len(ids) < room:
            joined[-1] += ("\n" if dialogue else " ") + part
        else:
            joined.append(part)
            room = most
        room -= len(ids) + 1
    memories = [prompt.memory(text) for text in joined]
    longest = max(most, 192)
    return [m[i : i + longest] for m in memories for i in range(0, len(m), longest)]


def _pieces(text: str) -> list[str]:
    return [piece for piece in _SENTENCE.split(text) if piece]


def from_context(
    context: Context, other: Context, prompt: ReadingPrompt, random: Random, *, questions: int = 6
) -> Exercise | None:
    """An exercise from a context, sometimes with memories of another context added.

    Returns:
        None if the context has no question with a short answer.
    """
    most = random.choice((0, 48, 96, 128)) if context.dialogue else random.choice((32, 64, 96, 128))
    memories = cut(context.text, prompt, most=most, dialogue=context.dialogue)
    mixed = random.random() < 0.3
    if mixed:
        extra = cut(other.text[:1200], prompt, most=most, dialogue=other.dialogue)[:6]
        memories = extra + memories if random.random() < 0.5 else memories + extra
    sampled = random.sample(context.questions, min(questions, len(context.questions)))
    branches = []
    for question, answer in sampled:
        target = prompt.answer(answer if answer is not None else NOT_IN_MEMORY)
        if len(target) <= _LONGEST_ANSWER:
            branches.append(Branch(prompt.question(question), target))
    if other.source in _SELF_CONTAINED and not mixed and random.random() < 0.3:
        question, _ = random.choice(other.questions)
        branches.append(Branch(prompt.question(question), prompt.answer(NOT_IN_MEMORY)))
    if not branches or not memories:
        return None
    if random.random() < 0.35:
        branches.append(repetition(memories, prompt, random))
    return Exercise(tuple(memories), tuple(branches))


def from_turns(turns: Sequence[str], prompt: ReadingPrompt, random: Random) -> Exercise:
    """An exercise from the turns of a conversation, each a memory, to repeat or continue."""
    memories = [prompt.memory(turn)[:160] for turn in turns]
    branches = [repetition(memories, prompt, random) for _ in range(2)]
    return Exercise(tuple(memories), tuple(branches))


def personal(seed: int, prompt: ReadingPrompt) -> Iterator[Exercise]:
    """Endless exercises of synthetic personal memories."""
    random = Random(seed)
    for made in personal_exercises(seed):
        dated = random.random() < 0.85
        memories = [
            prompt.memory(
                memory_line(
                    m.text,
                    who=m.speaker.capitalize() if m.speaker in ("user", "assistant") else m.speaker,
                    day=date.fromisoformat(m.date) if dated else None,
                )
            )
            for m in made.memories
        ]
        branches = [
            Branch(prompt.question(q), prompt.answer(NOT_IN_MEMORY if a is None else a))
            for q, a, evidence in made.questions
            # Without dates, questions for the day have no answer.
            if dated or a is None or any(a in made.memories[i].text for i in evidence)
        ]
        if random.random() < 0.25:
            branches.append(repetition(memories, prompt, random))
        if branches:
            yield Exercise(tuple(memories), tuple(branches))


def repetition(memories: Sequence[list[int]], prompt: ReadingPrompt, random: Random) -> Branch:
    """A request to repeat a memory, or to continue a quotation of it."""
    number = random.randrange(len(memories))
    memory = memories[number]
    if len(memory) > 24 and random.random() < 0.5:
        start = random.randrange(len(memory) - 16)
        quoted = prompt.tokenizer.decode(memory[start : start + 8])
        request = f'\nContinue the note from: "{quoted}"'
        target = memory[start + 8 : start + 40]
    else:
        request = f"\nRepeat note {number + 1} word for word."
        target = memory[:96]
    return Branch(prompt.request(request), [*target, prompt.end], weight=_REPEAT_WEIGHT)


def fit(exercise: Exercise, most: int) -> Exercise | None:
    """The exercise with as many branches as fit into ``most`` tokens; None if none fits."""
    branches = list(exercise.branches)
    while branches:
        shorter = replace(exercise, branches=tuple(branches))
        if shorter.tokens <= most:
            return shorter
        branches.pop()
    return None
