"""Retrieval examples: passages of contexts, and which of them contain the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.errors import ConfigError
from agentmem.training.data.evidence import Evidence, EvidenceSet, cut_passages, read_evidence

TRIP = "Ana: We took the night train.\nBob: Where to?\n\nAna: To Lyon, at 9:40."
PAGE = (
    "The lighthouse was built in 1871. It is made of granite, and of nothing else that anybody "
    "knows of.\nIts keeper was called Dagny. She kept bees behind the tower, eleven hives of "
    "them, and sold the honey in the village."
)
# A sentence of ordinary words, shorter than the longest piece.
sentences = st.lists(st.text("abcdefg", min_size=1, max_size=12), min_size=1, max_size=20).map(
    lambda words: " ".join(words) + "."
)


def record(**changes: Any) -> dict[str, Any]:
    return {
        "source": "quiz",
        "kind": "span",
        "question": "Who was the keeper?",
        "context": PAGE,
        "answers": ["Dagny"],
        **changes,
    }


def read(folder: Path, *records: dict[str, Any], **options: Any) -> list[Evidence]:
    file = folder / "asked.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return read_evidence([file], **options)


class TestPieces:
    def test_turns_of_a_dialogue_stay_as_they_are(self) -> None:
        lines = [line for line in TRIP.splitlines() if line]
        assert cut_passages(TRIP, dialogue=True) == lines
        assert len(lines) == 3

    def test_short_sentences_are_put_together(self) -> None:
        pieces = cut_passages(PAGE, dialogue=False)
        assert pieces == [
            PAGE.split("\n")[0] + " Its keeper was called Dagny.",
            PAGE.split("Dagny. ")[1],
        ]

    @given(st.lists(sentences, max_size=12), st.sampled_from([" ", "\n", "  \n\n "]))
    def test_nothing_is_lost(self, said: list[str], between: str) -> None:
        context = between.join(said)
        pieces = cut_passages(context, dialogue=False)
        assert " ".join(pieces).split() == context.split()
        assert all(piece.strip() == piece != "" for piece in pieces)
        # Longer, the space between two not counted, is only a sentence that is so by itself.
        assert all(len(piece) <= 161 or piece in said for piece in pieces)

    def test_a_sentence_without_end_is_cut(self) -> None:
        assert cut_passages("word " * 200, dialogue=False) == [("word " * 80)]

    @pytest.mark.parametrize("dialogue", [True, False])
    def test_blank_text_has_none(self, dialogue: bool) -> None:
        assert cut_passages(" \n \n", dialogue=dialogue) == []


class TestReading:
    def test_passages_that_contain_an_answer_are_positive(self, tmp_path: Path) -> None:
        (found,) = read(tmp_path, record(answers=["nobody", "Dagny"]))
        pieces = tuple(cut_passages(PAGE, dialogue=False))
        assert found == Evidence("quiz", "Who was the keeper?", pieces, (0,), (1,))

    def test_turns_of_a_dialogue_are_passages(self, tmp_path: Path) -> None:
        talk = record(kind="dialogue-span", context=TRIP, answers=["Ana"])
        (found,) = read(tmp_path, talk)
        assert (len(found.passages), found.positives, found.negatives) == (3, (0, 2), (1,))

    def test_a_gold_passage_is_positive_as_a_whole(self, tmp_path: Path) -> None:
        (found,) = read(tmp_path, record(kind="passage", answers=[]))
        assert (found.positives, found.negatives) == ((0,), (1,))

    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": "unanswerable"},
            {"kind": "unanswerable", "answers": []},
            {"answers": ["Astrid"]},
            {"answers": []},
            {"answers": ["", " "]},
            {"kind": "passage", "context": " ", "answers": []},
            # Where the answer is everywhere, no piece is the right one.
            {"kind": "dialogue-span", "context": "Ana: Hello\n" * 5, "answers": ["Ana"]},
            # It begins in one turn and ends in another.
            {"kind": "dialogue-span", "context": "at\nnoon", "answers": ["at\nnoon"]},
        ],
        ids=str,
    )
    def test_an_example_without_a_positive_passage_is_left_out(
        self, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        (found,) = read(tmp_path, record(**changes), record(question="And this?"))
        assert found.question == "And this?"

    def test_long_questions_are_cut(self, tmp_path: Path) -> None:
        (found,) = read(tmp_path, record(question="why " * 200))
        assert found.question == "why " * 100

    def test_sources_can_be_left_out(self, tmp_path: Path) -> None:
        records = [record(source=name) for name in ("kept", "chosen by", "kept", "other")]
        sources = [one.source for one in read(tmp_path, *records, leave_out=["chosen by"])]
        assert sources == ["kept", "kept", "other"]

    def test_files_follow_each_other(self, tmp_path: Path) -> None:
        files = []
        for name in ("b", "a"):
            files.append(tmp_path / f"{name}.jsonl")
            files[-1].write_text(json.dumps(record(source=name)))
        assert [one.source for one in read_evidence(files)] == ["b", "a"]


class TestDrawing:
    @staticmethod
    def questions(source: str, count: int) -> list[Evidence]:
        return [Evidence(source, f"{source} {n}", ("piece",), (0,), ()) for n in range(count)]

    def test_sources_are_drawn_by_the_root_of_their_size(self) -> None:
        asked = EvidenceSet([*self.questions("large", 900), *self.questions("small", 100)])
        drawn = asked.draw(4000, np.random.default_rng(0))
        assert len(drawn) == 4000
        share = sum(one.source == "large" for one in drawn) / 4000
        assert share == pytest.approx(30 / 40, abs=0.03)
        # Within a source, all of them.
        assert len({one.question for one in drawn if one.source == "small"}) == 100

    def test_the_same_seed_draws_the_same(self) -> None:
        asked = EvidenceSet([*self.questions("one", 20), *self.questions("two", 9)])
        first, second, other = (asked.draw(30, np.random.default_rng(s)) for s in (1, 1, 2))
        assert first == second != other

    def test_they_are_kept_by_source(self) -> None:
        found = [*self.questions("one", 2), *self.questions("two", 1), *self.questions("one", 1)]
        kept = EvidenceSet(found).by_source
        assert {source: len(group) for source, group in kept.items()} == {"one": 3, "two": 1}

    def test_none_is_a_fault_of_the_configuration(self) -> None:
        with pytest.raises(ConfigError, match="no question in the files has its answer in its con"):
            EvidenceSet([])
