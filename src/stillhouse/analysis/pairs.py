"""Table of paired differences: teachers with each other, with their controls, and with the untrained student."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from stillhouse.analysis.answered import Answered, Key, answered, places_of, shared
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.analysis.family import pair_level
from stillhouse.analysis.intervals import PairedDifference, paired_difference
from stillhouse.analysis.scores import rounded, share, without_interval
from stillhouse.analysis.statistics import Columns
from stillhouse.params.benchmark import ScoreKind

TEACHERS = "teachers"
CONTROL = "control"


def paired_rows(
    samples: Mapping[Condition, Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    confidence: float,
    ranked: Sequence[str],
    controls: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return one row per task, student and pair.

    Args:
        samples: the columns `answered.SAMPLE_COLUMNS` by condition.
        tasks: the benchmarks of the run, in the order to print.
        decides: which score is compared.
        confidence: that of all pairs of a family together.
        ranked: the teachers that are compared with each other.
        controls: the id in the place of a teacher of each control, and the teacher that it is compared with.

    Returns:
        Rows of family, task, student, first, second, difference, low, high, significant (whether the interval excludes
        0), detectable (the difference that is found with 80 % power), items, seeds, seed_share (of the variance of the
        difference), level (the error probability of this row's interval) and without_interval (the reason).

        The families: `teachers`, all pairs of ranked teachers, corrected together (`family.pair_level`); `untrained`,
        each ranked teacher against the untrained student, corrected by Bonferroni; `control`, a control against its
        teacher, not corrected. The correction is for the pairs of one task, not for the number of tasks.
    """
    found = answered(samples, tasks, decides)
    rows = []
    for student in dict.fromkeys(student for _, student in found):
        present = [teacher for teacher in ranked if (teacher, student) in found]
        families = [
            (TEACHERS, list(combinations(present, 2)), pair_level(len(present), confidence)),
            (
                UNTRAINED,
                [(teacher, UNTRAINED) for teacher in present],
                (1 - confidence) / max(len(present), 1),
            ),
            (CONTROL, list(controls.items()), 1 - confidence),
        ]
        for family, pairs, level in families:
            for first, second in pairs:
                if (first, student) in found and (second, student) in found:
                    rows += _rows(found, tasks, student, (first, second), family, level)
    return rows


def _rows(
    found: Mapping[Key, Answered],
    tasks: Sequence[str],
    student: str,
    pair: tuple[str, str],
    family: str,
    level: float,
) -> list[dict[str, Any]]:
    conditions = [found[teacher, student] for teacher in pair]
    rows = []
    for task, places in places_of(tasks).items():
        first, second = shared(conditions, places)
        reason = without_interval([first, second])
        row: dict[str, Any] = {
            "family": family,
            "task": task,
            "student": student,
            "first": pair[0],
            "second": pair[1],
            **dict.fromkeys(("difference", "low", "high")),
            "significant": False,
            **dict.fromkeys(("detectable", "seed_share")),
            "items": sum(array.shape[-1] for array in first.benchmarks),
            "seeds": len(first.seeds),
            "level": level,
            "without_interval": reason,
        }
        if all(array.size for array in first.benchmarks):
            difference = paired_difference(first, second)
            value = float(difference.value)
            row["difference"] = None if value != value else rounded(value)
            if reason is None:
                row |= _interval(difference, level)
        rows.append(row)
    return rows


def _interval(found: PairedDifference, level: float) -> dict[str, Any]:
    value, half = float(found.value), float(found.half_width(level))
    low, high = rounded(max(value - half, -1.0)), rounded(min(value + half, 1.0))
    return {
        "low": low,
        "high": high,
        "significant": low > 0 or high < 0,
        "detectable": rounded(found.detectable(level)),
        "seed_share": share(float(found.seed), float(found.parts[0].value + found.seed)),
    }
