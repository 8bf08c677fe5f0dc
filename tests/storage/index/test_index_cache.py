"""The cache file of an index: round trips, and anything else is rejected."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from agentmem_storage.index import CacheHeader, VectorIndex, load_cache, make_index, save_cache
from agentmem_storage.index.factory import IndexKind
from agentmem_storage.levels import from_levels, to_levels

HEADER = CacheHeader(store_id="store-1", model="model-1", change=41, dims=3)


def filled(kind: IndexKind, n: int = 5) -> VectorIndex:
    index = make_index(3, kind)
    vectors = np.random.default_rng(2).standard_normal((n, 3))
    # As they are stored.
    index.add(np.arange(n, dtype=np.int64)[::-1] * 3, from_levels(to_levels(vectors)))
    return index


def load(
    path: Path, kind: IndexKind = "exact", **other: str | int
) -> tuple[VectorIndex, int] | None:
    expected = {"store_id": "store-1", "model": "model-1", "dims": 3, **other}
    return load_cache(path, kind=kind, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, 1, 5, 300])
@pytest.mark.parametrize("reader", ["exact", "faiss"])
@pytest.mark.parametrize("writer", ["exact", "faiss"])
def test_either_backend_reads_what_either_wrote(
    tmp_path: Path, writer: IndexKind, reader: IndexKind, n: int
) -> None:
    index = filled(writer, n)
    save_cache(tmp_path / "keys", index, HEADER)
    loaded = load(tmp_path / "keys", reader)
    assert loaded is not None
    assert loaded[1] == 41
    assert np.array_equal(loaded[0].ids(), index.ids())
    assert np.array_equal(loaded[0].vectors(index.ids()), index.vectors(index.ids()))


def test_the_file_does_not_depend_on_the_backend_or_the_order_of_adding(tmp_path: Path) -> None:
    one, two = filled("exact"), filled("faiss")
    two.add(np.array([0], dtype=np.int64), one.vectors(np.array([0], dtype=np.int64)))
    save_cache(tmp_path / "one", one, HEADER)
    save_cache(tmp_path / "two", two, HEADER)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_every_truncation_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    save_cache(path, filled("exact"), HEADER)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert load(path) is None, length
    path.write_bytes(whole + b"\0")
    assert load(path) is None


def test_every_changed_byte_is_no_cache(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    save_cache(path, filled("exact"), HEADER)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flip in (0x01, 0x80):
            changed = bytearray(whole)
            changed[place] ^= flip
            path.write_bytes(changed)
            assert load(path) is None, (place, flip)
    path.write_bytes(whole)
    assert load(path) is not None


@pytest.mark.parametrize(
    ("foreign", "value"), [("store_id", "store-2"), ("model", "model-2"), ("dims", 4)]
)
def test_a_foreign_cache_is_no_cache_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, foreign: str, value: str | int
) -> None:
    save_cache(tmp_path / "keys", filled("exact"), HEADER)
    with caplog.at_level(logging.INFO, logger="agentmem_storage"):
        assert load(tmp_path / "keys", **{foreign: value}) is None
    assert f"its {foreign} is" in caplog.text
    assert repr(value) in caplog.text


def test_a_missing_file_or_a_folder_is_no_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="agentmem_storage"):
        assert load(tmp_path / "keys") is None
        assert load(tmp_path) is None
        assert load(tmp_path / "no folder" / "keys") is None
    assert len(caplog.records) == 3


def test_a_failed_save_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    save_cache(path, filled("exact"), HEADER)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            save_cache(path, filled("exact", 9), HEADER)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        save_cache(tmp_path / "no folder" / "keys", filled("exact"), HEADER)


def test_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    path, neighbor = tmp_path / "keys", tmp_path / "other.1.tmp"
    (tmp_path / "keys.abc.tmp").write_bytes(b"keys that were forgotten since")
    neighbor.write_bytes(b"not ours")
    save_cache(path, filled("exact"), HEADER)
    assert sorted(tmp_path.iterdir()) == [path, neighbor]


def test_a_writer_whose_file_was_swept_lets_the_other_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "keys", __import__("os").replace

    def swept(source: str, target: Path) -> None:
        Path(source).unlink()
        monkeypatch.setattr("os.replace", replace)
        save_cache(path, filled("exact", 2), HEADER)
        replace(source, target)

    monkeypatch.setattr("os.replace", swept)
    save_cache(path, filled("exact", 7), HEADER)
    loaded = load(path)
    assert loaded is not None
    assert len(loaded[0]) == 2


def test_the_header_must_fit_the_index(tmp_path: Path) -> None:
    header = CacheHeader(store_id="s", model="m", change=0, dims=4)
    with pytest.raises(ValueError, match="header says 4 dims, the index has 3"):
        save_cache(tmp_path / "keys", filled("exact"), header)
