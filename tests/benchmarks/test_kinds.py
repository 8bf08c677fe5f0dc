"""The benchmark of several kinds of memories: what it asks, how it scores, and a run of it."""

from __future__ import annotations

import json
import re
import string
import sys
from calendar import month_name
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard

from agentmem.evaluation.datasets import read_conversations
from benchmarks.command import run
from benchmarks.kinds.__main__ import main
from benchmarks.kinds.changes import changes, other_changes, siblings
from benchmarks.kinds.chats import chats
from benchmarks.kinds.collection import (
    Collection,
    Item,
    Kind,
    Question,
    half_of,
    limited,
    questions_of,
)
from benchmarks.kinds.documents import documents
from benchmarks.kinds.kept import baselines, filled
from benchmarks.kinds.lists import lists
from benchmarks.kinds.notes import COUNT, notes
from benchmarks.kinds.ours import DEFAULT, rankings
from benchmarks.kinds.scores import scores
from benchmarks.kinds.study import KINDS, evaluate_kinds
from benchmarks.sidebyside.baselines.fused import reciprocal_rank_fusion

Record = dict[str, Any]


def write(path: Path, records: list[Record]) -> None:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(zstandard.compress(text.encode()))


def word(rng: Random) -> str:
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(9)).capitalize()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with the files and forms that the kinds read."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = Random(0)
    people = [f"{word(rng)} {word(rng)}" for _ in range(60)]
    lines = [
        line
        for n, name in enumerate(people)
        for line in (
            f"- {name} was born on 06 July 19{n + 10} in {word(rng)}",
            f"* Meeting with {name} on 2023-04-11 at 09:{n:02d} PM, Studio {n}",
            f"{n}. Ticket A-{n:03d} assigned to {name}, status done",
            f"{name} <{word(rng)}@example.com> 555-01{n:02d}",
            f"{name}, 555-02{n:02d}, {word(rng)}@example.com, {n} Mill Lane",
            f"Call Ann (555-03{n:02d}) about invoice I-{n:03d}: ${n + 1}.50 due 2001-01-01",
            f"Flight XY{n:03d} {word(rng)} -> {word(rng)}, seat {n}F, booking {word(rng)}",
            f"Buy {n} x {word(rng)} ($1.{n:02d}) from {word(rng)} Ltd",
            f"ssh {word(rng)}@10.0.0.{n} -p 2{n:03d}",
            f"commit {n:07x} fixes #1{n:03d} in /src/{word(rng)}.py",
            f"Serial S-{n:03d}, firmware 1.{n}.0",
        )
    ]
    structured: list[Record] = [{"source": "synthetic-records", "text": "\n".join(lines)}]
    structured += [
        {
            "source": "tldr-pages",
            "title": word(rng),
            "text": f"- Do {word(rng)}:\n\n`do it`\n\n- Undo {word(rng)}:\n\n`undo it`\n",
        }
        for _ in range(30)
    ]
    facts = {name: f"{word(rng)}; {word(rng)}" for name in ("Location", "Climate", "Flag")}
    countries: list[Record] = [
        {"source": "factbook", "title": f"{word(rng)}: All", "text": json.dumps(facts)}
        for _ in range(60)
    ]
    write(folder / "dev-structured.jsonl.zst", structured)
    write(folder / "train-structured-00.jsonl.zst", countries)
    talk = [{"content": f"I went to see {word(rng)} again"} for _ in range(200)]
    write(folder / "dev-conversations.jsonl.zst", [{"source": "self-dialogue", "messages": talk}])
    chat = [
        {"name": "User 1", "content": "I love hiking. Do you play the guitar?"},
        {"name": "User 2", "content": "I never play chess."},
        {"name": "User 1", "content": "I swim on Mondays."},
        {"name": "User 2", "content": "I swim too."},
    ]
    chats_of_models = [{"source": "synthetic-persona-chat", "messages": chat}] * 2
    write(folder / "train-conversations-00.jsonl.zst", [*chats_of_models, {"source": "sgd"}])
    passages: list[Record] = [
        {
            "source": source,
            "kind": kind,
            "context": f"{word(rng)} is near {word(rng)}.",
            "question": f"Where is {word(rng)}?",
            "answers": ["near"],
        }
        for source, kind in (
            *[("squad-dev", "extractive")] * 30,
            ("policyqa", "extractive"),
            ("squad-dev", "unanswerable"),
        )
    ]
    scene = "Ann: Where are my skates?\nBen: Under the sofa.\nAnn: Oh."
    dialogue = {"source": "friendsqa", "kind": "dialogue", "context": scene}
    asked = {"question": "Where are the skates?", "answers": ["Under the sofa"]}
    write(folder / "qa-dev.jsonl.zst", [*passages, dialogue | asked])
    write(folder / "qa-train.jsonl.zst", [])
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_the_same_every_time_and_names_its_evidence(name: str, corpus: Path) -> None:
    kind = KINDS[name](corpus)
    assert kind == KINDS[name](corpus)
    assert kind.name == name
    for collection, question in questions_of(kind):
        assert question.evidence
        assert question.text.strip()
        places = {*question.evidence, *question.distractors}
        assert len(places) == len(question.evidence) + len(question.distractors)
        assert places <= set(range(len(collection.items)))


