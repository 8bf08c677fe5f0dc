"""A document as a dict was answered with "a dict needs a 'role'", whatever was wrong with it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import InputError
from agentmem.ingest.normalize import normalize
from agentmem.testing import tiny_model
from agentmem_cli.exits import ExitCode
from tests.support.cli import Cli
from tests.support.service import client

WRONG: list[tuple[Any, str]] = [
    ({"text": 5}, "text must be a string"),
    ({"text": None}, "text must be a string"),
    ({"text": {"a": "b"}}, "text must be a string"),
    ({"text": " "}, "only whitespace"),
    ({"text": "x", "title": 5}, "title"),
    ({"text": "x", "metadata": 5}, "metadata"),
    ({"text": "x", "created_at": "soon"}, "soon"),
    ({"text": "x", "body": "y"}, "no 'body'; it has text, title"),
    ({"title": "x"}, "a document is {'document': {'text'"),
    ("words", "a document is {'document': {'text'"),
    (None, "a document is {'document': {'text'"),
]


@pytest.mark.parametrize(("given", "why"), WRONG, ids=[str(given) for given, _ in WRONG])
def test_what_is_wrong_with_a_document_is_told(given: Any, why: str) -> None:
    for content in ({"document": given}, [{"document": given}], ["x", {"document": given}]):
        with pytest.raises(InputError, match="document|message") as refused:
            normalize(content)
        assert why in str(refused.value)
        assert "needs a 'role'" not in str(refused.value)


def test_every_entry_tells_what_is_wrong(tmp_path: Path) -> None:
    wrong = {"document": {"text": 5}}

    async def add() -> None:
        async with AsyncMemory(":memory:", model=tiny_model()) as memory:
            await memory.add(wrong)

    with pytest.raises(InputError, match="text must be a string"):
        asyncio.run(add())
    file = tmp_path / "one.json"
    file.write_text(json.dumps(wrong))
    cli = Cli(tmp_path / "cli")
    for command in (("add", "--file", file), ("import", file)):
        assert "text must be a string" in cli.error(ExitCode.INPUT, *command)
    with Memory(":memory:", model=tiny_model()) as memory, client(memory) as service:
        for content in (wrong, ["x", wrong]):
            answer = service.post("/v1/memories", json={"content": content})
            assert (answer.status_code, "text must be a string" in answer.text) == (400, True)
        assert memory.count() == 0


def test_a_dict_is_the_document_with_its_fields(tmp_path: Path) -> None:
    fields = {"title": "T", "uri": "u", "metadata": {"a": 1}, "external_id": "e"}
    given = {"document": {"text": "A page.", **fields}}
    assert normalize(given) == normalize(Document("A page.", **fields))  # type: ignore[arg-type]
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(given))
    cli = Cli(tmp_path / "cli")
    assert cli.json("import", file)["memories"] == 1
    (one,) = cli.ok("list", "--json").splitlines()
    assert (json.loads(one)["kind"], json.loads(one)["title"]) == ("document", "T")
