"""Text stored decomposed was not found by its own words: of 15 Korean sentences none."""

from __future__ import annotations

import asyncio
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import AsyncMemory, Document, Memory, Message
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage import words
from agentmem_storage.text import normalized
from tests.support.cli import Cli
from tests.support.stored import FIXTURE

# Stored, and the words that find it; the other texts are those that must not come first.
PAIRS = [
    ("서울에서 친구를 만났어요", "서울"),
    ("부산은 바다가 좋아요", "부산에"),
    ("어제 김치찌개를 먹었어요", "김치찌개"),
    ("도서관에 책을 돌려줬어요", "도서관은"),
    ("我的火车九点四十开", "火车几点"),
    ("私は東京に住んでいます", "東京はどこ"),
    ("カメラを買いました", "カメラ"),
    ("ฉันชอบกินข้าวผัดที่กรุงเทพ", "ข้าวผัด"),
    ("เราไปเที่ยวเชียงใหม่ปีที่แล้ว", "เชียงใหม่"),
    ("मुझे हिन्दी फ़िल्में पसंद हैं", "हिन्दी फ़िल्में"),
    ("वह दिल्ली में रहती है", "दिल्ली"),
    ("كَتَبَ الوَلَدُ رِسَالَةً", "رسالة الولد"),
    ("ذهبت إلى السوق", "السُّوق"),
    ("שָׁלוֹם לכולם", "שלום"),
    ("The café in Orléans was closed", "orleans cafe"),
    ("Der Weg führt über die Straße", "STRASSE"),
    ("Ο Σωκράτης έφυγε", "ΣΩΚΡΆΤΗΣ"),
    ("The ﬁrst oﬃce has a door", "first office"),
    ("Ｐａｒｉｓ　ｈｏｔｅｌ １２３", "paris 123"),
    ("The co\u00adoper\u00adative sells milk", "cooperative"),
    ("A zero\u200bwidth gap", "zerowidth"),
    ("She sent 👍🏽 for the picnic", "👍"),
    ("Our cat 🐈‍⬛ sleeps", "🐈"),
    ("The flight to 🇫🇷 leaves", "🇫🇷"),
    ("I ❤️ the garden", "❤"),
    ("Việt Nam đẹp lắm", "viet nam"),
    ("Привет из Йошкар-Олы", "ЙОШКАР"),
]
FORMS = ["NFC", "NFD", "NFKC", "NFKD"]


@pytest.mark.parametrize("stored", FORMS)
def test_every_text_is_found_by_its_words_in_any_form(memory: Memory, stored: str) -> None:
    texts = [unicodedata.normalize(stored, text) for text, _ in PAIRS]
    memory.add(texts)
    assert [chunk.text for chunk in memory.list()] == texts  # stored byte for byte
    missed = []
    for text, (_, query) in zip(texts, PAIRS, strict=True):
        for form in FORMS:
            asked = unicodedata.normalize(form, query)
            found = memory.recall(asked, mode="lexical", k=1)
            if not found or found[0].text != text:
                missed.append((asked, form))
    assert missed == []


def test_names_and_titles_are_words_in_any_form(memory: Memory) -> None:
    name, title = (unicodedata.normalize("NFD", word) for word in ("Zoë", "서울 안내"))
    memory.add(Message("We met.", name=name))
    memory.add(Document("Turn left at the bridge.", title=title))
    memory.add("Nothing of it.")
    assert memory.recall("zoë", mode="lexical", k=1)[0].name == name
    assert memory.recall("서울", mode="lexical", k=1)[0].source.title == title


# Real words of five scripts without spaces or with particles: of each pair the second is in the
# same sentence as the first, with another ending or inside of a longer run.
def test_pairs_of_characters_find_more_than_whole_runs() -> None:
    spaceless = [(text, query) for text, query in PAIRS[:9]]
    whole = sum(query in text.split() for text, query in spaceless)
    paired = sum(
        any(f" {phrase} " in f" {words.index_text(text)} " for phrase in words.phrases(query))
        for text, query in spaceless
    )
    assert (whole, paired) == (0, 9)


