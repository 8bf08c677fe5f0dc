"""The .amem format: its bounds, and files that claim what is not so."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem_storage.archive.blocks import BLOCK_BYTES
from agentmem_storage.archive.file import ArchiveReader, is_archive, writing
from agentmem_storage.archive.records import (
    ArchivedChunk,
    ArchivedLink,
    ArchivedSource,
    Manifest,
    write_link,
    write_source,
)
from agentmem_storage.errors import ArchiveError, InputError
from tests.support.archives import HEADER_BYTES, stream, write_stream

words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
micros = st.integers(-(2**50), 2**50)
blobs = st.binary(min_size=1, max_size=50)
chunk = st.builds(
    ArchivedChunk,
    ordinal=st.integers(0, 2**32 - 1),
    start=st.integers(0, 2**40),
    end=st.integers(0, 2**40),
    tokens=st.integers(1, 256),
    episode=st.none() | st.integers(1, 2**40),
    fidelity=st.floats(0, 1),
    text_hash=st.binary(min_size=32, max_size=32),
    key=blobs,
    latents=blobs,
    patch=st.none() | blobs,
    text=st.none() | st.binary(max_size=50),
)
source = st.builds(
    ArchivedSource,
    **dict.fromkeys(("user_id", "agent_id", "session_id", "role", "name", "title", "uri"), words),
    kind=st.sampled_from(["message", "document"]),
    created_at=micros,
    added_at=micros,
    chars=st.integers(1, 2**40),
    content_hash=st.none() | st.binary(min_size=32, max_size=32),
    metadata=st.none() | st.just(b'{"a":[1,"\xc3\xa9"]}'),
    changed=st.booleans(),
    chunks=st.lists(chunk, min_size=1, max_size=3).map(tuple),
)


LINK = ArchivedLink(0, 1, 0.5, 7)


def manifest(sources: list[ArchivedSource], links: int) -> Manifest:
    chunks = sum(len(one.chunks) for one in sources)
    return Manifest("model", "latents", "name", 32, len(sources), chunks, links)


def write(
    path: Path,
    sources: list[ArchivedSource],
    passphrase: str | None = None,
    links: Sequence[ArchivedLink] = (),
) -> Path:
    with writing(path, manifest(sources, len(links)), passphrase) as writer:
        for one in sources:
            write_source(writer, one)
        for link in links:
            write_link(writer, link)
    return path


def read(path: Path, passphrase: str | None = None) -> list[ArchivedSource | ArchivedLink]:
    with ArchiveReader.open(path, passphrase) as archive:
        return list(archive.records())


def example(**fields: Any) -> ArchivedSource:
    one = ArchivedChunk(0, 0, 5, 2, 1, 1.0, bytes(32), b"key", b"latents", None, None)
    made: dict[str, Any] = {
        **dict.fromkeys(("user_id", "agent_id", "session_id", "role", "name", "title", "uri")),
        **{"kind": "message", "created_at": 1, "added_at": 2, "chars": 5, "content_hash": None},
        **{"metadata": None, "changed": False, "chunks": (one,)},
        **{"external_id": None, "expires_at": None},
    }
    return ArchivedSource(**{**made, **fields})


@given(sources=st.lists(source, max_size=3))
def test_what_is_written_is_read(sources: list[ArchivedSource], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("archive")
    one = write(folder / "one.amem", sources)
    assert read(one) == sources
    assert is_archive(one)
    assert write(folder / "two.amem", sources).read_bytes() == one.read_bytes()


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_a_file_of_many_blocks(
    tmp_path: Path, passphrase: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentmem_storage.archive.file.COST", 10)
    # Text that compresses little, and a source that spans blocks.
    noise = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(BLOCK_BYTES // 2))
    sources = [example(title=noise), example(), example(title=noise[::-1])]
    path = write(tmp_path / "a.amem", sources, passphrase)
    assert read(path, passphrase) == sources
    content = path.read_bytes()
    # Two blocks change places, which every checksum of their own survives.
    (length,) = struct.unpack_from("<I", content, HEADER_BYTES)
    first = content[HEADER_BYTES : HEADER_BYTES + 12 + length]
    rest = content[HEADER_BYTES + len(first) :]
    (length,) = struct.unpack_from("<I", rest)
    second, rest = rest[: 12 + length], rest[12 + length :]
    path.write_bytes(content[:HEADER_BYTES] + second + first + rest)
    with pytest.raises(ArchiveError):
        read(path, passphrase)
    # Blocks are left out at the end, and the final one is there.
    path.write_bytes(content[:HEADER_BYTES] + first + rest)
    with pytest.raises(ArchiveError):
        read(path, passphrase)


def block(payload: bytes, length: int, *, final: bool = False) -> bytes:
    head = struct.pack("<II", len(payload) | (final << 31), length)
    return head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload


BOMB = zlib.compress(bytes(10**7))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (struct.pack("<III", 2**31 - 1, 10, 0), "too large"),
        (block(BOMB, 2**31), "too large"),
        (block(BOMB, BLOCK_BYTES), "another length"),
        (block(BOMB, 10), "another length"),
        (block(zlib.compress(b"ab"), 3), "another length"),
        (block(zlib.compress(b"ab") + b"more", 2), "another length"),
        (block(b"no zlib", 2), "cannot be decompressed"),
        (block(zlib.compress(bytes(32)), 32, final=True), "checksum of the whole"),
        (block(zlib.compress(b"\xff\xff\xff\xff"), 4), "claims to have"),
        (b"", "cut off"),
        (bytes(11), "cut off"),
    ],
)
def test_blocks_that_claim_what_is_not_so(tmp_path: Path, blocks: bytes, message: str) -> None:
    path = write(tmp_path / "a.amem", [example()])
    path.write_bytes(path.read_bytes()[:HEADER_BYTES] + blocks)
    with pytest.raises(ArchiveError, match=message):
        read(path)


def record(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def forge(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A stream whose source was changed before it was written."""
    values = {
        name: getattr(example(), name)
        for name in ArchivedSource.__dataclass_fields__
        if name != "chunks"
    }
    made = change({**values, "chunks": 1})
    return made if isinstance(made, bytes) else json.dumps(made).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda values: b"[]",
        lambda values: b"not JSON",
        lambda values: b'{"a":' * 100_000,
        lambda values: b'{"chars":' + b"9" * 5_000 + b"}",
        lambda values: b"\xff",
        lambda values: {**values, "more": 1},
        lambda values: {name: values[name] for name in values if name != "kind"},
        lambda values: {**values, "chars": 2**63},
        lambda values: {**values, "chars": True},
        lambda values: {**values, "chars": 1.0},
        lambda values: {**values, "changed": 1},
        lambda values: {**values, "kind": None},
        lambda values: {**values, "content_hash": "xyz"},
        lambda values: {**values, "metadata": "\ud800"},
        lambda values: {**values, "chunks": 0},
        lambda values: {**values, "chunks": -1},
        lambda values: {**values, "chunks": 2},
        lambda values: {**values, "chunks": 2**40},
    ],
)
def test_records_that_no_export_writes(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    path = write(tmp_path / "a.amem", [example()])
    whole = stream(path)
    (length,) = struct.unpack_from("<I", whole)
    head, rest = whole[: 4 + length], whole[4 + length :]
    (length,) = struct.unpack_from("<I", rest)
    own, chunks = rest[4 : 4 + length], rest[4 + length :]
    write_stream(path, head + record(own) + chunks)
    assert read(path) == [example()]
    write_stream(path, head + record(forge(change)) + chunks)
    with pytest.raises(ArchiveError):
        read(path)
    # More than the manifest says, or less.
    for other in (head + rest + rest, head, whole[:-1], whole + b"x"):
        write_stream(path, other)
        with pytest.raises(ArchiveError):
            read(path)


def test_links_follow_the_sources(tmp_path: Path) -> None:
    links = [LINK, ArchivedLink(1, 0, None, -1)]
    path = write(tmp_path / "a.amem", [example(), example()], links=links)
    assert read(path) == [example(), example(), *links]


@pytest.mark.parametrize(
    "link",
    [
        ArchivedLink(0, 2, 0.5, 7),
        ArchivedLink(-1, 1, 0.5, 7),
        ArchivedLink(1, 1, 0.5, 7),
        ArchivedLink(0, 1, 1.5, 7),
        ArchivedLink(0, 1, float("nan"), 7),
        ArchivedLink(0, 1, 0.5, 2**62),
        ArchivedLink(True, 1, 0.5, 7),
    ],
)
def test_links_that_join_nothing(tmp_path: Path, link: ArchivedLink) -> None:
    path = write(tmp_path / "a.amem", [example(), example()], links=[link])
    with pytest.raises(ArchiveError):
        read(path)


def test_a_later_version_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.amem", [])
    header = bytearray(path.read_bytes()[: HEADER_BYTES - 4])
    header[8] = 2
    path.write_bytes(bytes(header) + struct.pack("<I", zlib.crc32(header)))
    with pytest.raises(ArchiveError, match="upgrade"):
        read(path)


def test_a_cost_out_of_bounds_is_refused_before_anything_is_derived(tmp_path: Path) -> None:
    path = write(tmp_path / "a.amem", [])
    header = bytearray(path.read_bytes()[: HEADER_BYTES - 4])
    for cost in (1, 19, 60, 255):
        header[9] = cost
        path.write_bytes(bytes(header) + struct.pack("<I", zlib.crc32(header)))
        with pytest.raises(ArchiveError, match="out of bounds"):
            read(path, "secret")


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    large = example(metadata=b'{"a":"' + b"x" * 2**26 + b'"}')
    with pytest.raises(InputError, match="too large"):
        write(tmp_path / "a.amem", [large])
    assert not list(tmp_path.iterdir())
