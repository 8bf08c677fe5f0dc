"""Pipes, devices, codecs that are not text, UTF-16 without a mark, and values of any size."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory
from agentmem.certificates import check_certificate
from agentmem.errors import AgentMemError, InputError, StoreError
from agentmem.models.bundle.load import ModelBundle
from agentmem_cli.output import _dump

HUGE = "x" * 1_000_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_pipes_devices_and_folders_are_refused_at_once(memory: Memory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null"), tmp_path):
        with pytest.raises(InputError, match="not a file"):
            memory.add(Document.from_file(path))
    with pytest.raises(StoreError, match="a device or a pipe"):
        Memory(f"sqlite:///{tmp_path}/pipe", model=memory._model)


@pytest.mark.parametrize("path", ["a\0b", "\0", HUGE, "~nobody-of-that-name/x", "a/../../nowhere"])
def test_paths_that_are_none(memory: Memory, path: str) -> None:
    with pytest.raises(InputError) as caught:
        memory.add(Document.from_file(path))
    assert len(str(caught.value)) < 2_100


@pytest.mark.parametrize("path", ["", "a\0b", "a\ud800b", "~nobody-of-that-name/x"])
def test_whatever_takes_a_path_says_that_it_is_none(memory: Memory, path: str) -> None:
    memory.add("Tea for two.", user_id="ana")
    calls: list[Callable[[], object]] = [
        lambda: memory.export(path),
        lambda: memory.load(path),
        lambda: memory.backup(path),
        lambda: memory.dossier(user_id="ana").save(path),
        lambda: memory.forget(user_id="ana", certificate=path),
        lambda: memory.forget(user_id="ana", certificate="x.json", signing_key=path),
        lambda: check_certificate(path),
        lambda: Memory.increment(path, base="x"),
        lambda: Memory.increment("x", base=path),
        lambda: Memory.complete(path, "x"),
        lambda: Memory.complete("x", path),
        lambda: Memory("x", model=path),
    ]
    for call in calls:
        with pytest.raises(InputError):
            call()
    assert memory.count() == 1


@pytest.mark.parametrize("path", [0, 5, b"x", None])
def test_a_number_is_no_path(memory: Memory, path: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: memory.dossier(user_id="ana").save(path),
        lambda: check_certificate(path),
        lambda: Memory.increment(path, base="x"),
        lambda: Memory.complete("x", path),
    ]
    if path is not None:
        # The number of an open file, such as standard input, is not read as a key.
        calls.append(lambda: memory.forget([1], certificate="x.json", signing_key=path))
        calls.append(lambda: memory.forget([1], certificate=path))
    for call in calls:
        with pytest.raises(TypeError):
            call()


def test_an_open_file_that_cannot_be_read(memory: Memory, tmp_path: Path) -> None:
    memory.add("Tea for two.")
    memory.export(tmp_path / "x.amem")
    with (tmp_path / "x.amem").open("rb") as file:
        pass
    with pytest.raises(InputError, match="is closed"):
        memory.load(file)
    with (tmp_path / "x.amem").open(errors="replace") as text, pytest.raises(TypeError, match="rb"):
        memory.load(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encoding", ["hex", "base64", "zlib", "rot13", "bz2", "no-such", "", "utf-8\0", HUGE]
)
def test_codecs_that_are_not_of_text(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match="is not an encoding of text") as caught:
        Document.from_file(tmp_path / "x", encoding=encoding)
    assert len(str(caught.value)) < 300


def test_an_encoding_that_is_no_string(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="encoding must be a string"):
        Document.from_file(tmp_path / "x", encoding=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_two_bytes_per_character_need_their_order(
    memory: Memory, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes("Tea, jam and a train to Lyon.".encode(encoding))
    general = encoding[:6]
    with pytest.raises(InputError, match=f"no byte order mark: give encoding='{general}-le'"):
        memory.add(Document.from_file(file, encoding=general))
    if general == "utf-16":
        with pytest.raises(InputError, match=f"looks like UTF-16.*{encoding}"):
            memory.add(Document.from_file(file))
    (id,) = memory.add(Document.from_file(file, encoding=encoding)).ids
    assert memory.get(id).text == "Tea, jam and a train to Lyon."


def test_with_a_mark_or_with_a_few_zeros_they_are_read(memory: Memory, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes("Tea and jam".encode("utf-16"))
    (id,) = memory.add(Document.from_file(file, encoding="utf-16")).ids
    assert memory.get(id).text == "Tea and jam"
    for text in ("a\0b", "ab\0", "\0a", "one\0two\0three"):
        file.write_text(text, encoding="utf-8")
        (id,) = memory.add(Document.from_file(file)).ids
        assert memory.get(id).text == text


@pytest.mark.parametrize(
    "location", ["sqlite:///" + "x" * 5_000, "x" * 5_000, "postgresql://" + "x" * 5_000]
)
def test_a_location_of_thousands_of_characters(model: ModelBundle, location: str) -> None:
    with pytest.raises(AgentMemError) as caught:
        Memory(location, model=model)
    assert len(str(caught.value)) <= 2_000


@pytest.mark.parametrize(
    "use",
    [
        lambda memory: memory.recall("tea", mode=HUGE),
        lambda memory: memory.recall("tea", order=HUGE),
        lambda memory: memory.recall("tea", where={HUGE: {HUGE: 1}}),
        lambda memory: memory.recall("tea", since=HUGE),
        lambda memory: memory.recall("tea", min_relevance=HUGE),
        lambda memory: memory.recall("tea", min_relevance=10**5_000),
        lambda memory: memory.add({"role": HUGE, "content": "tea"}),
        lambda memory: memory.add("tea", created_at=HUGE),
        lambda memory: memory.add("tea", user_id=HUGE + "\udc00"),
        lambda memory: memory.add("tea", metadata={"n": object, HUGE: 1}),
        lambda memory: memory.backup(HUGE),
        lambda memory: memory.get(10**4000),
    ],
)
def test_a_value_of_any_size_is_not_repeated_in_full(memory: Memory, use: Any) -> None:
    with pytest.raises((AgentMemError, TypeError)) as caught:
        use(memory)
    assert len(str(caught.value)) <= 2_000


def test_the_way_out_stands_at_the_end_of_a_long_message() -> None:
    error = InputError(f"{HUGE} is not a role: give 'user'")
    assert str(error).endswith(" is not a role: give 'user'")
    assert str(error).startswith("xxx")
    assert len(str(error)) == 2_000
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_json_holds_no_character_that_a_terminal_obeys() -> None:
    text = "a\x1b[2J\x7f\x80\x9b31m\u2028\u202eb"
    dumped = _dump({"text": text}, indent=None)
    assert json.loads(dumped) == {"text": text}
    assert all(character.isprintable() for character in dumped)
