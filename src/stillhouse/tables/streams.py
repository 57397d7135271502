"""Reads sorted tables side by side as Arrow batches, to join them in bounded memory without sorting.

The ids of responses and released rows begin with digits of their query's id (`records.QUERY_PART`). All tables of a
run are therefore in the order of the queries.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.records import QUERY_PART
from stillhouse.tables.read import BATCH_ROWS, TableError, shard_errors, shard_paths

_AFTER_HEX = "g"  # sorts after every hex digit


class JoinError(StillhouseError):
    """Tables of different runs were joined; the message names table and row."""


def read_batches(
    folder: Path, columns: Sequence[str] | None = None, *, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows in key order, in batches.

    Args:
        folder: the table.
        columns: those to read; a path such as `checks.list.element.state` is a part of a nested one. Null: all.
        rows: the rows of a batch.

    Raises:
        TableError: there is no table, or a shard is corrupt or lacks a column.
    """
    wanted = list(columns) if columns is not None else None
    for path in shard_paths(folder):
        # pre_buffer would keep the whole shard in memory.
        with shard_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
            heads = {name.partition(".")[0] for name in wanted or ()}
            if missing := heads - set(file.schema_arrow.names):
                raise TableError(
                    f"{path}: no column {', '.join(sorted(missing))}; run its stage again"
                )
            yield from file.iter_batches(batch_size=rows, columns=wanted)


class Follower:
    """Looks up rows of one sorted table by keys in ascending order.

    Args:
        folder: the table.
        key: the column in which keys are looked up.
        columns: the further columns to return.
        partial: False if every row must be looked up exactly once, in ascending order. True if keys may repeat, may
            come in any order within one query, and some rows may never be looked up.
    """

    def __init__(
        self, folder: Path, key: str, columns: Sequence[str], *, partial: bool = False
    ) -> None:
        self._folder, self._key, self._partial = folder, key, partial
        self._batches = read_batches(folder, [key, *columns])
        self._held = pa.Table.from_batches([next(self._batches)])

    def at(self, keys: pa.Array) -> pa.Table:
        """Return one row per key; all columns are null if the table has no such row.

        Raises:
            JoinError: a row was skipped because no key matched it, unless `partial`.
        """
        highest = pc.max(keys).as_py() or ""
        if self._partial:
            highest = highest[:QUERY_PART] + _AFTER_HEX
        self._read_to(highest)
        column = self._held.column(self._key)
        found = self._held.take(pc.index_in(keys, value_set=column))
        if self._partial:
            # The rows of the last query may be looked up again.
            keep = pc.greater_equal(column, highest[:-1])
        else:
            keep = pc.greater(column, highest)
            passed = pc.and_(pc.invert(keep), pc.invert(pc.is_in(column, value_set=keys)))
            self._refuse(column.filter(passed))
        self._held = self._held.filter(keep)
        return found

    def finish(self) -> None:
        """Check that no row is left.

        Raises:
            JoinError: a row was never looked up, unless `partial`.
        """
        if not self._partial:
            self._read_to("")
            self._refuse(self._held.column(self._key))

    def _read_to(self, highest: str) -> None:
        parts = [self._held]
        while not parts[-1].num_rows or parts[-1].column(self._key)[-1].as_py() <= highest:
            batch = next(self._batches, None)
            if batch is None:
                break
            parts.append(pa.Table.from_batches([batch]))
        self._held = pa.concat_tables(parts).combine_chunks()

    def _refuse(self, unmatched: pa.ChunkedArray) -> None:
        if len(unmatched):
            raise JoinError(
                f"{self._folder}: row {unmatched[0].as_py()} belongs to no row of the table it is joined to; the "
                "tables come from different runs: run `dvc repro`"
            )
