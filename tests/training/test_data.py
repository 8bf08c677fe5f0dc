"""Packed token ids and batches of windows: a pure function of seed and step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agentmem.errors import InputError
from agentmem.models.tokenizer import PAD, SPECIAL_TOKENS, ByteTokenizer
from agentmem.training.data.packed import PackedFile, Windows, pack
from agentmem.training.tokenizer import train_tokenizer_on

VOCAB = 300
RECORDS: list[dict[str, Any]] = [
    {"messages": [{"content": "When is my train?"}, {"content": ""}, {"content": "At 9:40."}]},
    {"text": "Ünïcödé and 🙂 in a document.\n\nWith two paragraphs."},
    {"text": "x"},
    {"text": "Plain words, over and over again. " * 20},
]
TEXTS = [
    "When is my train?",
    "At 9:40.",
    "Ünïcödé and 🙂 in a document.\n\nWith two paragraphs.",
    "x",
    "Plain words, over and over again. " * 20,
]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer_on(TEXTS * 4, tmp_path_factory.mktemp("tokenizer"), vocab_size=VOCAB)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder: Path) -> ByteTokenizer:
    return ByteTokenizer.from_folder(tokenizer_folder)


def write(file: Path, records: list[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    file.write_bytes(zstandard.compress(data) if file.suffix == ".zst" else data)
    return file


class TestPack:
    @pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.zst"])
    def test_ids_and_starts_are_those_of_the_texts(
        self, name: str, tokenizer_folder: Path, tokenizer: ByteTokenizer, tmp_path: Path
    ) -> None:
        packed = pack(write(tmp_path / name, RECORDS), tokenizer_folder, tmp_path / "cache")
        assert packed.name == name
        assert (packed.ids.dtype.name, packed.starts.dtype.name) == ("uint16", "int64")
        assert packed.starts[-1] == len(packed.ids)
        cuts = zip(packed.starts[:-1], packed.starts[1:], strict=True)
        assert [tokenizer.decode(packed.ids[start:end].tolist()) for start, end in cuts] == TEXTS

    def test_tokenized_once(self, tokenizer_folder: Path, tmp_path: Path) -> None:
        file, said = write(tmp_path / "corpus.jsonl", RECORDS), list[str]()
        first, second = (
            pack(file, tokenizer_folder, tmp_path / "cache", progress=said.append) for _ in range(2)
        )
        assert said == ["tokenizing corpus.jsonl"]
        assert np.array_equal(first.ids, second.ids)
        assert np.array_equal(first.starts, second.starts)

    def test_another_tokenizer_or_input_is_another_entry(
        self, tokenizer_folder: Path, tmp_path: Path
    ) -> None:
        other = train_tokenizer_on(TEXTS * 4, tmp_path / "other", vocab_size=280)
        file, said, cache = write(tmp_path / "c.jsonl", RECORDS), list[str](), tmp_path / "cache"
        pack(file, tokenizer_folder, cache, progress=said.append)
        pack(file, other, cache, progress=said.append)
        assert len(said) == 2
        write(file, RECORDS[:2])
        assert len(pack(file, tokenizer_folder, cache, progress=said.append).starts) == 4
        assert len(said) == 3

    def test_a_truncated_entry_is_rebuilt(self, tokenizer_folder: Path, tmp_path: Path) -> None:
        file, cache = write(tmp_path / "corpus.jsonl", RECORDS), tmp_path / "cache"
        whole = np.array(pack(file, tokenizer_folder, cache).ids)
        (entry,) = cache.iterdir()
        (entry / "done.json").unlink()
        (entry / "ids.npy").write_bytes(b"torn")
        assert np.array_equal(pack(file, tokenizer_folder, cache).ids, whole)

    def test_a_file_without_text_is_refused(self, tokenizer_folder: Path, tmp_path: Path) -> None:
        nothing: list[list[dict[str, Any]]] = [[], [{"messages": []}], [{"text": ""}]]
        for records in nothing:
            file = write(tmp_path / "empty.jsonl", records)
            with pytest.raises(InputError, match=r"'empty.jsonl' has no text"):
                pack(file, tokenizer_folder, tmp_path / "cache")


def packed_of(*texts: list[int]) -> PackedFile:
    starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return PackedFile("made", np.concatenate(texts).astype(np.uint16), starts)


# Ids that say where they come from: the first file has 1000..., the second 5000...
FIRST = packed_of(list(range(1000, 1003)), list(range(1003, 1100)), list(range(1100, 1107)))
SECOND = packed_of(list(range(5000, 5400)))


def windows(**changes: Any) -> Windows:
    given: dict[str, Any] = {
        "files": [FIRST, SECOND],
        "weights": [1, 1],
        "lengths": [8, 16, 32],
        "tokens_per_batch": 128,
        "vocab_size": 6000,
        "random_share": 0.2,
        "seed": 0,
        **changes,
    }
    return Windows(given.pop("files"), **given)


def rows_of(source: Windows, steps: int) -> list[list[int]]:
    return [
        row[mask].tolist()
        for step in range(steps)
        for row, mask in zip(*source.batch(step), strict=True)
    ]


class TestWindows:
    @given(seed=st.integers(0, 1000), step=st.integers(0, 10**6))
    def test_a_batch_is_a_function_of_seed_and_step(self, seed: int, step: int) -> None:
        source = windows(seed=seed)
        ids, mask = source.batch(step)
        source.batch(step + 1)
        for again in (source, windows(seed=seed)):
            assert np.array_equal(again.batch(step)[0], ids)
            assert np.array_equal(again.batch(step)[1], mask)
        assert not np.array_equal(windows(seed=seed + 1).batch(step)[0], ids)
        assert not np.array_equal(source.batch(step + 1)[0], ids)

    @given(step=st.integers(0, 10**6))
    def test_shape_mask_and_padding(self, step: int) -> None:
        ids, mask = windows().batch(step)
        assert (ids.dtype.name, mask.dtype.name, ids.shape) == ("int64", "bool", mask.shape)
        lengths = mask.sum(1)
        # Rows begin at the left and none is empty; widths are the lengths given, and no others.
        assert np.array_equal(mask, np.arange(ids.shape[1]) < lengths[:, None])
        assert lengths.min() >= 1
        assert ids.shape in {(16, 8), (8, 16), (4, 32)}
        assert (ids[~mask] == PAD).all()
        assert ((ids[mask] >= len(SPECIAL_TOKENS)) & (ids[mask] < 6000)).all()

    def test_rows_are_stretches_of_a_file(self) -> None:
        rows = rows_of(windows(random_share=0.0), 100)
        for row in rows:
            assert row == list(range(row[0], row[0] + len(row)))
            assert row[-1] < 1107 or 5000 <= row[0]
        # Some start at a text's start and some do not; some end with it, some flow over.
        starts = {1000, 1003, 1100}
        firsts = [row for row in rows if row[0] < 5000]
        assert {row[0] in starts for row in firsts} == {True, False}
        assert any(row[-1] == 1002 for row in firsts)
        assert any(row[0] < 1003 <= row[-1] for row in firsts)
        assert {1107, 1100, 1003} & {row[-1] + 1 for row in firsts} == {1107, 1100, 1003}
        assert max(map(len, rows)) == 32

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_the_share_of_random_rows(self, share: float) -> None:
        source = windows(random_share=share, lengths=[16], files=[SECOND], weights=[1])
        rows = rows_of(source, 60)
        random = [row for row in rows if np.any(np.diff(row) != 1)]
        assert len(random) / len(rows) == pytest.approx(share, abs=0.06)
        assert all(len(row) == 16 for row in random)
        if share == 1:
            seen = np.concatenate(random)
            # Uniform over all ids but the special tokens.
            assert seen.min() < 100
            assert seen.max() > 5900
            assert seen.mean() == pytest.approx(3004, rel=0.03)

    def test_weights_choose_the_file(self) -> None:
        rows = rows_of(windows(weights=[3, 1], random_share=0.0), 150)
        share = sum(row[0] < 5000 for row in rows) / len(rows)
        assert share == pytest.approx(0.75, abs=0.05)
        only = rows_of(windows(weights=[0, 1], random_share=0.0), 20)
        assert all(row[0] >= 5000 for row in only)

    def test_a_window_longer_than_the_batch_is_one_row(self) -> None:
        ids, _ = windows(lengths=[256], random_share=0.0, files=[SECOND], weights=[1]).batch(0)
        assert len(ids) == 1
