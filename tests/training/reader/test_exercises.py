"""The reader's exercises: built from contexts, and packed without loss."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.errors import InputError
from agentmem.models.reader.configuration import NOT_IN_MEMORY
from agentmem.models.reader.prompt import ReadingPrompt
from agentmem.models.reader.sequence import Branch, lay_out
from agentmem.training.reader.batches import plan
from agentmem.training.reader.config import ReaderDataConfig
from agentmem.training.reader.exercises import (
    Exercise,
    contexts,
    cut,
    fit,
    from_context,
    from_turns,
    personal,
    repetition,
)
from agentmem.training.reader.pack import pack_exercises
from agentmem.training.reader.packed import ExerciseReader, PackedExercises
from tests.support.language_models import save_lm, tiny_tokenizer

IDS = st.integers(0, 65_535)
EXERCISES = st.builds(
    Exercise,
    st.lists(st.lists(IDS, min_size=1, max_size=6), max_size=4).map(tuple),
    st.lists(
        st.builds(
            Branch,
            st.lists(IDS, min_size=1, max_size=4),
            st.lists(IDS, max_size=4),
            st.sampled_from((0.25, 1.0)),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


@pytest.fixture(scope="module")
def prompt() -> ReadingPrompt:
    return ReadingPrompt.of(tiny_tokenizer(), "Answer.")


def same(packed: PackedExercises, exercises: list[Exercise]) -> None:
    reader = ExerciseReader(packed, [7, 8])
    assert len(reader) == len(packed) == len(exercises)
    for index, exercise in enumerate(exercises):
        wanted = lay_out([7, 8], exercise.memories, exercise.branches)
        got = reader[index]
        assert len(got) == len(wanted) == reader.lengths[index] == exercise.tokens + 2
        for name in wanted.__slots__:
            one, other = getattr(got, name), getattr(wanted, name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@given(st.lists(st.lists(EXERCISES, min_size=1, max_size=3), min_size=1, max_size=3))
def test_files_are_joined(files: list[list[Exercise]]) -> None:
    joined = PackedExercises.joined([PackedExercises.of(one) for one in files])
    same(joined, [exercise for one in files for exercise in one])


@given(st.lists(EXERCISES, min_size=1, max_size=4))
def test_packing_loses_nothing(exercises: list[Exercise]) -> None:
    packed = PackedExercises.of(exercises)
    assert packed.ids.dtype == np.uint16
    same(packed, exercises)


def test_packed_files(tmp_path: Path) -> None:
    exercises = [Exercise(([1, 65_536], [3]), (Branch([4], [262_143], 0.25),))]
    packed = PackedExercises.of(exercises)
    assert packed.ids.dtype == np.uint32
    packed.save(tmp_path / "some.npz")
    same(PackedExercises.load(tmp_path / "some.npz"), exercises)
    with pytest.raises(InputError, match="no exercises to pack"):
        PackedExercises.of([])


def test_files_that_are_not_packed_exercises(tmp_path: Path) -> None:
    file = tmp_path / "some.npz"
    with pytest.raises(InputError, match=r"no packed exercises in .*some\.npz"):
        PackedExercises.load(file)
    PackedExercises.of([Exercise(([1],), (Branch([4], [5]),))]).save(file)
    whole = file.read_bytes()
    for damaged in (b"", b"rubbish", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="no packed exercises"):
            PackedExercises.load(file)
    np.savez(file, ids=np.zeros(3))
    with pytest.raises(InputError, match="no packed exercises"):
        PackedExercises.load(file)


def test_a_plan_shows_all_and_is_the_same_for_the_same_seed() -> None:
    lengths = np.random.default_rng(0).integers(10, 500, 300)
    batches = list(islice(plan(lengths, tokens=1024, seed=3), 60))
    assert batches == list(islice(plan(lengths, tokens=1024, seed=3), 60))
    assert batches != list(islice(plan(lengths, tokens=1024, seed=4), 60))
    for length, rows in batches:
        assert length * len(rows) <= 1024
        assert all(length - 128 < lengths[row] <= length for row in rows)
    first_epoch = Counter(row for _, rows in batches for row in rows)
    assert max(first_epoch.values()) == 1


def test_few_exercises_are_shown_all_the_same() -> None:
    batches = list(islice(plan(np.array([10, 200, 20]), tokens=32_768, seed=0), 4))
    for one, other in pairwise(batches):
        assert {one[0], other[0]} == {128, 256}
    assert {tuple(sorted(rows)) for _, rows in batches} == {(0, 2), (1,)}


def test_cutting_keeps_every_word(prompt: ReadingPrompt) -> None:
    text = "One sentence here. Another one! And then\na line? " + "long " * 300
    memories = cut(text, prompt, most=32, dialogue=False)
    said = prompt.tokenizer.decode([token for memory in memories for token in memory])
    assert said.split() == text.split()
    assert max(map(len, memories)) <= 192
    turns = cut("Ana: hi\nBo: hello\n\nAna: bye", prompt, most=0, dialogue=True)
    assert [prompt.tokenizer.decode(turn) for turn in turns] == [
        "Ana: hi\n", "Bo: hello\n", "Ana: bye\n",
    ]  # fmt: skip
    assert cut(" \n", prompt, most=32, dialogue=False) == []


RECORDS = [
    {
        "source": "squad-dev",
        "kind": "answerable" if answer else "unanswerable",
        "question": f"Where is the {thing}?",
        "context": f"The {place} is near. " * 8 + f"The lamp is in {place}. The coat is not.",
        "answers": [answer] if answer else [],
    }
    for place in ("Lyon", "Oslo", "Turin", "Ghent")
    for thing, answer in (("lamp", place), ("hat", None))
]


def test_questions_over_a_context(prompt: ReadingPrompt) -> None:
    held = list(contexts([*RECORDS[:2], {"kind": "passage"}, *RECORDS[2:]]))
    assert [len(context.questions) for context in held] == [2] * 4
    assert held[0].questions == (("Where is the lamp?", "Lyon"), ("Where is the hat?", None))
    nothing = prompt.answer(NOT_IN_MEMORY)
    targets: Counter[tuple[int, ...]] = Counter()
    for seed in range(40):
        exercise = from_context(held[0], held[1], prompt, Random(seed))
        assert exercise is not None
        assert exercise.memories
        targets.update(tuple(branch.target) for branch in exercise.branches)
    assert targets[tuple(prompt.answer("Lyon"))] == 40
    assert targets[tuple(nothing)] >= 40


def test_turns_are_repeated_or_continued(prompt: ReadingPrompt) -> None:
    turns = ["Ana: " + "I went there and came back. " * 6, "Bo: why?"]
    for seed in range(20):
        exercise = from_turns(turns, prompt, Random(seed))
        for branch in exercise.branches:
            assert branch.target[-1] == prompt.end
            target = list(branch.target[:-1])
            assert any(
                memory[at : at + len(target)] == target
                for memory in exercise.memories
                for at in range(len(memory))
            )
    assert repetition([[9] * 3], prompt, Random(0)).weight < 1


def test_personal_exercises(prompt: ReadingPrompt) -> None:
    made = list(islice(personal(3, prompt), 12))
    again = list(islice(personal(3, prompt), 12))
    assert made == again != list(islice(personal(4, prompt), 12))
    for exercise in made:
        assert len(exercise.memories) >= 3
        assert exercise.branches


def test_a_sequence_that_is_too_long_loses_its_last_branches() -> None:
    exercise = Exercise(([1, 2, 3],), (Branch([4], [5]), Branch([6], [7])))
    assert exercise.tokens == 7
    assert fit(exercise, 7) == exercise
    cut_short = fit(exercise, 6)
    assert cut_short is not None
    assert cut_short.branches == exercise.branches[:1]
    assert fit(exercise, 4) is None


def test_packing_a_corpus(tmp_path: Path) -> None:
    talks = [{"source": "t", "messages": [{"role": "user", "content": "hi there"}] * 4}] * 3
    for name, records in (("qa.jsonl", RECORDS), ("talks.jsonl", talks)):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    lm = save_lm(tmp_path / "lm")
    config = ReaderDataConfig(
        questions=["qa.jsonl"], conversations=["talks.jsonl"], contexts=4, personal=3, turns=2,
        most=3000,
    )  # fmt: skip

    def make(name: str, changed: ReaderDataConfig = config) -> dict[str, Any]:
        packed = pack_exercises(
            changed,
            corpus=tmp_path,
            language_model=lm,
            system_prompt="Answer.",
            path=tmp_path / "out" / name,
        )
        loaded = PackedExercises.load(tmp_path / "out" / name)
        assert len(loaded) == len(packed)
        return {name: getattr(loaded, name).tolist() for name in loaded.__slots__}

    one = make("one.npz")
    assert 6 <= len(one["counts"]) <= 9
    assert make("two.npz") == one
    assert make("other.npz", config.model_copy(update={"seed": 2})) != one
    with pytest.raises(InputError, match="no exercises"):
        make("none.npz", config.model_copy(update={"contexts": 0, "personal": 0, "turns": 0}))
