"""The bodies of requests; the words are those of the arguments of `Memory`.

Scope ids that are left out match anything on reading, as in `Memory`. A null there is refused, and
``any_id`` has the names of those that are `agentmem.ANY`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from json import JSONDecodeError
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json

from agentmem.context.pack import Policy
from agentmem.errors import InputError
from agentmem.ingest.unique_keys import keys_once
from agentmem.retrieval.query import Expand, Mode, Order, Prefer, Rerank
from agentmem.scopes import ANY, SCOPE_IDS
from agentmem.types import Content, Document
from agentmem_storage.text import is_blank

MOST_HITS = 500
MOST_LISTED = 500
MOST_EPISODES = 50

ScopeName = Literal["user_id", "agent_id", "session_id"]
Id: TypeAlias = Annotated[int, Field(strict=True, description="id of a memory")]
Time: TypeAlias = Annotated[
    str | float,
    Field(description="ISO 8601, UTC if without offset, or seconds since 1970"),
]
Where: TypeAlias = Annotated[
    dict[str, Any],
    Field(description='a filter, such as {"channel": "web", "year": {"gte": 2001}}'),
]


def _once(text: object) -> object:
    """A filter as JSON, as it is; what is none is left to pydantic.

    Raises:
        InputError: a key stands twice in one object.
    """
    if isinstance(text, str):
        with suppress(JSONDecodeError, RecursionError):
            json.loads(text, object_pairs_hook=keys_once)
    return text


JsonWhere: TypeAlias = Annotated[Json[dict[str, Any]], BeforeValidator(_once)]
Detail: TypeAlias = Annotated[
    Literal["plain", "full"],
    Field(description="full: with latents, embedding and all that the SDK knows of a memory"),
]


Seconds: TypeAlias = Annotated[
    float, Field(strict=True, description="how long it lives from now on, in seconds")
]
ExternalId: TypeAlias = Annotated[
    str, Field(description="the id that its caller gave to a message or document")
]


class Body(BaseModel):
    """A body that is refused if it has a field that is not known."""

    model_config = ConfigDict(extra="forbid")


class ReadScope(Body):
    """The scope that is read."""

    user_id: str | None = Field(None, description="only this user's memories")
    agent_id: str | None = Field(None, description="only this agent's")
    session_id: str | None = Field(None, description="only this conversation's")
    any_id: list[ScopeName] = Field(
        default_factory=list, description="ids that match anything by explicit wish"
    )

    def reading(self) -> dict[str, Any]:
        """The scope as arguments of `Memory`, exactly as far as it was given.

        Raises:
            InputError: an id is null or blank, or given and in ``any_id`` too.
        """
        ids = {name: getattr(self, name) for name in SCOPE_IDS if name in self.model_fields_set}
        for name, given in ids.items():
            if given is None or is_blank(given):
                said = "null" if given is None else "blank"
                raise InputError(
                    f"{name} is {said}: give the id that is meant; to read whatever it is, leave "
                    f'it out, or say so with "any_id": ["{name}"]'
                )
        for name in self.any_id:
            if name in ids:
                raise InputError(f"{name} is given, and in any_id too: leave one of them out")
        return {**ids, **dict.fromkeys(self.any_id, ANY)}


class DocumentText(Body):
    """A document, see `agentmem.Document`."""

    text: str
    title: str | None = None
    uri: str | None = None
    created_at: Time | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    external_id: str | None = None
    expires_at: Time | None = None


class DocumentItem(Body):
    """A document among what is added."""

    document: DocumentText


# A text, a document, or a message in any of the shapes that `Memory.add` reads.
Item: TypeAlias = str | DocumentItem | dict[str, Any]


class AddRequest(Body):
    """What `Memory.add` takes."""

    content: Item | list[Item] = Field(
        description='a text, a message such as {"role": "user", "content": "..."}, a document as '
        '{"document": {"text": "..."}}, or a list of these'
    )
    user_id: str | None = Field(None, description="whose memory it is")
    agent_id: str | None = Field(None, description="which agent's")
    session_id: str | None = Field(None, description="which conversation's")
    id: str | None = Field(None, description="your own id for the one text: the external id")
    created_at: Time | None = Field(None, description="when it was said, if it does not say so")
    expires_at: Time | None = Field(None, description="from when on it is in no result")
    ttl: Seconds | None = None
    metadata: dict[str, Any] | None = Field(None, description="JSON values to filter by")
    supersedes: Id | None = Field(None, description="id of a memory whose place this one takes")

    def contents(self) -> Content:
        """The content as `Memory.add` takes it."""
        if isinstance(self.content, list):
            return [_opened(one) for one in self.content]
        return _opened(self.content)


class RecallRequest(ReadScope):
    """What `Memory.recall` takes."""

    query: str = Field(description="a question or keywords")
    k: int = Field(8, ge=1, le=MOST_HITS, strict=True, description="maximum number of memories")
    where: Where | None = None
    since: Time | None = Field(None, description="only memories from this time or later")
    until: Time | None = Field(None, description="only memories from before this time")
    mode: Mode = "hybrid"
    expand: Expand | None = None
    rerank: Rerank | None = "auto"
    min_relevance: float | None = Field(None, ge=0, le=1)
    order: Order = "relevance"
    prefer: Prefer = Field(
        "auto", description="which of memories that supersede each other comes first"
    )
    now: Time | None = Field(None, description='the current time, for "yesterday" in the query')

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `Memory.recall`."""
        own = RecallRequest.model_fields.keys() - ReadScope.model_fields.keys() - {"query"}
        return {name: getattr(self, name) for name in own} | self.reading()


