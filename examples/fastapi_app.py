"""A chat service for many users, each with a memory of their own: ``uvicorn fastapi_app:app``.

Set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server that speaks the same protocol. The header
X-User stands for a real login: whoever it names, no request sees the memories of another user.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, Request
from openai import AsyncOpenAI
from pydantic import BaseModel

from agentmem import AsyncMemory, wrap

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
User = Annotated[str, Header(alias="X-User", min_length=1)]


class Turn(BaseModel):
    """What a user says in a conversation."""

    session_id: str
    text: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One store and one client for all users; no call may leave out whose memories it is about."""
    place = os.environ.get("AGENTMEM_STORE", "chat-store")
    store = AsyncMemory(place, require=("user_id",), preload=True)
    async with store as app.state.memory, AsyncOpenAI() as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(turn: Turn, user: User, request: Request) -> dict[str, str | None]:
    """Answer a turn; it is stored with its answer."""
    state = request.app.state
    client = wrap(state.client, memory=state.memory, user_id=user, session_id=turn.session_id)
    messages = [{"role": "user", "content": turn.text}]
    reply = await client.chat.completions.create(model=MODEL, messages=messages)
    return {"reply": reply.choices[0].message.content}


@app.delete("/memories")
async def forget(user: User, request: Request) -> dict[str, int]:
    """Forget everything of a user."""
    receipt = await request.app.state.memory.forget(user_id=user)
    return {"forgotten": len(receipt.ids)}
