"""The byte-level tokenizer: round trips of any string, and agreement with transformers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from agentmem.errors import ModelError, ModelNotFoundError
from agentmem.models.bundle.manifest import shipped_bundle
from agentmem.models.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, ByteTokenizer
from agentmem.testing import tiny_model
from agentmem.training.tokenizer import train_tokenizer, train_tokenizer_on

TRAINING_TEXTS = (
    "When is my train to Lyon? It leaves at 9:40, on Monday; so she said.\n",
    "def f(x):\n    return x + 1\n\nZwölf Boxkämpfer jagen Viktor. שלום 你好\n",
) * 6
AWKWARD = [
    *SPECIAL_TOKENS,
    "<|user|><|assistant|>",
    "<|pad",
    "\x00",
    "\r\n\t\x0b\x85\u2028",
    "\ufeff",
    "\ufffd",
    "e\u0301\u0323\u200d\u202e",
    "👩‍👩‍👧🏽 🇫🇷",
    "漢字かな交じり文한글",
    "السَّلَامُ عَلَيْكُمْ",
    "हिन्दी",
    "\U0010ffff\ue000\uffff",
    "    \n \n",
    "1234567890",
]
# Not only strings of rare code points: also known pieces side by side.
texts = st.one_of(
    st.text(), st.lists(st.one_of(st.text(max_size=5), st.sampled_from(AWKWARD))).map("".join)
)


@pytest.fixture(scope="module", params=["shipped", "tiny"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "shipped":
        return shipped_bundle() / "tokenizer"
    return train_tokenizer_on(TRAINING_TEXTS, tmp_path_factory.mktemp("tiny"), vocab_size=384)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ByteTokenizer:
    return ByteTokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def in_transformers(folder: Path) -> list[Any]:
    return [kind.from_pretrained(folder) for kind in (PreTrainedTokenizerFast, AutoTokenizer)]


@given(text=texts)
@example(text="".join(AWKWARD))
def test_every_string_comes_back(tokenizer: ByteTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    # Not even text that looks like a special token becomes one.
    assert all(len(SPECIAL_TOKENS) <= token < tokenizer.vocab_size for token in ids)


@given(text=texts)
def test_offsets_tile_the_text(tokenizer: ByteTokenizer, text: str) -> None:
    ids, offsets = tokenizer.encode_offsets(text)
    assert ids == tokenizer.encode(text)
    assert len(offsets) == len(ids)
    end = 0
    for token_start, token_end in offsets:
        # Tokens that share a code point's bytes overlap in that one code point and no more.
        assert token_start in (end, end - 1)
        assert max(token_start + 1, end) <= token_end
        end = token_end
    assert end == len(text)


@given(batch=st.lists(texts, max_size=4))
def test_a_batch_is_its_texts(tokenizer: ByteTokenizer, batch: list[str]) -> None:
    assert tokenizer.encode_batch(batch) == [tokenizer.encode(text) for text in batch]


@given(text=texts)
@example(text="".join(AWKWARD))
def test_transformers_gives_the_same_ids(
    tokenizer: ByteTokenizer, in_transformers: list[Any], text: str
) -> None:
    ids = tokenizer.encode(text)
    for other in in_transformers:
        assert other(text)["input_ids"] == ids
        assert other.decode(ids) == text


def around(points: Iterable[int]) -> str:
    """Characters beside letters, digits, spaces, apostrophes and each other."""
    return "".join(f"a{c}1{c} {c}{c}\n{c} '{c}'s{c}" for c in map(chr, points))


POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.slow), pytest.param(89, id="some")]
)
def test_characters_are_split_alike(
    tokenizer: ByteTokenizer, in_transformers: list[Any], every: int
) -> None:
    points = POINTS[::every]
    for first in range(0, len(points), 500):
        text = around(points[first : first + 500])
        assert tokenizer.encode(text) == in_transformers[0](text)["input_ids"], hex(points[first])


@pytest.mark.parametrize("text", ["ab" * 3_000, "漢字" * 700, "1" * 999, "=" * 2_000, " " * 2_000])
def test_long_words_are_joined_alike(
    tokenizer: ByteTokenizer, in_transformers: list[Any], text: str
) -> None:
    assert tokenizer.encode(text) == in_transformers[0](text)["input_ids"]


def test_offsets_are_those_of_the_library(tokenizer: ByteTokenizer, folder: Path) -> None:
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.encode_special_tokens = True
    for text in (*AWKWARD, "".join(AWKWARD), *TRAINING_TEXTS):
        encoding = library.encode(text, add_special_tokens=False)
        assert tokenizer.encode_offsets(text) == (encoding.ids, encoding.offsets)


@given(ids=st.lists(st.integers(0, 400)))
def test_what_is_no_text_is_decoded_alike(
    tokenizer: ByteTokenizer, folder: Path, ids: list[int]
) -> None:
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.decode(ids) == library.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "type"), "WordPiece"),
        (("model", "byte_fallback"), True),
        (("model", "vocab"), {"a": 0}),
        (("model", "merges"), [["a", "not a token"]]),
        (("normalizer",), {"type": "NFC"}),
        (("pre_tokenizer",), None),
        (("decoder", "type"), "WordPiece"),
    ],
    ids=lambda one: ".".join(one) if isinstance(one, tuple) else "",
)
def test_another_kind_of_tokenizer_is_refused(
    folder: Path, tmp_path: Path, path: tuple[str, ...], value: object
) -> None:
    saved = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    inner = saved
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved), "utf-8")
    with pytest.raises(ModelError, match="is not of a byte-level tokenizer"):
        ByteTokenizer.from_folder(tmp_path)


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"{}", b'{"model": 3'):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ModelError, match="is not of a byte-level tokenizer"):
            ByteTokenizer.from_folder(tmp_path)


def test_transformers_knows_the_special_tokens(
    tokenizer: ByteTokenizer, in_transformers: list[Any]
) -> None:
    for other in in_transformers:
        assert (other.pad_token_id, other.bos_token_id, other.eos_token_id) == (PAD, BOS, EOS)
        assert other.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(8))
        assert len(other) == tokenizer.vocab_size
        assert other.decode([PAD, EOS], skip_special_tokens=True) == ""


@given(ids=st.lists(st.one_of(st.integers(0, 400), st.integers(0, 2**32 - 1))))
def test_decoding_never_raises(tokenizer: ByteTokenizer, ids: list[int]) -> None:
    # Ids that no text has, such as half a code point, become replacement characters.
    tokenizer.decode(ids).encode()


def test_special_tokens_show_when_decoded(tokenizer: ByteTokenizer) -> None:
    assert tokenizer.decode(range(len(SPECIAL_TOKENS))) == "".join(SPECIAL_TOKENS)


def test_sizes() -> None:
    assert ByteTokenizer.from_folder(shipped_bundle() / "tokenizer").vocab_size == 8192
    assert tiny_model().tokenizer.vocab_size == 384


def test_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    once, again = (
        train_tokenizer_on(TRAINING_TEXTS, tmp_path / name, vocab_size=400) for name in "ab"
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (once / name).read_bytes() == (again / name).read_bytes()


def test_training_reads_every_nth_record(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        '{"text": "aaaa bbbb"}\n{"text": "zzzz"}\n{"messages": [{"content": "cccc"}]}\n' * 9
    )
    seen: list[str] = []

    def watch(texts: Iterable[str]) -> Iterable[str]:
        seen.extend(texts)
        return seen

    out = train_tokenizer([corpus], tmp_path / "out", vocab_size=300, every=2, progress=watch)
    # Records 0, 2, 4, ... of three kinds in turn.
    assert seen == (["aaaa bbbb", "cccc", "zzzz"] * 5)[:14]
    by_hand = train_tokenizer_on(seen, tmp_path / "hand", vocab_size=300)
    assert (out / "tokenizer.json").read_bytes() == (by_hand / "tokenizer.json").read_bytes()


def test_a_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no tokenizer.json in"):
        ByteTokenizer.from_folder(tmp_path)
