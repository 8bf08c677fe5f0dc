"""What an index of keys promises, and the parts that every backend shares.

A score is the inner product of two unit keys, that is their cosine: from -1 to 1, higher is better.
A backend may find its candidates as it likes; `rank` then scores them again, so that every backend
returns the same ids, scores and order. Axes: n keys, K dims of a key.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import Ranked

# Wide enough for keys that were stored in half precision or int8 and read back.
_NORM_TOLERANCE = 1e-2


@runtime_checkable
class KeyIndex(Protocol):
    """Finds the keys nearest to a query; a cache of what SQL holds.

    Ids are int64 and not negative. Keys and queries are float32 of unit norm.
    Wrong dtypes raise TypeError; wrong shapes, values that are not finite, and norms other
    than 1 raise ValueError. A call that raises has changed nothing.
    """

    @property
    def dims(self) -> int:
        """K, the dims of a key."""

    def __len__(self) -> int:
        """Number of keys."""

    def add(self, ids: NDArray[np.int64], keys: NDArray[np.float32]) -> None:
        """Add keys; an id that is there already gets the new key.

        Args:
            ids: int64 array of shape (n,). Of an id given twice the last key stays.
            keys: float32 array of shape (n, K), unit rows.
        """

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove the keys of these ids, int64 of shape (n,); unknown ids are ignored."""

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best keys, best first, ties by ascending id.

        Args:
            query: float32 array of shape (K,), unit norm.
            k: How many at most, 1 or more; all candidates if there are fewer.
            among: The only ids to consider, int64 of shape (n,), strictly ascending. Unknown
                ids are ignored; an empty array gives an empty result. None considers all.

        Returns:
            Ids and cosines, both of shape (min(k, candidates),).
        """

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, as an int64 array of shape (n,) that the caller may keep."""

    def keys(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Keys of these ids, float32 of shape (n, K).

        Raises:
            KeyError: An id is not in the index.
        """


def rank(
    ids: NDArray[np.int64], keys: NDArray[np.float32], query: NDArray[np.float32], k: int
) -> Ranked:
    """Score candidates and keep the k best, ties by ascending id.

    Sums in float64: equal keys then score equal whatever row they stand in, which float32
    matrix products do not promise.

    Args:
        ids: int64 array of shape (n,).
        keys: float32 array of shape (n, K).
        query: float32 array of shape (K,).
        k: How many to keep.

    Returns:
        The k best, best first.
    """
    scores = (keys.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    order = np.lexsort((ids, -scores))[:k]
    return Ranked(ids=ids[order], scores=scores[order])


def margin(dims: int) -> float:
    """How far below the k-th float32 score a candidate may lie and yet belong to the k best.

    Twice the bound K * 2**-24 on the rounding of a float32 inner product of unit vectors, for
    both scores compared, and as much again for norms that are only nearly 1.
    """
    return 4.0 * dims * 2.0**-24


def check_dims(dims: int) -> int:
    """Return ``dims`` if a key can have that many.

    Raises:
        ValueError: It is below 1.
    """
    if dims < 1:
        raise ValueError(f"dims must be 1 or more, got {dims!r}")
    return dims


def check_ids(ids: NDArray[np.int64], name: str = "ids") -> NDArray[np.int64]:
    """Return ``ids`` if it is an int64 array of shape (n,).

    Raises:
        TypeError: It is no int64 array.
        ValueError: It has another number of axes.
    """
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64:
        raise TypeError(f"{name} must be an int64 array, got {_kind(ids)}")
    if ids.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {ids.shape!r}")
    return ids


def check_new(
    ids: NDArray[np.int64], keys: NDArray[np.float32], dims: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Check what is to be added; return it by ascending id, the last key of each id.

    Raises:
        TypeError: Ids are not int64 or keys not float32.
        ValueError: Shapes do not fit, an id is negative, or a key is not finite or no unit vector.
    """
    check_ids(ids)
    _check_float32(keys, "keys")
    if keys.shape != (ids.size, dims):
        raise ValueError(f"keys must have shape {(ids.size, dims)!r}, got {keys.shape!r}")
    if ids.size and int(ids.min()) < 0:
        raise ValueError(f"ids must not be negative, got {int(ids.min())!r}")
    _check_unit(keys, "keys")
    # np.unique reports the first of equal values, so it looks at the reversed array.
    unique, last = np.unique(ids[::-1], return_index=True)
    return unique, np.ascontiguousarray(keys[::-1][last])


def check_query(query: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """Return ``query`` if it is one finite unit key.

    Raises:
        TypeError: It is no float32 array.
        ValueError: Its shape is not (K,), or it is not finite or no unit vector.
    """
    _check_float32(query, "query")
    if query.shape != (dims,):
        raise ValueError(f"query must have shape {(dims,)!r}, got {query.shape!r}")
    _check_unit(query[None, :], "query")
    return np.ascontiguousarray(query)


def check_k(k: int) -> int:
    """Return ``k`` if it is 1 or more.

    Raises:
        ValueError: It is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k!r}")
    return int(k)


def check_among(among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``among`` if it is a strictly ascending int64 array.

    Raises:
        TypeError: It is no int64 array.
        ValueError: It has another number of axes, or does not ascend.
    """
    check_ids(among, "among")
    if bool(np.any(among[1:] <= among[:-1])):
        raise ValueError("among must be strictly ascending: pass np.unique(ids)")
    return among


def locate(
    ids: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where the wanted ids stand in the ascending ``ids``.

    Returns:
        Places of shape (n,), each valid only where the mask of shape (n,) beside it is True.
    """
    places = np.searchsorted(ids, wanted)
    inside = places < ids.size
    known = inside.copy()
    known[inside] = ids[places[inside]] == wanted[inside]
    return places, known


def require_known(ids: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
    """Refuse ids that are not in the index.

    Raises:
        KeyError: Not all are known; names the first.
    """
    if not known.all():
        raise KeyError(f"no key with id {int(ids[~known][0])!r}")


def _check_float32(values: NDArray[np.float32], name: str) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise TypeError(f"{name} must be a float32 array, got {_kind(values)}")


def _check_unit(keys: NDArray[np.float32], name: str) -> None:
    # NaN and infinity fail the comparison too; overflow while squaring is one of the cases meant.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt((keys * keys).sum(axis=1))
        wrong = ~(np.abs(norms - 1.0) <= _NORM_TOLERANCE)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        if not np.isfinite(keys[row]).all():
            raise ValueError(f"{name} must be finite, row {row} is not")
        raise ValueError(f"{name} must have norm 1, row {row} has norm {float(norms[row])!r}")


def _kind(value: object) -> str:
    return f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
