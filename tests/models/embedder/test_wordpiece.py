"""The tokenizer of the sentence encoder: the same ids as the library that makes such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from agentmem.models.bundle.manifest import EMBEDDER, shipped_bundle
from agentmem.models.embedder.wordpiece import WordPieceTokenizer

SHIPPED = shipped_bundle() / EMBEDDER / "tokenizer.json"
LIMIT = 256
POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
PIECES = [
    "I booked the 9:40 train to Lyon, seat 23A.",
    "[SEP] [MASK][CLS] [unk] [PAD]x",
    "Crème brûlée, ÅNGSTRÖM, ǅ ß ŉ ΣΑΣ İstanbul ﬁ Ⅷ",
    "漢字かな交じり文 한글 हिन्दी السَّلَامُ",
    "a\x00b\u200bc\u00add\ufffde\ue000f\x85g\u2028h\x1fi\u3000j\xa0k",
    "supercalifragilisticexpialidocious " + "x" * 101 + " " + "y" * 100,
    "e\u0301\u0323 \u0344 👩\u200d👩\u200d👧🏽 ~`$^+=|<>«»…—",
    "\t\n\r \x0b\x0c",
]
texts = st.one_of(
    st.text(), st.lists(st.one_of(st.text(max_size=5), st.sampled_from(PIECES))).map("".join)
)


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(SHIPPED, LIMIT)


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    return load(SHIPPED)


def load(file: Path, limit: int = LIMIT) -> Tokenizer:
    library = Tokenizer.from_file(str(file))
    library.no_padding()
    library.enable_truncation(limit)
    return library


@given(text=texts)
@example(text="".join(PIECES))
@example(text="")
def test_ids_are_those_of_the_library(
    tokenizer: WordPieceTokenizer, library: Tokenizer, text: str
) -> None:
    assert tokenizer.encode(text) == library.encode(text).ids


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.slow), pytest.param(89, id="some")]
)
def test_characters_are_read_alike(
    tokenizer: WordPieceTokenizer, library: Tokenizer, every: int
) -> None:
    points = POINTS[::every]
    for first in range(0, len(points), 20):
        text = "".join(f"a{c}b {c} " for c in map(chr, points[first : first + 20]))
        assert tokenizer.encode(text) == library.encode(text).ids, hex(points[first])


@pytest.mark.parametrize("limit", [2, 3, 5, 48])
def test_what_is_behind_the_limit_is_left_out(library: Tokenizer, limit: int) -> None:
    shorter = load(SHIPPED, limit)
    tokenizer = WordPieceTokenizer(SHIPPED, limit)
    for text in ("", "one", "one two", "unbelievably long words " * 30):
        assert tokenizer.encode(text) == shorter.encode(text).ids
        assert len(tokenizer.encode(text)) <= limit


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip", [True, False, None])
def test_other_settings_of_it(tmp_path: Path, lowercase: bool, strip: bool | None) -> None:
    words = ["[UNK]", "[CLS]", "[SEP]", "caf", "##e", "##é", "Caf", "cafe", "!", "漢", "É", "e"]
    made = Tokenizer(
        models.WordPiece({word: id for id, word in enumerate(words)}, unk_token="[UNK]")
    )
    made.normalizer = normalizers.BertNormalizer(
        clean_text=lowercase,
        handle_chinese_chars=not lowercase,
        strip_accents=strip,
        lowercase=lowercase,
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = WordPieceTokenizer(tmp_path / "tokenizer.json", LIMIT)
    for text in ("Café! cafe\u0301 É", "漢漢 cafe漢", "CAF\x00É\t\u2028e"):
        assert tokenizer.encode(text) == made.encode(text).ids


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", {"type": "BPE"}),
        ("normalizer", None),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", {"type": "RobertaProcessing"}),
    ],
)
def test_another_kind_of_tokenizer_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    saved = json.loads(SHIPPED.read_text("utf-8"))
    saved[name] = value
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(saved), "utf-8")
    with pytest.raises(ValueError, match="it is"):
        WordPieceTokenizer(file, LIMIT)


def test_special_tokens_that_take_more_than_themselves_are_refused(tmp_path: Path) -> None:
    saved = json.loads(SHIPPED.read_text("utf-8"))
    saved["added_tokens"][0]["lstrip"] = True
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(saved), "utf-8")
    with pytest.raises(ValueError, match=r"'\[PAD\]' takes more"):
        WordPieceTokenizer(file, LIMIT)
