"""Maintenance over many stored chunks: verification and rebuilding the lexical index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import cast

from agentmem.context.decode import exact_texts
from agentmem.context.hits import Chunk
from agentmem.context.load import load_chunks
from agentmem.errors import (
    CorruptRecordError,
    StoreBusyError,
    StoreError,
    StoreMovedError,
    StoreUnwritableError,
)
from agentmem.ingest.encode import Progress
from agentmem.ingest.identity import content_hash, terms
from agentmem.models.base import MemoryModel
from agentmem.results import Damage, Verification
from agentmem.types import MESSAGE_ID, Part, Role
from agentmem_storage.records import (
    ANY_SCOPE,
    EVERYTHING,
    ChunkRecord,
    Problem,
    Quarantined,
    Scope,
    Selection,
    SourceRecord,
)
from agentmem_storage.store import Store

# Of the texts of chunks, by id, those of which the lexical index has other words.
Differing = Callable[[Mapping[int, str]], list[int]]
# How many chunks are decoded between two reports of progress.
_STEP = 64
# How many chunks are verified at once.
_BATCH = 256
# Only if others rebuild the lexical index at the same time, there is a second one.
_ROUNDS = 20
# How many equal parts of one message are told apart, which its content hash counts.
_REPEATS = 1000


def verify(
    store: Store,
    model: MemoryModel,
    scope: Scope,
    on_progress: Progress | None,
    *,
    decode: bool = True,
) -> Verification:
    """Check rows and checksums of a scope, then decode every text and compare it with its hash.

    What cannot be read is damage too, and does not end it.
    """
    checked, problems = find_problems(store, model, scope, on_progress, decode=decode)
    damage = tuple(Damage(one.chunk_id, one.what) for one in problems)
    kept: list[Quarantined] = []
    with suppress(StoreError):
        kept = store.quarantined(scope)
    return Verification(checked, damage, decoded=decode, quarantined=tuple(kept))


def find_problems(
    store: Store,
    model: MemoryModel,
    scope: Scope,
    on_progress: Progress | None = None,
    *,
    decode: bool = True,
) -> tuple[int, list[Problem]]:
    """How many chunks were checked, and what was found; see `verify`."""
    damage = list(store.check(scope))
    broken = {one.chunk_id for one in damage}
    ids: list[int] = []
    with _noting(damage):
        ids = store.ids(Selection(scope, expired=None)).tolist()
    if not decode:
        return len(ids), damage
    seen = checked = 0
    contents = _Contents(store)
    differing: Differing | None = None
    if scope == ANY_SCOPE:
        with _noting(damage):
            differing = store.indexed_words().differing
    for first in range(0, len(ids), _BATCH):
        part = ids[first : first + _BATCH]
        records = _readable(store, Selection(scope, ids=tuple(part), expired=None), damage)
        sound = [record for record in records if record.id not in broken]
        texts: dict[int, str] = {}
        for record, text in zip(sound, exact_texts(model, sound), strict=True):
            if isinstance(text, CorruptRecordError):
                damage.append(Problem(record.id, str(text), repair="chunk"))
            elif not _latents_match(model, record):
                what = f"{record.tokens} tokens do not fit its latents"
                damage.append(Problem(record.id, what, repair="chunk"))
            else:
                contents.add(record, text)
                texts[record.id] = text
        with _noting(damage):
            if differing is not None:
                damage += _other_words(store, differing, sound, texts)
            damage += contents.damage()
        seen, checked = seen + len(part), checked + len(sound)
        if on_progress is not None:
            on_progress(seen, len(ids))
    return checked, damage


def _other_words(
    store: Store,
    differing: Differing,
    records: Sequence[ChunkRecord],
    texts: Mapping[int, str],
) -> list[Problem]:
    """Damage of the lexical index, found by indexing texts again."""
    owners = {one.id: one for one in store.sources_present({one.source_id for one in records})}
    expected = {
        one.id: terms(texts[one.id], owners[one.source_id])
        for one in records
        if one.id in texts and one.source_id in owners and owners[one.source_id].damage is None
    }
    what = "the lexical index has other words than its text: reindex"
    return [Problem(id, what, repair="terms") for id in differing(expected)]


@contextmanager
def _noting(damage: list[Problem]) -> Iterator[None]:
    """Note what the store cannot read, and go on."""
    try:
        yield
    except (StoreBusyError, StoreMovedError, StoreUnwritableError):
        raise
    except StoreError as error:
        noted = Problem(None, str(error))
        if noted not in damage:
            damage.append(noted)


def _readable(store: Store, selection: Selection, damage: list[Problem]) -> list[ChunkRecord]:
    """Those of the selected chunks that can be read; the others are noted."""
    assert selection.ids is not None
    try:
        return [one for part in store.iterate(selection, keep_damaged=True) for one in part]
    except (StoreBusyError, StoreMovedError, StoreUnwritableError):
        raise
    except StoreError as error:
        if len(selection.ids) == 1:
            (id,) = selection.ids
            if not any(one.chunk_id == id for one in damage):
                damage.append(Problem(id, f"it cannot be read: {error}", repair="chunk"))
            return []
    middle = len(selection.ids) // 2
    halves = (selection.ids[:middle], selection.ids[middle:])
    return [one for ids in halves for one in _readable(store, replace(selection, ids=ids), damage)]


class _Contents:
    """Compares the texts of whole sources with the hashes of their content.

    Only of messages that nobody changed: the hash of another may be of what its metadata were.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._texts: dict[int, dict[int, str]] = defaultdict(dict)

    def add(self, record: ChunkRecord, text: str) -> None:
        """Note the text of a chunk."""
        self._texts[record.source_id][record.id] = text

    def damage(self) -> list[Problem]:
        """What is wrong with the sources that are complete, which are then let go."""
        found = []
        for source in self._store.sources_present(self._texts):
            texts = self._texts[source.id]
            if len(texts) < len(source.chunk_ids):
                continue
            del self._texts[source.id]
            text = "".join(texts.get(id, "") for id in source.chunk_ids)
            if not content_matches(source, text):
                what = f"the content hash of source {source.id} does not match its text"
                found.append(Problem(min(texts), what, repair="source", source_id=source.id))
        return found


