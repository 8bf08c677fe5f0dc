"""Tells what a program raises from outside, such as a time limit, from a failure of what it did."""

from __future__ import annotations

import signal
from types import CodeType
from typing import Any


def is_interruption(error: BaseException) -> bool:
    """Whether an exception was raised by a handler of a signal.

    A task queue raises an `Exception` of its own when a task has run for too long, wherever the
    task is just then. Who takes failures of a library for what they are must let that pass. The
    handler's frame is in the traceback, between the others.
    """
    handlers = {code for code in map(_code, _handlers()) if code is not None}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in signal.valid_signals()]


def _code(handler: Any) -> CodeType | None:
    """What Python runs when it calls a handler; None if that is not Python."""
    while hasattr(handler, "func"):  # of functools.partial
        handler = handler.func
    handler = getattr(handler, "__func__", handler)
    code = getattr(handler, "__code__", None)
    if code is None:
        code = getattr(getattr(type(handler), "__call__", None), "__code__", None)  # noqa: B004
    return code if isinstance(code, CodeType) else None
