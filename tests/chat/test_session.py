"""A conversation that remembers: what is sent and stored, and what happens when memory fails."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from agentmem import ANY, AsyncMemory, Memory
from agentmem.chat.questions import QUESTION_KEY
from agentmem.context.format import block, split_blocks
from agentmem.errors import InputError, StoreError
from agentmem.models.bundle.load import ModelBundle
from tests.support.prompts import without_nonce

ASKED = "Where does my sister Marta live?"


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def texts(memory: Memory) -> list[str]:
    return [chunk.text for chunk in memory.list()]


COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 12,
    "model": "m",
    "choices": [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(["In Porto.", "Porto, I think."])
    ],
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "In Porto."}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 12,
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "In Porto.", "annotations": []}],
        }
    ],
}


# What is sent


def test_memories_stand_before_the_last_message_of_the_user(memory: Memory) -> None:
    memory.add("My sister Marta lives in Porto.", user_id="ana")
    memory.add("My sister Marta lives in Rome.", user_id="bo")
    session = memory.session(user_id="ana", session_id="today")
    messages = [{"role": "system", "content": "Be brief."}, user("Hi."), assistant("Hi!")]
    messages.append(user(ASKED))
    sent = session.context(messages)
    assert [*sent[:3], sent[4]] == messages
    assert sent[3]["role"] == "user"
    assert "Marta lives in Porto." in sent[3]["content"]
    assert "Rome" not in str(sent)
    assert without_nonce(sent[3]["content"]).startswith("<memories>\n[")


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ({"role": "user", "parts": [{"text": ASKED}]}, "parts"),
        ({"role": "user", "parts": [{"type": "text", "text": ASKED}]}, "parts"),
        ({"role": "user", "content": [{"text": ASKED}]}, "content"),
    ],
    ids=["google", "ai-sdk", "bedrock"],
)
def test_memories_are_in_the_form_of_the_messages(
    memory: Memory, message: dict[str, Any], key: str
) -> None:
    """An API refuses a message that has its text elsewhere."""
    memory.add("My sister Marta lives in Porto.")
    session = memory.session()
    added, kept = session.context([message])
    assert kept == message
    assert added.keys() == message.keys()
    (part,), (own,) = added[key], message[key]
    assert "Porto" in part["text"]
    assert {**part, "text": ASKED} == own
    session.observe([added, kept], ["In ", "Porto."])
    assert texts(memory)[1:] == [ASKED, "In ", "Porto."]
    assert [chunk.role for chunk in memory.list()][1:] == ["user", "assistant", "assistant"]


def test_results_of_tools_stay_with_their_calls(memory: Memory) -> None:
    memory.add("My sister Marta lives in Porto.")
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Porto"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "Rain."}
    messages = [user(ASKED), assistant([call]), user([result])]
    sent = memory.session().context(messages)
    assert sent[1:] == messages
    also = user([result, {"type": "text", "text": "And where does Marta live?"}])
    sent = memory.session().context([*messages[:2], also])
    assert sent[1:] == [*messages[:2], also]


def test_what_the_messages_show_is_left_out(memory: Memory) -> None:
    session = memory.session(session_id="s")
    long = " ".join(f"Marta has the number {n}." for n in range(200))
    session.observe([user("My sister Marta lives in Porto."), assistant("Noted.")], long)
    memory.add("Marta likes figs.")
    messages = [user("My sister Marta lives in Porto."), assistant("Noted."), assistant(long)]
    messages.append(user("What do you know of Marta?"))
    sent = session.context(messages, k=3)
    assert len(sent) == len(messages) + 1
    assert [line for line in sent[3]["content"].splitlines() if "Marta" in line] == [
        line for line in sent[3]["content"].splitlines() if line.endswith("Marta likes figs.")
    ]
    assert session.context(sent, k=3) == sent  # the block is shown already, too


def test_the_budget_is_counted_with_the_tokenizer_of_the_caller(memory: Memory) -> None:
    for n in range(6):
        memory.add(f"Marta has the number {n}.")
    session = memory.session()

    def lines(**options: Any) -> int:
        sent = session.context([user("Marta's number?")], **options)
        return len(sent[0]["content"].splitlines()) - 2 if len(sent) > 1 else 0

    assert lines() == 6
    assert lines(k=2) == 2
    assert lines(max_tokens=300, count_tokens=lambda text: 100 * text.count("Marta")) in (2, 3)
    assert lines(max_tokens=5) == 0


@pytest.mark.parametrize(
    "messages", [[], [assistant("Hello.")], [user("  ")], [user([{"type": "image_url"}])]], ids=str
)
def test_without_a_question_nothing_is_recalled(memory: Memory, messages: list[Any]) -> None:
    memory.add("Marta lives in Porto.")
    session = memory.session()
    assert session.context(messages) == messages
    assert session.error is None


def test_recall_is_of_all_conversations_of_a_user(memory: Memory) -> None:
    memory.session(user_id="ana", session_id="monday").observe([user("My PIN is 4711.")], "Noted.")
    messages = [user("What is my PIN?")]
    assert len(memory.session(user_id="ana", session_id="tuesday").context(messages)) == 2
    assert memory.session(user_id="bo", session_id="monday").context(messages) == messages
    tuesday = memory.scoped(user_id="ana", session_id="tuesday")
    assert tuesday.session().context(messages) == messages  # a handle cannot widen


# What is stored


@pytest.mark.parametrize(
    "reply", ["In Porto.", COMPLETION, MESSAGE, RESPONSE, assistant("In Porto.")], ids=str
)
def test_a_conversation_is_stored_once_however_the_reply_looks(memory: Memory, reply: Any) -> None:
    session = memory.session(user_id="ana", session_id="s")
    messages = [{"role": "system", "content": "Be brief."}, user("Marta moved."), assistant("Oh.")]
    messages.append(user(ASKED))
    assert session.observe(session.context(messages), reply)
    assert session.observe(session.context(messages), reply)  # a retry
    messages += [assistant("In Porto."), user("Thanks.")]
    assert session.observe(session.context(messages), "You are welcome.")
    again = memory.session(user_id="ana", session_id="s")  # as after a restart
    again.observe([*messages, assistant("You are welcome."), user("Bye.")], "Bye!")
    expected = ["Marta moved.", "Oh.", ASKED, "In Porto.", "Thanks.", "You are welcome."]
    assert texts(memory) == [*expected, "Bye.", "Bye!"]
    assert session.error is None
    assert again.error is None


def test_messages_with_ids_and_times_of_their_own(memory: Memory) -> None:
    session = memory.session(session_id="s")
    said = {**user("I moved."), "id": "u1", "created_at": "2026-05-03T10:00:00Z"}
    session.observe([said], {**MESSAGE, "created_at": 12})
    echoed = {**assistant("In Porto."), "id": "a1", "created_at": "2026-05-03T10:00:09Z"}
    session.observe([said, echoed, user("Bye.")], None)
    assert texts(memory) == ["I moved.", "In Porto.", "Bye."]
    first, second, _ = memory.list()
    assert first.created_at == second.created_at
    assert first.metadata == {"message_id": "u1"}


def test_what_was_recalled_is_not_stored_again(memory: Memory) -> None:
    memory.add("My sister Marta lives in Porto.")
    session = memory.session()
    sent = session.context([user(ASKED)])
    recalled = sent[0]["content"]
    session.observe(sent, f"{recalled}\nThat is what I know.")
    session.observe([user(f"{recalled}\n\nMarta is well.")], None)
    assert texts(memory)[1:] == [ASKED, "That is what I know.", "Marta is well."]


def test_a_tag_that_somebody_wrote_is_kept() -> None:
    forged = "<memories-000000>\nA.\n</memories-000000>"
    assert split_blocks(forged) == (forged, [])
    assert split_blocks(f"{forged}{block(['B.'])} C. <memories-") == (
        f"{forged} C. <memories-",
        ["B."],
    )


def test_questions_do_not_crowd_out_answers(memory: Memory) -> None:
    session = memory.session(session_id="s")
    memory.add("Marta lives in Porto.")
    for _ in range(8):
        session.observe([user(ASKED)], "I do not know.")
    sent = session.context([user("Where does Marta live now?")], k=1)
    assert "Porto" in sent[0]["content"]
    assert {chunk.text for chunk in memory.list(where={QUESTION_KEY: True})} == {ASKED}
    session.observe([user("I moved. Where does Marta live?")], "In Porto.")
    assert len(texts(memory)) > len(list(memory.list(where={QUESTION_KEY: True}))) + 1


def test_calls_of_tools_and_their_results(memory: Memory) -> None:
    session = memory.session(session_id="s")
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}
    asks = {"role": "assistant", "content": None, "tool_calls": [call]}
    reply = {**COMPLETION, "choices": [{"index": 0, "message": asks}]}
    messages = [user("Find it.")]
    session.observe(messages, reply)
    messages += [asks, {"role": "tool", "tool_call_id": "c1", "content": "It is 7."}]
    session.observe(messages, "It is 7, I found.")
    kinds = [(chunk.source.kind, chunk.text) for chunk in memory.list()]
    assert kinds == [
        ("message", "Find it."),
        ("tool_call", 'find({"q": 1})'),
        ("tool_result", "It is 7."),
        ("message", "It is 7, I found."),
    ]


@pytest.mark.parametrize(
    "reply", [None, "", assistant(None), {"choices": []}, {"id": "1", "choices": None}], ids=str
)
def test_no_reply(memory: Memory, reply: Any) -> None:
    session = memory.session()
    assert session.observe([user("Hello.")], reply)
    assert session.observe([], reply) is not None
    assert session.error is None
    assert texts(memory) == ["Hello."]


# What goes wrong


def test_a_memory_that_fails_costs_no_reply(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    session = memory.session()
    memory.close()
    messages = [user(ASKED)]
    with caplog.at_level(logging.ERROR, "agentmem"):
        assert session.context(messages) == messages
        first = session.error
        assert session.observe(messages, "I do not know.") is None
    assert isinstance(first, StoreError)
    assert isinstance(session.error, StoreError)
    assert session.error is not first
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


@pytest.mark.parametrize(
    "wrong",
    [{"who": "me"}, {"role": "user", "content": {"say": "x"}}, 5, {"role": "boss", "content": "x"}],
    ids=str,
)
def test_a_message_of_an_unknown_shape_costs_neither_a_reply_nor_the_turn(
    memory: Memory, caplog: pytest.LogCaptureFixture, wrong: Any
) -> None:
    session = memory.session()
    messages = [user("Hello."), wrong]
    assert session.context(messages) == messages
    with caplog.at_level(logging.ERROR, "agentmem"):
        receipt = session.observe(messages, "Hi!")
    assert receipt is not None
    assert receipt.skipped == {"unreadable": 1}
    assert "message 1" in str(session.error)
    assert "message 1" in caplog.text
    assert texts(memory) == ["Hello.", "Hi!"]
    again = session.observe([*messages, assistant("Hi!"), user("I am Ana.")], "Noted.")
    assert again is not None
    assert texts(memory) == ["Hello.", "Hi!", "I am Ana.", "Noted."]
    memory.add("My sister Marta lives in Porto.")
    sent = session.context([wrong, user("Hello."), user(ASKED)])
    assert "Porto" in str(sent[2])


def test_a_reply_of_an_unknown_shape_costs_no_turn(memory: Memory) -> None:
    session = memory.session()
    receipt = session.observe([user("I am Ana.")], {"role": "assistant", "content": {"say": "x"}})
    assert receipt is not None
    assert str(session.error).startswith("the reply: ")
    assert receipt.skipped == {"unreadable": 1}
    assert texts(memory) == ["I am Ana."]


def test_a_message_of_somebody_else_is_not_stored(memory: Memory) -> None:
    session = memory.session(user_id="ana")
    receipt = session.observe([{**user("I am Bo."), "user_id": "bo"}, user("I am Ana.")])
    assert receipt is not None
    assert receipt.skipped == {"unreadable": 1}
    assert texts(memory) == ["I am Ana."]


def test_wrong_arguments_raise(memory: Memory) -> None:
    session = memory.session()
    wrong: list[Any] = [{"k": 0}, {"max_tokens": 0}, {"count_tokens": 5}, {"k": "x"}]
    for arguments in wrong:
        with pytest.raises((InputError, TypeError), match=next(iter(arguments))):
            session.context([user("Hello.")], **arguments)
    with pytest.raises(InputError, match="messages"):
        session.context("Hello.")
    with pytest.raises(InputError, match="messages"):
        session.observe("Hello.", "Hi!")
    with pytest.raises(InputError, match="reply"):
        session.observe([user("Hello.")], 7)
    assert session.error is None


def test_wrong_scopes_raise(place: Path, memory: Memory, model: ModelBundle) -> None:
    nobody: Any = None
    for id in (nobody, "", ANY):
        with pytest.raises(InputError):
            memory.session(user_id=id)
    with Memory(place, model=model, require=("user_id",)) as strict:
        with pytest.raises(InputError, match="user_id"):
            strict.session(session_id="s")
        assert strict.session(user_id="ana").observe([user("Hello.")])
    assert repr(memory.session(user_id="ana")) == "Session(user_id='ana')"


def test_asyncio(place: Path, model: ModelBundle) -> None:
    async def talk() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add("My sister Marta lives in Porto.", user_id="ana")
            async with memory.session(user_id="ana", session_id="s") as session:
                messages = [user(ASKED)]
                sent = await session.context(messages)
                assert "Porto" in sent[0]["content"]
                receipt = await session.observe(sent, COMPLETION)
                assert receipt is not None
                assert len(receipt.ids) == 2
                with pytest.raises(InputError, match="k="):
                    await session.context(messages, k=0)
                with pytest.raises(InputError, match="reply"):
                    await session.observe(messages, 7)
                assert session.error is None
        assert await session.context(messages) == messages
        assert isinstance(session.error, StoreError)
        assert await session.observe(messages, "x") is None

    asyncio.run(talk())
