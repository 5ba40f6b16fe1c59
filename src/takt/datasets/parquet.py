"""Reading parquet columns as NumPy rows, with named errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from takt.datasets.errors import CorruptFileError, MissingColumnError, MissingDataError


def read_table(
    path: Path, columns: Sequence[str] | None = None, episode: int | None = None
) -> pa.Table:
    """Read `columns` of a parquet file (if None all but the episode statistics "stats/…").

    Row groups without the rows of `episode`, if one is asked for, are skipped by their statistics.

    Raises:
        MissingDataError: there is no such file.
        MissingColumnError: it lacks one of the columns.
        CorruptFileError: it is truncated or damaged.
    """
    if not path.is_file():
        raise MissingDataError(
            path, "expected a parquet file here, found none; copy the dataset again"
        )
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if columns is None:
                columns = [name for name in names if not name.startswith("stats/")]
            if missing := [name for name in columns if name not in names]:
                raise MissingColumnError(
                    path, f"expected the columns {missing}, the file has {names}"
                )
            groups = range(file.num_row_groups)
            if episode is None:
                return file.read_row_groups(groups, columns=list(columns), use_threads=False)
            groups = [
                group for group in groups if _may_hold(file.metadata.row_group(group), episode)
            ]
            table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
            return table.filter(pc.field("episode_index") == episode)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptFileError(
            path, f"not readable as parquet, truncated or damaged ({error}); copy the file again"
        ) from error


def _may_hold(group: pq.RowGroupMetaData, episode: int) -> bool:
    """Whether a row group's stored range of `episode_index` holds the episode."""
    for position in range(group.num_columns):
        column = group.column(position)
        if column.path_in_schema == "episode_index":
            known = column.is_stats_set and column.statistics.has_min_max
            return not known or column.statistics.min <= episode <= column.statistics.max
    return True


def column_rows(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """Column `name` as (row, n) in its own dtype; plain numbers become (row, 1)."""
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise CorruptFileError(
            path,
            f"column {name!r}: expected a value in every row, got {column.null_count} empty ones; "
            "copy the file again, or record the episode again",
        )
    while isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        if not isinstance(column, pa.FixedSizeListArray):
            _require_one_length(np.diff(column.offsets), name, path)
        column = column.flatten()
    values = column.to_numpy(zero_copy_only=False)
    return values.reshape(table.num_rows, -1) if table.num_rows else values.reshape(0, 1)


def _require_one_length(lengths: np.ndarray, name: str, path: Path) -> None:
    """Else a row's numbers would be taken for its neighbour's."""
    odd = np.flatnonzero(lengths != lengths[:1])
    if len(odd):
        raise CorruptFileError(
            path,
            f"column {name!r}: expected rows of one length, got {lengths[0]} numbers and "
            f"{lengths[odd[0]]}; copy the file again, or record the episode again",
        )
