"""Marks of other scripts: a question behind long talk in Hindi, Greek or Armenian was not found.

Their sentences did not end, so all of the talk was searched; and what somebody stated in the same
message as a question was kept out of answers.
"""

from __future__ import annotations

import pytest

from agentmem import Memory
from agentmem.chat.questions import is_only_question, is_question
from agentmem.models.bundle.load import ModelBundle
from agentmem.retrieval.focus import focused

# In each language: a statement, a question about something else, and a full stop that is there.
LANGUAGES = {
    "hindi": ("मेरी बहन दिल्ली में रहती है।", "वह आजकल कहाँ काम करती है?"),
    "urdu": ("میری بہن لاہور میں رہتی ہے۔", "وہ آج کل کہاں کام کرتی ہے؟"),
    "armenian": ("Իմ քույրը ապրում է Երևանում։", "Որտե՞ղ է նա հիմա աշխատում։"),
    "amharic": ("እህቴ አዲስ አበባ ትኖራለች።", "አሁን የት ትሠራለች ወይ፧"),
    "burmese": ("ကျွန်တော့်ညီမ ရန်ကုန်မှာ နေတယ်။", "သူ အခု ဘယ်မှာ အလုပ်လုပ်လဲ?"),
    "greek": ("Η αδερφή μου μένει στην Αθήνα.", "Πού δουλεύει τώρα η Μαρία;"),
    "bengali": ("আমার বোন ঢাকায় থাকে।", "সে এখন কোথায় কাজ করে?"),
    "english": ("My sister lives in Porto.", "Where does she work now?"),
    "japanese": ("妹は東京に住んでいます。", "今どこで働いていますか？"),
    "spanish": ("Mi hermana vive en Madrid.", "¿Dónde trabaja ella ahora?"),
    "arabic": ("أختي تسكن في عمان.", "أين تعمل هي الآن؟"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_behind_a_statement_does_not_hide_it(language: str) -> None:
    statement, question = LANGUAGES[language]
    assert is_only_question(question)
    assert is_question(question)
    assert not is_only_question(statement)
    assert not is_only_question(f"{statement} {question}")
    assert not is_only_question(f"{question} {statement}")
    assert is_only_question(f"{question} {question}")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", [0, 6, 12])
def test_a_question_in_long_talk_is_what_is_searched(
    model: ModelBundle, language: str, place: int
) -> None:
    statement, question = LANGUAGES[language]
    talk = [statement] * 12
    talk.insert(place, question)
    assert focused(" ".join(talk), model.tokenizer) == question


@pytest.mark.parametrize(
    "text",
    ["one; two", "x = 1;", "¿", "see config;", "Αθήνα, Σπάρτη· Θήβα", "α;β", "Ա՛ն ուզում է։"],
)
def test_other_marks_ask_nothing(text: str) -> None:
    assert not is_question(text)


def test_a_session_answers_with_what_was_stated_beside_a_question(memory: Memory) -> None:
    statement, question = LANGUAGES["hindi"]
    session = memory.session()
    session.observe([{"role": "user", "content": f"{statement} {question}"}], "ठीक है")
    session.observe([{"role": "user", "content": question}], "ठीक है")
    marked = [chunk.metadata.get("asked") for chunk in memory.list(where={"role": "user"})]
    assert marked == [None, True]
