"""Tables on disk: folders of Parquet shards, sorted by id, written atomically, read as a stream.

A table is a folder `shard-00000-of-00002.parquet ...`. Shards are sorted by the row type's key over the whole table, so
that the same rows give the same bytes whatever order they were made in, and are written with content-defined chunking
and a page index, so that a Hub stores only what changed between two versions.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.records import SCHEMAS, Rejected, Row, RowT, from_dict, to_dict

# The Hub's advice for Parquet: shards of about 500 MB, row groups of about 100 MB, both uncompressed.
SHARD_BYTES = 500_000_000
ROW_GROUP_BYTES = 100_000_000
BATCH_ROWS = 1000
# How every shard is written: chunk and page borders follow the content, so that a Hub stores only what changed.
SHARD_FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "use_content_defined_chunking": True,
    "write_page_index": True,
}


class TableError(StillhouseError):
    """A table is missing, a shard is corrupt, or a row does not fit the schema; the message names file and row."""


@dataclass(frozen=True)
class TableStats:
    """What was written: number of rows, shard paths, and their total size in bytes."""

    rows: int
    shards: list[Path]
    bytes: int


def write_table(folder: Path, row_type: type[RowT], rows: Iterable[RowT]) -> TableStats:
    """Write rows in any order as a sorted table; the folder appears whole or not at all.

    Raises:
        TableError: two rows have the same key.
        OSError: the disk is full or not writable; nothing is left at `folder`.
    """
    schema = SCHEMAS[row_type]
    batches: list[pa.RecordBatch] = []
    chunk: list[dict[str, object]] = []
    for row in rows:
        chunk.append(to_dict(row))
        if len(chunk) == BATCH_ROWS:
            batches.append(pa.RecordBatch.from_pylist(chunk, schema=schema))
            chunk = []
    if chunk:
        batches.append(pa.RecordBatch.from_pylist(chunk, schema=schema))
    table = pa.Table.from_batches(batches, schema=schema)
    return write_arrow(folder, _sorted(table, row_type, folder))


def write_arrow(folder: Path, table: pa.Table) -> TableStats:
    """Write an Arrow table, already in its final order, as shards."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        count = max(1, -(-table.nbytes // SHARD_BYTES))
        rows_per_shard = max(1, -(-table.num_rows // count))
        names = [f"shard-{i:05d}-of-{count:05d}.parquet" for i in range(count)]
        for i, name in enumerate(names):
            _write_shard(partial / name, table.slice(i * rows_per_shard, rows_per_shard))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shards = [folder / name for name in names]
    return TableStats(table.num_rows, shards, sum(path.stat().st_size for path in shards))


def read_table(folder: Path, row_type: type[RowT]) -> Iterator[RowT]:
    """Yield the rows of a table in key order, in bounded memory.

    Raises:
        TableError: the folder holds no shard, a shard is corrupt, or a row does not fit.
    """
    for path in shard_paths(folder):
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:  # else the whole shard is held
                position = 0
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for plain in batch.to_pylist():
                        yield _row(row_type, plain, path, position)
                        position += 1
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


def key_column(row_type: type[Row]) -> str:
    """Return the column by which a row type's tables are sorted, unique in each."""
    return str(SCHEMAS[row_type].names[0])


def _row(row_type: type[RowT], plain: dict[str, object], path: Path, position: int) -> RowT:
    try:
        return from_dict(row_type, plain)
    except msgspec.ValidationError as error:
        raise TableError(f"{path}: row {position}: {error}") from None


def _sorted(table: pa.Table, row_type: type[Row], folder: Path) -> pa.Table:
    keys = table.column(0)
    if (
        row_type is Rejected
    ):  # the key is the id of the nested query, and repeats where text was duplicated
        keys = pa.compute.struct_field(keys.combine_chunks(), "id")
        return table.take(pa.compute.sort_indices(keys))
    unique = pa.compute.count_distinct(keys).as_py()
    if unique != table.num_rows:
        raise TableError(
            f"{folder}: {table.num_rows - unique} rows repeat a {key_column(row_type)!r} that must be unique"
        )
    return table.take(pa.compute.sort_indices(keys))


def _write_shard(path: Path, table: pa.Table) -> None:
    row_bytes = max(1, table.nbytes // max(1, table.num_rows))
    pq.write_table(table, path, row_group_size=max(1, ROW_GROUP_BYTES // row_bytes), **SHARD_FORMAT)
