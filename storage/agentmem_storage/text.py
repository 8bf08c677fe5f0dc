"""Which strings can be stored, and when two of them are the same to a reader."""

from __future__ import annotations

import reprlib
import unicodedata

from agentmem_storage.patterns import pattern, unicode_pattern

# Invisible: soft hyphens, zero-width spaces and joiners, direction marks, variation selectors.
_IGNORABLE = unicode_pattern(r"\p{Default_Ignorable_Code_Point}+")
_BLANK = unicode_pattern(r"[\s\p{Default_Ignorable_Code_Point}]*")


_PASSWORDS = (
    (pattern(r"(://[^/@:]*):[^@]*@"), r"\1:***@"),
    (pattern(r"([?&](?:ssl)?password=)[^&]*"), r"\1***"),
)


def without_password(url: str) -> str:
    """A URL of a database as it can be shown; other texts as they are."""
    for password, shown_as in _PASSWORDS:
        url = password.sub(shown_as, url)
    return url


def is_blank(text: str) -> bool:
    """Whether a text has nothing but white space and invisible characters."""
    return text.isspace() or _BLANK.fullmatch(text) is not None


def lone_surrogate(text: str) -> int | None:
    """Index of the first lone surrogate of a string, which UTF-8 cannot encode; None without one.

    Python strings may contain half of a surrogate pair, typically where bytes were decoded with
    ``errors="surrogateescape"`` or a JSON escape was cut in two.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def composed(text: str) -> str:
    """A text in NFKC, without invisible characters; letters keep their case."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _IGNORABLE.sub("", text))


def normalized(text: str) -> str:
    """A text in the form in which texts are compared: equal for what a reader takes for the same.

    Composed and decomposed letters, full width and half width, ligatures, upper and lower case are
    the same, and invisible characters do not count (Unicode's NFKC_Casefold). Diacritics do count.
    Applying it twice changes nothing. What is stored is never normalized, only what is compared.
    """
    if text.isascii():
        return text.lower()
    # Case folding may decompose, and normalization may make letters that have a case.
    return composed(composed(composed(text).casefold()).casefold())


def shown(value: object) -> str:
    """A short representation of any value, however large or nested, for error messages."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"
