"""Reads what lighteval wrote back into our own rows, and holds it against lighteval's aggregates."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stillhouse.analysis.conditions import Condition
from stillhouse.benchmark.served import BenchmarkError
from stillhouse.benchmark.spec import LENIENT, RECORD, STRICT, task_name
from stillhouse.hashing import content_hash
from stillhouse.params.benchmark import Benchmark, BenchmarkTask, ScoreKind
from stillhouse.records import Sample

TOLERANCE = 1e-6


def read_samples(
    output: Path, benchmark: Benchmark, condition: Condition, number: int
) -> list[Sample]:
    """Return every sampled answer of a condition with its scores, from lighteval's output folder.

    Args:
        output: the folder.
        benchmark: the tasks, and which score decides.
        condition: the model that answered.
        number: its place among the conditions of the run, from 0 on.

    Raises:
        BenchmarkError: a result is missing, or the mean of the scores is not the one that lighteval reports.
    """
    results = json.loads(_only(output, "results/**/results_*.json").read_text(encoding="utf-8"))
    samples: list[Sample] = []
    for task in benchmark.tasks:
        name = f"{task_name(number, task.id)}|0"
        details = pq.read_table(_only(output, f"details/**/details_{name}_*.parquet")).to_pylist()
        own = [
            sample
            for row in details
            for sample in _samples(row, task.id, condition, benchmark.score)
        ]
        _check(results["results"].get(name, {}), own, len(details), task)
        samples.extend(own)
    return samples


def metrics(samples: Iterable[Sample], benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """Return the figures of each task; one that no answer gives is left out.

    Returns:
        By task: `score`, the one that `benchmark.score` names, and side by side `strict`, `lenient` and `finished`
        (pass@1: means over items of the mean of an item's samples); `items`, and `finished_items` with an answer that
        ended by itself; `samples`, `mean_tokens`, and the shares of answers `truncated` and `unread`.
    """
    rows = list(samples)
    return {
        task.id: _figures([row for row in rows if row.task == task.id], benchmark.score)
        for task in benchmark.tasks
    }


def _figures(rows: list[Sample], decides: ScoreKind) -> dict[str, Any]:
    ended = [row for row in rows if row.finish_reason == "stop"]
    scores = {
        "strict": _pass_at_1(rows, "score_strict"),
        "lenient": _pass_at_1(rows, "score_lenient"),
        "finished": _pass_at_1(ended, "score_strict"),
    }
    return {
        **{name: value for name, value in scores.items() if value is not None},
        **({"score": value} if (value := scores[decides]) is not None else {}),
        "items": len({row.item_id for row in rows}),
        "finished_items": len({row.item_id for row in ended}),
        "samples": len(rows),
        "mean_tokens": _mean([float(row.completion_tokens) for row in rows]),
        "truncated": 1 - len(ended) / len(rows),
        "unread": sum(row.unread for row in rows) / len(rows),
    }


def _pass_at_1(rows: list[Sample], column: str) -> float | None:
    by_item: dict[str, list[float]] = {}
    for row in rows:
        by_item.setdefault(row.item_id, []).append(getattr(row, column))
    return _mean([_mean(scores) for scores in by_item.values()]) if by_item else None


def _samples(
    row: dict[str, Any], task: str, condition: Condition, decides: ScoreKind
) -> list[Sample]:
    record = row["doc"]["specific"][RECORD]
    item_id = record["item_id"]
    found = []
    answers = zip(row["model_response"]["text"], record["answers"], strict=True)
    for i, (text, answer) in enumerate(answers):
        marks = answer["marks"]
        found.append(
            Sample(
                id=content_hash("sample", task, item_id, str(i), *map(str, condition), text),
                task=task,
                item_id=item_id,
                sample=i,
                **condition._asdict(),
                text=text,
                score=_deciding(marks, answer["finish_reason"], decides),
                score_strict=marks["strict"],
                score_lenient=marks["lenient"],
                reason=marks["reason"],
                unread=marks["unread"],
                completion_tokens=answer["completion_tokens"],
                finish_reason=answer["finish_reason"],
            )
        )
    return found


def _deciding(marks: dict[str, Any], finish_reason: str, decides: ScoreKind) -> float | None:
    if decides == "finished" and finish_reason != "stop":
        return None
    score: float = marks["lenient" if decides == "lenient" else "strict"]
    return score


def _check(reported: dict[str, float], own: list[Sample], items: int, task: BenchmarkTask) -> None:
    if len(own) != items * task.samples or not own:
        raise BenchmarkError(
            f"benchmark task {task.id}: {len(own)} samples of {items} items, expected {task.samples} of each"
        )
    means = {
        STRICT: _mean([sample.score_strict for sample in own]),
        LENIENT: _mean([sample.score_lenient for sample in own]),
    }
    for metric, mean in means.items():
        theirs = reported.get(metric)
        if theirs is None or not math.isclose(mean, theirs, abs_tol=TOLERANCE, rel_tol=0):
            raise BenchmarkError(
                f"benchmark task {task.id}: lighteval reports {metric} {theirs}, the samples give {mean}"
            )


def _only(folder: Path, pattern: str) -> Path:
    """Return the one file that matches; lighteval puts the time into the names."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BenchmarkError(f"{folder}: {len(found)} files match {pattern}, one was expected")
    return found[0]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
