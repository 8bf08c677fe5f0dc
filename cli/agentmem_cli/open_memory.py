"""Opens the memory that the command line options describe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import InputError, StoreNotFoundError
from agentmem_cli.key_file import key_file
from agentmem_cli.output import Bar, Output

if TYPE_CHECKING:
    from agentmem.memory import Memory


@contextmanager
def open_memory(
    store: str, model: Path | None, *, create: bool = False, **options: Any
) -> Iterator[Memory]:
    """An open memory, closed at the end; ``options`` are passed to `Memory`.

    Raises:
        StoreNotFoundError: there is no store and ``create`` is False.
    """
    from agentmem.memory import Memory

    bars: list[Bar] = []
    with ExitStack() as stack:

        def show(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(Output().progress("indexing")))
            bars[0](done, total)

        try:
            memory = Memory(
                store, model=model, create=create, key=key_file(), on_progress=show, **options
            )
        except StoreNotFoundError as error:
            raise StoreNotFoundError(
                f"{error}: `agentmem add` creates one, --store selects another"
            ) from error
    with memory:
        yield memory


def require_file(store: str) -> None:
    """Check that a store outlives the command.

    Raises:
        InputError: it is in memory.
    """
    url = store.partition("?")[0]
    if url == ":memory:" or ("://" in url and url.endswith("/:memory:")):
        raise InputError(
            f"a store in memory ends with this command, and {store!r:.200} would keep nothing: "
            f"give --store a folder"
        )