def content_matches(source: SourceRecord, text: str) -> bool:
    """Whether a source has the content hash of a text; True where that cannot be known."""
    if source.changed or source.kind == "document" or source.content_hash is None or source.damage:
        return True
    part = _part(source, text)
    times = (None, source.created_at)
    repeats = range(_REPEATS if MESSAGE_ID in source.metadata else 1)
    hashes = (
        content_hash(replace(part, created_at=time, repeat=repeat))
        for repeat in repeats
        for time in times
    )
    return source.content_hash in hashes


def lexical_terms(store: Store, model: MemoryModel, selection: Selection) -> dict[int, str]:
    """The indexed text of chunks by id, without damaged ones."""
    found = _terms(store, model, selection)
    return {id: text for id, text in found.items() if text is not None}


def indexed_texts(store: Store, model: MemoryModel, ids: Sequence[int]) -> dict[int, str]:
    """As `lexical_terms`, of chunks by their ids."""
    return lexical_terms(store, model, Selection(ids=tuple(ids)))


def _terms(
    store: Store,
    model: MemoryModel,
    selection: Selection = EVERYTHING,
    on_progress: Progress | None = None,
) -> dict[int, str | None]:
    """The indexed text of chunks by id, of expired ones too; None for damaged ones.

    Args:
        store: The open store.
        model: Decodes the chunks.
        selection: Which chunks.
        on_progress: Called with the number of chunks decoded so far and the total.
    """
    found: dict[int, str | None] = {}
    selection = replace(selection, expired=None)
    total = 0 if on_progress is None else store.count(selection)
    for seen, chunk in enumerate(load_chunks(store, model, selection), start=1):
        text = _text(chunk)
        found[chunk.id] = None if text is None else terms(text, chunk.source)
        if on_progress is not None and (seen % _STEP == 0 or seen >= total):
            on_progress(seen, max(seen, total))
    return found


def rebuild_terms(store: Store, model: MemoryModel, on_progress: Progress | None = None) -> None:
    """Rebuild the lexical index from decoded texts, which is nearly all of the time it takes.

    What others add while the texts are decoded is decoded after them, and found from then on.
    """
    texts = _terms(store, model, on_progress=on_progress)
    left = store.rebuild_terms(texts.items())
    # Whatever is added after the first round is indexed by whoever adds it.
    for _ in range(_ROUNDS):
        if not left.size:
            return
        more: dict[int, str | None] = dict.fromkeys(left.tolist())
        more |= _terms(store, model, Selection(ids=tuple(more)))
        left = store.rebuild_terms(more.items(), keep=True)


def rebuild_stale_terms(
    store: Store, model: MemoryModel, on_progress: Progress | None = None
) -> None:
    """Rebuild the lexical index if it has terms of deleted chunks, or is of an older version."""
    if store.terms_stale:
        rebuild_terms(store, model, on_progress)


def stored_part(store: Store, model: MemoryModel, source: SourceRecord) -> Part:
    """A source as it was added, with a time only if it was added with one.

    Damaged or forgotten parts of its text are omitted, and its time then counts as given.
    """
    chunks = load_chunks(store, model, Selection(source_ids=(source.id,), expired=None))
    part = _part(source, "".join(_text(chunk) or "" for chunk in chunks))
    if content_hash(part) == source.content_hash:
        return part
    return replace(part, created_at=source.created_at)


def _part(source: SourceRecord, text: str) -> Part:
    return Part(
        source.kind,
        text,
        role=cast("Role | None", source.role),
        name=source.name,
        title=source.title,
        uri=source.uri,
        metadata=source.metadata,
        external_id=source.external_id,
        expires_at=source.expires_at,
    )


def _latents_match(model: MemoryModel, record: ChunkRecord) -> bool:
    """Whether the latents have the number of tokens and vectors recorded in the row."""
    try:
        return len(model.codec.unpack(record.latents, record.tokens)) == record.positions
    except ValueError:
        return False


def _text(chunk: Chunk) -> str | None:
    try:
        return chunk.text
    except CorruptRecordError:
        return None
