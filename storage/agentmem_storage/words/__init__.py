"""What a text is split into for the lexical index, and a query for searching it."""

from agentmem_storage.words.lexical import (
    STOP_WORDS,
    Phrases,
    asks_nothing,
    index_text,
    parse,
    phrases,
)

__all__ = ["STOP_WORDS", "Phrases", "asks_nothing", "index_text", "parse", "phrases"]
