"""The interface of vector indexes, and the validation and ranking that all backends share.

A score is the inner product of two unit vectors, their cosine similarity: -1 to 1, higher is
better. A backend may find candidates in any way; `rank` then rescores them, so that all backends
return the same scores and order, and the exact ones the same ids. Axes: n vectors, K dims of a
vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.records import Ranked

# Returns those of some ids that are there, with their levels, int8 of shape (n, K).
Read: TypeAlias = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int8]]]

# Allows for vectors that were stored in half precision or int8 and read back.
_NORM_TOLERANCE = 1e-2


@runtime_checkable
class VectorIndex(Protocol):
    """Finds the vectors nearest to a query; a cache of the embeddings in SQL.

    Ids are non-negative int64; vectors and queries are float32 of unit norm. Wrong dtypes raise
    TypeError; wrong shapes, non-finite values and norms other than 1 raise ValueError. A call that
    raises has changed nothing.
    """

    @property
    def dims(self) -> int:
        """K, the dims of a vector."""

    def __len__(self) -> int:
        """Number of vectors."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors; an existing id gets the new vector.

        Args:
            ids: int64 array of shape (n,). For a repeated id the last vector counts.
            vectors: float32 array of shape (n, K), unit rows.
        """

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove the vectors of these ids, int64 of shape (n,); unknown ids are ignored."""

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None
    ) -> Ranked:
        """Find the k best vectors, best first, ties by ascending id.

        Args:
            query: float32 array of shape (K,), unit norm.
            k: Maximum number of results, 1 or more.
            among: The ids to consider, int64 of shape (n,), strictly ascending; None for all.
                Unknown ids are ignored, and an empty array gives an empty result.

        Returns:
            Ids and cosines, both of shape (min(k, candidates),). Of a backend that is not exact,
            other ids may be better.
        """

    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, as a new int64 array of shape (n,)."""

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of these ids, float32 of shape (n, K).

        Raises:
            KeyError: An id is not in the index.
        """

    def levels(self, ids: NDArray[np.int64]) -> NDArray[np.int8]:
        """The same as int8 levels of shape (n, K); see `agentmem_storage.levels`."""


@runtime_checkable
class Parted(VectorIndex, Protocol):
    """A `VectorIndex` whose vectors are parted among lists, of which a search scans some."""

    @property
    def centroids(self) -> NDArray[np.float32]:
        """What places vectors in lists, float32 of shape (lists, K).

        Its rows are unit vectors, or zero where a list is empty.
        """

    def lists(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """The list that each of these ids is in, int32 of shape (n,).

        Raises:
            KeyError: An id is not in the index.
        """

    def add_levels(
        self,
        ids: NDArray[np.int64],
        levels: NDArray[np.int8],
        lists: NDArray[np.int32] | None = None,
    ) -> None:
        """Add or replace vectors by their levels.

        Args:
            ids: int64 of shape (n,), ascending.
            levels: int8 of shape (n, K).
            lists: The list of each, int32 of shape (n,), if it is known.
        """


def rank(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], query: NDArray[np.float32], k: int
) -> Ranked:
    """Score candidates and keep the k best, ties by ascending id.

    Computed in float64, so that equal vectors get equal scores whatever their row; float32 matrix
    products do not guarantee that.

    Args:
        ids: int64 array of shape (n,).
        vectors: float32 array of shape (n, K).
        query: float32 array of shape (K,).
        k: Number of results to keep.

    Returns:
        The k best, best first.
    """
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    order = np.lexsort((ids, -scores))[:k]
    return Ranked(ids=ids[order], scores=scores[order])


def margin(dims: int) -> float:
    """How far below the k-th float32 score a candidate may be and still belong to the k best.

    Twice the rounding bound K * 2**-24 of a float32 inner product of unit vectors, one for each of
    the two scores compared, and as much again for norms that are only approximately 1.
    """
    return 4.0 * dims * 2.0**-24


def check_dims(dims: int) -> int:
    """Return ``dims`` if it is valid.

    Raises:
        ValueError: It is below 1.
    """
    if dims < 1:
        raise ValueError(f"dims must be 1 or more, got {dims!r}")
    return dims


def check_ids(ids: NDArray[np.int64], name: str = "ids") -> NDArray[np.int64]:
    """Return ``ids`` if it is an int64 array of shape (n,).

    Raises:
        TypeError: It is not an int64 array.
        ValueError: It is not one-dimensional.
    """
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64:
        raise TypeError(f"{name} must be an int64 array, got {_kind(ids)}")
    if ids.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {ids.shape!r}")
    return ids


def check_new(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], dims: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Validate new vectors; return them by ascending id, keeping the last vector of each id.

    Raises:
        TypeError: Ids are not int64 or vectors not float32.
        ValueError: Shapes do not match, an id is negative, or a vector is not a finite unit vector.
    """
    check_ids(ids)
    _check_float32(vectors, "vectors")
    if vectors.shape != (ids.size, dims):
        raise ValueError(f"vectors must have shape {(ids.size, dims)!r}, got {vectors.shape!r}")
    if ids.size and int(ids.min()) < 0:
        raise ValueError(f"ids must not be negative, got {int(ids.min())!r}")
    _check_unit(vectors, "vectors")
    # np.unique returns the first of equal values, so the arrays are reversed.
    unique, last = np.unique(ids[::-1], return_index=True)
    return unique, np.ascontiguousarray(vectors[::-1][last])


def check_query(query: NDArray[np.float32], dims: int) -> NDArray[np.float32]:
    """Return ``query`` if it is one finite unit vector.

    Raises:
        TypeError: It is not a float32 array.
        ValueError: Its shape is not (K,), or it is not a finite unit vector.
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
        TypeError: It is not an int64 array.
        ValueError: It is not one-dimensional or not strictly ascending.
    """
    check_ids(among, "among")
    if bool(np.any(among[1:] <= among[:-1])):
        raise ValueError("among must be strictly ascending: pass np.unique(ids)")
    return among


def locate(
    ids: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Find ids in the ascending ``ids``.

    Returns:
        Indices of shape (n,), and a mask of shape (n,) that is True where they are valid.
    """
    rows = np.searchsorted(ids, wanted)
    inside = rows < ids.size
    known = inside.copy()
    known[inside] = ids[rows[inside]] == wanted[inside]
    return rows, known


def require_known(ids: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
    """Raise an error for ids that are not in the index.

    Raises:
        KeyError: Not all are known; names the first.
    """
    if not known.all():
        raise KeyError(f"no vector with id {int(ids[~known][0])!r}")


def _check_float32(values: NDArray[np.float32], name: str) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise TypeError(f"{name} must be a float32 array, got {_kind(values)}")


def _check_unit(vectors: NDArray[np.float32], name: str) -> None:
    # NaN and infinity also fail the comparison; so does overflow from squaring.
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt((vectors * vectors).sum(axis=1))
        wrong = ~(np.abs(norms - 1.0) <= _NORM_TOLERANCE)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        if not np.isfinite(vectors[row]).all():
            raise ValueError(f"{name} must be finite, row {row} is not")
        raise ValueError(f"{name} must have norm 1, row {row} has norm {float(norms[row])!r}")


def _kind(value: object) -> str:
    return f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
