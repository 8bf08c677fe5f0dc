"""A memory whose embeddings are searched in Milvus: the verbs, and the commands."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.store import Store
from tests.support.cli import Cli, bundle
from tests.support.milvus import MilvusServer

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

TALK = [
    {"role": "user", "content": "I booked the 9:40 train to Lyon."},
    {"role": "assistant", "content": "Noted: the 9:40 to Lyon."},
    {"role": "user", "content": "My sister Clara lives in Berlin; she plays the cello."},
    {"role": "user", "content": "The meeting about the budget is on Friday."},
]
QUESTIONS = ["when is my train?", "who lives in Berlin?", "budget", "Clara"]


@pytest.fixture(autouse=True)
def _asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Milvus asked for what a small store would score by itself."""
    monkeypatch.setattr("agentmem_storage.sync.milvus.SCORED", 0)


def test_a_recall_is_that_of_another_index(milvus: MilvusServer, tmp_path: Path) -> None:
    with (
        Memory(tmp_path / "s", model=bundle()) as one,
        Memory(tmp_path / "t", model=bundle(), index=milvus.index) as other,
    ):
        for memory in (one, other):
            memory.add(TALK, user_id="ana")
            memory.add("Ben's train is late.", user_id="ben")
        other.reindex()
        for memory in (one, other):
            memory.update(memory.recall("budget", user_id="ana")[0].id, text="The budget is done.")
        for question in QUESTIONS:
            for scope in ({}, {"user_id": "ana"}):
                hits, also = (memory.recall(question, **scope) for memory in (one, other))
                assert [hit.id for hit in also] == [hit.id for hit in hits]
                assert [hit.score for hit in also] == pytest.approx([hit.score for hit in hits])
        assert other.verify().ok
        receipt = other.forget(user_id="ben")
        assert receipt.ids == one.forget(user_id="ben").ids
        assert not receipt.purged
        held = milvus.rows(other._store.store_id)
        assert sorted(held) == [chunk.id for chunk in other.list()]
        again = pickle.loads(pickle.dumps(other))
        assert [hit.text for hit in again.recall("Clara")] == [
            hit.text for hit in other.recall("Clara")
        ]
        again.close()


def test_another_embedder_fills_it_again(
    milvus: MilvusServer,
    tmp_path: Path,
    model: ModelBundle,
    forgetful_model: ModelBundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENTMEM_INDEX", milvus.index)
    with Memory(tmp_path / "s", model=model) as memory:
        memory.add(TALK, user_id="ana")
        memory.reindex()
    Memory.migrate(tmp_path / "s", model=forgetful_model, from_model=model)
    with Memory(tmp_path / "s", model=forgetful_model) as memory:
        found = memory.recall("Clara", user_id="ana", mode="vector")
        with Memory(tmp_path / "s", model=forgetful_model, index="exact") as exact:
            right = exact.recall("Clara", user_id="ana", mode="vector")
        assert [hit.score for hit in found] == [hit.score for hit in right]


def test_it_can_be_awaited(milvus: MilvusServer, tmp_path: Path, model: ModelBundle) -> None:
    async def ask() -> list[str]:
        async with AsyncMemory(tmp_path, model=model, index=milvus.index) as memory:
            await asyncio.gather(*(memory.add(one["content"], user_id="ana") for one in TALK))
            return [hit.text for hit in await memory.recall("Clara")]

    assert asyncio.run(ask())[0] == TALK[2]["content"]


def test_the_commands_read_the_environment(milvus: MilvusServer, tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.environment["AGENTMEM_INDEX"] = milvus.index
    cli.ok("add", TALK[0]["content"])
    cli.ok("add", TALK[2]["content"])
    cli.ok("reindex")
    with Store.open(tmp_path / "store", **binding(tmp_path / "store")) as store:
        assert sorted(milvus.rows(store.store_id)) == [1, 2]
        assert TALK[0]["content"] in cli.ok("recall", "when is my train?")
        assert cli.json("forget", "1", "--yes")["purged"] is False
        assert sorted(milvus.rows(store.store_id)) == [2]
    assert "no row of what was forgotten is left" in cli.ok("purge")


def binding(folder: Path) -> dict[str, Any]:
    bound = Store.binding(folder)
    return {"model": bound.model, "embedding_dims": bound.embedding_dims, "latents": bound.latents}