class RecallHits(RecallRequest):
    """A recall whose hits are returned."""

    detail: Detail = "plain"


class ContextRequest(RecallRequest):
    """A recall whose hits are put into a prompt, see `agentmem.pack`."""

    max_tokens: int = Field(
        600, ge=1, strict=True, description="budget of the text, in tokens of the model bundle"
    )
    policy: Policy = Field("ranked", description="auto: the whole scope, if it fits")
    format: Literal["openai", "anthropic"] = Field("openai", description="form of the messages")


class UpdateRequest(ReadScope):
    """What `Memory.update` takes."""

    text: str | None = Field(None, description="the new text of the complete message or document")
    metadata: dict[str, Any] | None = Field(None, description="replaces the old")
    created_at: Time | None = Field(None, description="when it was said")
    expires_at: Time | None = Field(
        None, description="from when on it is in no result; null, if given, for never"
    )
    ttl: Seconds | None = None

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `Memory.update`; a null as ``expires_at`` is one."""
        given = {"expires_at"} & self.model_fields_set
        names = {"text", "metadata", "created_at", "ttl", *given}
        return {name: getattr(self, name) for name in names} | self.reading()


class SupersedeRequest(ReadScope):
    """What `Memory.supersede` takes."""

    old: Id
    new: Id
    undo: bool = Field(False, strict=True, description="delete the link instead")


class ForgetRequest(ReadScope):
    """What `Memory.forget` takes; all given conditions must hold."""

    ids: list[Id] | list[ExternalId] | None = Field(
        None, description="ids of memories, or external ids"
    )
    where: Where | None = None
    before: Time | None = Field(None, description="only memories from before this time")
    dry_run: bool = Field(False, strict=True, description="only report what would be deleted")

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Memory.forget`; a null is refused there, and is not left out here."""
        conditions = {"ids", "where", "before"} & self.model_fields_set
        return {name: getattr(self, name) for name in conditions} | self.reading()


class Conversation(Body):
    """Messages of one conversation, and whose it is."""

    messages: list[str | dict[str, Any]] = Field(
        description="in any shape that `Memory.add` reads: all, a window, or what is new"
    )
    user_id: str | None = Field(None, description="whose conversation it is")
    agent_id: str | None = Field(None, description="which agent's")
    session_id: str | None = Field(None, description="which conversation of theirs")

    def scope(self) -> dict[str, Any]:
        """The ids as arguments of `Memory.session`, as far as they are given."""
        return {name: getattr(self, name) for name in SCOPE_IDS if name in self.model_fields_set}


class SessionContextRequest(Conversation):
    """What `Session.context` takes."""

    max_tokens: int = Field(600, ge=1, strict=True, description="budget of what is recalled")
    k: int = Field(8, ge=1, le=MOST_HITS, strict=True, description="maximum number of memories")


class ObserveRequest(Conversation):
    """What `Session.observe` takes."""

    reply: str | dict[str, Any] | list[Any] | None = Field(
        None, description="a text, or a response or message of OpenAI or Anthropic"
    )


class VerifyRequest(ReadScope):
    """What `Memory.verify` takes."""

    decode: bool = Field(True, strict=True, description="whether texts are decoded and compared")


def _opened(item: Item) -> str | Document | Mapping[str, Any]:
    if not isinstance(item, DocumentItem):
        return item
    return Document(**item.document.model_dump())
