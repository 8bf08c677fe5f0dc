"""Chunking: chunks tile the text exactly, however it is split, and prefer natural breaks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from agentmem.ingest.chunk import MAX_TOKENS, WINDOW_CHARS, Piece, chunk_stream, chunk_text

PROSE = (
    "The train to Lyon leaves at 9:40. Dr. Moreau booked two seats, one by the window! Did she pay "
    "3.50 for the coffee? Yes; she said \u201cit was fine.\u201d Then they talked about the weather"
)
MARKDOWN = (
    "# Plan\n\nWe start in *May*, if the weather holds.\n\n## Steps\n- one: pack\n- two: go\n\n"
    "| day | place |\n|---|---|\n| 1 | Lyon |\n\n"
)
CODE = "def add(a: int, b: int) -> int:\n\t# sum\n\treturn a + b\r\n\r\n"
SCRIPTS = {
    "english": PROSE + " ",
    "markdown": MARKDOWN,
    "code": CODE,
    "chinese": "今天天气很好。我们去公园散步，然后喝茶！你想来吗？「当然。」",
    "arabic": "ذهبت إلى السوق، ثم عدت إلى البيت. هل تريد القهوة؟ ",
    "thai": "วันนี้อากาศดีมากเราจะไปเดินเล่นที่สวน",
    "emoji": "👩‍🚀👨‍👩‍👧‍👦👍🏽❤️🇫🇷 ok ",
    "combining": "e\u0301\u0323a\u0308o\u0302\u0323 n\u0303",
    "control": "a\x00b\x1b[0m\x07\x0b\x0c\x85\u2028",
    "crlf": "one line\r\nanother\rthird\n",
    "spaces": " " * 5000 + "x",
    "newlines": "\n" * 700,
    "no_spaces": "abcdefghijklmnopqrstuvwxyz0123456789" * 3,
    "mixed": "Привет 世界 नमस्ते\u200d \u202eabc\u202c ﷽ ½ 🤷🏿‍♀️ ",
}


class ByteLevel:
    """A byte-level BPE of some 600 entries, trained here."""

    def __init__(self) -> None:
        self.inner = Tokenizers(models.BPE())
        self.inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=600,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        self.inner.train_from_iterator(list(SCRIPTS.values()), trainer)
        self.chars_read = 0

    def encode(self, text: str) -> list[int]:
        self.chars_read += len(text)
        ids: list[int] = self.inner.encode(text).ids
        return ids

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        self.chars_read += len(text)
        encoding = self.inner.encode(text)
        return encoding.ids, encoding.offsets


TOKENIZER = ByteLevel()

# Fragments of the scripts in any order, and any other Unicode; long enough for several windows.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(sorted(SCRIPTS.values())),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        st.builds(str.__mul__, st.sampled_from("ab \n\r.\u0301漢👍\u200d\t"), st.integers(1, 2000)),
    ),
    max_size=8,
).map("".join)


def check(text: str, chunks: list[Piece], max_tokens: int = MAX_TOKENS) -> None:
    end = 0
    for chunk in chunks:
        assert chunk.start == end
        assert chunk.text == text[chunk.start : chunk.end]
        assert 1 <= len(chunk.text) <= WINDOW_CHARS
        assert 1 <= len(chunk.ids) <= max_tokens
        assert chunk.ids == tuple(TOKENIZER.encode(chunk.text))
        end = chunk.end
    assert end == len(text)


def ends(text: str, max_tokens: int) -> list[str]:
    """The last characters before each cut."""
    return [chunk.text[-12:] for chunk in chunk_text(text, TOKENIZER, max_tokens=max_tokens)[:-1]]


@given(TEXTS, st.integers(4, 300))
def test_chunks_tile_the_text_and_carry_their_own_tokens(text: str, max_tokens: int) -> None:
    check(text, chunk_text(text, TOKENIZER, max_tokens=max_tokens), max_tokens)


@given(TEXTS, st.lists(st.integers(0, 20_000), max_size=30))
def test_how_the_stream_is_cut_changes_nothing(text: str, cuts: list[int]) -> None:
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(at)]
    assert list(chunk_stream(pieces, TOKENIZER)) == chunk_text(text, TOKENIZER)
    assert list(chunk_stream(iter(text), TOKENIZER)) == chunk_text(text, TOKENIZER)


@given(TEXTS)
def test_a_text_that_fits_is_one_chunk(text: str) -> None:
    text = text[:WINDOW_CHARS]
    chunks = chunk_text(text, TOKENIZER)
    assert (len(chunks) <= 1) == (len(TOKENIZER.encode(text)) <= MAX_TOKENS)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("max_tokens", [7, 64, 256])
def test_scripts(script: str, max_tokens: int) -> None:
    text = SCRIPTS[script] * 60
    chunks = chunk_text(text, TOKENIZER, max_tokens=max_tokens)
    check(text, chunks, max_tokens)
    assert len(chunks) > 1


def test_an_empty_text_has_no_chunk() -> None:
    assert chunk_text("", TOKENIZER) == []
    assert list(chunk_stream(["", ""], TOKENIZER)) == []


def test_chunks_come_before_the_stream_has_ended() -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield PROSE

    chunks = chunk_stream(endless(), TOKENIZER)
    for _ in range(20):
        last = next(chunks)
    assert read * len(PROSE) <= last.end + WINDOW_CHARS + 2 * len(PROSE)


def test_paragraphs_are_preferred_to_lines_and_lines_to_sentences() -> None:
    paragraph = "One short sentence. Another one\nA second line. More\n\n"
    assert set(ends(paragraph * 8, 40)) == {paragraph[-12:]}
    line = "One short sentence. Another one here\n"
    assert set(ends(line * 8, 30)) == {line[-12:]}
    sentence = "One short sentence, with a clause."
    assert set(ends(f"{sentence} " * 8, 30)) == {sentence[-12:]}


def test_a_chunk_ends_before_a_markdown_heading() -> None:
    section = "## Title\nfirst line of the text\nsecond line of the text\n"
    chunks = chunk_text(section * 10, TOKENIZER, max_tokens=50)
    assert len(chunks) > 2
    assert all(chunk.text.startswith("## Title") for chunk in chunks)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\u2028"])
def test_every_line_end_counts(newline: str) -> None:
    line = f"some words of a line without any stop{newline}"
    chunks = chunk_text(line * 20, TOKENIZER, max_tokens=40)
    assert len(chunks) > 5
    assert all(chunk.text.endswith(newline) for chunk in chunks)


@pytest.mark.parametrize(
    "sentence",
    [
        "Ask Dr. Moreau of St. Malo, she paid 3.50 e.g. to J. Smith and No. 7 it is!",
        "He said \u201cthat is all there is to be said about the long way home.\u201d",
        "Is it *really* true that nobody knew of it at all (or nearly nobody?)",
        "ذهبت إلى السوق الكبير ثم عدت إلى البيت مساء؟",
        "यह एक लंबा वाक्य है जो यहाँ समाप्त होता है।",
    ],
    ids=["abbreviations", "quote", "brackets", "arabic", "hindi"],
)
def test_sentences_stay_whole(sentence: str) -> None:
    size = len(TOKENIZER.encode(f" {sentence}"))
    chunks = chunk_text(f"{sentence} " * 12, TOKENIZER, max_tokens=size * 2 + size // 2)
    assert len(chunks) > 3
    assert all(chunk.text.strip().endswith(sentence) for chunk in chunks)
    assert all(chunk.text.strip().startswith(sentence) for chunk in chunks)


def test_wide_sentences_stay_whole() -> None:
    sentence = "他说：「今天天气很好，我们去公园散步。」"
    size = len(TOKENIZER.encode(sentence))
    chunks = chunk_text(sentence * 20, TOKENIZER, max_tokens=size * 2 + 5)
    assert len(chunks) > 5
    assert all(len(chunk.text) % len(sentence) == 0 for chunk in chunks)


def test_words_stay_whole_and_begin_with_their_space() -> None:
    chunks = chunk_text("unbelievable circumstances " * 40, TOKENIZER, max_tokens=60)
    assert len(chunks) > 5
    for chunk in chunks[1:-1]:
        assert chunk.text.startswith(" ")
        assert set(chunk.text.split()) == {"unbelievable", "circumstances"}


@pytest.mark.parametrize(
    "cluster",
    ["\r\n", "e\u0301\u0323", "👩\u200d🚀", "👍🏽", "❤\ufe0f"],
    ids=["crlf", "accents", "joined", "skin", "variation"],
)
def test_what_is_seen_as_one_is_not_split(cluster: str) -> None:
    for max_tokens in (30, 31, 32, 33):
        chunks = chunk_text(cluster * 100, TOKENIZER, max_tokens=max_tokens)
        assert len(chunks) > 2
        assert all(len(chunk.text) % len(cluster) == 0 for chunk in chunks)


def test_more_accents_than_fit_are_split_all_the_same() -> None:
    text = "e" + "\u0301" * 900
    check(text, chunk_text(text, TOKENIZER, max_tokens=50), 50)


def test_a_text_does_not_end_with_a_few_words() -> None:
    text = "abcdefghijklmnopqrstuvwxyz" * 2
    room = len(TOKENIZER.encode(text)) - 1
    first, second = chunk_text(text, TOKENIZER, max_tokens=room)
    assert len(second.ids) >= room // 4


def test_chunks_are_well_filled() -> None:
    chunks = chunk_text(PROSE * 60, TOKENIZER)
    filled = [len(chunk.ids) for chunk in chunks[:-1]]
    assert sum(filled) / len(filled) > 0.7 * MAX_TOKENS


def test_max_tokens_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_tokens must be positive, got 0"):
        chunk_stream(["a"], TOKENIZER, max_tokens=0)


def test_a_character_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"'\U00020000' alone takes 4 tokens"):
        chunk_text("a\U00020000b", TOKENIZER, max_tokens=3)


@pytest.mark.parametrize(
    "unit", [PROSE, "a", "\x00", " ", "ab.\u201d. ", "\n\t", "e\u0301", "漢", "👩‍🚀"], ids=ascii
)
def test_work_grows_with_the_text_only(unit: str) -> None:
    tokenizer = ByteLevel()
    text = (unit * 60_000)[:60_000]
    chunk_text(text, tokenizer)
    # About three times for prose, nine for texts of which a quarter of the first probe fits.
    assert tokenizer.chars_read < 12 * len(text)


@pytest.mark.parametrize("unit", [PROSE, PROSE.replace(" ", ""), "a"], ids=["prose", "line", "run"])
def test_the_work_for_a_character_does_not_grow_with_the_text(unit: str) -> None:
    def work(chars: int) -> float:
        tokenizer, text = ByteLevel(), (unit * (chars // len(unit) + 1))[:chars]
        chunks = chunk_text(text, tokenizer)
        assert chunks[-1].end == chars
        assert "".join(chunk.text for chunk in chunks) == text
        return tokenizer.chars_read / chars

    assert work(240_000) < 1.2 * work(30_000)
