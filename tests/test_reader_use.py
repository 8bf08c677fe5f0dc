"""A reader as people use it: asked, streamed, by several threads, and the same each time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem import Memory, MemoryReader
from agentmem.errors import InputError
from agentmem.models.reader.configuration import Route
from agentmem.models.reader.modeling import Prepared
from agentmem.models.reader.prompts import (
    answer_text,
    continue_prompt,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.streaming import Pieces
from agentmem.models.reader.words import BundleWords
from agentmem.models.tokenizer import EOS
from agentmem.testing import tiny_model
from tests.reader_support import ROOM, TEXTS, Kept, causal_lm, kept, make_reader, own_tokenizer

QUESTION = "When does the train leave?"
WORDS = BundleWords(tiny_model().tokenizer)


@pytest.fixture(scope="module", params=["slots", "positions"])
def reader(request: pytest.FixtureRequest) -> MemoryReader:
    made: MemoryReader = make_reader(route=request.param, adapter="states")
    return made


@pytest.fixture(scope="module")
def memories() -> list[Kept]:
    return kept(*TEXTS)


class TestAnswer:
    def test_it_is_what_follows_the_question(
        self, reader: MemoryReader, memories: list[Kept]
    ) -> None:
        said = []
        for read in (memories, memories[:1], []):
            for text in ("", "Ana said so."):
                prompt = question_prompt(WORDS, QUESTION)
                if text:
                    prompt = [*WORDS.start, *WORDS.encode(f"{text}\n"), *prompt[1:]]
                said.append(reader.answer(QUESTION, read, text=text, max_new_tokens=12))
                assert said[-1] == _written(reader, prompt, read, 12)
        assert len(set(said)) > 3

    def test_the_same_bytes_each_time(self, reader: MemoryReader, memories: list[Kept]) -> None:
        one, other = (reader.prepare([memories, memories[:1]]) for _ in range(2))
        assert _bytes(one) == _bytes(other)
        again = make_reader(route=reader.config.route, adapter="states")
        assert _bytes(again.prepare([memories, memories[:1]])) == _bytes(one)
        said = [r.answer(QUESTION, memories, max_new_tokens=20) for r in (reader, reader, again)]
        assert len(set(said)) == 1

    def test_what_a_store_recalls(self, reader: MemoryReader, memory: Memory) -> None:
        for text in TEXTS:
            memory.add(text, user_id="ana")
        hits = memory.recall("train", user_id="ana", k=3)
        assert len(hits) == 3
        said = reader.answer(QUESTION, hits, max_new_tokens=12)
        assert said == reader.answer(QUESTION, list(hits), max_new_tokens=12)
        nothing = memory.recall("train", user_id="bo")
        assert len(nothing) == 0
        assert reader.answer(QUESTION, nothing, max_new_tokens=12) == reader.answer(
            QUESTION, [], max_new_tokens=12
        )

    def test_what_a_store_of_another_bundle_recalls(self, reader: MemoryReader) -> None:
        with Memory(":memory:", model=tiny_model(1)) as other:
            other.add(TEXTS[0])
            hits = other.recall("train")
            with pytest.raises(
                InputError, match=f"{tiny_model(1).latents_fingerprint}.* are not of this"
            ):
                reader.answer(QUESTION, hits)

    def test_blanks_around_a_question_do_not_matter(self, reader: MemoryReader) -> None:
        said = {reader.answer(q, [], max_new_tokens=12) for q in (QUESTION, f" {QUESTION}\n")}
        assert len(said) == 1

    def test_arguments_of_generate(self, reader: MemoryReader, memories: list[Kept]) -> None:
        greedy = reader.answer(QUESTION, memories, max_new_tokens=12)
        beams = reader.answer(QUESTION, memories, max_new_tokens=12, num_beams=4)
        assert beams != greedy
        drawn = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            drawn.append(
                reader.answer(
                    QUESTION, memories, max_new_tokens=12, do_sample=True, temperature=2.0
                )
            )
        assert drawn[0] != drawn[1]


class TestRegenerateAndLookUp:
    def test_one_text_for_each_memory(self, reader: MemoryReader, memories: list[Kept]) -> None:
        made = reader.regenerate(memories, max_new_tokens=9)
        prompts = [regenerate_prompt(WORDS, number) for number in (1, 2, 3)]
        assert made == [_written(reader, prompt, memories, 9) for prompt in prompts]
        assert reader.regenerate([]) == []

    def test_one_text_for_each_cue(self, reader: MemoryReader, memories: list[Kept]) -> None:
        cues = ["The train", "What did she tell you", "Ana"]
        made = reader.look_up(cues, memories, max_new_tokens=9)
        prompts = [continue_prompt(WORDS, WORDS.encode(cue)) for cue in cues]
        assert made == [_written(reader, prompt, memories, 9) for prompt in prompts]
        assert len(set(made)) > 1
        assert reader.look_up([], memories) == []


class TestStreaming:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("read", [True, False], ids=["memories", "none"])
    def test_pieces_joined_are_the_answer(
        self, reader: MemoryReader, memories: list[Kept], seed: int, read: bool
    ) -> None:
        """Random tokens of a small vocabulary: blanks, and bytes that are half a character."""
        told: list[str] = []
        torch.manual_seed(seed)
        said = reader.answer(
            QUESTION,
            memories if read else [],
            max_new_tokens=40,
            on_text=told.append,
            do_sample=True,
            temperature=5.0,
        )
        assert "".join(told) == said
        assert len(told) > 5
        torch.manual_seed(seed)
        assert said == reader.answer(
            QUESTION, memories if read else [], max_new_tokens=40, do_sample=True, temperature=5.0
        )

    def test_with_a_tokenizer_of_its_own(self, memories: list[Kept]) -> None:
        reader = make_reader(
            causal_lm(vocab_size=300), given={"tokenizer": own_tokenizer()}, adapter="states"
        )
        told: list[str] = []
        said = reader.answer(QUESTION, memories, on_text=told.append)
        assert "".join(told) == said
        assert len(told) > 3

    @given(
        text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        noise=st.lists(st.integers(0, 383), max_size=12),
    )
    @settings(max_examples=200, deadline=None)
    def test_any_tokens(self, text: str, noise: list[int]) -> None:
        ids = [*WORDS.encode(text), *noise]
        told = _streamed(ids)
        assert "".join(told) == answer_text(WORDS, ids)
        assert all(told)

    def test_characters_are_whole(self) -> None:
        text = "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}\N{GRINNING FACE} \u65e5\u672c"
        ids = [*WORDS.encode(f" {text}\n"), EOS, 9]
        told = _streamed(ids)
        assert len(WORDS.encode(text)) > len(text)  # several tokens to a character
        assert "".join(told) == text
        assert all(len(piece.strip()) <= 1 or piece.isascii() for piece in told)

    def test_who_listens_may_ask_something_else(
        self, reader: MemoryReader, memories: list[Kept]
    ) -> None:
        expected = reader.answer(QUESTION, memories, max_new_tokens=8)
        told: list[str] = []

        def on_text(piece: str) -> None:
            told.append(piece)
            reader.answer("Who?", memories[:1], max_new_tokens=2)

        assert reader.answer(QUESTION, memories, max_new_tokens=8, on_text=on_text) == expected
        assert "".join(told) == expected

    def test_who_listens_may_stop_it(self, reader: MemoryReader, memories: list[Kept]) -> None:
        def enough(piece: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reader.answer(QUESTION, memories, on_text=enough)
        _reads_nothing(reader)


def test_outside_of_a_reading_it_is_a_language_model(
    reader: MemoryReader, memories: list[Kept]
) -> None:
    reader.answer(QUESTION, memories, max_new_tokens=2)
    _reads_nothing(reader)


def test_threads_take_turns(reader: MemoryReader, memories: list[Kept]) -> None:
    """Each reads its own memories, whoever asks at the same time."""
    asked = [memories, memories[:1], memories[1:], []]
    expected = [reader.answer(QUESTION, read, max_new_tokens=16) for read in asked]
    assert len(set(expected)) > 2
    said: dict[int, str] = {}

    def ask(at: int) -> None:
        said[at] = reader.answer(QUESTION, asked[at], max_new_tokens=16)

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [said[at] for at in range(len(asked))] == expected


class TestRefused:
    """Before any work: the language model is not even called."""

    @pytest.fixture(autouse=True)
    def _asleep(self, reader: MemoryReader, monkeypatch: pytest.MonkeyPatch) -> None:
        def called(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("the language model was called")

        monkeypatch.setattr(type(reader.parts.model.lm), "generate", called)

    @pytest.mark.parametrize("blank", ["", " ", "\n\t"])
    def test_blanks(self, reader: MemoryReader, memories: list[Kept], blank: str) -> None:
        with pytest.raises(InputError, match="the question .* is blank: ask for something"):
            reader.answer(blank, memories)
        with pytest.raises(InputError, match="the cue .* is blank"):
            reader.look_up(["The train", blank], memories)

    def test_text_that_is_none(self, reader: MemoryReader, memories: list[Kept]) -> None:
        asks: dict[str, Callable[[], object]] = {
            "question": lambda: reader.answer("when\ud800", memories),
            "text": lambda: reader.answer(QUESTION, memories, text="\udc80"),
            "cue": lambda: reader.look_up(["a\ud800"], memories),
        }
        for what, ask in asks.items():
            with pytest.raises(InputError, match=f"the {what} has a lone surrogate at"):
                ask()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"max_new_tokens": 0}, "max_new_tokens=0: an answer has at least 1"),
            ({"num_return_sequences": 2, "num_beams": 2}, "give more than one text"),
            ({"return_dict_in_generate": True}, "give more than one text"),
            ({"on_text": print, "num_beams": 2}, "on_text with num_beams=2: a beam search"),
        ],
    )
    def test_arguments_that_do_not_end_in_one_text(
        self, reader: MemoryReader, memories: list[Kept], arguments: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            reader.answer(QUESTION, memories, **arguments)

    def test_more_memories_than_it_holds(self, reader: MemoryReader, memories: list[Kept]) -> None:
        for ask in (reader.regenerate, lambda m: reader.answer(QUESTION, m)):
            with pytest.raises(InputError, match="9 memories are more than the 8.*smaller k"):
                ask(memories * 3)

    def test_latents_that_do_not_fit_their_tokens(self, reader: MemoryReader) -> None:
        (one,) = kept("Ana")
        with pytest.raises(InputError, match="for 40 tokens are not of this reader's bundle"):
            reader.answer(QUESTION, [Kept(one.latents, 40)])

    def test_more_than_the_language_model_holds(self, reader: MemoryReader) -> None:
        with pytest.raises(InputError, match=f"more than the {ROOM} that the language model"):
            reader.answer(QUESTION, [], text="word " * ROOM)
        with pytest.raises(InputError, match=f"600 of the answer are more than the {ROOM}"):
            reader.answer(QUESTION, [], max_new_tokens=600)


@pytest.mark.parametrize("route", ["slots", "positions"])
def test_only_positions_fill_the_language_model(route: Route) -> None:
    """A memory of 200 tokens takes 50 positions here, or none at all."""
    reader = make_reader(causal_lm(max_position_embeddings=128), route=route, adapter="states")
    long = kept("x" * 200)
    assert reader.answer(QUESTION, long, max_new_tokens=8)
    if route == "slots":
        assert reader.answer(QUESTION, long * 3, max_new_tokens=8)
        return
    with pytest.raises(InputError, match="154 positions of memories, .* more than the 128"):
        reader.answer(QUESTION, long * 3, max_new_tokens=8)


def test_texts_that_cannot_share_the_groups(reader: MemoryReader, memories: list[Kept]) -> None:
    ids = torch.ones(3, 4, dtype=torch.int64)
    with pytest.raises(InputError, match="3 texts cannot share 2 groups of memories evenly"):
        reader.parts.model.generate(
            ids, ids, reader.prepare([memories, memories]), max_new_tokens=2
        )


def _written(reader: MemoryReader, prompt: list[int], read: list[Kept], new: int) -> str:
    """What follows a prompt, by itself and greedily."""
    ids = torch.tensor([prompt])
    made = reader.parts.model.generate(
        ids,
        torch.ones_like(ids),
        reader.prepare([read]),
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=WORDS.end,
        pad_token_id=WORDS.pad,
    )
    return answer_text(WORDS, made[0].tolist())


def _reads_nothing(reader: MemoryReader) -> None:
    ids = torch.tensor([[1, 40, 50, 60]])
    with torch.no_grad():
        assert torch.equal(reader.parts.model.lm(ids).logits, causal_lm()(ids).logits)


def _bytes(prepared: Prepared | None) -> list[bytes]:
    assert prepared is not None
    if prepared.slots is None:
        parts = [prepared.embeds, prepared.mask]
    else:
        parts = [prepared.slots.keys, prepared.slots.values, prepared.slots.mask]
    return [part.numpy().tobytes() for part in parts if part is not None]


def _streamed(ids: list[int]) -> list[str]:
    """The pieces that are told of generated ids."""
    told: list[str] = []
    pieces = Pieces(WORDS, told.append)
    pieces.put(torch.tensor([[1, 2, 3]]))  # the prompt
    for id in ids:
        pieces.put(torch.tensor([id]))
    pieces.end()
    return told
