"""`MemoryReader` on real hits with a tiny random model: what it reads, cites and leaves out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentmem import Memory
from agentmem.chat.answerers import ChatAnswerer
from agentmem.chat.reader import Answer, MemoryReader, memory_lines
from agentmem.context.hits import Hit
from agentmem.errors import InputError, ModelNotFoundError
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.reader.reader import Reading, StatesReader
from agentmem.models.reader.saving import save_reader
from tests.support.language_models import reading_model, save_lm, tiny_lm

SAID = ("I booked the train to Lyon.", "My dog is called Rex.", "It leaves at 9:40.")
QUESTION = "when does my train leave?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reader")
    save_lm(root / "tiny")
    save_reader(reading_model(tiny_lm(), language_model="test/tiny"), root / "reader")
    return root


@pytest.fixture(scope="module")
def reader(folder: Path) -> MemoryReader:
    return MemoryReader.from_pretrained(folder / "reader", language_model=folder / "tiny")


@pytest.fixture(scope="module")
def hits(model: ModelBundle) -> Any:
    with Memory(":memory:", model=model) as memory:
        for day, text in enumerate(SAID, start=1):
            memory.add(
                [{"role": "user", "content": text, "name": "Ana"}],
                user_id="ana",
                created_at=datetime(2026, 5, day, tzinfo=UTC),
            )
        found = list(memory.recall(QUESTION, user_id="ana", k=3))
        assert len(found) == 3
        assert all(hit.text for hit in found)
        yield found


def test_an_answer(reader: MemoryReader, hits: Any) -> None:
    pieces: list[str] = []
    answer = reader.answer(QUESTION, hits, max_tokens=6, on_text=pieces.append)
    assert answer.text
    assert "".join(pieces) == answer.text
    assert answer.confidence is not None
    assert 0 < answer.confidence <= 1
    assert {c.id for c in answer.citations} <= {hit.id for hit in hits}
    shares = [c.share for c in answer.citations]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert answer.left_out == 0
    assert reader.answer(QUESTION, hits[::-1], max_tokens=6).text == answer.text


def test_they_are_read_in_the_order_of_time_with_speaker_and_day(
    reader: MemoryReader, hits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def read(self: StatesReader, question: str, lines: list[str], **options: Any) -> Reading:
        seen.append(lines)
        return Reading(None, 0.5, (0.2, 0.0, 0.8))

    monkeypatch.setattr(StatesReader, "read", read)
    answer = reader.answer(QUESTION, hits)
    assert seen == [[f"Ana ({day} May 2026): {text}" for day, text in enumerate(SAID, start=1)]]
    assert (answer.text, answer.confidence, answer.citations) == (None, 0.5, ())
    monkeypatch.setattr(StatesReader, "read", lambda *a, **o: Reading("9:40", 0.5, (0.2, 0.0, 0.8)))
    cited = reader.answer(QUESTION, hits).citations
    ids = {hit.text: hit.id for hit in hits}
    assert [(c.id, c.share) for c in cited] == [(ids[SAID[2]], 0.8), (ids[SAID[0]], 0.2)]


def test_where_a_question_chooses_it_reads_most_of_the_best_hits(folder: Path, hits: Any) -> None:
    places = {"language_model": folder / "tiny", "ratio": 16}
    reader = MemoryReader.from_pretrained(folder / "reader", **places)
    lines = memory_lines(hits)
    in_order = sorted(hits, key=lambda hit: hit.order)
    for given in (hits, hits[::-1]):
        answer = reader.answer(QUESTION, given, mode="states", max_tokens=6)
        ranks = [given.index(hit) for hit in in_order]
        reading = reader.states.read(QUESTION, lines, mode="states", max_tokens=6, ranks=ranks)
        assert (answer.text, answer.confidence) == (reading.text, reading.confidence)
    others = {
        reader.states.read(QUESTION, lines, mode="states", max_tokens=6, ranks=own).confidence
        for own in ([0, 1, 2], [2, 1, 0])
    }
    assert len(others) == 2


def test_what_copies_nothing_cites_what_is_relevant(
    reader: MemoryReader, hits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lyon, rex, leaves = (next(hit for hit in hits if hit.text == text) for text in SAID)
    scored = [
        replace(hit, relevance=relevance)
        for hit, relevance in ((lyon, 0.6), (rex, 0.0), (leaves, 0.2))
    ]
    unscored = [replace(hit, relevance=0.0) for hit in hits]

    def cited(text: str, given: list[Hit]) -> list[tuple[int, Any]]:
        reading = Reading(text, 0.9, (0.1, 0.7, 0.2))
        monkeypatch.setattr(StatesReader, "read", lambda *a, **o: reading)
        found = reader.answer(QUESTION, given).citations
        return [(one.id, pytest.approx(one.share)) for one in found]

    by_attention = [(rex.id, 0.7), (leaves.id, 0.2), (lyon.id, 0.1)]
    for text in ("Yes", "No, it is not.", "By rail"):
        assert cited(text, scored) == [(lyon.id, 0.75), (leaves.id, 0.25)]
        assert cited(text, unscored) == by_attention
    for text in ("REX", "rex.", "Yes, Rex"):
        assert cited(text, scored) == by_attention


def test_what_does_not_fit_is_left_out(
    reader: MemoryReader, hits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = reader.states.room(QUESTION, max_tokens=4)
    lengths = [reader.states.count_tokens(f"Ana (1 May 2026): {hit.text}") for hit in hits]
    shortest = lengths.index(min(lengths))
    beside = 1024 - room

    monkeypatch.setattr(StatesReader, "positions", beside + min(lengths) + 3)
    answer = reader.answer(QUESTION, hits, max_tokens=4)
    assert answer.left_out == 2
    assert {c.id for c in answer.citations} <= {hits[shortest].id}
    monkeypatch.setattr(StatesReader, "positions", beside)
    answer = reader.answer(QUESTION, hits, max_tokens=4)
    assert answer == Answer(None, None, (), left_out=3)


def test_nothing_found_and_nothing_asked(reader: MemoryReader, hits: Any) -> None:
    assert reader.answer(QUESTION, []).text is None
    with pytest.raises(InputError, match="blank: ask something"):
        reader.answer(" \n", hits)


@pytest.mark.parametrize(
    ("question", "given", "error", "said"),
    [
        (None, [], TypeError, "the question must be a string, not None"),
        ([], QUESTION, TypeError, "the question must be a string"),
        (QUESTION, None, TypeError, "what a recall returned, not None"),
        (QUESTION, "hits", TypeError, "what a recall returned, not 'hits'"),
        (QUESTION, ["It leaves at 9:40."], TypeError, r"hits\[0\] must be a hit of a recall"),
        ("\u200b", [], InputError, "blank"),
        ("Where\ud800?", [], InputError, "the question: lone surrogate"),
    ],
)
def test_requests_that_cannot_be_answered(
    reader: MemoryReader, question: Any, given: Any, error: type[Exception], said: str
) -> None:
    for answerer in (reader, ChatAnswerer(lambda messages: pytest.fail("was asked"))):
        with pytest.raises(error, match=said):
            answerer.answer(question, given)


def test_a_question_as_long_as_a_book_is_not_answered_from_itself(
    reader: MemoryReader, hits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The language model that ships has room for it.
    monkeypatch.setattr(StatesReader, "positions", 8192)
    longest = reader.states.count_tokens(QUESTION)
    with pytest.raises(InputError, match="of up to 1,024: ask it in fewer words"):
        reader.answer(f"{QUESTION} " * 1024, hits)
    monkeypatch.setattr("agentmem.chat.reader.LONGEST_QUESTION", longest)
    reader.answer(QUESTION, hits, max_tokens=2)
    with pytest.raises(InputError, match=f"takes {longest + 1}"):
        reader.answer(f"{QUESTION}?", hits)


def test_where_its_parts_come_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMEM_MODELS", str(folder))
    MemoryReader.from_pretrained(folder / "reader")
    monkeypatch.setenv("AGENTMEM_MODELS", str(tmp_path))
    with pytest.raises(ModelNotFoundError, match="agentmem reader install test/tiny"):
        MemoryReader.from_pretrained(folder / "reader")
    with pytest.raises(ModelNotFoundError, match="no reader in"):
        MemoryReader.from_pretrained(tmp_path)
