"""The caller's callbacks for what was added and forgotten."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from agentmem.errors import InputError
from agentmem.results import ForgetReceipt, Receipt
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.text import shown

OnAdd: TypeAlias = Callable[[Receipt], object]
OnForget: TypeAlias = Callable[[ForgetReceipt], object]
T = TypeVar("T", Receipt, ForgetReceipt)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What `Memory` was given as ``on_add`` and ``on_forget``.

    They are called after the commit, in the thread that wrote. What they raise is logged: the write
    is done, and its caller must learn so.
    """

    on_add: OnAdd | None = None
    on_forget: OnForget | None = None

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            InputError: one is no function, or a coroutine function.
        """
        for name, hook in (("on_add", self.on_add), ("on_forget", self.on_forget)):
            if hook is not None and not callable(hook):
                raise InputError(f"{name} must be a function of a receipt, got {shown(hook)}")
            if inspect.iscoroutinefunction(hook):
                raise InputError(
                    f"{name} is called in a thread, where nothing awaits {shown(hook)}: give a "
                    f"plain function, which may call asyncio.run_coroutine_threadsafe()"
                )

    def added(self, receipt: Receipt) -> Receipt:
        """Report what was written, if anything was; return the receipt."""
        if len(receipt.ids) > len(receipt.duplicates) or receipt.replaced:
            _report("on_add", self.on_add, receipt)
        return receipt

    def forgotten(self, receipt: ForgetReceipt) -> ForgetReceipt:
        """Report what was deleted, if anything was; return the receipt."""
        if receipt.ids and not receipt.dry_run:
            _report("on_forget", self.on_forget, receipt)
        return receipt


def _report(name: str, hook: Callable[[T], object] | None, receipt: T) -> None:
    if hook is not None:
        try:
            hook(receipt)
        except Exception as error:
            if is_interruption(error):
                raise
            _log.exception("%s failed; the write that it was called for is done", name)
