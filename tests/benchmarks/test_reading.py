"""The reading benchmark: its scores, its personal facts, and a small study end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem.errors import ConfigError, InputError
from agentmem.models.reader.configuration import ReaderConfig
from agentmem.models.reader.prompt import ReadingPrompt
from benchmarks.reading.answers import Answer, Condition, answer, withhold
from benchmarks.reading.items import FACTS, Item, notebook_items, personal_items
from benchmarks.reading.scores import exact, f1, interval, judge, words
from benchmarks.reading.study import abstention_auroc, abstention_curves, load_study, score
from benchmarks.reading.work import WorkFolder
from tests.support.language_models import reading_model, tiny_lm, tiny_tokenizer

DATA = json.loads(FACTS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("At 9:40!", ["at", "9.40"]),
        ("the 1,190 euros", ["1.190", "euros"]),
        ("A  Crown.", ["crown"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=40))
def test_a_text_matches_itself(text: str) -> None:
    assert exact(text, [text])
    assert f1(text, ["something else", text]) == 1.0


def test_f1_is_that_of_the_best_answer() -> None:
    assert f1("blue folder", ["the blue folder", "desk"]) == 1.0
    assert f1("in the blue folder", ["blue folder"]) == pytest.approx(0.8)
    assert f1("red", ["blue"]) == 0.0


@pytest.mark.parametrize(
    ("reply", "answerable", "verdict"),
    [
        ("It leaves at 9:40.", True, "right"),
        ("9:40, or was it 21:50?", True, "wrong"),
        ("21:50", True, "wrong"),
        ("19:40", True, "wrong"),
        (None, True, "abstained"),
        (None, False, "right"),
        ("9:40", False, "wrong"),
        ("9:40 " + "and so on " * 20, True, "wrong"),
    ],
)
def test_judge(reply: str | None, answerable: bool, verdict: str) -> None:
    found = judge(reply, answerable=answerable, expected=["9:40"], wrong=["21:50"])
    assert found == verdict


def test_an_interval_holds_the_mean() -> None:
    low, high = interval([0.0, 1.0] * 50, seed=0)
    assert 0.35 < low < 0.5 < high < 0.65
    assert interval([], seed=0) == (0.0, 0.0)


def test_the_personal_facts_are_whole() -> None:
    ids = {fact["id"] for fact in DATA["facts"]}
    assert (len(DATA["facts"]), len(DATA["questions"])) == (60, 120)
    for question in DATA["questions"]:
        assert set(question.get("evidence", ())) <= ids
        assert bool(question.get("answers")) == question["answerable"]
        for reply in question.get("answers", ()):
            verdict = judge(
                reply,
                answerable=True,
                expected=question["answers"],
                wrong=question.get("wrong", ()),
            )
            assert verdict == "right", (question["id"], reply)


def test_personal_questions_are_asked_of_what_is_recalled() -> None:
    items = list(personal_items([3]))
    assert len(items) == 120
    assert all(len(item.memories) == 3 for item in items)
    first = items[0]
    assert first.question == "when does my train leave?"
    assert any("9:40 train to Lyon" in line for line in first.memories)


CONDITIONS = [
    Condition("text"),
    Condition("states", ratio=1),
    Condition("compressed", ratio=4),
    Condition("cut", cut=4),
    Condition("none", cut=0),
    Condition("bare", adapted=False, withheld=False),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: c.name)
def test_every_item_is_answered_in_its_place(condition: Condition) -> None:
    model = reading_model(tiny_lm())
    prompt = ReadingPrompt.of(tiny_tokenizer(), model.config.system_prompt)
    items = [
        Item(
            "personal, k = 1", str(n), ("Ana: the train " * n,), "when?", ("9:40",), (), n % 2 == 0
        )
        for n in range(1, 6)
    ]
    answers = answer(items, model, prompt, condition, tokens=600)
    alone = [answer([item], model, prompt, condition, tokens=600)[0] for item in items]
    assert [one.text for one in answers] == [one.text for one in alone]
    for name in ("abstention", "certainty"):
        together = [getattr(one, name) for one in answers]
        assert together == pytest.approx([getattr(one, name) for one in alone])
    figures = score(items, withhold(answers, model.config), seed=0)["personal, k = 1"]
    assert figures["questions"] == 5
    assert figures["right"] + figures["wrong"] + figures["abstained"] == 5


def test_what_the_model_is_not_sure_of_is_withheld() -> None:
    answers = [
        Answer("Ana", 0.2, 0.7, -1.0),
        Answer(None, 0.01, 0.9, -1.0),
        Answer("Ben", 0.05, 0.4, -1.0),
    ]

    def rule(above: float, certain: float = 0.0) -> ReaderConfig:
        return ReaderConfig(language_model="a/b", abstain_above=above, certain_from=certain)

    assert withhold(answers, rule(0.05)) == [None, None, None]
    assert withhold(answers, rule(0.1)) == [None, None, "Ben"]
    assert withhold(answers, rule(1.0)) == ["Ana", None, "Ben"]
    assert withhold(answers, rule(1.0, 0.4)) == ["Ana", None, "Ben"]
    assert withhold(answers, rule(1.0, 0.5)) == ["Ana", None, None]
    assert withhold(answers, rule(0.1, 0.5)) == [None, None, None]


def test_unanswerable_questions_are_told_by_the_probability_of_abstention() -> None:
    items = [Item("a", "x", (), "?", (), (), n < 2) for n in range(4)] + [
        Item("b", "x", (), "?", (), (), True)
    ]
    answers = [Answer("x", p, 0.5, 0.0) for p in (0.1, 0.4, 0.3, 0.9, 0.5)]
    assert abstention_auroc(items, answers) == {"a": 0.75}


def test_what_each_threshold_would_give() -> None:
    items = [
        Item("personal", "x", (), "?", ("Ana",), (), True),
        Item("personal", "x", (), "?", (), (), False),
        Item("other", "x", (), "?", ("Ana",), (), True),
    ]
    answers = [
        Answer("Ana", 0.12, 0.75, 0.0),
        Answer("Ben", 0.45, 0.45, 0.0),
        Answer("Ana", 0.1, 0.9, 0.0),
    ]
    settings = ReaderConfig(language_model="a/b", abstain_above=0.5, certain_from=0.9)
    curves = abstention_curves(items, answers, settings)
    assert curves.keys() == {"personal"}
    rows = {
        (row["abstain_above"], row["certain_from"]): (row["right"], row["wrong"])
        for row in curves["personal"]
    }
    assert rows[0.1, 0] == (1, 0)
    assert rows[0.15, 0] == rows[0.4, 0] == (2, 0)
    assert rows[0.5, 0] == rows[1.0, 0] == (1, 1)
    assert rows[0.5, 0.5] == rows[0.5, 0.75] == (2, 0)
    assert rows[0.5, 0.8] == (1, 0)


def test_a_work_folder_keeps_items_and_answers(tmp_path: Path) -> None:
    item = Item("qa-dev", "x", ("Ana: hello",), "who?", ("Ana",), ("Ben",), True)
    answers = [Answer("Ana", 0.25, 0.6, -1.5), Answer(None, 0.5, 0.5, -0.5)]

    def again() -> list[Any]:
        raise AssertionError("made a second time")

    first = WorkFolder(tmp_path / "work")
    assert first.items(lambda: [item]) == [item]
    made, machine = first.answers("ratio-1-cut-1", lambda: answers)
    second = WorkFolder(tmp_path / "work")
    assert second.items(again) == [item]
    assert second.answers("ratio-1-cut-1", again) == (made, machine) == (answers, machine)
    (tmp_path / "work" / "items.json").write_text("[")
    with pytest.raises(InputError, match=r"items\.json"):
        second.items(again)
    assert WorkFolder(None).items(lambda: [item]) == [item]


def test_a_study_with_an_unknown_key_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("sed = 1\n[conditions]\n")
    with pytest.raises(ConfigError, match=r"study\.toml"):
        load_study(file)


def test_notebook_questions_are_asked_of_what_is_recalled_from_one_person(tmp_path: Path) -> None:
    def book(name: str, codes: list[str]) -> dict[str, Any]:
        notes = [
            {"date": "2024-01-01", "speaker": "user", "text": f"{name}'s locker {n}: {code}"}
            for n, code in enumerate(codes)
        ]
        asked = {"question": "code of locker 1?", "answer": codes[1], "evidence": [1]}
        nothing = {"question": "whose is the boat?", "answer": None}
        return {"person": name, "notes": notes, "questions": [asked, nothing]}

    path = tmp_path / "notebooks.jsonl"
    books = [book("Ana", ["4401", "4402"]), book("Bo", ["5501", "5502", "5503"])]
    path.write_text("".join(json.dumps(one) + "\n" for one in books))
    items = list(notebook_items(path, 8, questions=10, seed=0))
    assert len(items) == 4
    for item in items:
        name = books[int(item.source)]["person"]
        assert all(f"{name}'s" in memory for memory in item.memories)
        assert item.answerable == (item.question == "code of locker 1?")
        assert item.expected == (
            (books[int(item.source)]["notes"][1]["text"][-4:],) * item.answerable
        )
