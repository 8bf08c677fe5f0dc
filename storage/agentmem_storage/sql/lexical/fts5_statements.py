"""The statements of the lexical index in SQLite: FTS5 finds each phrase by itself.

What a phrase weighs, and which phrases there are, are parameters: JSON objects whose keys are the
phrases as FTS5 takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    LargeBinary,
    Select,
    Subquery,
    bindparam,
    column,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import text

from agentmem_storage.sql.lexical.phrases import Among, Shape
from agentmem_storage.sql.schema.tables import chunk_terms, chunk_terms_name

_ROWID = literal_column("chunk_terms.rowid", Integer)
# The unary plus keeps SQLite from querying FTS5 once per allowed id.
_UNINDEXED_ROWID = literal_column("+chunk_terms.rowid", Integer)
_MARK = literal_column("x'01'", LargeBinary)
_BM25 = func.bm25(chunk_terms_name, type_=Float)
_PHRASES = func.json_each(bindparam("phrases")).table_valued("value", name="phrase")
_IDS = func.json_each(bindparam("ids")).table_valued("value", name="chunk")


def shape(among: Among | None) -> Shape | None:
    """What a statement depends on: how its chunks are told; None if they are all."""
    return None if among is None else among.shape


def given(name: str, among: Among | None) -> dict[str, Any]:
    """The parameters for `_within`."""
    if among is None:
        return {}
    bounds = {f"{name}_first": among.first, f"{name}_last": among.last}
    if among.shape == "span":
        return bounds
    return {name: among.mask if among.shape == "mask" else among.json, **bounds}


def _within(name: str, shape: Shape | None) -> list[ColumnElement[bool]]:
    """The conditions for being among the chunks that parameters say, of some `shape`."""
    if shape is None:
        return []
    # FTS5 skips what is out of bounds, which is most of the index where a scope is of one time.
    first, last = (bindparam(f"{name}_{end}", type_=Integer) for end in ("first", "last"))
    bounds = [_ROWID >= first, _ROWID <= last]
    if shape == "span":
        return bounds
    if shape == "mask":
        # A list becomes a table in each statement, which takes as long as searching it.
        mask = bindparam(name, type_=LargeBinary)
        return [*bounds, func.substr(mask, _UNINDEXED_ROWID - first + 1, 1) == _MARK]
    values = func.json_each(bindparam(name)).table_valued(column("value", Integer), name=name)
    return [*bounds, _UNINDEXED_ROWID.in_(select(values.c.value))]


# Compiled once, here and below: compiling takes longer than running.
@cache
def best(shape: Shape | None) -> Select[tuple[int, float, float]]:
    """The best ``k`` of the allowed chunks that contain one of the phrases ``leading``."""
    led = _matches("leading", _within("allowed", shape)).cte("led")
    within = [_UNINDEXED_ROWID.in_(select(led.c.id))]
    others = _matches("following", within).subquery("others")
    common = _present(within).subquery("common")
    matches = union_all(select(led), select(others), select(common)).subquery("matches")
    # Its square, because not every SQLite has a square root. Rounded, because sums may depend on
    # the order of their terms in the last bit.
    share = func.sum(matches.c.share, type_=Float).label("share")
    bm25 = -func.sum(matches.c.bm25) * func.max(1, func.sum(matches.c.counted))
    with_common = bm25 * (share / func.sum(matches.c.weighed))
    score = func.round(with_common * share * share, 9, type_=Float).label("score")
    return (
        select(matches.c.id, score, share)
        .group_by(matches.c.id)
        .order_by(score.desc(), matches.c.id)
        .limit(bindparam("k", type_=Integer))
    )


@cache
def narrow(shape: Shape | None) -> Select[tuple[int]]:
    """The ``most`` of the allowed chunks that ``common`` finds, by the shares of what they have."""
    found = _present(_within("allowed", shape)).subquery("found")
    return (
        select(found.c.id)
        .group_by(found.c.id)
        .order_by(func.sum(found.c.share).desc(), found.c.id.desc())
        .limit(bindparam("most", type_=Integer))
    )


def _matches(counts: str, within: Sequence[ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    """Chunks that contain a phrase, one row per phrase, with its weighted BM25 and share.

    ``counts`` is the name of the parameter with the phrases and their weights.
    """
    phrases = _phrases(counts)
    bm25 = _BM25 * phrases.c.value
    return _rows(phrases, phrases.c.key, bm25, phrases.c.share, within)


def _present(within: Sequence[ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    """Chunks that an expression of the parameter ``common`` finds, without any BM25."""
    phrases, nothing = _phrases("common"), literal(0.0)
    return _rows(phrases, phrases.c.value, nothing, nothing, within)


def _phrases(name: str) -> Subquery:
    """The keys and values of a parameter, how often each is counted, and its share."""
    found = func.json_each(bindparam(name)).table_valued("key", "value", name=name)
    odd = func.json_each(bindparam("counted")).table_valued("key", "value", name="odd")
    times = select(odd.c.value).where(odd.c.key == found.c.key).scalar_subquery()
    shares = func.json_each(bindparam("shares")).table_valued("key", "value", name="shares")
    # Read once, which LIMIT ensures, and not again for each row that a phrase finds.
    return (
        select(
            found.c.key,
            found.c.value,
            func.coalesce(times, 1, type_=Integer).label("counted"),
            shares.c.value.label("share"),
        )
        .select_from(found.join(shares, shares.c.key == found.c.key))
        .limit(-1)
        .subquery()
    )


def _rows(
    phrases: Subquery,
    expression: ColumnElement[Any],
    bm25: ColumnElement[Any],
    weighed: ColumnElement[Any],
    within: Sequence[ColumnElement[bool]],
) -> Select[*tuple[Any, ...]]:
    """What an expression finds for each phrase, which is the key of a row.

    The share of a phrase is also in the column ``weighed`` if its BM25 is known.
    """
    return (
        select(
            _ROWID.label("id"),
            bm25.label("bm25"),
            phrases.c.counted,
            phrases.c.share,
            weighed.label("weighed"),
        )
        .select_from(phrases.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(expression), *within)
        # bm25() works only while FTS5 scans, not in a grouped query; LIMIT prevents flattening.
        .limit(-1)
    )


@cache
def match_counts(*parts: tuple[str, Shape]) -> Select[*tuple[Any, ...]]:
    """Each phrase, with the number of rows that contain it, and of those of each part.

    Those of the table are counted from behind the id that is given for the phrase. A part is the
    name of its parameters and its `shape`.
    """
    listed = func.json_each(bindparam("phrases")).table_valued(
        "key", column("value", Integer), name="phrase"
    )
    # One count per phrase: FTS5 then reads only which rows contain it.
    count = (
        select(func.count())
        .select_from(chunk_terms)
        .where(chunk_terms_name.op("MATCH")(listed.c.key))
        .correlate(listed)
    )
    newer = count.where(_ROWID > listed.c.value)
    counts = [newer, *(count.where(*_within(name, shape)) for name, shape in parts)]
    return select(listed.c.key, *(one.scalar_subquery() for one in counts))


def _holding(rowid: ColumnElement[int]) -> Select[int, str]:
    """The id of a chunk and a phrase that it contains, one row for each."""
    return (
        select(_ROWID, _PHRASES.c.value)
        .select_from(_PHRASES.join(text("chunk_terms"), true()))
        .where(chunk_terms_name.op("MATCH")(_PHRASES.c.value), rowid.in_(select(_IDS.c.value)))
    )


LOOKED_UP = _holding(_ROWID)
SCANNED = _holding(_UNINDEXED_ROWID)
