"""What a run can say about its teachers: the best set, the chance of being best, and what the sentence covers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from stillhouse.analysis.answered import MEAN_TASK, answered, places_of, shared
from stillhouse.analysis.conditions import Condition
from stillhouse.analysis.family import chance_of_best
from stillhouse.analysis.intervals import FEWEST_SEEDS
from stillhouse.analysis.pairs import TEACHERS
from stillhouse.analysis.scores import without_interval
from stillhouse.analysis.statistics import Columns
from stillhouse.params.benchmark import ScoreKind

Rows = Sequence[Mapping[str, Any]]
Scope = Literal["students", "tentative", "teacher"]
SEEDS_OF_A_TEACHER = 5


@dataclass(frozen=True)
class Comparison:
    """The comparison of all ranked teachers with one student, over the mean of benchmarks.

    `best_set` are the teachers whose score is not significantly below the highest, the highest first. `chance` is for
    each teacher the probability that it is the best. `detectable` is the true difference that the run finds with 80 %
    power, the median over pairs; null for a single teacher, or without intervals.
    """

    student: str
    scope: Scope
    seeds: int
    best_set: list[str]
    chance: dict[str, float]
    detectable: float | None


def scope_of(seeds: int) -> Scope:
    """Return what a comparison of this many trainings is about."""
    if seeds < FEWEST_SEEDS:
        return "students"
    return "tentative" if seeds < SEEDS_OF_A_TEACHER else "teacher"


def verdicts(
    samples: Mapping[Condition, Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    ranked: Sequence[str],
    paired: Rows,
    draws: int,
    seed: int,
) -> list[Comparison]:
    """Return one verdict for each student for which every ranked teacher has valid scores.

    Args:
        samples: the columns `answered.SAMPLE_COLUMNS` by condition.
        tasks: the benchmarks of the run.
        decides: which score is compared.
        ranked: the teachers.
        paired: the rows of `pairs.paired_rows`.
        draws: how many draws `chance` is estimated from.
        seed: seed of the draws.
    """
    found = answered(samples, tasks, decides)
    whole = MEAN_TASK if len(tasks) > 1 else tasks[0] if tasks else None
    verdicts = []
    for student in dict.fromkeys(student for _, student in found):
        if whole is None or not all((teacher, student) in found for teacher in ranked):
            continue
        places = places_of(tasks)[whole]
        scores = shared([found[teacher, student] for teacher in ranked], places)
        if without_interval(scores) is not None:
            continue
        rows = [
            row
            for row in paired
            if (row["family"], row["task"], row["student"]) == (TEACHERS, whole, student)
        ]
        means = {
            teacher: float(sum(array.mean() for array in one.benchmarks)) / len(one.benchmarks)
            for teacher, one in zip(ranked, scores, strict=True)
        }
        order = sorted(ranked, key=lambda teacher: -means[teacher])
        beaten = {
            loser for row in rows if row["significant"] for loser in [_loser(row)]
            if order[0] in (row["first"], row["second"]) and loser != order[0]
        }  # fmt: skip
        detectable = [row["detectable"] for row in rows if row["detectable"] is not None]
        seeds = min(len(one.seeds) for one in scores)
        verdicts.append(
            Comparison(
                student,
                scope_of(seeds),
                seeds,
                [teacher for teacher in order if teacher not in beaten],
                chance_of_best(dict(zip(ranked, scores, strict=True)), draws, seed),
                median(detectable) if detectable else None,
            )
        )
    return verdicts


def _loser(row: Mapping[str, Any]) -> str:
    return str(row["second"] if row["difference"] > 0 else row["first"])
