"""From the template language to nodes; the language is described in the package's docstring."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from agentmem.training.reader.personal.errors import DataError
from agentmem.training.reader.personal.nodes import (
    Alternatives,
    Coined,
    Day,
    Node,
    Number,
    Owner,
    Pool,
    Seq,
    Variable,
    Verb,
    plain,
)
from agentmem.training.reader.personal.voices import MACRO

_TOKEN: Final = re.compile(
    r"[{}|\[\]]|<[^<>]*>|@@|@[a-z]+(?:'t)?|" + MACRO.pattern + r"|[^{}|\[\]<>@$]+|\$"
)


class TemplateReader:
    """Compiles templates; pools are shared, so that each is drawn from one list."""

    def __init__(self, pools: Mapping[str, Sequence[str]]) -> None:
        self.pools = {name: Pool(name) for name in pools}
        for name, entries in pools.items():
            for entry in entries:
                seq = self.read(entry, frozenset(), f"pool {name}")
                self.pools[name].entries.append(plain(seq))

    def read(self, text: str, variables: frozenset[str], where: str) -> Seq:
        """Compile one template.

        Args:
            text: The template.
            variables: Names that are variables of the frame and not pools.
            where: The place to name in an error.

        Raises:
            DataError: The template is malformed or names an unknown pool.
        """
        text = re.sub(r"\b([aA]) (?=<)", r"\1_ ", text)
        tokens = [match[0] for match in _TOKEN.finditer(text)]
        if "".join(tokens) != text:
            raise DataError(f"{where}: stray character in {text!r}")
        try:
            seq, rest = self._sequence(tokens, 0, variables, "")
        except DataError as error:
            raise DataError(f"{where}: {error} in {text!r}") from None
        if rest != len(tokens):
            raise DataError(f"{where}: unexpected {tokens[rest]!r} in {text!r}")
        return seq

    def _sequence(
        self, tokens: Sequence[str], at: int, variables: frozenset[str], stop: str
    ) -> tuple[Seq, int]:
        parts: list[str | Node] = []
        while at < len(tokens) and tokens[at] not in ("|", "}", "]"):
            token = tokens[at]
            at += 1
            if token in "{[":
                close = "}" if token == "{" else "]"
                options: list[Seq] = []
                while True:
                    option, at = self._sequence(tokens, at, variables, close)
                    options.append(option)
                    if at >= len(tokens):
                        raise DataError(f"missing {close!r}")
                    at += 1
                    if tokens[at - 1] == close:
                        break
                    if tokens[at - 1] != "|":
                        raise DataError(f"{tokens[at - 1]!r} does not close {token!r}")
                if token == "[":
                    options.extend([()] * len(options))
                parts.append(Alternatives(options))
            else:
                parts.append(self._leaf(token, variables))
        if not stop and at < len(tokens):
            raise DataError(f"unexpected {tokens[at]!r}")
        merged: list[str | Node] = []
        for part in parts:
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            else:
                merged.append(part)
        return tuple(merged), at

    def _leaf(self, token: str, variables: frozenset[str]) -> str | Node:
        if token == "@@":
            return "@"
        if token[0] == "@" and len(token) > 1:
            return Verb(token[1:])
        if token[0] == "$" and len(token) > 1:
            return Owner(token[1:])
        if token[0] != "<":
            return token
        name = token[1:-1]
        if name in variables:
            return Day() if name == "day" else Variable(name)
        if name.startswith("#"):
            return Number(name)
        if name in ("Coined", "coined"):
            return Coined(name == "Coined")
        if name not in self.pools:
            raise DataError(f"<{name}> is neither a variable nor a pool")
        return self.pools[name]
