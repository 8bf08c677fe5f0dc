"""Regular expressions that are compiled when they are first used.

All of them together take a tenth of the time of a short command, which uses half of them, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast


def pattern(expression: str) -> re.Pattern[str]:
    """An expression of the module `re`, with its flags in it, as in ``(?i)``."""
    return cast("re.Pattern[str]", LazyPattern(lambda: re.compile(expression)))


def unicode_pattern(expression: str) -> Any:
    """An expression of the library `regex`, with its flags in it."""

    def compile_it() -> Any:
        import regex  # takes as long as a dozen expressions

        return regex.compile(expression)

    return LazyPattern(compile_it)


class LazyPattern:
    """Has the attributes of a compiled expression, from when one is first asked for."""

    def __init__(self, compile_it: Callable[[], Any]) -> None:
        self._compile = compile_it

    @cached_property
    def compiled(self) -> Any:
        """The compiled expression."""
        return self._compile()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying and pickling look for
            raise AttributeError(name)
        found = getattr(self.compiled, name)
        setattr(self, name, found)  # from now on, it is found without this method
        return found
