"""Turns of whom a question names rank a little higher."""

from __future__ import annotations

from agentmem import Memory


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "content": text} for name, text in turns]


def named_by(memory: Memory, question: str) -> set[str]:
    return {hit.name for hit in memory.recall(question, k=20) if hit.explain["speaker"]}


def test_by_any_part_of_a_name_however_it_is_written(memory: Memory) -> None:
    memory.add(said(("Ana Müller", "I bake bread."), ("Bob", "I ride."), ("Jo", "I sing.")) * 2)
    assert named_by(memory, "What does ana bake?") == {"Ana Müller"}
    assert named_by(memory, "what do MÜLLER and Bob's friends do?") == {"Ana Müller", "Bob"}
    assert named_by(memory, "What is baked?") == set()
    assert named_by(memory, "What does Jo do?") == set()  # two letters may be any word


def test_of_equal_turns_that_of_the_named_comes_first(memory: Memory) -> None:
    memory.add(said(("Ana", "It was wonderful there."), ("Bob", "It was wonderful there.")) * 3)
    assert memory.recall("How did Bob like it?")[0].name == "Bob"
    assert memory.recall("How did Ana like it?")[0].name == "Ana"


def test_what_stands_alone_has_no_speaker(memory: Memory) -> None:
    memory.add(said(("Ana", "The bread is done."), ("Ana", "The garden is wet.")))
    assert named_by(memory, "What does Ana bake?") == set()


def test_one_kind_of_search_alone_does_not_count_it(memory: Memory) -> None:
    memory.add(said(("Ana", "I bake bread."), ("Bob", "I bake bread too.")))
    for mode in ("vector", "lexical"):
        hits = memory.recall("Does Bob bake bread?", mode=mode)  # type: ignore[arg-type]
        assert {hit.explain["speaker"] for hit in hits} == {0.0}
