"""What nothing told was relevant in other languages: German sentences are alike to the embedder.

"Welche Blutgruppe habe ich?" had .75 among memories without it, and questions in Arabic and Hindi
.81. What is known of plan A was relevant to plan Z.
"""

from __future__ import annotations

import numpy as np
import pytest

from agentmem import Memory
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.retrieval.languages import baseline
from benchmarks.relevance.languages import means
from tests.support.cli import ROOT


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    """The shipped one, with whose cosines relevance was fitted."""
    return load_bundle()


TOLD = {
    "de": [
        ("Ich habe am Dienstag einen Termin beim Zahnarzt.", "Wann ist der Termin beim Zahnarzt?"),
        ("Meine Tochter heißt Lena und geht zur Schule.", "Wie heißt meine Tochter?"),
        ("Ich bin allergisch gegen Haselnüsse.", "Wogegen bin ich allergisch?"),
        ("Das WLAN-Passwort ist Sonnenblume77.", "Wie ist das WLAN-Passwort?"),
        ("Ich habe heute lange im Garten gearbeitet.", "Wo habe ich heute gearbeitet?"),
    ],
    "fr": [
        ("J'ai un rendez-vous chez le dentiste mardi.", "Quand est mon rendez-vous ?"),
        ("Ma fille s'appelle Léa.", "Comment s'appelle ma fille ?"),
        ("Le mot de passe du wifi est Tournesol77.", "Quel est le mot de passe du wifi ?"),
        ("Pierre joue au tennis avec moi.", "Qui joue au tennis avec moi ?"),
    ],
    "ru": [
        ("Во вторник у меня приём у стоматолога.", "Когда у меня приём у стоматолога?"),
        ("Мою дочь зовут Лена.", "Как зовут мою дочь?"),
        ("С марта я работаю в банке в Казани.", "Где я работаю?"),
        ("Собака ест только корм с лососем.", "Что ест собака?"),
    ],
    "ar": [
        ("لدي موعد عند طبيب الأسنان يوم الثلاثاء.", "متى موعدي عند طبيب الأسنان؟"),
        ("كلمة مرور الواي فاي هي عباد77.", "ما هي كلمة مرور الواي فاي؟"),
        ("الكلب يأكل فقط طعاما بالسلمون.", "ماذا يأكل الكلب؟"),
        ("عندي حساسية من البندق.", "من ماذا عندي حساسية؟"),
    ],
    "hi": [
        ("मेरी बेटी का नाम लीला है।", "मेरी बेटी का नाम क्या है?"),
        ("मुझे मूंगफली से एलर्जी है।", "मुझे किससे एलर्जी है?"),
        ("मेरा रक्त समूह ए पॉजिटिव है।", "मेरा रक्त समूह क्या है?"),
        ("वाईफाई का पासवर्ड सूरजमुखी77 है।", "वाईफाई का पासवर्ड क्या है?"),
    ],
}
NOT_TOLD = {
    "de": ["Welche Blutgruppe habe ich?", "Wo steht das Fahrrad?"],
    "fr": ["Quel est mon groupe sanguin ?", "Où est le vélo ?"],
    "ru": ["Какая группа крови?", "Где стоит велосипед?"],
    "ar": ["ما هي فصيلة دمي؟", "أين الدراجة؟"],
    "hi": ["जन्मदिन कब है?", "साइकिल कहाँ रखी है?"],
}


@pytest.mark.parametrize("language", TOLD)
def test_only_what_was_told_is_relevant(bundle: ModelBundle, language: str) -> None:
    with Memory(":memory:", model=bundle) as memory:
        memory.add([text for text, _ in TOLD[language]])
        for text, question in TOLD[language]:
            found = memory.recall(question)
            assert found[0].text == text
            assert found.confident, question
        for question in NOT_TOLD[language]:
            assert not memory.recall(question).confident, question


def test_english_has_no_baseline_and_scripts_have_a_high_one(bundle: ModelBundle) -> None:
    def of(query: str) -> float:
        return baseline(bundle.embedder.embed_query(bundle.tokenizer.encode(query)))

    assert of("What is my blood type?") == 0
    assert of("Where did we have sardines for lunch?") == 0
    assert 0.3 < of("Welche Blutgruppe habe ich?") < of("ما هي فصيلة دمي؟")
    # Scripts of which the embedder knows no letter, so that all texts are one.
    assert of("የጥርስ ሐኪም መቼ") <= 0.9


def test_the_file_is_made_of_the_sentences() -> None:
    shipped = np.load(ROOT / "agentmem/retrieval/languages.npy")
    np.testing.assert_allclose(shipped, means(), atol=0.002)


LABELED = [
    "Plan A is to take the ferry to Naples.",
    "Plan B is to fly from Rome.",
    "Gate C is where the bus leaves.",
    "My blood type is A positive.",
]


def test_another_thing_of_its_kind_is_not_relevant(bundle: ModelBundle) -> None:
    with Memory(":memory:", model=bundle) as memory:
        memory.add(LABELED)
        for query in ("What is plan Z?", "what is plan z", "Where is gate Q?", "plan x?"):
            assert not memory.recall(query).confident, query
        for query in ("What is plan A?", "what is plan b", "Where is gate C?", "plan B or plan Z?"):
            assert memory.recall(query).confident, query
