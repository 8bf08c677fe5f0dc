"""The items of the reading benchmark: questions on contexts, personal facts and conversations.

Each item contains the memories to read, as lines of text. Those of the personal facts, of
notebooks and of LoCoMo are results of `Memory.recall`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from random import Random
from typing import Any

from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.training.reader.exercises import cut

# A store is opened, and a corpus read, only where items are made: they can be answered elsewhere,
# on a machine with a GPU and without a database.

FACTS = Path(__file__).with_name("personal-facts.json")
# Kinds that ask for more than a few words.
_LEFT_OUT = ("passage", "dialogue-long", "yesno")
_LONGEST_ANSWER = 120  # code points
_LONGEST_CONTEXT = 800  # tokens of the language model
_MEMORY_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Item:
    """A question with the memories to answer it from.

    Attributes:
        task: The set that it belongs to.
        source: Its source within the set.
        memories: Lines of text.
        question: Its text.
        expected: Correct answers; empty if the memories do not contain one.
        wrong: Phrases that make an answer wrong.
        answerable: Whether the set has an answer.
        ranks: Of each memory in a recall; 0 is the best.
    """

    task: str
    source: str
    memories: tuple[str, ...]
    question: str
    expected: tuple[str, ...]
    wrong: tuple[str, ...]
    answerable: bool
    ranks: tuple[int, ...] = ()


def context_items(path: Path, prompt: ReadingPrompt, *, per_source: int, seed: int) -> list[Item]:
    """Questions of a question file: so many answerable and unanswerable ones of each source."""
    from agentmem.corpus import read_records

    groups: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for record in read_records(path):
        answers = [a for a in record["answers"] if a.strip()]
        if record["kind"] not in _LEFT_OUT and len((answers or [""])[0]) <= _LONGEST_ANSWER:
            groups.setdefault((record["source"], bool(answers)), []).append(record)
    random = Random(seed)
    found = []
    for (source, answerable), records in sorted(groups.items()):
        random.shuffle(records)
        found += _cut_items(records, prompt, source, answerable, per_source)
    return found


def _cut_items(
    records: Sequence[dict[str, Any]],
    prompt: ReadingPrompt,
    source: str,
    answerable: bool,
    most: int,
) -> list[Item]:
    found: list[Item] = []
    for record in records:
        dialogue = record["kind"].startswith("dialogue")
        memories = cut(record["context"], prompt, most=_MEMORY_TOKENS, dialogue=dialogue)
        if sum(map(len, memories)) <= _LONGEST_CONTEXT:
            lines = tuple(prompt.tokenizer.decode(m).rstrip("\n") for m in memories)
            expected = tuple(a for a in record["answers"] if a.strip())
            found.append(
                Item("qa-dev", source, lines, record["question"], expected, (), answerable)
            )
        if len(found) == most:
            break
    return found


def ranked(item: Item) -> Item:
    """The item with the ranks of its memories in a recall among them."""
    from agentmem.memory import Memory

    last = len(item.memories)
    ranks: dict[int, int] = {}
    with Memory(":memory:") as memory:
        for number, line in enumerate(item.memories):
            if line.strip():
                message = {"role": "user", "content": line}
                memory.add(message, session_id="context", metadata={"number": number})
        for hit in memory.recall(item.question, k=200):
            ranks.setdefault(hit.metadata["number"], len(ranks))
    return replace(item, ranks=tuple(ranks.get(number, last) for number in range(last)))


def personal_items(ks: Sequence[int]) -> Iterator[Item]:
    """Questions on the personal facts, recalled at several k from a store of all of them."""
    from agentmem.chat.reader import memory_lines
    from agentmem.memory import Memory

    data = json.loads(FACTS.read_text(encoding="utf-8"))
    with Memory(":memory:") as memory:
        for fact in data["facts"]:
            role = "assistant" if fact["speaker"] == "assistant" else "user"
            message = {"role": role, "content": fact["text"], "created_at": fact["created_at"]}
            if fact["speaker"] not in ("user", "assistant"):
                message["name"] = fact["speaker"]
            memory.add(message)
        asked_at = datetime(2026, 10, 15, tzinfo=UTC)
        for k in ks:
            for question in data["questions"]:
                hits = memory.recall(question["question"], k=k, now=asked_at)
                order = sorted(range(len(hits)), key=[hit.order for hit in hits].__getitem__)
                yield Item(
                    f"personal, k = {k}",
                    question["id"],
                    memory_lines(hits),
                    question["question"],
                    tuple(question.get("answers", ())),
                    tuple(question.get("wrong", ())),
                    question["answerable"],
                    tuple(order),
                )


def notebook_items(path: Path, k: int, *, questions: int, seed: int) -> Iterator[Item]:
    """Questions about notebooks, each recalled inside the notes of its person."""
    from agentmem.chat.reader import memory_lines
    from agentmem.corpus import read_records
    from agentmem.memory import Memory
    from agentmem.training.reader.notebooks import read_notebooks

    notebooks = read_notebooks(read_records(path))
    asked = [(number, one) for number, book in enumerate(notebooks) for one in book.questions]
    Random(seed).shuffle(asked)
    with Memory(":memory:") as memory:
        for number, book in enumerate(notebooks):
            for note in book.notes:
                role = "assistant" if note.speaker == "assistant" else "user"
                message = {"role": role, "content": note.text, "created_at": str(note.date)}
                if note.speaker not in ("user", "assistant"):
                    message["name"] = note.speaker
                memory.add(message, user_id=str(number))
        for number, one in asked[:questions]:
            later = datetime.combine(notebooks[number].notes[-1].date, time(12), UTC)
            hits = memory.recall(one.question, k=k, user_id=str(number), now=later)
            yield Item(
                f"notebooks, k = {k}",
                str(number),
                memory_lines(hits),
                one.question,
                () if one.answer is None else (one.answer,),
                (),
                one.answer is not None,
            )


def locomo_items(path: Path, ks: Sequence[int], *, questions: int, seed: int) -> Iterator[Item]:
    """Questions of LoCoMo, each recalled at several k inside its conversation."""
    from agentmem.chat.reader import memory_lines
    from agentmem.evaluation.locomo import read_locomo
    from agentmem.memory import Memory

    samples = json.loads(path.read_text(encoding="utf-8"))
    asked = [(sample["sample_id"], qa) for sample in samples for qa in sample["qa"]]
    Random(seed).shuffle(asked)
    with Memory(":memory:") as memory:
        for conversation in read_locomo(path).conversations:
            memory.add(
                [
                    {"role": "user", "name": t.speaker, "content": t.content, "created_at": t.at}
                    for t in conversation.turns
                    if t.content.strip()
                ],
                user_id=conversation.id,
            )
        for name, qa in asked[:questions]:
            answerable = qa["category"] != 5
            for k in ks:
                hits = memory.recall(qa["question"], k=k, user_id=name)
                yield Item(
                    f"LoCoMo, k = {k}",
                    str(qa["category"]),
                    memory_lines(hits),
                    qa["question"],
                    (str(qa["answer"]),) if answerable else (),
                    (),
                    answerable,
                )
