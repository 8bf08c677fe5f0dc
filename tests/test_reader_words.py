"""A language model's own tokens, and how they meet the bundle's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from agentmem.errors import ModelError
from agentmem.models.reader.prompts import (
    answer_ids,
    answer_text,
    label,
    question_prompt,
    regenerate_prompt,
)
from agentmem.models.reader.words import BundleWords, OwnWords, Words, pieces
from agentmem.models.tokenizer import BOS, EOS, PAD
from agentmem.testing import tiny_model
from tests.reader_support import TEXTS, causal_lm, kept, make_reader, own_tokenizer

BUNDLE = tiny_model().tokenizer
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
examples = settings(max_examples=100, deadline=None)


@pytest.fixture(params=["bundle", "own"])
def words(request: pytest.FixtureRequest) -> Words:
    return BundleWords(BUNDLE) if request.param == "bundle" else OwnWords(own_tokenizer(), BUNDLE)


class TestBoth:
    @given(text=plain)
    @examples
    def test_text_comes_back(self, text: str) -> None:
        for words in (BundleWords(BUNDLE), OwnWords(own_tokenizer(), BUNDLE)):
            assert words.decode(words.encode(text)) == text
            assert words.decode(words.of_chunk(BUNDLE.encode(text))) == text

    @pytest.mark.parametrize("text", ["</s>", "<s>", "<|eos|>", "a </s> b<|pad|>"])
    def test_text_that_looks_like_a_special_token_is_text(self, words: Words, text: str) -> None:
        ids = words.encode(text)
        assert not {words.end, words.pad, *words.start} & set(ids)
        assert words.decode(ids) == text

    def test_an_answer_ends_where_its_mark_stands(self, words: Words) -> None:
        ids = answer_ids(words, " at 9:40 ")
        assert ids[-1] == words.end
        assert answer_text(words, ids) == "at 9:40"
        assert answer_text(words, [*ids, words.pad, words.pad]) == "at 9:40"
        assert answer_text(words, [*ids, *words.encode("and more")]) == "at 9:40"
        assert answer_text(words, []) == ""

    def test_prompts_begin_as_texts_do(self, words: Words) -> None:
        prompt = question_prompt(words, "  When? \n")
        assert prompt[:1] == words.start
        assert words.decode(prompt[1:]) == "Question: When?\nAnswer:"
        assert regenerate_prompt(words, 7) == [*words.start, *label(words, 7)]
        assert words.decode(label(words, 7)) == "Memory 7:"


class TestBundleWords:
    def test_marks_are_the_bundles(self) -> None:
        words = BundleWords(BUNDLE)
        assert (words.start, words.end, words.pad) == ([BOS], EOS, PAD)

    def test_each_token_is_its_own_piece(self) -> None:
        assert pieces(BundleWords(BUNDLE), BUNDLE) == [[id] for id in range(BUNDLE.vocab_size)]


class TestOwnWords:
    def test_marks_are_the_tokenizers(self) -> None:
        words = OwnWords(own_tokenizer(), BUNDLE)
        assert (words.start, words.end, words.pad) == ([0], 1, 1)
        assert OwnWords(own_tokenizer(bos=False), BUNDLE).start == []

    def test_a_tokenizer_without_an_end(self) -> None:
        endless = PreTrainedTokenizerFast(tokenizer_object=own_tokenizer().backend_tokenizer)
        with pytest.raises(ValueError, match="no eos_token: answers could not end"):
            OwnWords(endless, BUNDLE)
        with pytest.raises(ModelError, match="cannot be read with: its tokenizer has no eos_token"):
            make_reader(given={"tokenizer": endless}, adapter="linear")

    def test_pieces_spell_each_token_of_the_bundle(self) -> None:
        words = OwnWords(own_tokenizer(), BUNDLE)
        made = pieces(words, BUNDLE)
        assert len(made) == BUNDLE.vocab_size
        for id, ids in enumerate(made):
            text = BUNDLE.decode([id])
            # A byte of a longer character says nothing by itself.
            assert words.decode(ids) == ("" if "\N{REPLACEMENT CHARACTER}" in text else text)
        (train,) = BUNDLE.encode(" train")
        assert len(made[train]) >= 1

    def test_the_fingerprint_is_of_the_vocabulary(self, tmp_path: Path) -> None:
        one = OwnWords(own_tokenizer(), BUNDLE).fingerprint
        assert one != OwnWords(own_tokenizer(290), BUNDLE).fingerprint
        own_tokenizer().save_pretrained(tmp_path)
        assert OwnWords(AutoTokenizer.from_pretrained(tmp_path), BUNDLE).fingerprint == one


class TestAReaderWithATokenizerOfItsOwn:
    def test_it_answers_in_its_own_tokens(self) -> None:
        lm = causal_lm(vocab_size=320)  # more rows than tokens, as many models have
        reader = make_reader(lm, given={"tokenizer": own_tokenizer()})
        prompt = torch.tensor([question_prompt(reader.words, "When?")])
        heard = []
        for memories in (kept(*TEXTS), []):
            made = reader.parts.model.generate(
                prompt,
                torch.ones_like(prompt),
                reader.prepare([memories]),
                max_new_tokens=9,
                do_sample=False,
                eos_token_id=1,
                pad_token_id=1,
            )
            heard.append(answer_text(reader.words, made[0].tolist()))
            assert reader.answer("When?", memories, max_new_tokens=9) == heard[-1]
        assert heard[0] != heard[1]

    def test_it_needs_the_tokenizer(self) -> None:
        with pytest.raises(
            ModelError, match="model has 320 tokens, bundle 'tiny-0' has 384: give its tokenizer"
        ):
            make_reader(causal_lm(vocab_size=320))

    def test_a_tokenizer_of_more_tokens_than_it_has(self) -> None:
        with pytest.raises(ModelError, match="tokenizer has 300 tokens, the language model 290"):
            make_reader(causal_lm(vocab_size=290), given={"tokenizer": own_tokenizer()})
