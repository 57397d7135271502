"""Writes tables: folders of Parquet shards, sorted by key, written atomically.

A table is a folder of files `shard-00000-of-00002.parquet ...`. The rows are sorted by the row type's key over the
whole table, so that the same rows give the same bytes in whatever order they were written. Shards have content-defined
chunks and a page index, so that a Hub stores only what changed between two versions.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillhouse.files import partial_path, remove_abandoned
from stillhouse.records import Rejected, Row, RowT, to_dict
from stillhouse.schemas import arrow_schema
from stillhouse.tables.read import BATCH_ROWS, TableError, key_column
from stillhouse.tables.sort import Rebatcher, Sorter

# The Hub's advice for Parquet: shards of about 500 MB, row groups of about 100 MB, both uncompressed.
SHARD_BYTES = 500_000_000
ROW_GROUP_BYTES = 100_000_000
# Row groups of tables that are not released. A row group is held in memory until it is written.
GROUP_BYTES = 16_000_000
# The format of every shard. Chunk and page boundaries follow the content, so that a Hub stores only what changed.
SHARD_FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "use_content_defined_chunking": True,
    "write_page_index": True,
}


@dataclass(frozen=True)
class TableStats:
    """A written table: number of rows, shard paths, and their total size in bytes."""

    rows: int
    shards: list[Path]
    bytes: int


def write_table(folder: Path, row_type: type[RowT], rows: Iterable[RowT]) -> TableStats:
    """Write rows in any order as a sorted table, atomically and in bounded memory.

    Args:
        folder: The table; an older table there is replaced.
        row_type: The type of the rows.
        rows: The rows.

    Raises:
        TableError: two rows have the same key, or the disk is full or not writable; nothing is left at `folder`.
    """
    with TableWriter(folder, row_type) as writer:
        for row in rows:
            writer.write(row)
        return writer.finish()


class TableWriter:
    """Writes the rows of a table one by one, in any order; a context manager.

    `finish` creates the folder atomically. Memory is bounded, because the rows are sorted on disk.
    """

    def __init__(self, folder: Path, row_type: type[Row]) -> None:
        self._folder, self._row_type = folder, row_type
        self._schema = arrow_schema(row_type)
        self._partial = partial_path(folder)
        self._sorter = Sorter(self._partial / "runs", self._schema, self._keys)
        self._chunk: list[dict[str, object]] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> "TableWriter":
        remove_abandoned(self._folder)
        with _disk_errors(self._folder):
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, row: Row) -> None:
        """Add one row.

        Raises:
            TableError: the disk is full or not writable.
        """
        self._chunk.append(to_dict(row))
        self._rows += 1
        self._bytes += len(msgspec.json.encode(row))
        if len(self._chunk) >= BATCH_ROWS:
            with _disk_errors(self._folder):
                self._sort_chunk()

    def finish(self) -> TableStats:
        """Sort the rows and create the table's folder.

        Raises:
            TableError: two rows have the same key, or the disk is full or not writable.
        """
        with _disk_errors(self._folder):
            self._sort_chunk()
            paths = self._write_shards(self._unique(self._sorter.ordered()))
            size = sum(path.stat().st_size for path in paths)
            shutil.rmtree(self._partial / "runs", ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._partial.rename(self._folder)
        return TableStats(self._rows, [self._folder / path.name for path in paths], size)

    def _sort_chunk(self) -> None:
        if self._chunk:
            self._sorter.add(pa.RecordBatch.from_pylist(self._chunk, schema=self._schema))
            self._chunk = []

    def _write_shards(self, ordered: Iterable[pa.Table]) -> list[Path]:
        """Write rows in their final order as shards of equal numbers of rows, at least one shard.

        The sizes of shards and row groups are computed from the sizes of the rows as JSON. Sizes in Arrow would depend
        on how the rows were batched.
        """
        count = max(1, -(-self._bytes // SHARD_BYTES))
        shard_rows = max(1, -(-self._rows // count))
        count = max(1, -(-self._rows // shard_rows))
        group_rows = max(1, GROUP_BYTES * self._rows // max(1, self._bytes))
        rows = Rebatcher(ordered)
        paths = []
        for i in range(count):
            paths.append(self._partial / f"shard-{i:05d}-of-{count:05d}.parquet")
            left = min(shard_rows, self._rows - i * shard_rows)
            with pq.ParquetWriter(paths[-1], self._schema, **SHARD_FORMAT) as writer:
                while left:
                    group = rows.take(min(left, group_rows))
                    writer.write_table(group, row_group_size=group.num_rows)
                    left -= group.num_rows
        rows.finish()
        return paths

    def _keys(self, rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
        if self._row_type is not Rejected:
            return rows.column(0)
        # The id of the nested query; a row that is no query is sorted by its place, which is one of a kind.
        number = pc.utf8_lpad(pc.cast(rows.column("row"), pa.string()), 12, "0")
        place = pc.binary_join_element_wise(rows.column("source"), number, "/")
        return pc.coalesce(pc.struct_field(rows.column(0), "id"), place)

    def _unique(self, ordered: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield sorted rows, and raise at the end if a key that must be unique occurs twice."""
        repeated, last = 0, None
        for table in ordered:
            # A rejected query may occur twice, because its text may be a duplicate.
            if table.num_rows and self._row_type is not Rejected:
                keys = table.column(0)
                repeated += table.num_rows - len(keys.unique()) + (keys[0].as_py() == last)
                last = keys[-1].as_py()
            yield table
        if repeated:
            raise TableError(
                f"{self._folder}: {repeated} rows repeat a {key_column(self._row_type)!r} that must be unique"
            )


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Convert an OSError into a TableError that names the table."""
    try:
        yield
    except OSError as error:
        raise TableError(
            f"{folder}: cannot be written: {error}; free disk space or fix the permissions, then run the stage again"
        ) from None
