"""Sorts more rows than fit into memory: sorted runs are written to temporary files, which are then merged."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

RUN_BYTES = 16_000_000  # bytes sorted in memory at once
FAN_IN = 32  # runs merged at once; each has an open file and a batch in memory
RUN_BATCH_BYTES = 250_000  # bytes of each run in memory during a merge

Keys = Callable[[pa.RecordBatch | pa.Table], pa.Array | pa.ChunkedArray]


class Sorter:
    """Sorts record batches by key in bounded memory.

    Every `RUN_BYTES` of rows are sorted and written to a file, a run. `FAN_IN` runs are merged into a longer one.

    Args:
        folder: The folder for the runs. It is created when the first run is written; the caller deletes it.
        schema: The schema of all batches.
        keys: Returns the keys of some rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema, keys: Keys) -> None:
        self._folder, self._schema, self._keys = folder, schema, keys
        self._batches: list[pa.RecordBatch] = []
        self._gathered = 0
        self._runs: list[list[Path]] = [[]]  # by the number of merges
        self._count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises:
            OSError: the disk is full or not writable.
        """
        self._batches.append(batch)
        self._gathered += batch.nbytes
        if self._gathered >= RUN_BYTES:
            self._spill()

    def ordered(self) -> Iterator[pa.Table]:
        """Yield all rows in the order of their keys; equal keys are in no certain order.

        Raises:
            OSError: the disk is full or not writable.
        """
        if not self._count:
            yield self._sorted(self._batches)
            return
        self._spill()
        yield from self._merged([path for level in self._runs for path in level])

    def _spill(self) -> None:
        if not self._batches:
            return
        table = self._sorted(self._batches)
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
        path = self._folder / f"{self._count:06d}.arrow"
        self._count += 1
        self._folder.mkdir(exist_ok=True)
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
            yield self._sorted(ready)

    def _sorted(self, batches: list[pa.RecordBatch]) -> pa.Table:
        table = pa.Table.from_batches(batches, self._schema)
        return table.take(pc.sort_indices(self._keys(table)))


def _run_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            batch = file.get_batch(i)
            if batch.num_rows:
                yield batch


class Rebatcher:
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
