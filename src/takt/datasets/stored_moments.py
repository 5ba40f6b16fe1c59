"""Statistics of one episode, from its rows or as its row in meta/episodes keeps them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from takt.datasets.moments import Moments
from takt.datasets.parquet import column_rows, read_table


def column_moments(rows: pa.Table, path: Path) -> dict[str, Moments]:
    """Of every column of an episode's rows, all numeric; `path` is where they lie."""
    return {key: Moments.of(column_rows(rows, key, path)) for key in rows.column_names}


def read_moments(path: Path, features: Sequence[str], names: Sequence[str]) -> dict[str, Moments]:
    """What the one-episode file `path` keeps of `features`: `names` and the count.

    Raises:
        MissingColumnError: it lacks one of them.
        MissingDataError, CorruptFileError
    """
    wanted = (*names, "count")
    columns = [f"stats/{feature}/{name}" for feature in features for name in wanted]
    row = read_table(path, columns).to_pylist()[0]
    return {
        feature: Moments.from_json({name: row[f"stats/{feature}/{name}"] for name in wanted})
        for feature in features
    }
