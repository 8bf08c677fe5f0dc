"""The working folder of the reading study: its items, and the answers decoded so far.

Items are made where there is a store and a corpus, answers where there is a GPU, and scores
anywhere: the folder is what travels between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from agentmem.errors import InputError
from benchmarks.reading.answers import Answer
from benchmarks.reading.items import Item


class WorkFolder:
    """A folder of items and answers; what it contains is not made again."""

    def __init__(self, folder: Path | None) -> None:
        """Open a folder, which is created if it is missing; None keeps nothing."""
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def items(self, make: Callable[[], Sequence[Item]]) -> list[Item]:
        """The items, made on first use.

        Raises:
            InputError: the file is damaged.
        """
        kept = self._read("items.json")
        if kept is not None:
            lists = ("memories", "expected", "wrong", "ranks")
            return [Item(**{**row, **{key: tuple(row[key]) for key in lists}}) for row in kept]
        items = list(make())
        self._write("items.json", [asdict(item) for item in items])
        return items

    def answers(
        self, decoding: str, make: Callable[[], Sequence[Answer]]
    ) -> tuple[list[Answer], dict[str, Any]]:
        """The answers of one decoding, made on first use, and the machine that decoded them.

        Raises:
            InputError: the file is damaged.
        """
        name = f"answers-{decoding}.json"
        kept = self._read(name)
        if kept is not None:
            return [Answer(**row) for row in kept["answers"]], kept["machine"]
        answers = list(make())
        machine = {
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        self._write(name, {"machine": machine, "answers": [asdict(one) for one in answers]})
        return answers, machine

    def _read(self, name: str) -> Any:
        if self._folder is None or not (self._folder / name).is_file():
            return None
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{name!r} is damaged, delete it: {error}") from error

    def _write(self, name: str, content: Any) -> None:
        if self._folder is not None:
            unfinished = self._folder / f"{name}.part"
            unfinished.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            unfinished.replace(self._folder / name)
