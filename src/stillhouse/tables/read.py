"""Reads tables: folders of Parquet shards, sorted by key, in bounded memory."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.records import Row, RowT, from_dict
from stillhouse.schemas import arrow_schema

BATCH_ROWS = 1000


class TableError(StillhouseError):
    """A table is missing, a shard is corrupt, or a row does not fit the schema; the message names file and row."""


def read_table(
    folder: Path, row_type: type[RowT], *, blank: Mapping[str, Any] | None = None
) -> Iterator[RowT]:
    """Yield the rows of a table in key order, in bounded memory.

    Args:
        folder: the table.
        row_type: type of its rows.
        blank: columns that are not read, each with the value that all rows have in its place.

    Raises:
        TableError: the folder holds no shard, a shard is corrupt, or a row does not fit.
    """
    blank = blank or {}
    columns = [name for name in arrow_schema(row_type).names if name not in blank]
    for path in shard_paths(folder):
        # pre_buffer would keep the whole shard in memory.
        with shard_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
            position = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for plain in batch.to_pylist():
                    plain.update(blank)
                    yield _row(row_type, plain, path, position)
                    position += 1


@contextlib.contextmanager
def shard_errors(path: Path) -> Iterator[None]:
    """Convert errors of reading a shard, or a table of shards, into a TableError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{path}: corrupt or unreadable Parquet shard ({' '.join(str(error).split())}); "
            "restore it with `dvc checkout` or run its stage again with `dvc repro --force`"
        ) from None


def shard_paths(folder: Path) -> list[Path]:
    """Return the shards of a table in order.

    Raises:
        TableError: there are none.
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise TableError(
            f"{folder}: no table here (no *.parquet); run the stage that makes it, or `dvc checkout`"
        )
    return paths


def count_rows(folder: Path) -> int:
    """Return the number of rows of a table, of which only the footers are read.

    Raises:
        TableError: the folder holds no shard, or a shard is corrupt.
    """
    rows = 0
    for path in shard_paths(folder):
        with shard_errors(path):
            rows += int(pq.read_metadata(path).num_rows)
    return rows


def column_counts(folder: Path, column: str) -> Counter[str]:
    """Return the number of rows of each value of a text column; the other columns are not read."""
    counts: Counter[str] = Counter()
    for path in shard_paths(folder):
        for pair in pc.value_counts(pq.read_table(path, columns=[column]).column(0)).to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts


def read_column(folder: Path, column: str) -> Iterator[str]:
    """Yield a text column in the order of the rows; the other columns are not read.

    Raises:
        TableError: the folder holds no shard, or a shard is corrupt.
    """
    for path in shard_paths(folder):
        with shard_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(columns=[column]):
                yield from batch.column(0).to_pylist()


def key_column(row_type: type[Row]) -> str:
    """Return the column by which tables of a row type are sorted. Its values are unique in a table."""
    return str(arrow_schema(row_type).names[0])


def _row(row_type: type[RowT], plain: dict[str, object], path: Path, position: int) -> RowT:
    try:
        return from_dict(row_type, plain)
    except msgspec.ValidationError as error:
        raise TableError(
            f"{path}: row {position}: {error}; if another version wrote the table, run `dvc repro`"
        ) from None
