"""Corpus files: records in order, and never silently fewer than there are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import zstandard

from agentmem.corpus import read_records, record_texts
from agentmem.errors import InputError, MissingExtraError

RECORDS = [{"id": f"r{i}", "text": f"line\u2028separator, \x85 and ünïcödé {i}"} for i in range(50)]
DATA = "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS).encode()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\n \n"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_records_come_in_order(tmp_path: Path, packed: bool, end: bytes) -> None:
    path = tmp_path / ("r.jsonl.zst" if packed else "r.jsonl")
    path.write_bytes(zstandard.compress(DATA + end) if packed else DATA + end)
    assert list(read_records(path)) == RECORDS


def test_lines_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    long = {"text": "x" * 2_500_000}
    for name, pack in (("r.jsonl", bytes), ("r.jsonl.zst", zstandard.compress)):
        path = tmp_path / name
        path.write_bytes(pack((json.dumps(long) + "\n").encode() * 2))
        assert list(read_records(path)) == [long, long]


def test_several_frames_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    path.write_bytes(zstandard.compress(DATA[:700]) + zstandard.compress(DATA[700:]))
    assert list(read_records(path)) == RECORDS


def test_a_window_of_128_mib_is_accepted(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "r.jsonl.zst"
    path.write_bytes(packer.compress(DATA) + packer.flush())
    assert list(read_records(path)) == RECORDS


def test_a_truncated_compressed_file_is_rejected_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    whole = zstandard.compress(DATA)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"r\.jsonl\.zst"):
            list(read_records(path))


def test_a_file_that_is_not_compressed_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    path.write_bytes(DATA)
    with pytest.raises(InputError, match=r"r\.jsonl\.zst is damaged"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{torn", "r.jsonl:3 is not JSON in UTF-8"),
        (b'{"text": "\xff"}', "r.jsonl:3 is not JSON in UTF-8"),
        (b"[" * 100_000, "r.jsonl:3 is not JSON in UTF-8"),
        (b"[1]", "r.jsonl:3 is not a JSON object"),
    ],
    ids=["torn", "not UTF-8", "too deep", "no object"],
)
def test_a_bad_line_is_named_after_the_good_ones(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": 1}\n\n' + line + b'\n{"id": 2}\n')
    records = read_records(path)
    assert next(records) == {"id": 1}
    with pytest.raises(InputError, match=message):
        next(records)


def test_a_reader_that_stops_early_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(DATA)
    records = read_records(path)
    assert next(records) == RECORDS[0]
    del records  # An open file would be a ResourceWarning, and thus an error.


def test_texts_of_both_kinds_of_record() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"name": "Bo", "content": ""}]
    assert record_texts({"id": "c", "title": "t", "messages": messages}) == ["Hi"]
    assert record_texts({"id": "d", "title": "t", "text": "Text"}) == ["Text"]
    assert record_texts({"id": "d", "text": ""}) == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "x"}, "record 'x' has neither"),
        ({"id": "x", "messages": [{"role": "user"}]}, "record 'x' has neither"),
        ({"id": "x", "messages": None}, "record 'x' has neither"),
        ({"id": "x", "messages": [{"content": 3}]}, "record 'x' has content that is not text"),
        ({"id": "x", "text": None}, "record 'x' has content that is not text"),
    ],
)
def test_other_records_are_refused(record: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        record_texts(record)


def test_without_zstandard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl.zst"
    path.write_bytes(zstandard.compress(DATA))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        MissingExtraError, match=r"pip install 'latent-agentmem\[train\]'"
    ) as raised:
        next(read_records(path))
    assert raised.value.extra == "train"
