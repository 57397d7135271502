"""Checks the rows of a release shard by shard, in bounded memory. The rules are in `lint_rules`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.marks import ALL_CONTROL_TOKENS
from stillhouse.package.batches import Overlaps
from stillhouse.package.lint_rules import (
    LintFinding,
    MinimumScores,
    RowBatch,
    TableState,
    findings_on,
    late_categories,
)
from stillhouse.package.rows import kind_of, schema_of
from stillhouse.tables.read import BATCH_ROWS

PROVENANCE = "provenance.json"


def lint_rows(
    folder: Path,
    *,
    overlaps: Overlaps | None = None,
    control_tokens: Sequence[str] | None = None,
) -> list[LintFinding]:
    """Return the findings on the rows of all configurations of a release folder.

    Args:
        folder: the release folder of one repository.
        overlaps: finds prompts that overlap a benchmark; None: not checked.
        control_tokens: what no text may hold; None: `filter.control_tokens` of the provenance, or the default.
    """
    stated = _stated(folder)
    accepted = _accepted(stated)
    if control_tokens is None:
        control_tokens = _control_tokens(stated)
    findings: list[LintFinding] = []
    for path in sorted({shard.parent for shard in folder.rglob("*.parquet")}):
        kind = kind_of(path.relative_to(folder).as_posix())
        if kind is None:
            name = path.relative_to(folder).as_posix()
            findings.append(
                LintFinding("error", "shards", name, None, "belongs to no configuration")
            )
            continue
        table = TableState(kind, accepted, overlaps, tuple(control_tokens))
        for shard in sorted(path.glob("*.parquet")):
            table.file = shard.relative_to(folder).as_posix()
            findings += _shard(shard, table)
        findings += late_categories(table)
    return findings


def _stated(folder: Path) -> Any:
    """Return the parameters of the run from the provenance; an empty object where they cannot be read."""
    try:
        content = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return content["predicate"]["buildDefinition"]["externalParameters"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _accepted(stated: Any) -> MinimumScores | None:
    """Return the minimum scores of accepted rows."""
    try:
        verify = stated["verify"]
        return MinimumScores(float(verify["threshold"]), float(verify["code"]["pass_share"]))
    except (ValueError, KeyError, TypeError):
        return None


def _control_tokens(stated: Any) -> Sequence[str]:
    """Return the control tokens that the filter looked for; the default where an older release does not state them."""
    try:
        return [str(token) for token in stated["filter"]["control_tokens"]]
    except (KeyError, TypeError):
        return ALL_CONTROL_TOKENS


def _shard(shard: Path, table: TableState) -> Iterator[LintFinding]:
    try:
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            teachers = _teachers(file.schema_arrow) if table.kind == "parallel" else []
            schema = schema_of(table.kind, teachers)
            if not file.schema_arrow.equals(schema):
                yield LintFinding("error", "schema", table.file, None, _schema_fault(file, schema))
                return
            start = 0
            for rows in file.iter_batches(batch_size=BATCH_ROWS):
                for offset, part in _readable(rows):
                    if isinstance(part, str):
                        at = str(start + offset)
                        yield LintFinding(
                            "error", "utf8", table.file, at, f"not valid UTF-8 ({part})"
                        )
                    else:
                        keys = part.column(0).to_pylist()
                        yield from findings_on(RowBatch(table, part, keys, start + offset))
                start += rows.num_rows
    except (pa.ArrowException, OSError) as error:
        yield LintFinding(
            "error", "parquet", table.file, None, f"unreadable ({' '.join(str(error).split())})"
        )


def _teachers(schema: pa.Schema) -> list[str]:
    index = schema.get_field_index("answers")
    type_ = schema.field(index).type if index >= 0 else pa.null()
    return list(type_.names) if pa.types.is_struct(type_) else []


def _schema_fault(file: pq.ParquetFile, schema: pa.Schema) -> str:
    found = {field.name: field.type for field in file.schema_arrow}
    wanted = {field.name: field.type for field in schema}
    differ = sorted(
        name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
    )
    return (
        f"columns or types differ from those of released rows: {', '.join(differ) or 'their order'}"
    )


def _readable(rows: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch | str]]:
    """Yield the batch with offset 0 if it is valid UTF-8; otherwise each row with its offset, or its fault."""
    try:
        rows.validate(full=True)
        yield 0, rows
    except pa.ArrowInvalid:
        for offset in range(rows.num_rows):
            row = rows.slice(offset, 1)
            try:
                row.validate(full=True)
                yield offset, row
            except pa.ArrowInvalid as error:
                yield offset, " ".join(str(error).split())
