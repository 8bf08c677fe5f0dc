"""`Readings`: what texts say, each read once, where texts are compared in pairs."""

from __future__ import annotations

from functools import cache

from agentmem.statements.read import asked_words, is_of_now, read_statement, stems_in
from agentmem.statements.siblings import told_apart


class Readings:
    """What some texts say; each is read when it is first asked for, and kept as long as this is.

    Attributes:
        statement: See `agentmem.statements.read.read_statement`.
        stems: See `agentmem.statements.read.stems_in`.
        asked: See `agentmem.statements.read.asked_words`.
        of_now: See `agentmem.statements.read.is_of_now`.
        apart: See `agentmem.statements.siblings.told_apart`.
    """

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.statement = cache(read_statement)
        self.stems = cache(stems_in)
        self.asked = cache(asked_words)
        self.of_now = cache(is_of_now)
        self.apart = cache(told_apart)
