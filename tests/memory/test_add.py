"""`Memory.add`: exact round trips, receipts, and deduplication."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Document, Memory, Message, Receipt
from agentmem.models.bundle.load import ModelBundle

Texts = Callable[[Memory, Receipt], list[str]]

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
FORMS: dict[str, tuple[Any, list[str]]] = {
    "string": ("Booked the 9:40 to Lyon\n", ["Booked the 9:40 to Lyon\n"]),
    "Message": (Message("Ça va ?", "assistant", name="Ada"), ["Ça va ?"]),
    "OpenAI chat": ({"role": "system", "content": " Be brief. "}, [" Be brief. "]),
    "OpenAI blocks": (
        {"role": "user", "content": [{"type": "text", "text": "What is\tthis?"}, IMAGE]},
        ["What is\tthis?"],
    ),
    "OpenAI tool call": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":  "Lyon"}'},
                }
            ],
        },
        ['weather({"city":  "Lyon"})'],
    ),
    "OpenAI tool result": (
        {"role": "tool", "tool_call_id": "c1", "content": '{"c": 21}\r\n'},
        ['{"c": 21}\r\n'],
    ),
    "OpenAI Responses items": (
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c2", "output": "noon"},
        ],
        ["hi", "now({})", "noon"],
    ),
    "Anthropic blocks": (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "ä.md"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "# Ä\n"}],
            },
        ],
        ["Let me look.", 'read({"path": "ä.md"})', "# Ä\n"],
    ),
    "named speaker": ({"name": "Melanie", "content": "Hey Caroline!"}, ["Hey Caroline!"]),
    "Document": (Document("# Title\n\nA line.\n", title="note"), ["# Title\n\nA line.\n"]),
    "Document in pieces": (Document(["one ", "\r", "\ntwo"]), ["one \r\ntwo"]),
    "mixed list": (
        ["first", Message("second"), {"role": "user", "content": "third"}, Document("fourth")],
        ["first", "second", "third", "fourth"],
    ),
}


@pytest.fixture(scope="module", params=[False, True], ids=["text not kept", "text kept"])
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model: ModelBundle,
) -> Iterator[Memory]:
    """One store for many examples, each of which has a user of its own."""
    place = tmp_path_factory.mktemp("shared")
    with Memory(place, model=model, keep_text=request.param) as memory:
        yield memory


users = count()


def new_user() -> str:
    return f"user {next(users)}"


@pytest.mark.parametrize(("content", "expected"), FORMS.values(), ids=FORMS.keys())
def test_every_form_comes_back_byte_for_byte(
    shared: Memory, texts: Texts, content: Any, expected: list[str]
) -> None:
    receipt = shared.add(content, user_id=new_user())
    assert [text.encode() for text in texts(shared, receipt)] == [t.encode() for t in expected]
    assert [shared.get(id).text for id in receipt.ids] == expected


def test_files_and_iterators_come_back_byte_for_byte(
    shared: Memory, texts: Texts, tmp_path: Path
) -> None:
    data = "\ufeffZeile eins\r\nZeile zwei\n\n日本語\x00\x1f\n".encode()
    (tmp_path / "file.md").write_bytes(data)
    receipt = shared.add(
        (item for item in (Document.from_file(tmp_path / "file.md"), "then this")),
        user_id=new_user(),
    )
    assert [text.encode() for text in texts(shared, receipt)] == [data, b"then this"]


@pytest.mark.parametrize("keep", [False, True])
def test_text_is_stored_only_if_it_is_to_be_kept(
    tmp_path: Path, model: ModelBundle, keep: bool
) -> None:
    with Memory(tmp_path, model=model, keep_text=keep) as memory:
        memory.add("Booked the 9:40 to Lyon")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (b"Booked the 9:40 to Lyon" in stored) is keep


# Blank texts are refused, so these are not.
anything = st.text(min_size=1, max_size=300).filter(str.strip)
items = st.one_of(
    anything,
    anything.map(Message),
    anything.map(Document),
    anything.map(lambda text: {"role": "assistant", "content": text}),
    anything.map(lambda text: {"role": "user", "content": [{"type": "text", "text": text}]}),
    st.lists(anything, min_size=1, max_size=3).map(Document),
)


def said(item: Any) -> str:
    """The text of one of `items`."""
    if isinstance(item, str):
        return item
    if isinstance(item, Message):
        return item.content
    if isinstance(item, Document):
        return "".join(item.text)
    content = item["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


@given(text=anything)
def test_any_unicode_text_comes_back(shared: Memory, texts: Texts, text: str) -> None:
    receipt = shared.add(text, user_id=new_user())
    assert texts(shared, receipt) == [text]


@given(content=st.lists(items, min_size=1, max_size=6))
def test_any_mixed_list_comes_back_in_order(
    shared: Memory, texts: Texts, content: list[Any]
) -> None:
    receipt = shared.add(content, user_id=new_user())
    assert texts(shared, receipt) == [said(item) for item in content]


def long_text(seed: int, chars: int) -> str:
    """Prose, Markdown, code, rare signs and lines without spaces, in a random order."""
    chance = random.Random(seed)
    makers: list[Callable[[], str]] = [
        lambda: " ".join(chance.choices(["so", "the", "memory", "held", "Straße"], k=30)) + ". ",
        lambda: f"\n\n## Heading {chance.random()}\n\n",
        lambda: "".join(chr(chance.randrange(0x20, 0xD800)) for _ in range(80)),
        lambda: "".join(chance.choices("日本語の記憶。👩‍🚀é", k=60)),
        lambda: "x" * chance.randrange(400),
        lambda: "\tif x:\r\n\t\treturn None\r\n",
    ]
    text = ""
    while len(text) < chars:
        text += chance.choice(makers)()
    return text


def test_the_newest_first(shared: Memory) -> None:
    user = new_user()
    ids = shared.add([f"note {n}" for n in range(5)], user_id=user).ids
    replaced = shared.update(ids[3], text="note three").ids
    newest = [chunk.id for chunk in shared.list(user_id=user, newest_first=True)]
    assert newest == [ids[4], *replaced, ids[2], ids[1], ids[0]]


@pytest.mark.parametrize("seed", range(3))
def test_the_chunks_of_a_long_document_tile_it(shared: Memory, seed: int) -> None:
    text = long_text(seed, 15_000)
    receipt = shared.add(Document(text, title="long"), user_id=new_user())
    (source_id,) = receipt.sources
    chunks = list(shared.list(source_id=source_id))
    assert tuple(chunk.id for chunk in chunks) == receipt.ids
    assert len(chunks) > 20
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(text[slice(*chunk.span)] == chunk.text for chunk in chunks)
    assert max(chunk.tokens for chunk in chunks) <= 256


@pytest.mark.parametrize("keep", [False, True], ids=["text not kept", "text kept"])
def test_receipts_add_up_to_the_stats(
    tmp_path: Path, forgetful_model: ModelBundle, keep: bool
) -> None:
    with Memory(tmp_path / "store", model=forgetful_model, keep_text=keep) as memory:
        receipts = [
            memory.add("Booked the 9:40 to Lyon", user_id="ana"),
            memory.add([Document(long_text(7, 3000)), "日本語", "🙂" * 40]),
            memory.add("Booked the 9:40 to Lyon", user_id="ana"),
        ]
        stats = memory.stats()
        chunks = list(memory.list())

        def total(name: str) -> int:
            return sum(getattr(receipt, name) for receipt in receipts)

        assert stats.patch_bytes > 0
        assert total("tokens") == stats.tokens == sum(chunk.tokens for chunk in chunks)
        assert total("positions") == stats.positions == sum(c.positions for c in chunks)
        assert total("latent_bytes") == stats.latent_bytes
        assert total("patch_bytes") == stats.patch_bytes
        assert total("stored_bytes") == sum(chunk.stored_bytes for chunk in chunks)
        assert total("stored_bytes") == (
            stats.latent_bytes + stats.patch_bytes + stats.embedding_bytes + stats.text_bytes
        )
        assert (stats.memories, stats.sources, stats.scopes) == (len(chunks), 4, 2)
        assert sum(number for _, number in stats.fidelity) == stats.memories
        right = sum(chunk.fidelity * chunk.tokens for chunk in chunks)
        assert sum(r.fidelity * r.tokens for r in receipts) == pytest.approx(right)
        assert (stats.text_bytes > 0) is keep


class TestDuplicates:
    """The rules stand in `agentmem.ingest.identity`; more is in `tests/faults`."""

    def test_the_same_message_three_times_is_one_memory(self, memory: Memory) -> None:
        first, *others = [memory.add("I am vegan", user_id="ana") for _ in range(3)]
        assert first.duplicates == ()
        assert [r.ids for r in others] == [first.ids, first.ids]
        assert [r.duplicates for r in others] == [first.ids, first.ids]
        assert [(r.tokens, r.stored_bytes, r.fidelity) for r in others] == [(0, 0, 1.0)] * 2
        assert [chunk.text for chunk in memory.list()] == ["I am vegan"]

    def test_the_same_message_at_two_times_is_two_memories(self, memory: Memory) -> None:
        at = [datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2, 1)]
        a, b, again = [memory.add("I am vegan", created_at=moment).ids for moment in at]
        assert len({*a, *b}) == 2
        assert again == a

    def test_one_moment_in_two_zones_is_one(self, memory: Memory) -> None:
        noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
        in_paris = noon.astimezone(timezone(timedelta(hours=2)))
        ids = [memory.add("I am vegan", created_at=moment).ids for moment in (noon, in_paris)]
        assert ids[0] == ids[1]

    def test_another_scope_has_its_own(self, memory: Memory) -> None:
        scopes: list[dict[str, Any]] = [
            {},
            {"user_id": "ana"},
            {"user_id": "bob"},
            {"user_id": "ana", "session_id": "s"},
            {"agent_id": "ana"},
        ]
        ids = [memory.add("I am vegan", **scope).ids for scope in scopes]
        assert len(set(ids)) == len(scopes)
        assert memory.stats().memories == len(scopes)

    def test_repeated_inside_one_call_is_said_twice(self, memory: Memory) -> None:
        receipt = memory.add(["I am vegan", "and so is Bob", "I am vegan"])
        assert len(set(receipt.ids)) == 3
        assert receipt.duplicates == ()
        assert memory.stats().memories == 3

    def test_what_is_repeated_is_encoded_once(self, memory: Memory) -> None:
        seen: list[tuple[int, int]] = []
        memory.add(["I am vegan", "I am vegan"], on_progress=lambda *done: seen.append(done))
        assert seen == [(1, 1)]

    def test_a_part_of_a_duplicate_is_no_duplicate(self, memory: Memory) -> None:
        memory.add("I am vegan")
        for other in ({"role": "assistant", "content": "I am vegan"}, Document("I am vegan")):
            assert memory.add(other).duplicates == ()

    def test_after_a_part_is_forgotten_it_can_be_added_again(self, memory: Memory) -> None:
        text = long_text(1, 3000)
        ids = memory.add(Document(text)).ids
        memory.forget(ids[:1])
        again = memory.add(Document(text))
        assert again.duplicates == ()
        assert "".join(memory.get(id).text for id in again.ids) == text


def test_images_are_counted_in_the_receipt(memory: Memory) -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AA=="}}
    content = [IMAGE, IMAGE, picture, {"type": "text", "text": "Look!"}]
    receipt = memory.add({"role": "user", "content": content})
    assert receipt.skipped == {"image_url": 2, "image": 1}
    assert [memory.get(id).text for id in receipt.ids] == ["Look!"]


def test_a_message_of_only_an_image_gives_an_empty_receipt_that_says_so(memory: Memory) -> None:
    receipt = memory.add({"role": "user", "content": [IMAGE]})
    assert receipt.skipped == {"image_url": 1}
    assert (receipt.ids, receipt.sources, receipt.tokens, receipt.fidelity) == ((), (), 0, 1.0)
    assert memory.stats().memories == 0


def test_all_fields_of_a_message_are_stored(memory: Memory) -> None:
    at = datetime(2026, 2, 13, 9, 40, 1, 234567, tzinfo=timezone(timedelta(hours=1)))
    receipt = memory.add(
        [
            Message("Hi", "assistant", name="Ada", created_at=at, metadata={"n": [1, {"ü": None}]}),
            Document("Text", title="Note", uri="file:///n.md"),
        ],
        user_id="ana@example.org",
        agent_id="🤖",
        session_id="a b",
        created_at="2026-01-01T00:00:00",
        metadata={"channel": "web", "n": 0},
    )
    said, note = [memory.get(id) for id in receipt.ids]
    assert (said.role, said.name, said.source.kind) == ("assistant", "Ada", "message")
    assert said.created_at == at
    assert said.metadata == {"channel": "web", "n": [1, {"ü": None}]}
    assert (note.source.title, note.source.uri, note.role) == ("Note", "file:///n.md", None)
    assert note.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert note.metadata == {"channel": "web", "n": 0}
    scope = said.scope
    assert (scope.user_id, scope.agent_id, scope.session_id) == ("ana@example.org", "🤖", "a b")


def test_progress_is_reported_up_to_the_last_chunk(memory: Memory) -> None:
    calls: list[tuple[int, int]] = []
    memory.add([f"note {n}" for n in range(300)], on_progress=lambda *done: calls.append(done))
    assert calls[-1] == (300, 300)
    assert calls == sorted(calls)


def test_the_same_input_gives_the_same_bytes_in_every_store(
    tmp_path: Path, forgetful_model: ModelBundle
) -> None:
    def stored(place: Path) -> list[tuple[Any, ...]]:
        with Memory(place, model=forgetful_model) as memory:
            memory.add([Document(long_text(3, 4000)), "Booked the 9:40 to Lyon", "日本語🙂"])
        return rows(place)

    first = stored(tmp_path / "a")
    assert first == stored(tmp_path / "b")
    assert any(patch for _, _, patch in first)


def rows(place: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        return connection.execute("SELECT latents, key, patch FROM chunks ORDER BY id").fetchall()
