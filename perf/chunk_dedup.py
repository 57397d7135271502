"""How much of a release a Hub with chunk de-duplication has already: two versions that differ in 1 % of their rows.

Responses have the paper's mean length (3,300 tokens). Of the rows that differ, half have another answer, a quarter is
gone and a quarter is new. The peer is the same data in Parquet without content-defined chunking. The ratio is the share
of the new version's bytes that stand in chunks of the old one.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
from _release_tables import write_run
from _result import write_result

from stillhouse.package import shards
from stillhouse.package.batches import data_batches
from stillhouse.package.chunks import new_bytes
from stillhouse.package.rows import DATA_SCHEMA

GOAL = 0.4
PAPER_TOKENS = 3300
DIFFERING = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--work", type=Path, help="folder for the tables (about 3 GB)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        root = Path(scratch)
        aligned = (
            write_run(root / "run", arguments.rows, PAPER_TOKENS).teachers["synthetic"].aligned
        )
        shared, sizes = {}, {}
        plain = {k: v for k, v in shards.FORMAT.items() if k != "use_content_defined_chunking"}
        for name, form in (("ours", shards.FORMAT), ("plain", plain)):
            with mock.patch.object(shards, "FORMAT", form):
                old = _write(root / name / "old", data_batches(aligned))
                new = _write(root / name / "new", _changed(data_batches(aligned)))
            sent, total = new_bytes(old, new)
            shared[name], sizes[name] = 1 - sent / total, total
    write_result(
        "chunk_dedup",
        shared["ours"],
        GOAL,
        rows=arguments.rows,
        mean_tokens=PAPER_TOKENS,
        differing_rows=DIFFERING,
        shared_without_chunking=round(shared["plain"], 4),
        size_gb=round(sizes["ours"] / 1e9, 3),
        size_without_chunking_gb=round(sizes["plain"] / 1e9, 3),
    )


def _write(folder: Path, batches: Iterator[pa.RecordBatch]) -> list[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with shards.ShardWriter(folder, DATA_SCHEMA) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.shards


def _changed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the next version."""
    random = np.random.default_rng(7)
    for batch in batches:
        drawn = random.random(batch.num_rows)
        removed = drawn < DIFFERING / 4
        added = (drawn >= DIFFERING / 4) & (drawn < DIFFERING / 2)
        other = (drawn >= DIFFERING / 2) & (drawn < DIFFERING)
        rows = batch.to_pylist()
        out = []
        for row, gone, twin, answer in zip(rows, removed, added, other, strict=True):
            if gone:
                continue
            if answer:
                row["answer"] = row["answer"][::-1]
                row["messages"][-1]["content"] = (
                    f"<think>\n{row['think']}\n</think>\n\n{row['answer']}"
                )
            out.append(row)
            if twin:  # a new row sorts anywhere; behind this one is as good
                text = row["think"][::-1]
                chat = [*row["messages"][:-1], {"role": "assistant", "content": text}]
                out.append(row | {"id": row["id"][:-1] + "g", "think": text, "messages": chat})
        yield pa.RecordBatch.from_pylist(out, schema=DATA_SCHEMA)


if __name__ == "__main__":
    main()
