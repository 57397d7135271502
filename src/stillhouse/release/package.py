"""Writes the folder of one teacher's Hub repository: shards, provenance, card, manifest, and lints it.

Everything is streamed: memory does not grow with the number of rows. Equal inputs give equal bytes: no time stamp, no
host name and no git commit goes in.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.errors import StillhouseError
from stillhouse.params import Generate, Package, Queries, Run, Teacher, Verify
from stillhouse.release.card import SPLIT, TEMPLATE, CardFacts, Counts, render_card
from stillhouse.release.hub import repository
from stillhouse.release.lint import CARD, FOLDERS, lint
from stillhouse.release.manifest import json_text, sha256_of, write_manifest
from stillhouse.release.provenance import statement
from stillhouse.release.rows import (
    ATTEMPT_SCHEMA,
    EXAMPLE_SCHEMA,
    attempt_batches,
    example_batches,
    row_groups,
)
from stillhouse.tables import ROW_GROUP_BYTES, SHARD_BYTES, SHARD_FORMAT

PROVENANCE = "provenance.json"
SHOWN_FINDINGS = 20


class PackageError(StillhouseError):
    """A release cannot be made, or has faults; the message lists them."""


@dataclass(frozen=True)
class ReleaseTables:
    """The tables of one teacher that a release is made of."""

    aligned: Path
    responses: Path
    verdicts: Path
    perplexity: Path
    decisions: Path


@dataclass(frozen=True)
class ReleaseFacts:
    """The parameters and metrics of one teacher's release; `metrics` as in `CardFacts`."""

    run: Run
    package: Package
    queries: Queries
    generate: Generate
    verify: Verify
    teacher_ids: list[str]
    teacher_id: str
    teacher: Teacher
    judge: Teacher | None
    fingerprint: dict[str, Any]
    metrics: dict[str, Any]
    locks: list[Path]


@dataclass(frozen=True)
class ReleaseStats:
    """What was written: `default` rows, their tokens and shards, and the bytes of all files."""

    rows: int
    bytes: int
    shards: int
    tokens: int


def write_release(
    folder: Path, tables: ReleaseTables, facts: ReleaseFacts, template: Path = TEMPLATE
) -> ReleaseStats:
    """Write the release of one teacher; the folder appears whole or not at all.

    Raises:
        PackageError: there is no row, another number of rows than aligned, or the lint found errors.
        ReleaseRowError, TableError, CardError: an input is missing or does not fit.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        counts = Counts()
        shards = write_shards(
            partial / FOLDERS["default"],
            EXAMPLE_SCHEMA,
            _counted(example_batches(tables.aligned), counts.add),
        )
        if not counts.rows:
            raise PackageError(
                f"{tables.aligned}: no rows, so there is nothing to release; no query was answered by every teacher: "
                "see metrics/align.json and metrics/filter"
            )
        parallel = facts.metrics["align"]["parallel"]
        if counts.rows != parallel:
            raise PackageError(
                f"{tables.aligned}: {counts.rows} rows, but metrics/align.json says {parallel}; they come from "
                "different runs: run `dvc repro align`"
            )
        attempts = attempt_batches(
            tables.responses, tables.verdicts, tables.perplexity, tables.decisions
        )
        all_shards = shards + write_shards(
            partial / FOLDERS["attempts"],
            ATTEMPT_SCHEMA,
            _counted(attempts, counts.add_attempts),
        )
        _describe(partial, all_shards, counts, facts, template)
        entries = write_manifest(partial)
        _refuse_errors(partial, folder)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ReleaseStats(
        rows=counts.rows,
        bytes=sum(entry.bytes for entry in entries),
        shards=len(shards),
        tokens=counts.tokens,
    )


def write_shards(folder: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> list[Path]:
    """Write batches as `train-00000-of-0000N.parquet`, at least one shard, in the Hub's sizes; return their paths."""
    folder.mkdir(parents=True)
    written: list[Path] = []
    writer: pq.ParquetWriter | None = None
    size = 0
    for table in row_groups(batches, ROW_GROUP_BYTES):
        if writer is None or size >= SHARD_BYTES:
            if writer is not None:
                writer.close()
            written.append(folder / f"{len(written):05d}.partial")
            writer, size = pq.ParquetWriter(written[-1], schema, **SHARD_FORMAT), 0
        writer.write_table(table, row_group_size=table.num_rows)
        size += table.nbytes
    if writer is None:
        written.append(folder / "00000.partial")
        writer = pq.ParquetWriter(written[-1], schema, **SHARD_FORMAT)
    writer.close()
    return [
        path.rename(folder / f"{SPLIT}-{i:05d}-of-{len(written):05d}.parquet")
        for i, path in enumerate(written)
    ]


def _counted(
    batches: Iterable[pa.RecordBatch], count: Callable[[pa.RecordBatch], None]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        count(batch)
        yield batch


def _describe(
    folder: Path, shards: list[Path], counts: Counts, facts: ReleaseFacts, template: Path
) -> None:
    """Write the provenance and the card."""
    provenance = statement(
        shards={path.relative_to(folder).as_posix(): sha256_of(path) for path in shards},
        run=facts.run,
        package=facts.package,
        verify=facts.verify,
        teacher_id=facts.teacher_id,
        teacher=facts.teacher,
        judge=facts.judge,
        queries=facts.queries,
        generate=facts.generate,
        fingerprint=facts.fingerprint,
        locks={path.as_posix(): sha256_of(path) for path in facts.locks},
    )
    (folder / PROVENANCE).write_text(json_text(provenance), encoding="utf-8")
    card = CardFacts(
        repo=repository(facts.package, facts.teacher_id),
        run=facts.run,
        package=facts.package,
        max_attempts=facts.generate.max_attempts,
        verify=facts.verify,
        teacher_ids=facts.teacher_ids,
        teacher_id=facts.teacher_id,
        teacher=facts.teacher,
        judge=facts.judge,
        fingerprint=facts.fingerprint,
        metrics=facts.metrics,
        counts=counts,
    )
    (folder / CARD).write_text(render_card(card, template), encoding="utf-8")


def _refuse_errors(partial: Path, folder: Path) -> None:
    errors = [finding for finding in lint(partial) if finding.level == "error"]
    if errors:
        shown = [f"  {finding}" for finding in errors[:SHOWN_FINDINGS]]
        if len(errors) > SHOWN_FINDINGS:
            shown.append(f"  and {len(errors) - SHOWN_FINDINGS} more")
        raise PackageError(
            "\n".join([f"{folder}: {len(errors)} errors, so it is not released:", *shown])
        )
