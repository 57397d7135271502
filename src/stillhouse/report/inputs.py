"""The files that the report reads: the metrics of every stage, and single columns of the tables.

A part that the run does not have (such as students) is `None` or absent, and the page states this. A part that exists
but cannot be read is an error.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse import layout
from stillhouse.analysis.answered import SAMPLE_COLUMNS
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.errors import StillhouseError
from stillhouse.records import CATEGORIES, Example, from_dict
from stillhouse.tables.read import shard_paths

Columns = dict[str, NDArray[Any]]
Metrics = dict[str, Any]
PARALLEL_COLUMNS = ["category", "completion_tokens", "verifier"]
PERPLEXITY_STEPS = ("verified", "kept")


class ReportError(StillhouseError):
    """A file that the report reads is damaged; the message names it."""


@dataclass(frozen=True)
class RunFiles:
    """The data of one run. A teacher or student whose part is missing has no entry.

    `compared_ids` are the teachers of the parallel set, which have students; `trained` names all students with a
    training. `fit` has metrics by student. `lengths` has columns of the parallel set, `perplexities` has values by
    teacher and step (verified, kept). By condition, `benchmark` has figures by task and `samples` the columns of the
    benchmark answers, those of the untrained students too; `sft` has metrics and `losses` has (step, loss) pairs.
    `chosen` has the rows that are shown side by side: the example of each teacher by query id.
    """

    teacher_ids: list[str]
    student_ids: list[str]
    compared_ids: list[str]
    trained: list[Condition]
    queries: Metrics | None
    generate: dict[str, Metrics]
    verify: dict[str, Metrics]
    judge_audit: Metrics | None
    filter: dict[str, Metrics]
    align: Metrics | None
    package: Metrics | None
    fit: dict[str, Metrics]
    sft: dict[Condition, Metrics]
    benchmark: dict[Condition, Metrics]
    fingerprints: dict[str, str]
    lengths: dict[str, Columns]
    perplexities: dict[str, dict[str, NDArray[Any]]]
    samples: dict[Condition, Columns]
    losses: dict[Condition, list[tuple[float, float]]]
    chosen: dict[str, dict[str, Example]]


def read_run(
    root: Path,
    teacher_ids: Sequence[str],
    trained: Sequence[Condition],
    compared_ids: Sequence[str] | None = None,
) -> RunFiles:
    """Read the data of one run.

    Args:
        root: the project folder.
        teacher_ids: teachers to read; other teachers in the folders are ignored.
        trained: the trained students to read, in the same way; the untrained ones beside them are read too.
        compared_ids: the teachers of the parallel set; None: all.

    Raises:
        ReportError: a file is not JSON, CSV or Parquet as its stage writes it.
    """
    compared = list(teacher_ids if compared_ids is None else compared_ids)
    student_ids = list(dict.fromkeys(condition.student for condition in trained))
    tables = {c: layout.samples(c.student, c.teacher, c.seed) for c in trained}
    tables |= {Condition(UNTRAINED, s, 0): layout.samples_untrained(s) for s in student_ids}
    fingerprints = {t: _json(root / layout.fingerprint(t)) for t in teacher_ids}

    def metrics(stage: str, *ids: str) -> Metrics | None:
        return _json(root / layout.metrics(stage, *ids))

    return RunFiles(
        teacher_ids=list(teacher_ids),
        student_ids=student_ids,
        compared_ids=compared,
        trained=list(trained),
        queries=metrics("queries"),
        generate=_present({t: metrics("generate", t) for t in teacher_ids}),
        verify=_present({t: metrics("verify", t) for t in teacher_ids}),
        judge_audit=metrics("judge_audit"),
        filter=_present({t: metrics("filter", t) for t in teacher_ids}),
        align=metrics("align"),
        package=metrics("package"),
        fit=_present({s: metrics("fit", s) for s in student_ids}),
        sft=_present({c: metrics("sft", *_trained_parts(c)) for c in trained}),
        benchmark=_benchmark(metrics, trained, student_ids),
        fingerprints={t: str(found["hash"]) for t, found in _present(fingerprints).items()},
        lengths=_present(
            {t: _columns(root / layout.aligned(t), PARALLEL_COLUMNS) for t in compared}
        ),
        perplexities=_present({t: _perplexities(root, t) for t in teacher_ids}),
        samples=_present({c: _columns(root / t, SAMPLE_COLUMNS) for c, t in tables.items()}),
        losses=_present(
            {c: _losses(root / layout.plot("sft", *_trained_parts(c))) for c in trained}
        ),
        chosen=_chosen(root, compared),
    )


def _trained_parts(condition: Condition) -> tuple[str, str, str]:
    return condition.student, condition.teacher, str(condition.seed)


def _benchmark(
    metrics: Callable[..., Metrics | None], trained: Sequence[Condition], student_ids: list[str]
) -> dict[Condition, Metrics]:
    """Return the figures of each condition: one file has all trained students of a family."""
    files = {student: metrics("benchmark", student) or {} for student in student_ids}
    found = {c: files[c.student].get(c.teacher, {}).get(str(c.seed)) for c in trained}
    untrained = {Condition(UNTRAINED, s, 0): metrics("benchmark_untrained", s) for s in student_ids}
    return _present(found | untrained)


def _present(parts: dict[Any, Any]) -> dict[Any, Any]:
    return {key: part for key, part in parts.items() if part is not None}


def _json(path: Path) -> Metrics | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: not JSON ({error}); run its stage again") from None
    if not isinstance(found, dict):
        raise ReportError(
            f"{path}: an object was expected, found {type(found).__name__}; run its stage again"
        )
    return found


def _losses(path: Path) -> list[tuple[float, float]] | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
        except (KeyError, ValueError, TypeError) as error:
            raise ReportError(
                f"{path}: rows of numbers in the columns step,loss were expected ({error!r}); run its stage again"
            ) from None


def _table(folder: Path, names: list[str]) -> pa.Table | None:
    """Return some columns of a table; None if the folder does not exist."""
    if not folder.is_dir():
        return None
    parts = []
    for path in shard_paths(folder):
        try:
            parts.append(pq.read_table(path, columns=names))
        except (pa.ArrowException, OSError) as error:
            raise ReportError(
                f"{path}: cannot read the columns {', '.join(names)} ({' '.join(str(error).split())}); "
                "run its stage again"
            ) from None
    return pa.concat_tables(parts)


def _columns(folder: Path, names: list[str]) -> Columns | None:
    table = _table(folder, names)
    return None if table is None else {name: _array(table.column(name)) for name in names}


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as numpy. Equal texts share one object, which saves memory with a million rows."""
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_numpy())
    encoded = column.combine_chunks().dictionary_encode()
    words = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    return np.asarray(words[encoded.indices.to_numpy(zero_copy_only=False)])


