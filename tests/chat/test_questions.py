"""Which messages are questions, and how bare questions are kept out of answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmem import Memory
from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question, is_question


@pytest.mark.parametrize(
    ("line", "asking", "only"),
    [
        ("Where is it?", True, True),
        ("where is it", True, True),
        ("It is here, no?", True, False),
        ("I moved to Oslo. Where do I live?", True, False),
        ("When I was ten we moved to Oslo.", True, False),
        ("What's my name", True, True),
        ("Whatever you say.", False, False),
        ("I like tea.", False, False),
        ("Is that so", False, False),
        ("Tell me where Hanna works", True, True),
        ("Could you please tell me about Hanna.", True, True),
        ("Tell me where Hanna works. I like tea.", True, False),
        ("They tell me where Hanna works.", False, False),
        ("Tell me a story.", False, False),
        ("Tell me what to cook, I eat no nuts.", True, False),
        ("Could you tell me where it is?", True, True),
        ("Hi! Where does Marta live?", True, True),
        ("Hello there.\nWhere does Marta live? Thanks a lot!", True, True),
        ("So... (where does Marta live?!)", True, True),
        ("What is in config.yaml, and when is my 9.40 train?", True, True),
        ("Where is it? And whose is it?", True, True),
        ("マルタはどこですか？元気ですか？", True, True),
        ("Marta lives in Porto.\nWhere is my key?", True, False),
        ("Marta lives in Porto\nWhere is my key?", True, False),
        ("Hi! I am Ana. Where is my key?", True, False),
        ("Where is my key? I lost it at the harbor.", True, False),
        ("Can you remember that I am vegan?", True, False),
        ("Did you know I moved to Rome?", True, False),
        ("Thanks!", False, False),
    ],
)
def test_what_is_a_question(line: str, asking: bool, only: bool) -> None:
    assert (is_question(line), is_only_question(line)) == (asking, only)


@given(st.text())
def test_what_is_only_a_question_is_a_question(line: str) -> None:
    assert is_question(line) or not is_only_question(line)


@pytest.mark.parametrize(
    "line",
    [
        "where does marta live",
        "Where does Marta live.",
        "hey, where does marta live",
        "ok and when is my flight",
        "where's my key, thanks",
        "what time is my train please",
        "what car does my brother drive",
        "what did I have for lunch yesterday",
        "which doctor did I see in May",
        "whose birthday is in June",
        "how many children does Tom have",
        "how old is my cat",
        "who told me about the bakery",
        "why did we cancel it",
        "did I book the train",
        "whats the wifi password",
        "tell me my sister's name",
        "will it rain",
        "does she like figs",
        "have you seen my key",
        "am I allergic to nuts",
        "remind me where I parked",
        "please remind me what the code is",
        "Can you remind me who recommended the dentist?",
        "do you remember where I put the key",
        "I want to know when my train leaves",
        "any idea who wrote it",
        "hi! tell me where Hanna works.",
        "find out where Marta lives",
        "In May, where did I live?",
        "Marta, where do you live?",
        "I was wondering, where does Marta live?",
        "I have a question, where does Marta live?",
        "If it rains, where do we go?",
        "Is the answer right?",
        "Where is it, and whose is it, right?",
        "is Tom vegan",
        "Is Tom still vegan",
        "is Tom a vegetarian",
        "are Tom and Ana married",
        "was Maria ill",
        "is Tom coming on Friday",
        "is Tom's sister allergic to nuts",
        "is my sister vegan",
        "is our neighbor retired",
        "does Ana like tea",
        "does ana know the code",
        "Does Ana Silva work here",
        "does Tom's brother like tea",
        "doesn't Ana live in Porto",
        "did Tom call",
        "did Tom ever visit Oslo",
        "did my sister say when she comes",
        "did the kids eat",
        "do the neighbors have a dog",
        "does Tom know what the code is",
        "hey, does Marta like figs",
        "can Tom swim",
        "will Ana come to the party",
        "couldn't Tom find it",
        "has Tom paid",
        "has Ana already moved",
        "did anyone call",
        "did it help",
        "does that happen often",
        "would Ana likely enjoy it",
        "Can we eat nuts?",
        "can we swim there",
        "Do you want to know when I leave on Friday?",
        "How about the weather?",
    ],
)
def test_what_only_asks(line: str) -> None:
    assert is_only_question(line)


@pytest.mark.parametrize(
    "line",
    [
        "Marta lives in Porto, right?",
        "Marta lives in Porto right?",
        "Marta lives in Porto, doesn't she?",
        "The code is 7714, correct?",
        "My flight is on Friday, isn't it?",
        "You said the bakery closes at six, no?",
        "Marta wohnt in Porto, oder?",
        "Marta vive en Oporto, ¿no?",
        "Marta habite à Porto, n'est-ce pas ?",
        "I'm vegan, what can I cook?",
        "I have two kids; which museum is free?",
        "Since I moved to Oslo, where can I ski?",
        "We have a dog - is that a problem?",
        "My sister lives in Rome, how far is that?",
        "Hi, I am Ana, where is my key?",
        "Did I tell you I moved to Rome?",
        "Did I mention I'm allergic to nuts?",
        "Can you remind me to call Bob on Friday?",
        "Could you note my new address: Rua 5?",
        "Let's meet at five?",
        "remind me when I am home to call Bob",
        "Can you keep in mind I eat no nuts?",
        "When I was ten we moved to Oslo",
        "What I like most is tea",
        "What matters is my family",
        "What is important to me is honesty",
        "What Tom did yesterday surprised me",
        "what a nice flat we have",
        "How I love the sea",
        "How much I love the sea",
        "Which is why I left Rome",
        "Which reminds me Tom is here",
        "Who knows what he meant",
        "where we live is nice",
        "Do the dishes on Friday",
        "Have a nice day",
        "Will is coming on Friday",
        "May is my sister",
        "Remind me to call Bob",
        "I forgot where I parked",
        "It depends on who is asking",
        "did it again today",
        "has the flu since Friday",
        "was the best day ever",
        "did the dishes today",
        "do it tomorrow",
        "had we left earlier we would be there",
        "is German and lives in Oslo",
        "is German living in Oslo",
        "is Portuguese teacher at a school",
        "is Catholic but never goes",
        "was Head of Sales at Acme",
        "is Tom's sister",
        "is Tom from work",
        "was Tom at the door",
        "was Tom calling again",
        "is vegan",
        "is still vegan",
        "is my second home",
        "is my favorite restaurant",
        "was my birthday yesterday",
        "is the best",
        "did Pilates today",
        "did Pilates again",
        "did Yoga with Ana",
        "did Tom a favor",
        "did Paris like a local",
        "does Yoga every morning",
        "does Ana's taxes",
        "did my homework",
        "did my taxes on Sunday",
        "did the shopping",
        "did yoga like always",
        "Do your research and find a lawyer",
        "did everyone a favor",
        "did something fun today",
        "did that work yesterday",
        "has Covid since Friday",
        "has Netflix and Spotify",
        "can speak German",
        "will Google it",
        "didn't Google it",
        "Will Smith is a neighbor",
        "Can Yaman plays in it",
        "Can we meet at five?",
        "can we meet on Friday",
        "Could we move it to Thursday?",
        "Shall we eat at 8:30?",
        "Why don't we go there next week?",
        "How about Friday at seven?",
        "Would you like to come over tomorrow?",
        "Want to have dinner on the 3rd?",
        "Hi! Can we meet at five?",
    ],
)
def test_what_states_something_too(line: str) -> None:
    assert not is_only_question(line)


@pytest.mark.parametrize(
    "line",
    [
        "As a vegetarian, what can I cook tonight?",
        "Since I moved to Rome, which bank is best?",
        "Can you believe my wife is pregnant?",
        "Remember when I told you my cat died?",
        "What if I told you I moved to Oslo?",
        "Will you remind me that rent is due on the 5th?",
        "Isn't it funny that my boss is also called Tom?",
        "Why don't you call me Max?",
        "whats a good gift for my wife anna she loves orchids?",
        "how do i fix my 2014 Toyota Yaris",
        "Where can I take my wheelchair-bound mother in Prague?",
        "What should my diabetic father eat?",
        "Is my 12-year-old too young for coffee?",
        "Weißt du, dass ich schwanger bin?",
        "Kannst du dir merken, dass mein Hund Bello heißt?",
        "¿Sabes que soy alérgico a los cacahuetes?",
        "tu savais que j'ai deux enfants ?",
        "Ti ricordi che mia figlia è celiaca? Ricordi che sono vegano?",
        "Você sabia que eu moro em Lisboa?",
        "Ты знаешь, что я переехал в Казань?",
        "Weet je dat ik in Gent woon?",
        "私は来月結婚するって知ってた？",
    ],
)
def test_what_says_something_in_passing(line: str) -> None:
    assert is_question(line)
    assert not is_only_question(line)


@pytest.mark.parametrize(
    "line",
    [
        "Where does my sister live?",
        "Where does my sister Marta live?",
        "Who is my boss?",
        "What did my doctor say?",
        "Do you know my address?",
        "When is my son's birthday?",
        "How old is my dog?",
        "What did I tell you about my trip?",
        "Did I mention what my son wants?",
        "has my mother called?",
        "how is my dad doing",
        "Weißt du noch, wann mein Termin ist?",
        "¿Sabes dónde vivo?",
        "tu te souviens où j'habite ?",
        "Sai che ore sono?",
        "Você sabe que horas são?",
        "Ты знаешь, где я живу?",
        "Weet je waar ik woon?",
    ],
)
def test_what_asks_for_something_of_the_speaker(line: str) -> None:
    assert is_only_question(line)


def test_a_long_story_is_read_in_no_time() -> None:
    assert not is_only_question("where is " + "it, right " * 20_000)
    assert not is_only_question(", ".join(["I am here"] * 20_000) + "?")


def test_a_bare_question_is_kept_out_of_answers(memory: Memory) -> None:
    memory.add("Where does Marta live?", metadata={QUESTION_KEY: True})
    memory.add("Marta lives in Porto.", metadata={"channel": "web"})
    memory.add("Marta likes tea.")
    assert len(memory.recall("Where does Marta live?")) == 3
    found = memory.recall("Where does Marta live?", where=answers_only())
    assert sorted(hit.id for hit in found) == [2, 3]
    found = memory.recall("Where does Marta live?", where=answers_only({"channel": "web"}))
    assert [hit.id for hit in found] == [2]
