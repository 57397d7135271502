"""Reads what lighteval wrote back into our own rows, and holds it against lighteval's aggregate."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stillhouse.benchmark.run import BenchmarkError
from stillhouse.benchmark.spec import METRIC, PREFIX, RECORD
from stillhouse.params import BenchmarkTask
from stillhouse.records import Sample, content_hash

TOLERANCE = 1e-6


def read_samples(
    output: Path, tasks: list[BenchmarkTask], teacher: str, student: str
) -> list[Sample]:
    """Return every sampled answer with its score, from lighteval's output folder.

    Raises:
        BenchmarkError: a result is missing, or the mean of the scores is not the score that lighteval reports.
    """
    results = json.loads(_only(output, "results/**/results_*.json").read_text(encoding="utf-8"))
    samples: list[Sample] = []
    for task in tasks:
        name = f"{PREFIX}{task.id}|0"
        details = pq.read_table(_only(output, f"details/**/details_{name}_*.parquet")).to_pylist()
        own = [s for row in details for s in _samples(row, task.id, teacher, student)]
        _check(results["results"].get(name, {}).get(METRIC), own, len(details), task)
        samples.extend(own)
    return samples


def metrics(samples: Iterable[Sample], tasks: list[BenchmarkTask]) -> dict[str, dict[str, float]]:
    """Return, by task: mean score (pass@1), items, samples, mean generated tokens, and truncated answers."""
    rows = list(samples)
    summary: dict[str, dict[str, float]] = {}
    for task in tasks:
        own = [row for row in rows if row.task == task.id]
        summary[task.id] = {
            "score": _mean([row.score for row in own]),
            "items": len({row.item_id for row in own}),
            "samples": len(own),
            "mean_tokens": _mean([float(row.completion_tokens) for row in own]),
            "truncated": sum(row.finish_reason == "length" for row in own),
        }
    return summary


def _samples(row: dict[str, Any], task: str, teacher: str, student: str) -> list[Sample]:
    record = row["doc"]["specific"][RECORD]
    answers = zip(
        row["model_response"]["text"],
        record["scores"],
        record["completion_tokens"],
        record["finish_reasons"],
        strict=True,
    )
    return [
        Sample(
            id=content_hash("sample", task, record["item_id"], str(i), teacher, student, text),
            task=task,
            item_id=record["item_id"],
            sample=i,
            teacher=teacher,
            student=student,
            text=text,
            score=score,
            completion_tokens=tokens,
            finish_reason=finish_reason,
        )
        for i, (text, score, tokens, finish_reason) in enumerate(answers)
    ]


def _check(reported: float | None, own: list[Sample], items: int, task: BenchmarkTask) -> None:
    if len(own) != items * task.samples or not own:
        raise BenchmarkError(
            f"benchmark task {task.id}: {len(own)} samples of {items} items, expected {task.samples} of each"
        )
    mean = _mean([sample.score for sample in own])
    if reported is None or not math.isclose(mean, reported, abs_tol=TOLERANCE, rel_tol=0):
        raise BenchmarkError(
            f"benchmark task {task.id}: lighteval reports {METRIC} {reported}, the samples give {mean}"
        )


def _only(folder: Path, pattern: str) -> Path:
    """Return the one file that matches; lighteval puts the time into the names."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BenchmarkError(f"{folder}: {len(found)} files match {pattern}, one was expected")
    return found[0]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
