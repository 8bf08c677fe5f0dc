"""Tools with which a model uses a memory itself, for `Memory.as_tools` and the MCP server.

They keep to the scope of the memory they are made of, whatever arguments a model makes up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, cast, get_args

from pydantic import BaseModel, Field, StrictInt, TypeAdapter, ValidationError, validate_call

from agentmem.chat.arguments import in_words, read_arguments
from agentmem.errors import AgentMemError, InputError
from agentmem_storage.text import shown

# A server of tools answers before it can open a store: what that needs takes half a second.
if TYPE_CHECKING:
    from agentmem.chat.async_session import Run
    from agentmem.context.hits import Chunk
    from agentmem.context.recall import Recall
    from agentmem.results import ForgetReceipt, Receipt, Stats

MOST = 50
# Of a long text, whose other ids would only fill the context of a model.
_MOST_IDS = 8

ToolFormat = Literal["openai", "responses", "anthropic"]
# What is offered to a model that is given tools one by one, and not a server of them.
_OFFERED = ("remember", "recall", "forget")

Text: TypeAlias = Annotated[str, Field(description="a fact, in full sentences")]
Query: TypeAlias = Annotated[str, Field(description="a question or keywords")]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MOST)]
SaidAt: TypeAlias = Annotated[
    str | None,
    Field(description="when it was said, ISO 8601, UTC if without offset; default: now"),
]
Since: TypeAlias = Annotated[
    str | None, Field(description="only what was said at this time or later, ISO 8601")
]
Until: TypeAlias = Annotated[
    str | None, Field(description="only what was said before this time, ISO 8601")
]
Ids: TypeAlias = Annotated[list[StrictInt], Field(description="ids of memories", min_length=1)]


class StoredMemory(BaseModel):
    """A memory as a model sees it."""

    id: int
    text: str
    speaker: str = Field(description="who said it, or the title of a document")
    created_at: str = Field(description="when it was said, ISO 8601")
    relevance: float | None = Field(
        default=None, description="how likely it answers the query, 0 to 1"
    )


class Remembered(BaseModel):
    """What `remember` stored."""

    memories: int = Field(description="how many memories it is: a long text becomes several")
    ids: list[int] = Field(description="their ids, of a long text only the first ones")
    new: bool = Field(description="false if exactly this had been remembered before")


class Forgotten(BaseModel):
    """What `forget` erased."""

    memories: int


class ToolMemory(Protocol):
    """What tools need of a `Memory`."""

    def add(self, content: str, /, *, created_at: str | None) -> Receipt:
        """See `Memory.add`."""

    def recall(
        self,
        query: str,
        /,
        *,
        k: int,
        since: str | None,
        until: str | None,
        where: Mapping[str, Any],
    ) -> Recall:
        """See `Memory.recall`."""

    def list(self, *, newest_first: bool) -> Iterator[Chunk]:
        """See `Memory.list`."""

    def forget(self, ids: Iterable[int], /) -> ForgetReceipt:
        """See `Memory.forget`."""

    def stats(self) -> Stats:
        """See `Memory.stats`."""


def tool_functions(memory: Callable[[], ToolMemory]) -> list[Callable[..., Any]]:
    """The tools as functions, whose names, arguments and docstrings a model can be shown.

    Args:
        memory: The memory, asked for at each call.
    """

    def remember(text: Text, created_at: SaidAt = None) -> Remembered:
        """Remember a text exactly as it is."""
        receipt = memory().add(text, created_at=created_at)
        ids, new = list(receipt.ids), not receipt.duplicates
        return Remembered(memories=len(ids), ids=ids[:_MOST_IDS], new=new)

    def recall(
        query: Query, limit: Limit = 5, since: Since = None, until: Until = None
    ) -> list[StoredMemory]:
        """Find the memories that match a query best, best first."""
        # Not before: a server answers sooner without its patterns.
        from agentmem.chat.questions import answers_only

        hits = memory().recall(query, k=limit, since=since, until=until, where=answers_only())
        return [_seen(hit, relevance=round(hit.relevance, 3)) for hit in hits]

    def list_memories(limit: Limit = 20) -> list[StoredMemory]:
        """List what was added last, newest first."""
        return [_seen(one) for one in islice(memory().list(newest_first=True), limit)]

    def forget(ids: Ids) -> Forgotten:
        """Erase memories for good, so that no byte of them remains."""
        return Forgotten(memories=len(memory().forget(ids).ids))

    def stats() -> dict[str, Any]:
        """Count what is stored, and its size."""
        return memory().stats().to_dict()

    return [remember, recall, list_memories, forget, stats]


class Tools:
    """Tools of a memory; made by `Memory.as_tools`.

    Attributes:
        definitions: The tools remember, recall and forget, as the ``tools`` of a request.
        names: Their names.
    """

    definitions: list[dict[str, Any]]
    names: tuple[str, ...]

    def __init__(self, memory: ToolMemory, format: ToolFormat) -> None:
        """Make tools.

        Args:
            memory: What they use.
            format: See `Memory.as_tools`.

        Raises:
            InputError: the format is unknown.
        """
        if not isinstance(format, str) or format not in get_args(ToolFormat):
            raise InputError(
                f"unknown format {shown(format)}: {', '.join(map(repr, get_args(ToolFormat)))}"
            )
        offered = {one.__name__: one for one in tool_functions(lambda: memory)}
        self._functions = {name: offered[name] for name in _OFFERED}
        self.names = _OFFERED
        self.definitions = [_defined(one, format) for one in self._functions.values()]

    def call_tool(self, name: str, arguments: Mapping[str, Any] | str) -> str:
        """What a tool that a model calls has to say to it, as text: JSON, or an error.

        In the JSON, brackets of control tokens and the like are escaped: parsed, texts are exact.

        A call that cannot be done is the model's to mend: it is told why.

        Args:
            name: One of `names`.
            arguments: As a dict, or as JSON.

        Raises:
            InputError: the name is not of one of these tools.
        """
        if name not in self._functions:
            raise InputError(f"no tool {shown(name)}: there are {', '.join(self.names)}")
        try:
            given = read_arguments(arguments)
            result = validate_call(self._functions[name])(**given)
        except ValidationError as error:
            known = inspect.signature(self._functions[name]).parameters
            return f"error: {in_words(error, known)}"
        except (AgentMemError, ValueError, TypeError) as error:
            return f"error: {error}"
        from agentmem.context.escape import json_text

        # A server with a chat template takes a control token for one in a tool's result, too.
        return json_text(TypeAdapter(Any).dump_python(result, mode="json", exclude_none=True))


class AsyncTools:
    """`Tools` for asyncio; made by `AsyncMemory.as_tools`."""

    def __init__(self, tools: Tools, run: Run) -> None:
        """Make them of tools.

        Args:
            tools: Do the work.
            run: Runs it elsewhere.
        """
        self._tools, self._run = tools, run
        self.definitions, self.names = tools.definitions, tools.names

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | str) -> str:
        """See `Tools.call_tool`."""
        return await self._run(lambda: self._tools.call_tool(name, arguments))


def _defined(tool: Callable[..., Any], format: ToolFormat) -> dict[str, Any]:
    """A tool as an API takes it."""
    schema = TypeAdapter[Any](cast(Any, tool)).json_schema()
    described = {"name": tool.__name__, "description": inspect.getdoc(tool)}
    match format:
        case "anthropic":
            return {**described, "input_schema": schema}
        case "responses":
            return {"type": "function", **described, "parameters": schema, "strict": False}
        case _:
            return {"type": "function", "function": {**described, "parameters": schema}}


def _seen(chunk: Chunk, *, relevance: float | None = None) -> StoredMemory:
    return StoredMemory(
        id=chunk.id,
        text=chunk.text,
        speaker=chunk.speaker,
        created_at=chunk.created_at.isoformat(),
        relevance=relevance,
    )
