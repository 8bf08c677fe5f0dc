"""What a reader learns from: exercises, as tensors, and shared by processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem.models.bundle import ModelBundle
from agentmem.models.reader.modeling import IGNORED
from agentmem.models.reader.prompts import (
    UNKNOWN,
    answer_ids,
    continue_prompt,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.words import BundleWords, OwnWords, Words
from agentmem.testing import tiny_model, tiny_reader
from agentmem.training.data import PackedFile
from agentmem.training.facts import draw_facts
from agentmem.training.questions import Asked
from agentmem.training.reading import (
    MEMORIES_OF_CONTEXT,
    Exercise,
    Exercises,
    ReadingBatch,
    memories_of,
)
from agentmem.training.reading_batches import ReadingTensors, share, tensors
from tests.reader_support import own_tokenizer

MOST = 40
LENGTHS = st.tuples(st.integers(2, 40), st.integers(0, 40)).map(lambda two: (two[0], sum(two)))


def packed(name: str, seed: int) -> PackedFile:
    """Texts of 60 ids each, hardly any run of them twice."""
    ids = np.random.default_rng(seed).integers(3, 384, 3000).astype(np.uint16)
    return PackedFile(name, ids, np.arange(0, 3001, 60, dtype=np.int64))


FILES = [packed("one", 1), packed("other", 2)]
# Each context holds what no other does.
QUESTIONS = [
    Asked(
        context=np.arange(20 * place, 20 * place + length, dtype=np.uint16),
        turns=(0, 4, 9) if place % 2 else (0,),
        question=f"what is {place}?",
        answer=None if place % 5 == 4 else f"it is {place}",
        answers=(),
        kind="dialogue" if place % 2 else "span",
    )
    for place, length in enumerate([10, 13, 16, 20] * 4)
]


class WithoutStart(BundleWords):
    """The bundle's tokens, none of which begins a text."""

    start = []


def exercises(words: Words | None = None, **changes: Any) -> Exercises:
    tokenizer = tiny_model().tokenizer
    given = {"seed": 5, "most": MOST, **changes}
    return Exercises(
        FILES, [0.3, 0.7], QUESTIONS, words or BundleWords(tokenizer), tokenizer, **given
    )


def listed(batch: ReadingBatch) -> Any:
    return [[one.tolist() for one in g] for g in batch.memories], batch.prompts, batch.answers


def inside(part: Sequence[int], whole: Sequence[int]) -> bool:
    count = len(part)
    return any(list(whole[at : at + count]) == list(part) for at in range(len(whole) - count + 1))


@given(
    step=st.integers(0, 1 << 41),
    exercise=st.sampled_from(["regenerate", "lookup", "answer", "facts", "follow", "language"]),
    count=st.integers(1, 20),
    lengths=LENGTHS,
    rows=st.integers(1, 40),
)
@settings(max_examples=200, deadline=None)
def test_a_batch_is_a_function_of_its_step(
    step: int, exercise: Exercise, count: int, lengths: tuple[int, int], rows: int
) -> None:
    def draw(**changes: Any) -> ReadingBatch:
        source = exercises(**changes)
        return source.batch(
            step, {exercise: 1.0}, memories=[count], memory_tokens=lengths, rows=rows
        )

    batch = draw()
    assert listed(batch) == listed(draw())
    assert listed(batch) != listed(draw(seed=6))
    assert batch.exercise == exercise
    assert len(batch.prompts) == len(batch.answers) >= 1
    assert all(batch.prompts)
    assert all(batch.answers)
    if exercise == "language":
        assert batch.memories == []
        return
    assert len(batch.prompts) % len(batch.memories) == 0
    sizes = [len(one) for group in batch.memories for one in group]
    assert min(sizes) >= 1
    if exercise != "facts":
        assert max(sizes) <= lengths[1]
    if exercise != "answer" or lengths[0] > 8:
        assert max(map(len, batch.memories)) <= max(MOST, count)


