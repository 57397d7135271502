"""Reads and writes tables: folders of Parquet shards, sorted by key, written atomically and streamed.

A table is a folder of files `shard-00000-of-00002.parquet ...`. The rows are sorted by the row type's key over the
whole table, so that the same rows give the same bytes in whatever order they were written. Shards have content-defined
chunks and a page index, so that a Hub stores only what changed between two versions. A table larger than memory is
sorted in runs, which are then merged.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.files import partial_path, remove_abandoned
from stillhouse.records import SCHEMAS, Rejected, Row, RowT, from_dict, to_dict

# The Hub's advice for Parquet: shards of about 500 MB, row groups of about 100 MB, both uncompressed.
SHARD_BYTES = 500_000_000
ROW_GROUP_BYTES = 100_000_000
# Row groups of tables that are not released. A row group is held in memory until it is written.
GROUP_BYTES = 16_000_000
BATCH_ROWS = 1000
RUN_BYTES = 16_000_000  # bytes sorted in memory at once
FAN_IN = 32  # runs merged at once; each has an open file and a batch in memory
RUN_BATCH_BYTES = 250_000  # bytes of each run in memory during a merge
# The format of every shard. Chunk and page boundaries follow the content, so that a Hub stores only what changed.
SHARD_FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "use_content_defined_chunking": True,
    "write_page_index": True,
}


class TableError(StillhouseError):
    """A table is missing, a shard is corrupt, or a row does not fit the schema; the message names file and row."""


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

    `finish` creates the folder atomically. Memory is bounded: every `RUN_BYTES` of rows are sorted and written to a
    temporary file, a run. `FAN_IN` runs are merged into a longer one.
    """

    def __init__(self, folder: Path, row_type: type[Row]) -> None:
        self._folder, self._row_type = folder, row_type
        self._schema = SCHEMAS[row_type]
        self._partial = partial_path(folder)
        self._chunk: list[dict[str, object]] = []
        self._batches: list[pa.RecordBatch] = []
        self._gathered = 0
        self._rows = self._bytes = 0
        self._runs: list[list[Path]] = [[]]  # by the number of merges
        self._count = 0

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
            self._gather()
            if self._gathered >= RUN_BYTES:
                with _disk_errors(self._folder):
                    self._spill()

    def finish(self) -> TableStats:
        """Sort the rows and create the table's folder.

        Raises:
            TableError: two rows have the same key, or the disk is full or not writable.
        """
        self._gather()
        with _disk_errors(self._folder):
            if self._count:
                self._spill()
                ordered = self._merged([path for level in self._runs for path in level])
            else:
                ordered = iter([self._sorted(pa.Table.from_batches(self._batches, self._schema))])
            paths = self._write_shards(self._unique(ordered))
            size = sum(path.stat().st_size for path in paths)
            shutil.rmtree(self._partial / "runs", ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._partial.rename(self._folder)
        return TableStats(self._rows, [self._folder / path.name for path in paths], size)

    def _gather(self) -> None:
        if self._chunk:
            batch = pa.RecordBatch.from_pylist(self._chunk, schema=self._schema)
            self._batches.append(batch)
            self._gathered += batch.nbytes
            self._chunk = []

    def _spill(self) -> None:
        if not self._batches:
            return
        table = self._sorted(pa.Table.from_batches(self._batches, self._schema))
        self._batches, self._gathered = [], 0
        self._runs[0].append(self._write_run([table]))
        for level, runs in enumerate(self._runs):
            if len(runs) == FAN_IN:
                if level + 1 == len(self._runs):
                    self._runs.append([])
                self._runs[level + 1].append(self._write_run(self._merged(runs)))
                for path in runs:
                    path.unlink()
                runs.clear()

    def _write_run(self, tables: Iterable[pa.Table]) -> Path:
        path = self._partial / "runs" / f"{self._count:06d}.arrow"
        self._count += 1
        path.parent.mkdir(exist_ok=True)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(path, self._schema, options=options) as file:
            for table in tables:
                row_bytes = max(1, table.nbytes // max(1, table.num_rows))
                file.write_table(table, max_chunksize=max(1, RUN_BATCH_BYTES // row_bytes))
        return path

    def _merged(self, paths: list[Path]) -> Iterator[pa.Table]:
        """Yield the rows of sorted runs in order.

        One batch of each run is in memory. All rows up to the smallest of the batches' last keys are yielded together.
        """
        runs = [_run_batches(path) for path in paths]
        heads = {i: next(run) for i, run in enumerate(runs)}
        while heads:
            horizon = min(self._keys(head)[-1].as_py() for head in heads.values())
            ready = []
            for i, head in list(heads.items()):
                below = pc.sum(pc.less_equal(self._keys(head), horizon)).as_py()
                ready.append(head.slice(0, below))
                if below < head.num_rows:
                    heads[i] = head.slice(below)
                elif (following := next(runs[i], None)) is not None:
                    heads[i] = following
                else:
                    del heads[i]
            yield self._sorted(pa.Table.from_batches(ready, self._schema))

    def _write_shards(self, ordered: Iterable[pa.Table]) -> list[Path]:
        """Write rows in their final order as shards of equal numbers of rows, at least one shard.

        The sizes of shards and row groups are computed from the sizes of the rows as JSON. Sizes in Arrow would depend
        on how the rows were batched.
        """
        count = max(1, -(-self._bytes // SHARD_BYTES))
        shard_rows = max(1, -(-self._rows // count))
        count = max(1, -(-self._rows // shard_rows))
        group_rows = max(1, GROUP_BYTES * self._rows // max(1, self._bytes))
        rows = _Rebatcher(ordered)
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
        if self._row_type is Rejected:  # the id of the nested query
            return pc.struct_field(rows.column(0), "id")
        return rows.column(0)

    def _sorted(self, table: pa.Table) -> pa.Table:
        return table.take(pc.sort_indices(self._keys(table)))

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


def _run_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            batch = file.get_batch(i)
            if batch.num_rows:
                yield batch


class _Rebatcher:
    """Returns the rows of many tables in batches of other sizes."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._held: list[pa.Table] = []
        self._rows = 0

    def take(self, rows: int) -> pa.Table:
        """Return the next rows; there must be at least that many."""
        while self._rows < rows:
            table = next(self._tables)
            self._held.append(table)
            self._rows += table.num_rows
        # One contiguous chunk, because the bytes of a Parquet file depend on the chunks that it is written from.
        whole = pa.concat_tables(self._held)
        self._held, self._rows = [whole.slice(rows)], self._rows - rows
        return whole.slice(0, rows).combine_chunks()

    def finish(self) -> None:
        """Exhaust the source: only empty tables are left, but the source raises its errors at its end."""
        for _ in self._tables:
            pass


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Convert an OSError into a TableError that names the table."""
    try:
        yield
    except OSError as error:
        raise TableError(
            f"{folder}: cannot be written: {error}; free disk space or fix the permissions, then run the stage again"
        ) from None


def read_table(
    folder: Path, row_type: type[RowT], *, empty: Collection[str] = ()
) -> Iterator[RowT]:
    """Yield the rows of a table in key order, in bounded memory.

    Args:
        folder: the table.
        row_type: type of its rows.
        empty: text columns that are not read; they are "" in every row.

    Raises:
        TableError: the folder holds no shard, a shard is corrupt, or a row does not fit.
    """
    columns = [name for name in SCHEMAS[row_type].names if name not in empty] if empty else None
    blank = dict.fromkeys(empty, "")
    for path in shard_paths(folder):
        try:
            # pre_buffer would keep the whole shard in memory.
            with pq.ParquetFile(path, pre_buffer=False) as file:
                position = 0
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                    for plain in batch.to_pylist():
                        plain.update(blank)
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


def column_counts(folder: Path, column: str) -> Counter[str]:
    """Return the number of rows of each value of a text column; the other columns are not read."""
    counts: Counter[str] = Counter()
    for path in shard_paths(folder):
        for pair in pc.value_counts(pq.read_table(path, columns=[column]).column(0)).to_pylist():
            counts[pair["values"]] += pair["counts"]
    return counts


def key_column(row_type: type[Row]) -> str:
    """Return the column by which tables of a row type are sorted. Its values are unique in a table."""
    return str(SCHEMAS[row_type].names[0])


def _row(row_type: type[RowT], plain: dict[str, object], path: Path, position: int) -> RowT:
    try:
        return from_dict(row_type, plain)
    except msgspec.ValidationError as error:
        raise TableError(f"{path}: row {position}: {error}") from None
