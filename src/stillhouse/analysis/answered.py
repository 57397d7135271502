"""From the answers to the benchmarks to score arrays of (seeds, items)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillhouse.analysis.conditions import Condition
from stillhouse.analysis.intervals import Scores
from stillhouse.analysis.statistics import Columns
from stillhouse.params.benchmark import ScoreKind
from stillhouse.tables.read import shard_paths

ALL_STUDENTS = "all"
MEAN_TASK = "mean_of_benchmarks"
SAMPLE_COLUMNS = [
    *("task", "item_id", "score_strict", "score_lenient", "unread"),
    *("completion_tokens", "finish_reason"),
]

ItemMeans = dict[str, float]
Key = tuple[str, str]  # (teacher, student)


@dataclass(frozen=True)
class Answered:
    """The item means of one teacher's students of one family: by seed, for each task. `answers` is to an item."""

    by_seed: Mapping[int, Sequence[ItemMeans]]
    answers: Sequence[float]


def sample_columns(table: Path) -> Columns:
    """Return the columns `SAMPLE_COLUMNS` of a table of samples."""
    shards = [str(path) for path in shard_paths(table)]
    found = pq.ParquetDataset(shards).read(columns=SAMPLE_COLUMNS)
    return {name: np.asarray(found.column(name).to_pylist()) for name in SAMPLE_COLUMNS}


def item_means(item_ids: Iterable[str], scores: Iterable[float]) -> ItemMeans:
    """Return the mean score of each item, in the order of the ids; a NaN score makes its item NaN."""
    sums: dict[str, list[float]] = {}
    for item, score in zip(item_ids, scores, strict=True):
        sums.setdefault(str(item), []).append(float(score))
    return {item: math.fsum(sums[item]) / len(sums[item]) for item in sorted(sums)}


def answered(
    samples: Mapping[Condition, Columns], tasks: Sequence[str], kind: ScoreKind
) -> dict[Key, Answered]:
    """Return the item means by (teacher, student), with student `all` where there are several.

    Args:
        samples: the columns `SAMPLE_COLUMNS` by condition.
        tasks: the benchmarks.
        kind: the score; `finished` leaves out answers that were cut, and items without another answer.
    """
    found: dict[Key, dict[int, list[ItemMeans]]] = {}
    counts: dict[Key, list[float]] = {}
    for (teacher, student, seed), columns in samples.items():
        scores = columns["score_lenient" if kind == "lenient" else "score_strict"]
        counted = np.full(len(scores), True)
        if kind == "finished":
            counted = columns["finish_reason"] == "stop"
        places = [(columns["task"] == task) & counted for task in tasks]
        means = [item_means(columns["item_id"][at].tolist(), scores[at].tolist()) for at in places]
        found.setdefault((teacher, student), {})[seed] = means
        counts[teacher, student] = [
            int(at.sum()) / max(len(own), 1) for at, own in zip(places, means, strict=True)
        ]
    single = {
        key: Answered(dict(sorted(by_seed.items())), counts[key]) for key, by_seed in found.items()
    }
    return {**single, **_over_students(single)}


def shared(conditions: Sequence[Answered], places: Sequence[int]) -> list[Scores]:
    """Return the scores of several conditions over the items that all of them answered with every seed.

    Args:
        conditions: at least one.
        places: which of their tasks.
    """
    every = [means for one in conditions for means in one.by_seed.values()]
    items = [
        [item for item in every[0][place] if all(item in means[place] for means in every)]
        for place in places
    ]
    return [
        Scores(
            [
                np.array(
                    [[means[place][item] for item in own] for means in one.by_seed.values()],
                    dtype=float,
                )
                for place, own in zip(places, items, strict=True)
            ],
            [max(one.answers[place], 1.0) for place in places],
            list(one.by_seed),
        )
        for one in conditions
    ]


def places_of(tasks: Sequence[str]) -> dict[str, list[int]]:
    """Return for each row of a table which tasks it is of: each task, and the mean of two or more."""
    single = {task: [place] for place, task in enumerate(tasks)}
    return single | ({MEAN_TASK: list(range(len(tasks)))} if len(tasks) > 1 else {})


def _over_students(found: Mapping[Key, Answered]) -> dict[Key, Answered]:
    """Return for each teacher the mean of its students on each item, seed by seed."""
    students = list(dict.fromkeys(student for _, student in found))
    means: dict[Key, Answered] = {}
    for teacher in dict.fromkeys(teacher for teacher, _ in found):
        parts = [found[teacher, student] for student in students if (teacher, student) in found]
        if len(students) < 2 or len(parts) < len(students):
            continue
        seeds = [seed for seed in parts[0].by_seed if all(seed in part.by_seed for part in parts)]
        tasks = range(len(parts[0].answers))
        means[teacher, ALL_STUDENTS] = Answered(
            {
                seed: [_mean([part.by_seed[seed][place] for part in parts]) for place in tasks]
                for seed in seeds
            },
            [math.fsum(part.answers[place] for part in parts) for place in tasks],
        )
    return {key: one for key, one in means.items() if one.by_seed}


def _mean(parts: Sequence[ItemMeans]) -> ItemMeans:
    common = [item for item in parts[0] if all(item in part for part in parts)]
    return {item: math.fsum(part[item] for part in parts) / len(parts) for item in common}
