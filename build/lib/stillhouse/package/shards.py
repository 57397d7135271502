"""Writes the shards of a release as a stream, in the format that the Hub recommends.

Row groups have about 100 MB and shards about 500 MB, uncompressed. Chunk and page boundaries follow the content, so
that the Hub stores, and an upload sends, only what changed between two versions.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.package.rows import SPLIT
from stillhouse.tables.write import ROW_GROUP_BYTES, SHARD_BYTES, SHARD_FORMAT

# Parquet compresses each page as a whole, so a changed row changes its whole page. Pages are smaller than Arrow's
# default (256 KiB to 1 MiB), so that a changed row of about 10 kB changes fewer bytes; a page still compresses well.
CHUNKING = {"min_chunk_size": 32 * 1024, "max_chunk_size": 128 * 1024, "norm_level": 0}
FORMAT: dict[str, Any] = SHARD_FORMAT | {"use_content_defined_chunking": CHUNKING}


class ShardWriter:
    """Writes batches of one schema into `<folder>/train-00000-of-0000N.parquet`, at least one; a context manager.

    A thread compresses and writes a row group while the rows of the next one are collected.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._batches: list[pa.RecordBatch] = []
        self._gathered = self._written = 0
        self._partials: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._busy: Future[None] | None = None
        self.shards: list[Path] = []
        folder.mkdir(parents=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows.

        Raises:
            OSError: the disk is full or not writable. The error may come from an earlier row group.
        """
        if batch.num_rows:
            self._batches.append(batch)
            self._gathered += batch.nbytes
            if self._gathered >= ROW_GROUP_BYTES:
                self._flush()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the shards and give them their final names; after an error, only close the file."""
        try:
            if error is None and (self._batches or self._busy is None):
                self._flush()
            if error is None:
                self._wait()
        finally:
            self._thread.shutdown()
            if self._writer is not None:
                self._writer.close()
        if error is None:
            count = len(self._partials)
            self.shards = [
                path.rename(self._folder / f"{SPLIT}-{i:05d}-of-{count:05d}.parquet")
                for i, path in enumerate(self._partials)
            ]

    def _flush(self) -> None:
        self._wait()
        self._busy = self._thread.submit(self._write_group, self._batches, self._gathered)
        self._batches, self._gathered = [], 0

    def _wait(self) -> None:
        if self._busy is not None:
            self._busy.result()

    def _write_group(self, batches: list[pa.RecordBatch], size: int) -> None:
        if self._writer is None or self._written >= SHARD_BYTES:
            if self._writer is not None:
                self._writer.close()
            self._partials.append(self._folder / f"{len(self._partials):05d}.partial")
            self._writer = pq.ParquetWriter(self._partials[-1], self._schema, **FORMAT)
            self._written = 0
        if batches:
            table = pa.Table.from_batches(batches, schema=self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._written += size
