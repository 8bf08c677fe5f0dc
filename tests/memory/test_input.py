"""Invalid input is rejected before anything is written; unusual input is stored exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agentmem import Document, Memory, Message, Receipt
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle

Unchanged = Callable[[Memory], AbstractContextManager[None]]
Texts = Callable[[Memory, Receipt], list[str]]


@pytest.fixture
def stocked(memory: Memory) -> Memory:
    memory.add(["what was there before", "and this"], user_id="ana", metadata={"a": 1})
    return memory


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


REFUSED: dict[str, tuple[Any, str]] = {
    "empty text": ("", "it has no text"),
    "whitespace": (" \n\t\u3000", "only whitespace"),
    "empty content": (user(""), "it has no text"),
    "no content": (user(None), "it has no text"),
    "blank document": (Document(["\n", " "]), "only whitespace"),
    "empty list": ([], "nothing to add"),
    "only blank ones": (["", " "], "message 0: it has no text"),
    "a blank document in a list": (["fine", Document(" ")], "message 1: its text is only whitespa"),
    "lone surrogate": ("abc\ud800", "lone surrogate .* at position 3"),
    "lone surrogate in a block": (user([{"type": "text", "text": "\udc80"}]), "lone surrogate"),
    "lone surrogate in a name": (Message("x", name="\ud800"), "name: lone surrogate"),
    "lone surrogate in metadata": (Message("x", metadata={"k": "\ud800"}), "metadata"),
    "a number": (5, "the content is a int"),
    "bytes": (b"bytes", "bytes; decode them first"),
    "None": (None, "the content is a NoneType"),
    "bytes in a list": (["fine", b"bytes"], "message 1 is bytes"),
    "number as content": (user(5), "content must be a string or a list of blocks, got a int"),
    "bytes as content": (user(b"x"), "bytes; decode them first"),
    "number as a text block": (user([{"type": "text", "text": 5}]), "'text' must be a string"),
    "block without type": (user([{"body": "x"}]), "a block must be a dict with a 'type'"),
    "number as a document": (Document(5), "text must be a string or a sequence of strings"),  # type: ignore[arg-type]
    "unknown role": ({"role": "wizard", "content": "x"}, "unknown role 'wizard'; use one of user"),
    "unknown role of a Message": (Message("x", "wizard"), "unknown role 'wizard'"),  # type: ignore[arg-type]
    "a dict of something else": ({"text": "x"}, "a dict needs a 'role'"),
    "unreadable time": (user("x") | {"created_at": "soon"}, "cannot read the time 'soon'"),
    "digits": (user("x") | {"timestamp": "20260213"}, "cannot read the time '20260213'"),
    "metadata that are no JSON": (
        Message("x", metadata={"k": {1, 2}}),
        "cannot be written as JSON",
    ),
    "metadata with a number as key": (Message("x", metadata={1: 2}), "the key 1 is not a string"),  # type: ignore[dict-item]
    "metadata NaN": (Message("x", metadata={"k": float("nan")}), "cannot be written as JSON"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_and_nothing_written(
    stocked: Memory, unchanged: Unchanged, content: Any, message: str
) -> None:
    with unchanged(stocked), pytest.raises(InputError, match=message):
        stocked.add(content, user_id="ana")


@pytest.mark.parametrize("number", range(3))
def test_what_stands_before_the_refused_is_not_written_either(
    stocked: Memory, unchanged: Unchanged, number: int
) -> None:
    def said() -> Iterator[Any]:
        yield from (f"good {n}" for n in range(300))
        yield (user(5), Document(""), {"role": "wizard", "content": "x"})[number]

    with unchanged(stocked), pytest.raises(InputError, match="message 300"):
        stocked.add(said())


def test_an_error_of_the_callers_iterator_writes_nothing(
    stocked: Memory, unchanged: Unchanged
) -> None:
    def said() -> Iterator[str]:
        yield "good"
        raise ConnectionError("the stream broke off")

    with unchanged(stocked), pytest.raises(ConnectionError, match="broke off"):
        stocked.add(said())


def test_an_error_of_the_progress_callback_writes_nothing(
    stocked: Memory, unchanged: Unchanged
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with unchanged(stocked), pytest.raises(KeyboardInterrupt):
        stocked.add("good", on_progress=stop)


def test_a_file_that_is_not_utf8(stocked: Memory, unchanged: Unchanged, tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes(b"so " * 25_000 + "Ä".encode("latin-1") + b" and more")
    with (
        unchanged(stocked),
        pytest.raises(InputError, match=r"latin.txt' is not utf-8: .* at byte 75000"),
    ):
        stocked.add(Document.from_file(file))


def test_a_file_that_is_not_there(stocked: Memory, unchanged: Unchanged, tmp_path: Path) -> None:
    with unchanged(stocked), pytest.raises(InputError, match="cannot read .*No such file"):
        stocked.add(Document.from_file(tmp_path / "missing.txt"))


LARGE = 50_000_000
LARGE_FORMS: dict[str, Callable[[], Any]] = {
    "string": lambda: "x" * LARGE,
    "document": lambda: Document("word " * (LARGE // 5)),
    "endless pieces": lambda: Document(repeat("a piece of text without end ")),
    "block": lambda: user([{"type": "text", "text": "x" * LARGE}]),
}


@pytest.mark.parametrize("make", LARGE_FORMS.values(), ids=LARGE_FORMS.keys())
def test_50_megabytes_are_refused_before_any_work(
    stocked: Memory,
    unchanged: Unchanged,
    make: Callable[[], Any],
    model: ModelBundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def worked(*args: Any, **options: Any) -> None:
        pytest.fail("the models went to work on it")

    content = make()
    with unchanged(stocked), monkeypatch.context() as patch:
        for kind, name in (
            (type(model.tokenizer), "encode"),
            (type(model.tokenizer), "encode_offsets"),
            (type(model.tokenizer), "encode_batch"),
            (type(model), "encode"),
        ):
            patch.setattr(kind, name, worked)
        with pytest.raises(InputError, match=r"the limit is 10,000,000; split it, or .*max_chars="):
            stocked.add(content)


def test_the_limit_is_the_callers(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model, max_chars=10) as memory:
        memory.add("0123456789")
        with pytest.raises(InputError, match="11 characters, the limit is 10"):
            memory.add("0123456789x")
        assert memory.stats().memories == 1


def test_20_000_characters_without_spaces(memory: Memory, texts: Texts) -> None:
    line = "".join(chr(ord("a") + n * n % 26) for n in range(20_000))
    receipt = memory.add(Document(line))
    assert texts(memory, receipt) == [line]
    assert memory.verify().ok


@pytest.mark.slow
def test_a_million_characters_without_spaces(memory: Memory, texts: Texts) -> None:
    line = "".join(chr(ord("a") + n * n % 26) for n in range(1_000_000))
    receipt = memory.add(Document(line))
    assert texts(memory, receipt) == [line]


EXACT: dict[str, str] = {
    "control characters": "".join(map(chr, range(0x20))) + "x\x7f\x80\x9f",
    "NUL": "\x00a\x00",
    "line ends": "a\r\nb\rc\n\x85\u2028\u2029d",
    "mixed scripts": "Latin Ελληνικά Кириллица עברית العربية हिन्दी ไทย 中文 日本語 한국어 ქართული",
    "emoji": "🙂👩‍🚀👨‍👩‍👧‍👦🇫🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿👍🏽❤️",
    "combining marks": "e\u0301 é Z" + "\u0335\u0336" * 50 + "algo",
    "direction marks": "\u202eabc\u202c\u200f\u2066",
    "byte order mark": "\ufefftext\ufeff",
    "not characters": "\ufffe\uffff\U0010ffff\ufdd0",
    "replacement character": "\ufffd",
    "private use": "\ue000\U000f0000",
    "special tokens as text": "<|pad|><|bos|>user<|eos|><|memory|>",
    "tags of a packed context": "<memories>\n[2026-05-01] user: x\n</memories>",
    "white space around": "\n\n  text \t\n",
    "one sign": "0",
}


@pytest.mark.parametrize("text", EXACT.values(), ids=EXACT.keys())
@pytest.mark.parametrize("keep", [False, True], ids=["text not kept", "text kept"])
def test_comes_back_exactly(place: Path, model: ModelBundle, keep: bool, text: str) -> None:
    with Memory(place, model=model, keep_text=keep) as memory:
        (id,) = memory.add(text).ids
        assert memory.get(id).text == text
        assert [hit.text for hit in memory.recall(text)] == [text]
        assert json.loads(json.dumps(memory.get(id).to_dict()))["text"] == text
        assert memory.verify().ok
        memory.forget([id])
        assert memory.verify().ok


@pytest.mark.parametrize("id", [1.0, None, [1]], ids=repr)
def test_an_id_that_is_no_whole_number(stocked: Memory, unchanged: Unchanged, id: Any) -> None:
    with unchanged(stocked):
        for verb in (stocked.get, stocked.regenerated, lambda id: stocked.update(id, text="x")):
            with pytest.raises(TypeError):
                verb(id)


def test_a_string_is_an_external_id(stocked: Memory, unchanged: Unchanged) -> None:
    with unchanged(stocked):
        for verb in (stocked.get, stocked.regenerated):
            with pytest.raises(TypeError):
                verb("1")  # type: ignore[operator]
        with pytest.raises(UnknownIdError, match="external id '1'"):
            stocked.update("1", text="x")
