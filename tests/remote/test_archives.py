"""Archives by way of a service: the file and its passphrase are on the machine of the client."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import ArchiveError, FilterError, InputError, StoreUnwritableError
from agentmem.models.bundle.load import ModelBundle
from agentmem.remote import RemoteMemory
from agentmem.service.settings import Settings
from tests.support.service import ANA, running, tokens


def fill(memory: Memory) -> None:
    memory.add("Ana's locker is 17.", user_id="ana", id="locker", metadata={"n": 1})
    memory.add("Bo's locker is 88.", user_id="bo")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase that is tried in no time."""
    monkeypatch.setattr("agentmem_storage.archive.file.COST", 10)


@pytest.mark.usefixtures("cheap")
def test_files_are_those_of_memory(memory: Memory, tmp_path: Path, model: ModelBundle) -> None:
    fill(memory)
    expected = memory.export(tmp_path / "expected.amem")
    with running(memory) as url, RemoteMemory(url) as remote:
        made = remote.export(tmp_path / "made.amem")
        assert made.path.read_bytes() == expected.path.read_bytes()
        assert made.path.stat().st_mode & 0o777 == 0o600
        assert (made.memories, made.sources, made.file_bytes) == (
            *(expected.memories, expected.sources),
            expected.file_bytes,
        )
        sealed = remote.export(tmp_path / "sealed.amem", passphrase="a café", user_id="ana")
        assert b"locker" not in sealed.path.read_bytes()
        part = remote.export(tmp_path / "part.amem", where={"n": 1}, without={"user_id": "bo"})
        assert part.sources == sealed.sources == 1
        with pytest.raises(InputError, match="exists already"):
            remote.export(made.path)
        with pytest.raises(StoreUnwritableError, match="cannot write"):
            remote.export(tmp_path / "none" / "made.amem")
        with pytest.raises(FilterError, match="unknown operator"):
            remote.export(tmp_path / "x.amem", where={"n": {"roughly": 1}})
        assert not (tmp_path / "x.amem").exists()
    with Memory(tmp_path / "other", model=model) as other, running(other) as url:
        with RemoteMemory(url) as remote:
            with pytest.raises(ArchiveError, match="passphrase"):
                remote.load(sealed.path)
            assert remote.load(sealed.path, passphrase="a café").memories == 1
            loaded = remote.load(io.BytesIO(made.path.read_bytes()))
            assert (loaded.memories, loaded.duplicates) == (1, 1)
        assert [one.text for one in other.list(user_id="ana")] == ["Ana's locker is 17."]
        assert other.export(tmp_path / "again.amem").sources == 2


def test_what_is_not_loaded(memory: Memory, tmp_path: Path) -> None:
    fill(memory)
    whole = memory.export(tmp_path / "whole.amem").path
    memory.forget(where={"user_id": {"exists": True}})
    broken = tmp_path / "broken.amem"
    broken.write_bytes(whole.read_bytes()[:-1])
    with (
        running(memory, Settings(tokens=tokens(), max_body_bytes=2**20)) as url,
        RemoteMemory(url, token=ANA) as remote,
    ):
        with pytest.raises(InputError, match="cannot read"):
            remote.load(tmp_path / "missing.amem")
        with pytest.raises(ArchiveError, match="cut off"):
            remote.load(broken)
        with pytest.raises(InputError, match="bound to user_id='ana'"):
            remote.load(whole)  # says the service
    with running(memory) as url, RemoteMemory(url) as remote:
        with pytest.raises(InputError, match="bound to user_id='ana'"):
            remote.scoped(user_id="ana").load(whole)  # says the handle
        with RemoteMemory(url, require=("agent_id",)) as strict:
            with pytest.raises(InputError, match="require"):
                strict.load(whole)
        assert memory.count() == 0
        assert remote.load(whole).memories == 2
