"""Tables of scores: one row per benchmark, teacher and student, and one per pair of teachers.

An answer has three scores, and one decides (`benchmark.score`). `strict` and `lenient` count every answer. `finished`
leaves out answers cut at the token limit: an item's mean is over its finished answers, an item without any is left out,
and `items` counts the remaining items. A paired difference is then over the items that both students finished.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from stillhouse.analysis.statistics import (
    DIGITS,
    Columns,
    Difference,
    ItemMeans,
    difference,
    estimate,
    item_means,
    mean_of_means,
)
from stillhouse.hashing import content_hash
from stillhouse.params.benchmark import ScoreKind
from stillhouse.tables.read import shard_paths

MEAN_TASK = "mean_of_benchmarks"
ALL_STUDENTS = "all"
SAMPLE_COLUMNS = [
    *("task", "item_id", "score_strict", "score_lenient", "unread"),
    *("completion_tokens", "finish_reason"),
]
SCORES: tuple[ScoreKind, ...] = ("strict", "lenient", "finished")


def sample_columns(table: Path) -> Columns:
    """Return the columns `SAMPLE_COLUMNS` of a table of samples."""
    shards = [str(path) for path in shard_paths(table)]
    found = pq.ParquetDataset(shards).read(columns=SAMPLE_COLUMNS)
    return {name: np.asarray(found.column(name).to_pylist()) for name in SAMPLE_COLUMNS}


def score_rows(
    samples: Mapping[tuple[str, str], Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row per task, teacher and student: pass@1 with interval, and how the answers ran.

    Args:
        samples: the columns `SAMPLE_COLUMNS` by (teacher, student).
        tasks: the benchmarks of the run, in the order to print.
        decides: which score has the interval.
        resamples: as in `estimate`.
        confidence: as in `estimate`.
        seed: seed of the run; each row resamples with its own seed, so no row depends on which others exist.

    Returns:
        Rows of task, teacher, student; score (the deciding one), low, high, standard_error, items; side by side the
        scores strict, lenient and finished, and finished_items; samples, mean_tokens, and the shares of answers
        truncated and unread. Two or more tasks add a row `mean_of_benchmarks`; two or more students add rows with
        student `all`.
    """
    rows = []
    by_kind = {kind: _conditions(samples, tasks, kind) for kind in SCORES}
    for (teacher, student), strata in by_kind[decides].items():
        beside = {
            kind: dict(_with_mean(tasks, conditions[teacher, student]))
            for kind, conditions in by_kind.items()
        }
        for task, chosen in _with_mean(tasks, strata):
            found = estimate(
                chosen,
                resamples=resamples,
                confidence=confidence,
                seed=_row_seed(seed, task, teacher, student),
            )
            scores: dict[str, float | None] = {
                kind: mean_of_means(strata_of[task]) for kind, strata_of in beside.items()
            }
            rows.append(
                {
                    "task": task,
                    "teacher": teacher,
                    "student": student,
                    "score": found.value,
                    "low": found.low,
                    "high": found.high,
                    "standard_error": found.standard_error,
                    "items": found.items,
                    **scores,
                    "finished_items": sum(map(len, beside["finished"][task])),
                    **_how_it_ran(samples, task, tasks, teacher, student),
                }
            )
    return rows


