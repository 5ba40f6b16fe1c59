"""Reading parquet columns as NumPy rows, with named errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from takt.datasets.errors import CorruptFileError, MissingDataError


def read_table(path: Path, columns: Sequence[str] | None = None, episode: int | None = None) -> pa.Table:
    """Read `columns` (all if None) of a parquet file, of one episode's rows only if given.

    Row groups without the episode are skipped by their statistics.

    Raises:
        MissingDataError: there is no such file.
        CorruptFileError: it is truncated, or a column is missing.
    """
    if not path.is_file():
        raise MissingDataError(path, "expected a parquet file here, found none; copy the dataset again")
    rows = None if episode is None else [("episode_index", "=", episode)]
    try:
        names = pq.read_schema(path).names
        missing = [name for name in columns or () if name not in names]
        if missing:
            raise CorruptFileError(path, f"expected the columns {missing}, the file has {names}")
        return pq.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=rows,
            use_threads=False,
            partitioning=None,
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptFileError(
            path, f"not readable as parquet, truncated or damaged ({error}); copy the file again"
        ) from error


def column_rows(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """Column `name` as (row, n) in its own dtype; plain numbers become (row, 1)."""
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise CorruptFileError(path, f"column {name!r} has {column.null_count} empty rows")
    while isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        column = column.flatten()
    values = column.to_numpy(zero_copy_only=False)
    if table.num_rows and len(values) % table.num_rows:
        raise CorruptFileError(path, f"column {name!r}: rows differ in length")
    return values.reshape(table.num_rows, -1) if table.num_rows else values.reshape(0, 1)
