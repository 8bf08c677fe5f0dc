"""The library of frames and pools, read from the data files once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.frames import Frame, lines_of, read_frame
from agentmem.training.reader.personal.nodes import Pool
from agentmem.training.reader.personal.templates import TemplateReader

DATA: Final = Path(__file__).with_name("data")

_NEEDED_POOLS: Final = (
    "opener", "before", "after", "chat", "assistant_chat", "ack", "ack_after", "question_opener",
    "list_opener", "link", "ramble", "woman", "man",
)  # fmt: skip


@dataclass(frozen=True)
class Library:
    """All frames, word pools and names, ready to draw from."""

    frames: tuple[Frame, ...]
    topics: Mapping[str, tuple[Frame, ...]]
    pools: Mapping[str, Pool]
    names: Mapping[str, tuple[str, ...]]


def _read_pools() -> dict[str, list[str]]:
    pools: dict[str, list[str]] = {}
    tables = tomllib.loads((DATA / "pools.toml").read_text("utf-8"))
    for name, text in tables["words"].items():
        words = (word.strip(" ,") for word in text.replace("\n", " ").split(", "))
        pools[name] = [word for word in words if word]
    for name, text in tables["sentences"].items():
        pools[name] = lines_of(text, f"pools.toml {name}")
    for needed in _NEEDED_POOLS:
        if not pools.get(needed):
            raise DataError(f"pools.toml: the pool {needed!r} is missing or empty")
    pools["name"] = [*pools["woman"], *pools["man"]]
    return pools


@cache
def load_library() -> Library:
    """Read the data files once.

    Raises:
        DataError: A file breaks a rule of the template language or of the frames.
    """
    pools = _read_pools()
    names = {"f": tuple(pools["woman"]), "m": tuple(pools["man"])}
    reader = TemplateReader(pools)
    frames: list[Frame] = []
    faults: list[str] = []
    for path in sorted(DATA.glob("*.toml")):
        if path.stem == "pools":
            continue
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{path.name}: {error}") from None
        for name, table in tables.items():
            try:
                frames.append(read_frame(name, path.stem, table, reader))
            except DataError as error:
                faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    if len({frame.name for frame in frames}) != len(frames):
        raise DataError("two frames have the same name")
    topics: dict[str, list[Frame]] = {}
    for frame in frames:
        topics.setdefault(frame.topic, []).append(frame)
    return Library(
        tuple(frames), {key: tuple(value) for key, value in topics.items()}, reader.pools, names
    )
