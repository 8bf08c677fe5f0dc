"""A query with a run of 8,000 letters and digits took seconds: a pattern with quadratic time.

Every regular expression of the packages is found here, and searched in texts made to be hard for
it. What counts is how the time grows, in processor time of this thread, not how long it takes.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
import regex

import agentmem
import agentmem_cli
import agentmem_storage
from agentmem.context import escape
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.dates import named_interval
from agentmem.retrieval.focus import focused
from agentmem_storage import words
from agentmem_storage.patterns import LazyPattern
from agentmem_storage.text import normalized
from tests.support.cli import Cli

NOW = datetime(2024, 3, 13, tzinfo=UTC)
SMALL, TIMES = 1_000, 16
# Quadratic time would grow 256-fold; shorter than the floor, a measurement says little.
MOST, FLOOR_S = 48, 0.001
UNITS = ["a", "A", "1", " ", "\n", "\t", "-", "'", ".", ",", "?", "[", "]", "(", "#", "n't", "$"]
UNITS += ["!", "\u2026", "東", "é", "\u3000", "<", "<think>", "The ", "a "]
TEXTS = [*UNITS, *map("".join, product(["a", "1", " ", "."], ["-", "'", "1", "a", " ", "\n", "["]))]


def patterns() -> Iterator[tuple[str, Any]]:
    """All compiled patterns in attributes of modules, also inside of tuples, lists and dicts."""
    seen: dict[Any, str] = {}
    for package in (agentmem, agentmem_storage, agentmem_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            try:
                loaded = importlib.import_module(module.name)
            except ImportError:  # an extra that is not installed here
                continue
            for name, value in vars(loaded).items():
                for found in _inside(value):
                    seen.setdefault(found, f"{module.name}.{name}")
    return ((name, pattern) for pattern, name in seen.items())


def _inside(value: Any, depth: int = 3) -> Iterator[Any]:
    if isinstance(value, LazyPattern):
        value = value.compiled
    if isinstance(value, re.Pattern | regex.Pattern):
        yield value
    elif isinstance(value, tuple | list | dict) and depth:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _inside(item, depth - 1)


def work(run: Callable[[str], object], text: str) -> float:
    """The processor time of a run, in seconds."""
    began = time.thread_time()
    run(text)
    return time.thread_time() - began


def growth(run: Callable[[str], object], unit: str, end: str = "") -> float:
    """How many times as long sixteen times the text takes; the least of up to four tries."""
    least = math.inf
    for _ in range(4):
        small, large = (
            work(run, (unit * (size // len(unit) + 1))[:size] + end)
            for size in (SMALL, SMALL * TIMES)
        )
        least = min(least, large / max(small, FLOOR_S))
        if least < MOST:
            break
    return least


PATTERNS = list(patterns())


def test_the_patterns_are_found() -> None:
    modules = {name.rpartition(".")[0] for name, _ in PATTERNS}
    assert {
        "agentmem.ingest.chunk",
        "agentmem_storage.words.lexical",
        "agentmem_cli.diff",
    } <= modules
    assert len(PATTERNS) > 20


@pytest.mark.parametrize("pattern", [p for _, p in PATTERNS], ids=[name for name, _ in PATTERNS])
def test_the_time_of_a_pattern_grows_with_the_text(pattern: Any) -> None:
    def search(text: str) -> None:
        for _ in pattern.finditer(text):
            pass

    for unit in TEXTS:
        assert growth(search, unit) < MOST, unit
    # A run that matches to its end, and fails on what follows, from each of its places.
    for unit in ("?", ".", "-", "'", " ", "a", "1"):
        assert growth(search, unit, "x" if unit != "a" else "!") < MOST, unit


@pytest.mark.parametrize(
    "run", [words.phrases, words.index_text, normalized, lambda text: named_interval(text, NOW)]
)
@pytest.mark.parametrize("unit", ["a1", "a-", "a'", "1,", "東", "May ", "from ", "3 and "])
def test_the_time_of_what_reads_a_query_grows_with_it(
    run: Callable[[str], object], unit: str
) -> None:
    assert growth(run, unit) < MOST


@pytest.mark.parametrize(
    "run", [escape.inert, escape.name, escape.unforged], ids=lambda run: run.__name__
)
@pytest.mark.parametrize("unit", [" ", "\n", "\u3000", "/", "< ", "(1 ", "- "])
@pytest.mark.parametrize("start", ["<", "[", "\u2039", "a\n"])
def test_the_time_of_making_a_text_inert_grows_with_it(
    run: Callable[[str], str], unit: str, start: str
) -> None:
    assert growth(lambda text: run(start + text), unit) < MOST


@pytest.mark.parametrize("unit", ["a1", "is it so ", "? ", "a. ", "?", "so ", "\u2026!"])
@pytest.mark.parametrize("end", ["", "x"])
def test_the_time_of_finding_the_question_grows_with_the_text(
    unit: str, end: str, model: ModelBundle
) -> None:
    assert growth(lambda text: focused(text, model.tokenizer), unit, end) < MOST


def test_the_command_line_takes_a_run_of_letters_and_digits(tmp_path: Any) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "The code is a1b2.")
    (hit,) = cli.json("recall", "code " + "a1" * 50_000, "--mode", "lexical")["hits"]
    assert hit["text"] == "The code is a1b2."