def test_files_are_read_by_eval_recall(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "new" / "files"
    args = ["kinds", "--corpus", str(corpus), "--files", str(files)]
    monkeypatch.setattr(sys, "argv", args)
    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 0
    for name, make in KINDS.items():
        kind, read = make(corpus), read_conversations(files / f"{name}.jsonl")
        assert not any((read.left_out.questions, read.left_out.evidence))
        for made, found in zip(kind.collections, read.conversations, strict=True):
            assert [item.content for item in made.items] == [turn.content for turn in found.turns]
            assert [item.at for item in made.items] == [turn.at for turn in found.turns]
            assert [q.text for q in made.questions] == [q.question for q in found.questions]


def test_a_note_has_one_question_and_near_misses_about_the_same(corpus: Path) -> None:
    (collection,) = notes(corpus).collections
    texts = [item.content for item in collection.items]
    assert len(set(texts)) == len(collection.questions) == COUNT
    assert len({question.text for question in collection.questions}) == COUNT
    assert [question.evidence for question in collection.questions] == [
        (place,) for place in range(COUNT)
    ]
    assert sum(bool(question.distractors) for question in collection.questions) > COUNT / 3
    for question in collection.questions:
        for distractor in question.distractors:
            assert collection.questions[distractor].half == question.half
    assert not any("{" in text for text in texts)


def test_facts_change_once_and_are_asked_about_both_times(corpus: Path) -> None:
    kind = changes(corpus)
    assert len(kind.collections) == 200
    statements = set()
    for collection in kind.collections:
        by_category = {question.category: question for question in collection.questions}
        now, before = by_category["now"], by_category["before"]
        (new,), (old,) = now.evidence, before.evidence
        assert old in now.distractors
        assert new in before.distractors
        times = [item.at for item in collection.items if item.at]
        assert times == sorted(times)
        assert old < new
        assert new - old > 10
        assert collection.now is not None
        assert collection.now > times[-1]
        stated = times[old]
        ((category, dated),) = [pair for pair in by_category.items() if pair[0] not in _BOTH]
        assert dated.evidence == (old,)
        if category == "dated":
            assert str(stated.year) in dated.text
        else:
            named = _MONTH.search(dated.text)
            assert named
            month = datetime.strptime(named[0], "%B %Y").replace(tzinfo=UTC)
            assert stated < month < times[new] - timedelta(days=31)
        statements |= {collection.items[old].content, collection.items[new].content}
        assert {q.half for q in collection.questions} == {half_of(collection.id[:-2])}
    assert len(statements) > 390
    assert len({q.text for _, q in questions_of(kind) if q.category == "now"}) > 195


def test_what_is_fitted_on_is_about_other_topics(corpus: Path) -> None:
    """None of the statements and questions that are measured is among those to fit on."""
    measured, others = changes(corpus), other_changes(corpus)
    assert len(others.collections) == 340
    topics = [
        {one.id.rpartition(" ")[0] for one in kind.collections} for kind in (measured, others)
    ]
    assert topics[0].isdisjoint(topics[1])

    def said(kind: Kind) -> set[str]:
        return {
            text
            for collection, question in questions_of(kind)
            for text in (question.text, collection.items[question.evidence[0]].content)
        }

    assert said(measured).isdisjoint(said(others) | said(siblings(corpus)))


def test_a_sibling_is_later_and_answers_nothing(corpus: Path) -> None:
    for collection, question in questions_of(siblings(corpus)):
        (old,), (new,) = question.evidence, question.distractors
        assert old < new
        assert collection.items[old].content != collection.items[new].content
        assert question.category == "now"


_BOTH = ("now", "before")
_MONTH = re.compile(rf"(?:{'|'.join(month_name[1:])}) \d{{4}}")


def test_documents_are_answerable_passages(corpus: Path) -> None:
    (collection,) = documents(corpus).collections
    assert len(collection.items) == len(collection.questions) == 30


def test_chats_have_their_speakers_and_evidence(corpus: Path) -> None:
    (collection,) = chats(corpus).collections
    assert [item.name for item in collection.items] == ["Ann", "Ben", "Ann"]
    assert [question.evidence for question in collection.questions] == [(1,)]


def test_lists_are_of_what_one_of_two_people_says_of_a_class(corpus: Path) -> None:
    (collection,) = lists(corpus).collections
    assert [item.name for item in collection.items] == ["Nadia", "Gareth"] * 4
    times = [item.at for item in collection.items if item.at]
    assert times == sorted(times)
    assert len(set(times)) == 2
    of_nadia = [question for question in collection.questions if "Nadia" in question.text]
    by_class, by_word = of_nadia
    assert (by_class.category, by_class.evidence, by_class.distractors) == (
        "class",
        (0, 2, 4, 6),
        (3, 7),
    )
    assert (by_word.category, by_word.evidence, by_word.distractors) == ("word", (2, 6), (3, 7))
    assert "swimming" in by_word.text
    assert by_class.half == by_word.half == half_of("sports")


def some_kind(count: int) -> Kind:
    questions = tuple(Question(f"{n}?", (0,), "fit") for n in range(count))
    collections = [Collection(str(n), (Item("a"),), questions) for n in range(3)]
    return Kind("some", "single", tuple(collections))


def test_a_limit_spreads_over_all_collections() -> None:
    kind = limited(some_kind(10), 6)
    assert [len(one.questions) for one in kind.collections] == [2, 2, 2]
    assert [len(one.questions) for one in limited(some_kind(10), 2).collections] == [1, 1]
    assert limited(some_kind(2), None) == limited(some_kind(2), 99) == some_kind(2)


def test_halves_are_even() -> None:
    count = Counter(half_of(str(n)) for n in range(1_000))
    assert min(count.values()) > 450


def test_scores_are_means_of_each_half_and_category() -> None:
    items = tuple(Item(str(n)) for n in range(12))
    questions = (
        Question("a", (3,), "fit", "now", distractors=(1,)),
        Question("b", (3,), "fit", "before", distractors=(1,)),
        Question("c", (2, 5), "fit", "now"),
        Question("d", (7,), "held-out"),
    )
    kind = Kind("some", "single", (Collection("u", items, questions),))
    found = scores(kind, [[3, 1], [1, 0, 3], [0, 2], []])
    assert found["fit"]["now"] == {
        "first": 0.5,
        "top 3": 1.0,
        "recall@5": 0.75,
        "recall@10": 0.75,
        "ndcg@10": pytest.approx((1 + 0.38685) / 2, abs=1e-4),
        "before distractors": 1.0,
        "questions": 2,
    }
    assert found["fit"]["before"]["first"] == found["fit"]["before"]["before distractors"] == 0
    assert found["fit"]["before"]["top 3"] == 1
    assert found["fit"]["all"]["questions"] == 3
    assert found["fit"]["all"]["before distractors"] == 0.5
    assert found["held-out"]["all"]["recall@10"] == 0
    assert "before distractors" not in found["held-out"]["all"]


def test_a_run_measures_what_is_asked_for(corpus: Path) -> None:
    systems = (DEFAULT, "agentmem, words alone", "BM25")
    told: list[str] = []
    result = evaluate_kinds(
        corpus,
        kinds=["documents", "chats"],
        systems=systems,
        limit=4,
        on_progress=lambda done, total, note="": told.append(note),
    )
    assert list(result.results) == ["documents", "chats"]
    assert tuple(result.results["chats"]["systems"]) == systems
    assert result.results["chats"]["memories"] == 3
    half = half_of("chats 0")
    # The only turn with a word of the question that is not the question of the dialogue itself.
    assert result.results["chats"]["systems"][DEFAULT][half]["all"]["recall@5"] == 1
    assert told[-1] == "chats: done"


def test_what_is_kept_is_taken_again(corpus: Path, tmp_path: Path) -> None:
    kind = limited(changes(corpus), 2)
    with filled(kind, tmp_path) as (memory, added):
        first = list(rankings(memory, kind, added, DEFAULT))
        size = memory.stats().memories
        found = baselines(kind, ["BM25"], tmp_path)
    with filled(kind, tmp_path) as (memory, again):
        assert again == added
        assert memory.stats().memories == size
        assert list(rankings(memory, kind, again, DEFAULT)) == first
    assert baselines(kind, ["BM25"], tmp_path) == found == baselines(kind, ["BM25"], None)
    item = Item("something else", kind.collections[0].items[-1].at)
    other = replace(kind.collections[0], items=(*kind.collections[0].items, item))
    with filled(replace(kind, collections=(other,)), tmp_path) as (_, more):
        assert sum(map(len, more[other.id].values())) == len(other.items)


def test_rank_fusion_sums_reciprocal_ranks() -> None:
    assert reciprocal_rank_fusion([[1, 2, 3], [4, 2]]) == [2, 1, 4, 3]
    assert reciprocal_rank_fusion([[], [5]]) == [5]


def test_the_command_writes_a_result_and_shows_it(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, work = tmp_path / "kinds.json", tmp_path / "work"
    args = ("--kind", "chats", "--system", "BM25", "--json", str(out), "--work", str(work))
    monkeypatch.setattr(sys, "argv", ["kinds", "--corpus", str(corpus), *args])
    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["task"] == "kinds"
    assert list(result["results"]) == ["chats"]
    assert len(list(work.iterdir())) == 1
    shown = capsys.readouterr().out
    half = half_of("chats 0")
    found = result["results"]["chats"]["systems"]["BM25"][half]["all"]["ndcg@10"]
    for word in ("chats", "BM25", half, f"{found:.3f}"):
        assert word in shown


def test_an_unknown_system_is_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kinds", "--corpus", str(corpus), "--system", "elastic"])
    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 2
    assert "'elastic' is none of" in capsys.readouterr().err
