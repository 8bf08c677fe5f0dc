"""Mends a damaged store: `agentmem.Memory.repair`."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.context.decode import exact_texts
from agentmem.errors import StoreBusyError, StoreError, StoreMovedError, StoreUnwritableError
from agentmem.ingest.encode import Progress
from agentmem.ingest.identity import preface, preface_ids
from agentmem.maintenance import find_problems, rebuild_stale_terms
from agentmem.models.base import MemoryModel
from agentmem.results import Damage, Repair
from agentmem_storage.records import ANY_SCOPE, Problem, Selection
from agentmem_storage.store import Store

# Mending one thing may bring another to light, such as words of a chunk that could not be read.
_ROUNDS = 3
_BATCH = 256


def repair(store: Store, model: MemoryModel, on_progress: Progress | None) -> Repair:
    """Rebuild what can be rebuilt, and take the rest out of use; see `agentmem.Memory.repair`."""
    _, problems = find_problems(store, model, ANY_SCOPE, on_progress)
    damage = _as_damage(problems)
    rebuilt: list[str] = []
    embedded: list[int] = []
    out: set[int] = set()
    for _ in range(_ROUNDS):
        if not problems:
            break
        try:
            done = store.repair(problems)
        except (StoreBusyError, StoreMovedError, StoreUnwritableError):
            raise
        except StoreError:
            break  # it cannot be written where it would have to be
        out.update(done.quarantined)
        embedded += _embed(store, model, done.embed)
        rebuild_stale_terms(store, model)
        rebuilt += done.rebuilt
        _, problems = find_problems(store, model, ANY_SCOPE)
    return Repair(
        damage,
        rebuilt=tuple(dict.fromkeys(rebuilt)),
        embedded=tuple(sorted(set(embedded))),
        quarantined=tuple(one for one in store.quarantined() if one.id in out),
        left=_as_damage(problems),
    )


def _as_damage(problems: Sequence[Problem]) -> tuple[Damage, ...]:
    return tuple(Damage(one.chunk_id, one.what) for one in problems)


def _embed(store: Store, model: MemoryModel, ids: Sequence[int]) -> list[int]:
    """Make embeddings again from texts; the ids of the chunks that got one."""
    done: list[int] = []
    for first in range(0, len(ids), _BATCH):
        selection = Selection(ids=tuple(ids[first : first + _BATCH]), expired=None)
        for records in store.iterate(selection, keep_damaged=True):
            texts = exact_texts(model, records)
            readable = [
                (record, text)
                for record, text in zip(records, texts, strict=True)
                if isinstance(text, str)
            ]
            owners = {
                one.id: one
                for one in store.sources_present({record.source_id for record, _ in readable})
            }
            embeddings = model.embed(
                [model.tokenizer.encode(text) for _, text in readable],
                prefaces=[
                    preface_ids(preface(owners[record.source_id]), model.tokenizer)
                    for record, _ in readable
                ],
            )
            pairs = zip(readable, embeddings, strict=True)
            store.replace_embeddings({record.id: one for (record, _), one in pairs})
            done += [record.id for record, _ in readable]
    return done
