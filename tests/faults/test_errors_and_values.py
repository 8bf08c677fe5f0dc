"""Errors that could not be sent between processes; values that were refused, or taken wrongly."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentmem.errors
from agentmem import AsyncMemory, Document, Memory, pack, wrap
from agentmem.chat.answerers import ChatAnswerer
from agentmem.errors import (
    AgentMemError,
    CorruptRecordError,
    InputError,
    StoreError,
    UnknownIdError,
)
from agentmem.integrations import mem0
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import ROOT, Cli

# --- errors ---


def kinds(root: type[AgentMemError]) -> list[type[AgentMemError]]:
    own = [] if root.__module__.startswith("tests") else [root]
    return [*own, *(kind for child in root.__subclasses__() for kind in kinds(child))]


KINDS = sorted(set(kinds(AgentMemError)), key=lambda kind: kind.__name__)
VALUES = st.none() | st.integers() | st.text(max_size=20)


def test_all_kinds_are_tried() -> None:
    assert {kind.__name__ for kind in KINDS} >= set(agentmem.errors.__all__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(message=st.text(max_size=50), note=st.text(max_size=20), data=st.data())
def test_every_error_survives_pickling(
    kind: type[AgentMemError], message: str, note: str, data: st.DataObject
) -> None:
    keywords = {
        name: data.draw(VALUES)
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    error = kind(message, **keywords)
    error.add_note(note)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (str(again), again.args) == (str(error), error.args)
        assert vars(again) == vars(error)
        assert {name: getattr(again, name) for name in keywords} == keywords


def test_an_error_of_a_user_s_own_kind_does_too() -> None:
    again = pickle.loads(pickle.dumps(OwnError("a", 1, reason="why")))
    assert (again.args, again.reason) == (("a", 1), "why")


class OwnError(AgentMemError):
    def __init__(self, name: str, number: int, *, reason: str) -> None:
        super().__init__(name, number)
        self.reason = reason


def test_a_future_passes_it_on() -> None:
    error = agentmem.errors.MissingExtraError("no faiss", extra="cpu")
    future: Future[None] = Future()
    future.set_exception(pickle.loads(pickle.dumps(error)))
    with pytest.raises(ImportError, match="no faiss") as caught:
        future.result()
    assert (caught.value.extra, caught.value.msg) == ("cpu", "no faiss")


# --- integers ---

THREE = [3, np.int64(3), np.int32(3), np.uint8(3), np.array(3)]
NOT_INTEGERS = [True, np.True_, 3.0, np.float64(3), "3", None, [3], b"3"]


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.add([f"note {n}" for n in range(5)], user_id="ana")
    return memory


@pytest.mark.parametrize("three", THREE, ids=lambda value: type(value).__name__)
def test_integers_of_any_kind(filled: Memory, model: ModelBundle, three: Any) -> None:
    hits = filled.recall("note", k=three)
    assert len(hits) == 3
    assert filled.get(three).id == 3
    assert filled.regenerated(three) == filled.get(3).text
    assert [chunk.id for chunk in filled.list(source_id=three)] == [3]
    assert filled.update(three, metadata={"a": 1}).ids == (3,)
    assert filled.forget([three], dry_run=True).ids == (3,)
    assert hits.pack(max_tokens=np.int64(300), max_positions=three).hits
    ChatAnswerer(lambda messages: "", max_tokens=three)
    with Memory(":memory:", model=model, max_chars=three) as small:
        small.add("abc")
        with pytest.raises(InputError, match="limit"):
            small.add("abcd")


def test_a_string_is_an_external_id(filled: Memory) -> None:
    for verb in (filled.forget, lambda ids: filled.update(ids[0], text="changed")):
        with pytest.raises(UnknownIdError, match="external id '3'"):
            verb(["3"])
    assert filled.stats().memories == 5


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
def test_nothing_else_is_an_integer(filled: Memory, value: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: filled.recall("note", k=value),
        lambda: filled.get(value),
        lambda: filled.regenerated(value),
        lambda: Memory(":memory:", model=filled._model, max_chars=value),
        lambda: ChatAnswerer(lambda messages: "", max_tokens=value),
    ]
    if not isinstance(value, str):
        calls += [
            lambda: filled.update(value, text="changed"),
            lambda: filled.forget([value]),
            lambda: filled.forget([1, value]),
        ]
    if value is not None:
        hits = filled.recall("note")
        calls += [
            lambda: list(filled.list(source_id=value)),
            lambda: pack(hits, max_tokens=value),
            lambda: pack(hits, max_positions=value),
        ]
    for call in calls:
        with pytest.raises(TypeError, match="integer"):
            call()
    assert filled.stats().memories == 5


def test_an_id_is_named_as_it_is(filled: Memory) -> None:
    with pytest.raises(UnknownIdError, match="the id 99$"):
        filled.forget([np.int64(99)])


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1, 1e300, 10**400])
def test_a_timeout_that_cannot_be(tmp_path: Path, model: ModelBundle, seconds: float) -> None:
    with pytest.raises(InputError, match="timeout_s"):
        Memory(tmp_path / "store", model=model, timeout_s=seconds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, -1, np.int64(0)])
def test_a_limit_that_nothing_fits(tmp_path: Path, model: ModelBundle, limit: Any) -> None:
    with pytest.raises(InputError, match="max_chars must be 1 or more"):
        Memory(tmp_path / "store", model=model, max_chars=limit)
    assert list(tmp_path.iterdir()) == []


NUMPY_FILTERS: list[dict[str, Any]] = [
    {"year": np.int64(2001)},
    {"year": {"gte": np.uint8(7), "lt": np.float64(2002)}},
    {"year": {"in": [np.int32(2001)]}},
    {"year": {"exists": np.True_}},
    {"done": np.True_},
    {"word": np.str_("tea")},
    {"metadata.id": np.int8(5)},
    {"id": {"in": list(np.array([1, 9]))}},
    {"created_at": {"gt": np.int64(0)}},
]


@pytest.mark.parametrize("where", NUMPY_FILTERS, ids=str)
def test_filters_take_numpy_s_values(memory: Memory, where: dict[str, Any]) -> None:
    memory.add("x", metadata={"year": 2001, "done": True, "word": "tea", "id": 5})
    memory.add("y", metadata={"year": 1.0, "id": 6}, created_at=-5)
    assert [chunk.text for chunk in memory.list(where={"and": [where, {"year": 2001}]})] == ["x"]
    with pytest.raises(InputError, match="finite number"):
        list(memory.list(where={"year": np.float64("nan")}))


def test_keys_and_uris_are_compared_in_composed_form(memory: Memory) -> None:
    memory.add("x", metadata={"caf\u00e9": {"n\u00e9": 1}, "Ａ": "ｔｅａ"})
    memory.add(Document("page", uri="file:///caf\u00e9.md"))
    for where in (
        {"cafe\u0301": {"exists": True}},
        {"cafe\u0301.ne\u0301": 1},
        {"A": "tea"},
        {"caf\u00e9": {"exists": True}},
    ):
        assert [chunk.text for chunk in memory.list(where=where)] == ["x"]
    for test in ("file:///cafe\u0301.md", {"contains": "cafe\u0301"}):
        assert [chunk.text for chunk in memory.list(where={"uri": test})] == ["page"]


# --- locations ---


@pytest.mark.parametrize(
    "location",
    [
        "file:x.db",
        "file:x.db?mode=ro",
        "FILE:x.db",
        "sqlite:x.db",
        "sqlite:/x.db",
        "sqlite3:x.db",
        "file::memory:?cache=shared",
        ":memory:?cache=shared",
        "sqlite::memory:",
        "memory:",
        ":memory",
        "",
        "a\0b",
        "~nobody-of-that-name/notes",
    ],
)
def test_a_location_that_is_none(
    tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is not a (location|folder)"):
        Memory(location, model=model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("query", ["mode=ro", "immutable=1", "cache=shared", "mdoe=ro&timeout=5"])
def test_parameters_without_effect_are_refused(
    tmp_path: Path, model: ModelBundle, query: str
) -> None:
    path = tmp_path / "q.db"
    with Memory(f"sqlite:///{path}?timeout=5", model=model) as memory:
        memory.add("x")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"write 'sqlite:///file:.*&uri=true'"):
        Memory(f"sqlite:///{path}?{query}", model=model)
    assert path.read_bytes() == before
    with Memory(f"sqlite:///file:{path}?mode=ro&uri=true", model=model) as memory:
        assert memory.recall("x")[0].text == "x"
        with pytest.raises(StoreError):
            memory.add("y")


def test_the_command_line_refuses_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "sqlite:///" in Cli(tmp_path).error(3, "add", "x", "--store", "file:x.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", [":memory:", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"])
def test_nothing_is_added_to_a_store_that_ends_with_the_command(tmp_path: Path, store: str) -> None:
    done = Cli(tmp_path).run("add", "tea", "--store", store)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "would keep nothing" in done.stderr


def test_a_folder_may_have_such_a_name(
    tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for location in (Path("file:x"), "./file:y", "notes:2024", "C:notes"):
        with Memory(location, model=model) as memory:
            memory.add("x")
    assert len(list(tmp_path.iterdir())) == 4


# --- asyncio ---


def test_async_with_is_the_way(place: Path, model: ModelBundle) -> None:
    async def main() -> None:
        memory = AsyncMemory(place, model=model)
        assert not place.exists()
        for call in (memory.add("x"), memory.stats(), memory.recall("x"), anext(memory.list())):
            with pytest.raises(StoreError, match=r"not open: use `async with AsyncMemory\("):
                await call
        with pytest.raises(StoreError, match="not open"):
            memory.scoped(user_id="ana")
        assert "not open" in repr(memory)
        async with memory as opened:
            assert opened is memory
            await memory.add("x")
        with pytest.raises(StoreError, match="closed"):
            await memory.add("x")
        with pytest.raises(StoreError, match="closed"):
            await memory.__aenter__()

    asyncio.run(main())


def test_what_was_never_opened_can_be_closed(place: Path, model: ModelBundle) -> None:
    asyncio.run(AsyncMemory(place, model=model).close())
    assert not place.exists()


def test_wrong_arguments_are_an_error_at_once(memory: Memory) -> None:
    with pytest.raises(TypeError, match="location"):
        AsyncMemory()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="modell"):
        AsyncMemory("notes", modell="x")  # type: ignore[call-arg]


# --- the command line ---


@pytest.mark.parametrize("word", ["1.0", "1_0", "１", "1e0", "0x1", "one", "²"])
def test_ids_are_plain_digits(tmp_path: Path, word: str) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", *(f"note {n}" for n in range(12)))
    for command in (["forget", word, "--yes"], ["show", word], ["update", word, "--text", "x"]):
        assert "is not an id" in cli.error(2, *command)
    assert "whole number" in cli.error(2, "recall", "note", "-k", word)
    said = cli.ok("chat", input=f"/forget {word}\n/quit\n")
    assert "takes ids" in said
    assert len(cli.ok("list", "-q").split()) == 12
    assert "forgot" in cli.ok("forget", "1", "--yes")


@pytest.mark.parametrize("option", ["--user", "--agent", "--session"])
@pytest.mark.parametrize("command", ["chat", "add x", "recall x", "list", "forget 1 --yes"])
def test_an_empty_id_is_no_scope(tmp_path: Path, command: str, option: str) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "note")
    message = cli.error(3, *command.split(), option, "")
    assert f"{option} must not be empty" in message
    assert "agentmem.ANY" not in message
    assert len(cli.ok("list", "-q").split()) == 1


# --- standard input ---


@pytest.mark.parametrize("command", ["add", "add -", "chat", "add --role user"])
def test_standard_input_is_closed(tmp_path: Path, command: str) -> None:
    cli = Cli(tmp_path)
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m agentmem {command} <&-"],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": ":".join(str(ROOT / part) for part in (".", "storage", "cli")),
            **cli.environment,
        },
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr.decode()
    assert done.stderr.decode().startswith("error: standard input is closed")
    assert not cli.store.exists()


TIMES = [
    date(2026, 5, 3),
    np.datetime64("2026-05-03"),
    np.datetime64("2026-05-03T00:00:00.000000000"),
    "2026-05-03",
]


@pytest.mark.parametrize("moment", TIMES, ids=repr)
def test_dates_and_numpy_s_times(memory: Memory, moment: Any) -> None:
    memory.add("tea", created_at=moment)
    memory.add({"role": "user", "content": "tea again", "timestamp": moment})
    assert [chunk.created_at for chunk in memory.list()] == [datetime(2026, 5, 3, tzinfo=UTC)] * 2
    assert len(memory.recall("tea", since=moment, now=moment)) == 2
    assert not memory.recall("tea", until=moment)
    assert memory.forget(before=moment, dry_run=True).ids == ()


NO_TIMES = [1e20, 10**20, float("inf"), np.datetime64("NaT"), np.datetime64("30000-01-01"), True]


@pytest.mark.parametrize("moment", NO_TIMES, ids=repr)
def test_what_is_no_time(memory: Memory, moment: Any) -> None:
    with pytest.raises(InputError):
        memory.add("tea", created_at=moment)
    for name in ("since", "until", "now"):
        with pytest.raises(InputError):
            memory.recall("tea", **{name: moment})


def test_metadata_take_numpy_s_values(memory: Memory) -> None:
    given = {"x": np.int64(3), "y": [np.bool_(True)], "z": {"f": np.float32(1.5)}}
    memory.add("tea", metadata=given)
    assert next(memory.list()).metadata == {"x": 3, "y": [True], "z": {"f": 1.5}}
    memory.update(1, metadata={"x": np.uint8(4)})
    assert [chunk.id for chunk in memory.list(where={"x": np.int64(4)})] == [1]
    for value in (np.float32("nan"), np.zeros(2), object()):
        with pytest.raises(InputError):
            memory.add("coffee", metadata={"x": value})


@pytest.mark.parametrize(
    "options",
    [{"model": 5}, {"min_fidelity": "1"}, {"min_fidelity": True}, {"model": b"x"}],
    ids=str,
)
def test_options_of_the_wrong_type(place: Path, model: ModelBundle, options: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        Memory(place, **{"model": model, **options})
    assert not place.exists()


@pytest.mark.parametrize(
    "location", ["odd/\ud800", "sqlite:///", "sqlite://", "sqlite:///\ud800.db"]
)
def test_a_location_that_names_nothing(location: str, model: ModelBundle) -> None:
    with pytest.raises(InputError):
        Memory(location, model=model)


@pytest.mark.parametrize(
    "many", [2**63 - 1, 2**63, 10**30, 10**5000], ids=lambda n: str(n.bit_length())
)
def test_a_limit_beyond_what_a_database_counts(
    filled: Memory, model: ModelBundle, tmp_path: Path, many: int
) -> None:
    every = filled.count()
    assert len(list(filled.list(limit=many))) == every
    assert len(list(filled.list(limit=many, newest_first=True))) == every
    assert sum(len(one.chunks) for one in filled.episodes(limit=many, before=many)) == every
    assert filled.episodes(before=-many) == ()
    assert len(filled.recall("tea", k=many)) <= every

    async def listed() -> int:
        async with AsyncMemory(":memory:", model=model) as memory:
            await memory.add("tea")
            return len([chunk async for chunk in memory.list(limit=many)])

    assert asyncio.run(listed()) == 1
    adapter = mem0.Memory(filled)
    assert len(adapter.get_all(filters={"user_id": "ana"}, top_k=many)["results"]) <= every
    if many < 10**100:
        cli = Cli(tmp_path)
        cli.ok("add", "tea")
        assert "tea" in cli.ok("list", "--limit", many)


CHOSEN = ("mode", "expand", "order", "rerank", "prefer")
ARRAYS = [np.array([1, 2]), np.array([]), np.array(["user"]), 10**5000]


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: getattr(value, "dtype", type(value)))
def test_arrays_and_huge_numbers_are_refused_by_name(filled: Memory, value: Any) -> None:
    calls: list[Callable[[], object]] = [
        *(partial(filled.recall, "note", **{name: value}) for name in CHOSEN),
        *(partial(filled.scoped, **{name: value}) for name in ("user_id", "session_id")),
        *(partial(filled.session, **{name: value}) for name in ("user_id", "agent_id")),
        partial(filled.as_tools, value),
        partial(filled.recall("note").pack, max_tokens=9, policy=value),
        partial(filled.recall("note").pack(max_tokens=9).to_messages, value),
        *(
            partial(filled.add, [{"role": "user", "content": "tea", name: value}])
            for name in ("content", "role", "id", "attachments", "toolResults")
        ),
    ]
    for call in calls:
        with suppress(InputError, TypeError):  # an id or a result may be a number, or a list
            call()
    for call in calls[: len(CHOSEN)]:
        with pytest.raises(InputError, match="unknown"):
            call()


@pytest.mark.parametrize("memory", [None, "notes", 5, Memory], ids=str)
def test_a_client_is_wrapped_around_a_memory(memory: Any) -> None:
    client = SimpleNamespace(messages=SimpleNamespace(create=lambda **_: None))
    with pytest.raises((InputError, TypeError), match="memory= is a Memory|session"):
        wrap(client, memory=memory)


FLAGS: list[Any] = [
    "false",
    "no",
    "",
    "x",
    None,
    0,
    1,
    2**70,
    0.0,
    float("nan"),
    [],
    np.array([1, 2]),
]


@pytest.mark.parametrize("value", FLAGS, ids=str)
def test_what_is_no_truth_value(filled: Memory, model: ModelBundle, value: Any) -> None:
    # "false", as of an environment variable, is true in Python, and None deleted.
    calls: list[Callable[[], object]] = [
        *(
            partial(Memory, ":memory:", model=model, **{name: value})
            for name in ("create", "preload")
        ),
        partial(Memory, ":memory:", model=model, keep_text=value),
        partial(filled.forget, [1], dry_run=value),
        partial(filled.gc, dry_run=value),
        partial(filled.list, newest_first=value),
        partial(filled.verify, decode=value),
        partial(filled.supersede, 1, 2, undo=value),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="must be True or False"):
            call()
    if value is not None:
        with pytest.raises(TypeError, match="audit must be True or False"):
            Memory(":memory:", model=model, audit=value)
    assert filled.count() == 5


def test_truth_values_of_numpy(filled: Memory, model: ModelBundle) -> None:
    yes, no = np.bool_(True), np.bool_(False)
    assert filled.forget([1], dry_run=yes).dry_run is True
    assert [chunk.id for chunk in filled.list(newest_first=yes)] == [5, 4, 3, 2, 1]
    with Memory(":memory:", model=model, keep_text=no, audit=yes) as memory:
        memory.add("tea")
        assert [one.op for one in memory.audit()] == ["began", "added"]


def test_an_id_of_thousands_of_digits(filled: Memory) -> None:
    huge = 10**5000
    calls: list[Callable[[], object]] = [
        lambda: filled.get(huge),
        lambda: filled.forget([huge]),
        lambda: filled.update(huge, text="x"),
        lambda: list(filled.list(source_id=huge)),
    ]
    for call in calls:
        with pytest.raises(InputError, match="not an id"):
            call()


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\u2060 \u00ad\n", "\u3164"], ids=ascii)
def test_invisible_text_is_blank(memory: Memory, text: str) -> None:
    with pytest.raises(InputError):
        memory.add(text)
    with pytest.raises(InputError, match="blank"):
        memory.recall(text)
    assert memory.add([text, "\u200bvisible"]).skipped == {"blank": 1}
    assert next(memory.list()).text == "\u200bvisible"


@pytest.mark.parametrize("damaged", ["'never'", "9e18", "9000000000000000000"])
def test_a_damaged_time_is_reported(memory: Memory, place: Path, damaged: str) -> None:
    memory.add(["I like tea", "I like coffee"])
    with closing(sqlite3.connect(place / "memory.db")) as database:
        database.execute(f"UPDATE sources SET created_at = {damaged} WHERE id = 1")
        database.commit()
    (found,) = memory.verify().damage
    assert found.id == 1
    assert "the time of source 1" in found.what or "created_at is text" in found.what
    with suppress(CorruptRecordError):  # and no other
        memory.recall("tea")
    assert len(list(memory.list())) == 2


def test_the_command_line_shows_local_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        cli = Cli(tmp_path)
        cli.ok("add", "Dentist visit\u202e", "--at", "2026-05-04")
        assert "2026-05-04  user: Dentist visit\\u202e" in cli.ok("list")
        assert "2026-05-04 00:00:00 JST" in cli.ok("show", "1")
        assert "2026-05-04" in (found := cli.ok("recall", "dentist"))
        assert "\u202e" not in found
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("time", [None, 1.0, "2026-05-03T10:00Z", datetime(2026, 5, 3)])
def test_a_clock_that_returns_no_time_with_a_zone(model: ModelBundle, time: Any) -> None:
    with Memory(":memory:", model=model, clock=lambda: time) as memory:
        for call in (memory.add, memory.recall):
            with pytest.raises(InputError, match="clock= must return a datetime with a zone"):
                call("The key is under the mat.")


def test_a_clock_that_is_none(model: ModelBundle) -> None:
    clock: Any = datetime(2026, 5, 3, tzinfo=UTC)
    with pytest.raises(InputError, match="clock= is a function"):
        Memory(":memory:", model=model, clock=clock)
