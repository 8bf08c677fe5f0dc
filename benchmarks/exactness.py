"""Exactness benchmark: whether real data come back byte for byte, with no text stored.

Every file's conversations and documents are added to a store on disk, which is closed and reopened;
then every source is read back and compared with what was added.
"""

from __future__ import annotations

import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from agentmem import Document, Memory
from agentmem.corpus import read_records
from agentmem.evaluation.datasets import read_conversations
from agentmem.evaluation.result import build_result, write_result
from benchmarks.command import run

Content = list[dict[str, Any]] | Document


def main(
    data: Annotated[list[Path], typer.Option(help="corpus files, or LoCoMo's file")],
    json: Annotated[Path, typer.Option(help="where the result goes")],
    limit: Annotated[int, typer.Option(help="records of each corpus file")] = 500,
    threads: Annotated[int, typer.Option(help="threads that encode")] = 2,
) -> None:
    """Measure, and write the result file; exit code 1 if anything differs."""
    began = time.perf_counter()
    files = {path.name: _file(path, limit, threads) for path in data}
    result = build_result(
        "exactness",
        config={"data": [path.name for path in data], "limit": limit, "keep_text": False},
        seed=0,
        seconds=time.perf_counter() - began,
        results={"files": files},
        threads=threads,
    )
    write_result(json, result)
    typer.echo(result.to_json())
    raise typer.Exit(any(figures["differing"] for figures in files.values()))


def _file(path: Path, limit: int, threads: int) -> dict[str, Any]:
    contents = list(_contents(path, limit))
    expected: dict[int, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        with Memory(folder, threads=threads) as memory:
            for number, content in enumerate(contents):
                receipt = memory.add(content, session_id=str(number))
                expected |= zip(receipt.sources, _texts(content), strict=True)
        with Memory(folder, threads=threads) as memory:
            found: dict[int, list[str]] = {source: [] for source in expected}
            kept = 0
            for chunk in memory.list():
                found[chunk.source.id].append(chunk.text)
                kept += chunk.text_stored
            stats = memory.stats()
    read = {source: "".join(texts).encode() for source, texts in found.items()}
    return {
        "records": len(contents),
        "sources": len(expected),
        "differing": sum(read[source] != text for source, text in expected.items()),
        "texts_kept": kept,
        "tokens": stats.tokens,
        "bytes_per_token": stats.bytes_per_token,
    }


def _contents(path: Path, limit: int) -> list[Content]:
    if path.suffix == ".json":
        return [
            [{"name": turn.speaker, "content": turn.content, "at": turn.at} for turn in talk.turns]
            for talk in read_conversations(path).conversations
        ]
    return [
        record["messages"] if "messages" in record else Document(record["text"])
        for record in islice(read_records(path), limit)
    ]


def _texts(content: Content) -> list[bytes]:
    if isinstance(content, Document):
        return [str(content.text).encode()]
    return [message["content"].encode() for message in content]


if __name__ == "__main__":
    run(main)
