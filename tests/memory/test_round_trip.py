"""Export, load into an empty store, export: the same bytes, whatever the store has been through."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentmem import Document, Memory, Message
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SCOPES: tuple[dict[str, str], ...] = (
    {},
    {"user_id": "ana"},
    {"user_id": "ana", "session_id": "s"},
    {"user_id": "bo", "agent_id": "x", "session_id": "s"},
)
# Few texts, so that they are said again; two contradict each other.
TEXTS = ("ok", "I live in Paris", "I live in Rome now", "word " * 300)
TIMES = ("2026-04-01", "2026-04-01T10:00:00+02:00", "2019-02-03T04:05:06.000007Z")

added = st.fixed_dictionaries(
    {
        "text": st.sampled_from(TEXTS) | st.text(min_size=1),
        "kind": st.sampled_from(("user", "assistant", "system", "document")),
        "name": st.none() | st.sampled_from(("Ana", "Bo")),
        "created_at": st.none() | st.sampled_from(TIMES),
        "expires_at": st.none() | st.just("2031-01-01T00:00:00Z"),
        "external_id": st.none() | st.sampled_from(("a", "b")),
        "metadata": st.dictionaries(
            st.sampled_from(("n", "tags")),
            st.integers(-5, 5) | st.floats(0, 1) | st.text(max_size=3) | st.lists(st.booleans()),
        ),
        "scope": st.sampled_from(SCOPES),
    }
)
changed = st.tuples(
    st.sampled_from(("text", "metadata", "expiry", "forget", "supersede")),
    st.integers(0, 20),
    st.integers(0, 20),
)


def apply(memory: Memory, step: Any) -> None:
    """Add something, or change what is there; what the memory refuses changes nothing."""
    with suppress(InputError, UnknownIdError):
        if isinstance(step, dict):
            _add(memory, **step)
            return
        kind, one, other = step
        ids = [chunk.id for chunk in memory.list()]
        if not ids:
            return
        id, second = ids[one % len(ids)], ids[other % len(ids)]
        if kind == "text":
            memory.update(id, text=TEXTS[other % len(TEXTS)])
        elif kind == "metadata":
            memory.update(id, metadata={"n": other})
        elif kind == "expiry":
            memory.update(id, expires_at=None if other % 2 else "2030-01-01")
        elif kind == "forget":
            memory.forget([id])
        else:
            memory.supersede(id, second)


def _add(
    memory: Memory, *, text: str, kind: Any, name: str | None, scope: dict[str, str], **more: Any
) -> None:
    if kind == "document":
        memory.add(Document(text, title=name, **more), **scope)
    else:
        memory.add(Message(text, kind, name=name, **more), **scope)


def seen(memory: Memory) -> list[Any]:
    """What a reader sees of a store, without ids."""
    chunks = list(memory.list())
    place = {chunk.id: at for at, chunk in enumerate(chunks)}
    return [
        [
            (
                chunk.text,
                chunk.span,
                chunk.embedding.tolist(),
                {
                    name: getattr(chunk.source, name)
                    for name in (
                        *("scope", "kind", "role", "name", "title", "created_at", "added_at"),
                        *("metadata", "external_id", "expires_at", "content_hash", "changed"),
                    )
                },
                [source.text for source in memory.history(chunk.id)],
            )
            for chunk in chunks
        ],
        # Their order is that of ids, which a file has not.
        sorted([place[one.id] for one in episode.chunks] for episode in memory.episodes(limit=99)),
        sorted((c.score, place[c.old], place[c.new]) for c in memory.conflicts()),
        [
            (hit.text, [one.created_at for one in hit.occurrences])
            for hit in memory.recall("ok", user_id="ana", k=99, mode="lexical")
        ],
        sorted(map(str, memory.scopes())),
    ]


@given(steps=st.lists(added | changed, min_size=1, max_size=8))
def test_whatever_a_store_has_been_through(steps: list[Any], model: ModelBundle) -> None:
    with (
        TemporaryDirectory() as name,
        Memory(":memory:", model=model, clock=lambda: NOW) as memory,
        Memory(":memory:", model=model, clock=lambda: NOW) as other,
    ):
        folder = Path(name)
        for step in steps:
            apply(memory, step)
        made = memory.export(folder / "a.amem")
        loaded = other.load(made.path)
        assert (loaded.memories, loaded.sources) == (made.memories, made.sources)
        assert other.verify(decode=False).ok
        again = other.export(folder / "b.amem")
        assert again.path.read_bytes() == made.path.read_bytes()
        assert seen(other) == seen(memory)
        # A store that has all of it stays as it is.
        assert memory.load(made.path).sources == 0
        assert memory.export(folder / "c.amem").path.read_bytes() == made.path.read_bytes()