def _perplexities(root: Path, teacher: str) -> dict[str, NDArray[Any]] | None:
    """Return the perplexities before the filter (of verified attempts; only these are measured) and after it."""
    verified = _table(root / layout.perplexities(teacher), ["perplexity"])
    if verified is None:
        return None
    found = {"verified": verified.column("perplexity").to_numpy()}
    kept = _table(root / layout.accepted(teacher), ["perplexity"])
    if kept is not None:
        found["kept"] = kept.column("perplexity").to_numpy()
    return found


def _chosen(root: Path, teacher_ids: Sequence[str]) -> dict[str, dict[str, Example]]:
    """Return, for one query per category, the examples of all teachers.

    The query is the first of its category by id. Ids are hashes, so the choice is blind, and the same in every run.
    """
    if not teacher_ids:
        return {}
    table = _table(root / layout.aligned(teacher_ids[0]), ["query_id", "category"])
    if table is None:
        return {}
    ids, categories = _array(table.column("query_id")), _array(table.column("category"))
    first = {
        category: min(ids[categories == category])
        for category in CATEGORIES
        if (categories == category).any()
    }
    if not first:  # Arrow cannot look for ids in an empty list
        return {}
    chosen: dict[str, dict[str, Example]] = {query: {} for query in first.values()}
    for teacher in teacher_ids:
        folder = root / layout.aligned(teacher)
        for path in shard_paths(folder) if folder.is_dir() else []:
            rows = pq.read_table(path, filters=[("query_id", "in", list(chosen))]).to_pylist()
            for row in rows:
                chosen[row["query_id"]][teacher] = from_dict(Example, row)
    return chosen
