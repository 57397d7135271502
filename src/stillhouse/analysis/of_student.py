"""The scores on the card of one student: of the published training, of all trainings, and against no training."""

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.analysis.pairs import paired_rows
from stillhouse.analysis.scores import score_rows
from stillhouse.analysis.statistics import Columns
from stillhouse.params.benchmark import ScoreKind


def student_rows(
    samples: Mapping[Condition, Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    published: Condition,
    confidence: float,
) -> list[dict[str, Any]]:
    """Return the rows of `score_rows` of the published training, with what else is known about it.

    Args:
        samples: the answers of all trainings of the student, and of the untrained one.
        tasks: the benchmarks of the run, in the order to print.
        decides: which score has the interval.
        published: the training whose weights are published.
        confidence: mass of each interval.

    Returns:
        The rows, with `trainings` (score, low, high and seeds over all trainings) and `gain` (difference, low and high
        of the published training against the untrained student), both null where there is no such score.
    """
    kept = {one: columns for one, columns in samples.items() if one.teacher != UNTRAINED}
    over_all = {row["task"]: row for row in score_rows(kept, tasks, decides, confidence=confidence)}
    pair = {
        one: columns
        for one, columns in samples.items()
        if one == published or one.teacher == UNTRAINED
    }
    against = paired_rows(
        pair, tasks, decides, confidence=confidence, ranked=[published.teacher], controls={}
    )
    gains = {row["task"]: row for row in against}
    rows = score_rows({published: samples[published]}, tasks, decides, confidence=confidence)
    return [
        row
        | {
            "trainings": _only(over_all[row["task"]], "score") if len(kept) > 1 else None,
            "gain": _only(gains.get(row["task"]), "difference"),
        }
        for row in rows
    ]


def _only(row: Mapping[str, Any] | None, value: str) -> dict[str, Any] | None:
    if row is None or row[value] is None:
        return None
    return {key: row[key] for key in (value, "low", "high", "seeds")}