def paired_rows(
    samples: Mapping[tuple[str, str], Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row per task, student and pair of teachers.

    Args:
        samples: the columns `SAMPLE_COLUMNS` by (teacher, student).
        tasks: the benchmarks of the run, in the order to print.
        decides: which score is compared.
        resamples: as in `estimate`.
        confidence: as in `estimate`.
        seed: as in `score_rows`.

    Returns:
        Rows of task, student, first, second, difference, low, high, favours_first, favours_second, items, and
        `significant`: whether the confidence interval excludes 0. The intervals are not corrected for the number of
        pairs. Where no interval can be estimated, `significant` is False.
    """
    rows = []
    conditions = _conditions(samples, tasks, decides)
    students = list(dict.fromkeys(student for _, student in conditions))
    teachers = list(dict.fromkeys(teacher for teacher, _ in conditions))
    for student in students:
        present = [teacher for teacher in teachers if (teacher, student) in conditions]
        for first, second in combinations(present, 2):
            one = _with_mean(tasks, conditions[first, student])
            other = _with_mean(tasks, conditions[second, student])
            for (task, strata), (_, against) in zip(one, other, strict=True):
                found = difference(
                    strata,
                    against,
                    resamples=resamples,
                    confidence=confidence,
                    seed=_row_seed(seed, task, first, second, student),
                )
                rows.append(
                    {
                        "task": task,
                        "student": student,
                        "first": first,
                        "second": second,
                        "difference": found.value,
                        "low": found.low,
                        "high": found.high,
                        "favours_first": found.favours_first,
                        "favours_second": found.favours_second,
                        "items": found.items,
                        "significant": _excludes_zero(found),
                    }
                )
    return rows


def _excludes_zero(found: Difference) -> bool:
    if found.low is None or found.high is None:
        return False
    return found.low > 0 or found.high < 0


def _conditions(
    samples: Mapping[tuple[str, str], Columns], tasks: Sequence[str], kind: ScoreKind
) -> dict[tuple[str, str], list[ItemMeans]]:
    """Return the item means of each task by (teacher, student), with student `all` where there are several."""
    found: dict[tuple[str, str], list[ItemMeans]] = {}
    for key, columns in samples.items():
        scores = columns["score_lenient" if kind == "lenient" else "score_strict"]
        counted = (
            columns["finish_reason"] == "stop" if kind == "finished" else np.full(len(scores), True)
        )
        found[key] = [
            item_means(columns["item_id"][at].tolist(), scores[at].tolist())
            for at in ((columns["task"] == task) & counted for task in tasks)
        ]
    students = list(dict.fromkeys(student for _, student in samples))
    if len(students) > 1:
        for teacher in dict.fromkeys(teacher for teacher, _ in samples):
            if all((teacher, student) in found for student in students):
                found[teacher, ALL_STUDENTS] = [
                    _mean_over([found[teacher, student][i] for student in students])
                    for i in range(len(tasks))
                ]
    return found


def _mean_over(parts: Sequence[ItemMeans]) -> ItemMeans:
    """Return the mean of several students on each item that all of them answered."""
    common = [item for item in parts[0] if all(item in part for part in parts)]
    return {item: math.fsum(part[item] for part in parts) / len(parts) for item in common}


def _with_mean(
    tasks: Sequence[str], strata: Sequence[ItemMeans]
) -> list[tuple[str, list[ItemMeans]]]:
    single = [(task, [stratum]) for task, stratum in zip(tasks, strata, strict=True)]
    return [*single, (MEAN_TASK, list(strata))] if len(tasks) > 1 else single


def _how_it_ran(
    samples: Mapping[tuple[str, str], Columns],
    task: str,
    tasks: Sequence[str],
    teacher: str,
    student: str,
) -> dict[str, Any]:
    """Return samples, mean_tokens, truncated and unread; for the mean row the mean over tasks, as for its score."""
    keys = [key for key in samples if key[0] == teacher and student in (key[1], ALL_STUDENTS)]
    count = 0
    means: dict[str, list[float]] = {"mean_tokens": [], "truncated": [], "unread": []}
    for one_task in tasks if task == MEAN_TASK else [task]:
        at = [samples[key]["task"] == one_task for key in keys]
        lengths, finish, unread = (
            np.concatenate([samples[key][name][m] for key, m in zip(keys, at, strict=True)])
            for name in ("completion_tokens", "finish_reason", "unread")
        )
        if len(lengths) == 0:
            return {"samples": 0, **dict.fromkeys(means)}
        count += len(lengths)
        means["mean_tokens"].append(int(lengths.sum()) / len(lengths))
        means["truncated"].append(int((finish == "length").sum()) / len(finish))
        means["unread"].append(int(unread.sum()) / len(unread))
    return {
        "samples": count,
        **{name: round(math.fsum(own) / len(own), DIGITS) for name, own in means.items()},
    }


def _row_seed(seed: int, *names: str) -> int:
    return int(content_hash("bootstrap", str(seed), *names), 16)