@given(
    step=st.integers(0, 1 << 20),
    exercise=st.sampled_from(["regenerate", "lookup"]),
    count=st.integers(1, 6),
    lengths=LENGTHS,
    random_share=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_recited_stands_in_a_memory_of_the_group(
    step: int,
    exercise: Exercise,
    count: int,
    lengths: tuple[int, int],
    random_share: float,
) -> None:
    words = BundleWords(tiny_model().tokenizer)
    batch = exercises(random_share=random_share).batch(
        step, {exercise: 1.0}, memories=[count], memory_tokens=lengths, rows=12
    )
    each = len(batch.prompts) // len(batch.memories)
    for row, (prompt, answer) in enumerate(zip(batch.prompts, batch.answers, strict=True)):
        group = [one.tolist() for one in batch.memories[row // each]]
        if exercise == "regenerate":
            (place,) = (n for n in range(count) if prompt == regenerate_prompt(words, n + 1))
            assert answer == [*group[place], words.end]
            continue
        head = continue_prompt(words, [])
        assert prompt[: len(head)] == head
        cue = prompt[len(head) :]
        ended = answer[-1] == words.end
        found = [*cue, *(answer[:-1] if ended else answer)]
        holders = [one for one in group if inside(found, one)]
        assert holders
        if ended:
            assert any(one[-len(found) :] == found for one in holders)
    if exercise == "regenerate":
        # Every row of a group asks for another memory, as far as there are so many.
        first = batch.prompts[: min(each, count)]
        assert len({tuple(prompt) for prompt in first}) == len(first)


def test_what_follows_memories_comes_right_behind_them() -> None:
    for words, begun in ((None, 1), (WithoutStart(tiny_model().tokenizer), 1)):
        batch = exercises(words).batch(
            3, {"follow": 1.0}, memories=[9], memory_tokens=(4, 12), rows=5
        )
        # At most four of them, one after the other.
        assert [len(group) for group in batch.memories] == [4] * 5
        for group, prompt, answer in zip(batch.memories, batch.prompts, batch.answers, strict=True):
            assert len(prompt) == begun
            text = answer if words is None else [*prompt, *answer]
            assert len(text) == 12
            run = [*np.concatenate(group).tolist(), *text]
            assert any(inside(run, file.ids.tolist()) for file in FILES)


def test_random_ids_are_no_special_tokens() -> None:
    batch = exercises(random_share=1.0).batch(
        1, {"regenerate": 1.0}, memories=[4], memory_tokens=(30, 60), rows=40
    )
    ids = np.concatenate([one for group in batch.memories for one in group])
    tokenizer = tiny_model().tokenizer
    assert tokenizer.vocab_size > ids.max() > tokenizer.vocab_size - 40
    assert ids.min() >= 4


class TestQuestions:
    def rows(self, steps: int, count: int = 3) -> list[tuple[list[list[int]], Asked, list[int]]]:
        """The memories of each row, what was asked, and the answer."""
        words = BundleWords(tiny_model().tokenizer)
        asked = {tuple(question_prompt(words, one.question)): one for one in QUESTIONS}
        found = []
        for step in range(steps):
            batch = exercises().batch(
                step, {"answer": 1.0}, memories=[count], memory_tokens=(8, 16), rows=12
            )
            each = len(batch.prompts) // len(batch.memories)
            for row, (prompt, answer) in enumerate(zip(batch.prompts, batch.answers, strict=True)):
                group = [one.tolist() for one in batch.memories[row // each]]
                found.append((group, asked[tuple(prompt)], answer))
        return found

    def test_an_answer_is_given_only_where_its_context_is_read(self) -> None:
        words = BundleWords(tiny_model().tokenizer)
        unknown, taken_away, rows = answer_ids(words, UNKNOWN), 0, self.rows(60)
        for group, one, answer in rows:
            there = set(one.context.tolist()) <= {id for memory in group for id in memory}
            if answer != unknown:
                assert one.answer is not None
                assert answer == answer_ids(words, one.answer)
                assert there
            elif one.answer is not None:
                taken_away += 1
        answerable = sum(one.answer is not None for _, one, _ in rows)
        assert taken_away / answerable == pytest.approx(0.1, abs=0.04)

    def test_a_context_is_cut_into_memories_that_are_all_of_it(self) -> None:
        rng = np.random.default_rng(0)
        by_turns = 0
        for _ in range(40):
            for one in QUESTIONS:
                found = memories_of(one, rng, (5, 9))
                assert np.concatenate(found).tolist() == one.context.tolist()
                assert 1 <= max(map(len, found)) <= 9
                ends = np.cumsum([len(memory) for memory in found]).tolist()
                by_turns += len(one.turns) > 1 and ends[:2] == [4, 9]
        # Half of the dialogues, by their turns.
        assert by_turns / (40 * 8) == pytest.approx(0.5, abs=0.1)

    def test_groups_stay_within_what_a_reader_holds(self) -> None:
        source = exercises(most=MEMORIES_OF_CONTEXT + 2)
        batch = source.batch(0, {"answer": 1.0}, memories=[16], memory_tokens=(4, 8), rows=64)
        sizes = list(map(len, batch.memories))
        assert max(sizes) <= MEMORIES_OF_CONTEXT + 2
        assert len(batch.prompts) % len(sizes) == 0

    def test_facts_are_asked_of_those_that_tell_them(self) -> None:
        tokenizer = tiny_model().tokenizer
        words, unknown, count = BundleWords(tokenizer), 0, 0
        for step in range(30):
            batch = exercises().batch(
                step, {"facts": 1.0}, memories=[4], memory_tokens=(8, 16), rows=16
            )
            each = len(batch.prompts) // len(batch.memories)
            for row, ids in enumerate(batch.answers):
                told = [tokenizer.decode(one.tolist()) for one in batch.memories[row // each]]
                assert len(told) == 4
                answer = words.decode(ids[:-1]).strip()
                if answer == UNKNOWN:
                    unknown += 1
                else:
                    assert any(answer in one for one in told), (answer, told)
                count += 1
        assert unknown / count == pytest.approx(0.1, abs=0.04)


def test_facts_are_told_as_people_tell_them() -> None:
    rng = np.random.default_rng(4)
    drawn = [draw_facts(rng, 90, dev=dev) for dev in (False, True) for _ in range(60)]
    facts = [fact for group in drawn for fact in group]
    for fact in facts:
        for text in (fact.told, fact.question, fact.answer):
            assert not re.search(r"[{}\[\]()]|\d'", text), fact
        assert fact.answer in fact.told
    answers = {fact.answer for fact in facts}
    forms = [r"[A-Z]{1,3}\d{2,5}", r"[A-Z]{1,3}-\d{2,5}", r"\d{2,5}[A-Z]"]
    forms += [r"May \d{1,2}", r"\d{1,2} May"]
    for form in forms:
        assert any(re.fullmatch(form, answer) for answer in answers), form


def batch_of(groups: int, each: int) -> ReadingBatch:
    """Rows and memories that tell where they belong."""
    rows = range(max(1, groups) * each)
    memories = [[np.array([group + 5, 9])] for group in range(groups)]
    answers = [[row + 3] * (1 + row % 3) for row in rows]
    return ReadingBatch("lookup", memories, [[1, row + 3] for row in rows], answers)


class TestSharing:
    @given(groups=st.integers(0, 9), each=st.integers(1, 9), processes=st.integers(1, 9))
    def test_every_row_falls_to_one_process_with_its_memories(
        self, groups: int, each: int, processes: int
    ) -> None:
        batch = batch_of(groups, each)
        seen: list[int] = []
        for process in range(processes):
            part, counts = share(batch, process, processes)
            assert part.prompts
            assert len(part.prompts) == len(part.answers)
            if groups:
                assert len(part.prompts) % len(part.memories) == 0
            for at, prompt in enumerate(part.prompts):
                row = prompt[1] - 3
                assert part.answers[at] == batch.answers[row]
                if groups:
                    own = part.memories[at // (len(part.prompts) // len(part.memories))]
                    assert own[0].tolist() == batch.memories[row // each][0].tolist()
                if counts:
                    seen.append(row)
        assert sorted(seen) == list(range(len(batch.prompts)))

    @pytest.mark.parametrize("exercise", ["lookup", "answer", "language"])
    @pytest.mark.parametrize("processes", [2, 3, 40])
    def test_losses_and_gradients_add_up_to_the_whole(
        self, exercise: Exercise, processes: int
    ) -> None:
        reader = tiny_reader("positions")
        model, bundle, words = reader.parts.model, reader.bundle, reader.words
        batch = exercises().batch(2, {exercise: 1.0}, memories=[2], memory_tokens=(6, 20), rows=6)
        whole = sum(len(answer) for answer in batch.answers)

        def gradients(parts: list[tuple[ReadingBatch, bool]]) -> tuple[float, torch.Tensor]:
            loss = torch.zeros(())
            for part, counts in parts:
                made = tensors(part, words, bundle, "standard", torch.device("cpu"))
                output = model(
                    made.input_ids, made.attention_mask, memory=made.memory, labels=made.labels
                )
                told = int((made.labels[:, 1:] != IGNORED).sum()) * counts
                loss = loss + output.loss * told / whole
            weight = model.lm.get_input_embeddings().weight
            return loss.item(), torch.autograd.grad(loss, weight)[0]

        one = gradients([(batch, True)])
        several = gradients([share(batch, process, processes) for process in range(processes)])
        assert several[0] == pytest.approx(one[0], rel=1e-5)
        torch.testing.assert_close(several[1], one[1], atol=1e-6, rtol=1e-4)


def test_tensors_are_what_a_store_would_give() -> None:
    bundle: ModelBundle = tiny_model()
    words = BundleWords(bundle.tokenizer)
    batch = exercises().batch(4, {"lookup": 1.0}, memories=[5], memory_tokens=(2, 30), rows=10)
    for density in bundle.densities:
        made = tensors(batch, words, bundle, density, torch.device("cpu"))
        assert made.memory is not None
        for row, group in enumerate(batch.memories):
            coded = bundle.encode([one.tolist() for one in group], density=density)
            for place, (ids, one) in enumerate(zip(group, coded, strict=True)):
                assert made.memory.lengths[row, place] == len(ids)
                tape = one.latents.reshape(-1, bundle.slot_dims)[: len(ids)]
                assert made.memory.codes[row, place, : len(ids)].tolist() == tape.tolist()
                assert not made.memory.codes[row, place, len(ids) :].any()
    for row, (prompt, answer) in enumerate(zip(batch.prompts, batch.answers, strict=True)):
        length = len(prompt) + len(answer)
        assert made.input_ids[row, :length].tolist() == [*prompt, *answer]
        assert made.attention_mask[row].sum() == length
        labels = made.labels[row]
        assert labels[labels != IGNORED].tolist() == answer
        assert (labels[: len(prompt)] == IGNORED).all()


class TestSought:
    @pytest.mark.parametrize("exercise", ["regenerate", "lookup", "facts", "answer"])
    def test_what_is_sought_is_where_the_answer_stands(self, exercise: Exercise) -> None:
        bundle = tiny_model()
        words = BundleWords(bundle.tokenizer)
        for step in range(10):
            batch = exercises().batch(
                step, {exercise: 1.0}, memories=[3], memory_tokens=(6, 20), rows=9
            )
            made = tensors(batch, words, bundle, "standard", torch.device("cpu"))
            assert made.memory is not None
            assert made.sought is not None
            at, slots, counts = made.sought.at, made.sought.slots, made.sought.counts
            longest = made.memory.codes.shape[2]
            each = len(batch.prompts) // len(batch.memories)
            for row, (prompt, answer) in enumerate(zip(batch.prompts, batch.answers, strict=True)):
                group, source = batch.memories[row // each], batch.sources[row]
                assert counts[row, 0]
                for column in counts[row].nonzero().flatten().tolist():
                    found = slots[row, column].nonzero().flatten().tolist()
                    offset = int(at[row, column]) - len(prompt) + 1
                    assert 0 <= offset < len(answer)
                    if not source.memories:  # the empty slot is the last
                        assert found == [slots.shape[-1] - 1]
                    elif source.start is None:
                        inside = {slot // (longest + 1) for slot in found}
                        assert inside == set(source.memories)
                    else:
                        (slot,) = found
                        memory = group[slot // (longest + 1)]
                        ids = [*memory.tolist(), words.end]
                        assert ids[slot % (longest + 1)] == answer[offset]

    def test_corrupted_answers_are_still_to_be_written(self) -> None:
        bundle = tiny_model()
        words = BundleWords(bundle.tokenizer)
        batch = exercises().batch(
            1, {"regenerate": 1.0}, memories=[2], memory_tokens=(16, 20), rows=16
        )

        def made(corrupted: float) -> ReadingTensors:
            return tensors(
                batch,
                words,
                bundle,
                "standard",
                torch.device("cpu"),
                corrupted=corrupted,
                generator=torch.Generator().manual_seed(3),
            )

        clean, wrong = made(0.0), made(0.25)
        assert torch.equal(clean.labels, wrong.labels)
        told = clean.labels != IGNORED
        assert torch.equal(clean.input_ids[~told], wrong.input_ids[~told])
        differ = (clean.input_ids != wrong.input_ids)[told].float().mean()
        assert float(differ) == pytest.approx(0.25, abs=0.06)
        assert torch.equal(made(0.25).input_ids, wrong.input_ids)

    def test_wrong_tokens_are_those_of_the_language_model(self) -> None:
        bundle = tiny_model()
        words = OwnWords(own_tokenizer(), bundle.tokenizer)
        batch = exercises(words).batch(
            1, {"regenerate": 1.0}, memories=[2], memory_tokens=(30, 40), rows=16
        )
        given: dict[str, Any] = {"corrupted": 0.9, "generator": torch.Generator().manual_seed(3)}
        made = tensors(batch, words, bundle, "standard", torch.device("cpu"), **given)
        assert 250 < made.input_ids.max() < len(own_tokenizer()) == 300
