"""Each chunk of a long cell of a table says which column it is of, and no word is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.ingest.chunk import chunk_text
from agentmem.ingest.importers.cells import labelled
from tests.support.examples import HALF
from tests.support.shipped import shipped_model

CELLS = {
    "prose": "The soup was cold, and nobody came for an hour. " * 60,
    "lines": "\n\n".join(f"{n}. figs, rye and {n} litres of milk" for n in range(90)),
    "unbroken": "\u732b" * 900,
    "accents": "Le café était très réussi, l'été passé. " * 80,
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_each_chunk_names_the_column(cell: str) -> None:
    text = "\n".join(["name: Ana", *labelled("review", cell)])
    chunks = chunk_text(text, shipped_model().tokenizer)
    assert len(chunks) > 2
    assert all("review: " in chunk.text for chunk in chunks)


@HALF
@given(st.text(), st.integers(1, 40))
def test_no_visible_character_is_lost(text: str, times: int) -> None:
    cell = text * times
    told = "".join(line.removeprefix("c: ") for line in labelled("c", cell))
    assert "".join(told.split()) == "".join(cell.split())


def test_a_short_cell_is_as_it_is() -> None:
    assert list(labelled("c", " likes\n\ntea ")) == ["c:  likes\n\ntea "]
