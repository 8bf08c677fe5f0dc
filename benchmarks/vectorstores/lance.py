"""LanceDB: one table, indexed once all rows are there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.vectorstores.rows import Batch, Rows


class Lance:
    """Its index of vectors, and one of each column that filters ask for."""

    packages: ClassVar[tuple[str, ...]] = ("lancedb", "pyarrow")

    def __init__(
        self,
        folder: Path,
        rows: Rows,
        *,
        index: str = "IVF_PQ",
        refine_factor: int | None = None,
    ) -> None:
        """Create the table, or open it.

        Args:
            folder: Of the database.
            rows: Their dims are those of the table.
            index: The kind of the index of vectors.
            refine_factor: How many times k rows are scored by their vectors; None: none.
        """
        self._index, self._refine_factor = index, refine_factor
        self._schema = pa.schema(
            {
                "row": pa.int64(),
                "user": pa.string(),
                "number": pa.int64(),
                "vector": pa.list_(pa.float32(), rows.dims),
            }
        )
        self._dims = rows.dims
        database = lancedb.connect(str(folder))
        self._table = database.create_table("rows", schema=self._schema, exist_ok=True)

    def add(self, batch: Batch) -> None:
        """Add in one call."""
        count = len(batch.vectors)
        columns = [
            pa.array(np.arange(batch.first, batch.first + count)),
            pa.array([batch.user] * count),
            pa.array(batch.numbers, type=pa.int64()),
            pa.FixedSizeListArray.from_arrays(pa.array(batch.vectors.ravel()), self._dims),
        ]
        self._table.add(pa.Table.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        """Join the many small files, make the indexes, and delete what was before."""
        self._table.optimize()
        self._table.create_index(metric="cosine", index_type=self._index)
        self._table.create_scalar_index("user")
        self._table.create_scalar_index("number", index_type="BITMAP")
        self._table.optimize(cleanup_older_than=timedelta(0))

    def search(
        self, vector: NDArray[np.float32], k: int, *, user: str | None, number: int | None
    ) -> Sequence[int]:
        """Search all, or with a filter that is applied before."""
        query: Any = self._table.search(vector).distance_type("cosine").select(["row"]).limit(k)
        if user is not None:
            query = query.where(f"user = '{user}'", prefilter=True)
        elif number is not None:
            query = query.where(f"number = {number}", prefilter=True)
        if self._refine_factor is not None:
            query = query.refine_factor(self._refine_factor)
        rows: list[int] = query.to_arrow()["row"].to_pylist()
        return rows

    def close(self) -> None:
        """Nothing to flush: every write is on disk when it returns."""