@given(st.text(max_size=40))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(st.text(st.characters(codec="utf-8", min_codepoint=0xA0, max_codepoint=0x11FF), max_size=40))
def test_all_forms_of_a_text_have_the_same_words(text: str) -> None:
    forms = {words.index_text(unicodedata.normalize(form, text)) for form in FORMS}
    assert len(forms) == 1
    assert normalized(text) == normalized(unicodedata.normalize("NFD", text))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("ﬁn", "FIN"),
        ("ＡＢＣ", "abc"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("co\u00adop", "coop"),
        ("a\u200bb\u2060c\ufeff", "abc"),
        ("straße", "STRASSE"),
        ("क़", "\u0915\u093c"),
        ("한글", unicodedata.normalize("NFD", "한글")),
    ],
)
def test_what_is_the_same_to_a_reader(text: str, same: str) -> None:
    assert normalized(text) == normalized(same)


def test_what_is_not_the_same_to_a_reader() -> None:
    assert normalized("resume") != normalized("résumé")


@pytest.mark.parametrize("form", FORMS)
def test_filters_compare_what_a_reader_sees(memory: Memory, form: str) -> None:
    def written(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    city = {"city": written("Ｚürich\u200b"), "tags": [written("café")]}
    memory.add(Message("We met.", name=written("Zoë"), metadata=city))
    memory.add(Message("We left.", name="Zoe", metadata={"city": "Zurich", "tags": ["cafe"]}))
    for where in (
        {"name": "Zoë"},
        {"name": {"in": ["Zoë", "Ana"]}},
        {"name": {"contains": "oë"}},
        {"not": {"name": {"ne": "Zoë"}}},
        {"city": "Zürich"},
        {"city": {"contains": "ür"}},
        {"tags": {"contains": "café"}},
    ):
        asked = _normalized(where, form)
        assert [chunk.text for chunk in memory.list(where=asked)] == ["We met."], where
    assert list(memory.list(where={"name": "zoë"})) == []  # case counts


def _normalized(value: Any, form: Any) -> Any:
    if isinstance(value, dict):
        return {key: _normalized(one, form) for key, one in value.items()}
    if isinstance(value, list):
        return [_normalized(one, form) for one in value]
    return unicodedata.normalize(form, value)


def test_scope_ids_are_exact(memory: Memory) -> None:
    """Two users whose ids look the same must never be one."""
    memory.add("We met.", user_id=unicodedata.normalize("NFD", "zoë"))
    assert list(memory.list(user_id="zoë")) == []
    assert list(memory.list(where={"user_id": "zoë"})) == []


def test_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", unicodedata.normalize("NFD", "서울에서 친구를 만났어요"))
    cli.ok("add", "어제 비가 왔어요")
    (hit,) = cli.json("recall", "서울", "--mode", "lexical", "-k", "1")["hits"]
    assert unicodedata.normalize("NFC", hit["text"]).startswith("서울")


async def _first(place: Path, model: ModelBundle, query: str) -> str:
    async with await AsyncMemory.open(place, model=model) as memory:
        return (await memory.recall(query, mode="lexical", k=1))[0].text


def test_in_async_memory(memory: Memory, place: Path, model: ModelBundle) -> None:
    memory.add(["The café in Orléans", unicodedata.normalize("NFD", "Ångström")])
    assert asyncio.run(_first(place, model, "ångström")).startswith("A")


def test_an_old_store_is_indexed_anew_when_it_is_opened(tmp_path: Path) -> None:
    """Its lexical index was made by an older version, which split words differently."""
    shutil.copy(FIXTURE / "memory.db", tmp_path)
    with Memory(tmp_path, create=False) as memory:
        chunks = list(memory.list())
        for chunk in chunks[:5]:
            longest = max(words.phrases(chunk.text), key=len)
            found = memory.recall(longest, mode="lexical", k=50)
            assert chunk.id in {hit.id for hit in found}
        memory.forget([chunk.id for chunk in chunks[:3]])
        assert memory.verify().ok


UNKNOWN = [
    "እህቴ በአዲስ አበባ ትኖራለች።",
    "የድመቷ ስም ሚሚ ነው።",
    "ፓስፖርቱ በመሳቢያ ውስጥ ነው።",
    "ለኦቾሎኒ አለርጂ አለብኝ።",
    "የጥርስ ሐኪም ረቡዕ ነው።",
]


@pytest.mark.parametrize(
    ("question", "place"), [("እህቴ የት ትኖራለች", 0), ("ፓስፖርቱ የት ነው", 2), ("የጥርስ ሐኪም መቼ", 4)]
)
def test_where_the_embedder_tells_nothing_apart_words_decide(question: str, place: int) -> None:
    """Of a script that it does not know, whichever differed by a rounding came first."""
    with Memory(":memory:") as memory:
        memory.add(UNKNOWN)
        assert memory.recall(question)[0].text == UNKNOWN[place]
