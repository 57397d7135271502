"""Table of scores: one row per benchmark, teacher and student.

An answer has three scores, and one decides (`benchmark.score`). `strict` and `lenient` count every answer. `finished`
leaves out answers cut at the token limit: an item's mean is over its finished answers, an item without any, with one
of the seeds, is left out, and `items` counts the remaining items.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.analysis.answered import (
    ALL_STUDENTS,
    MEAN_TASK,
    answered,
    places_of,
    shared,
)
from stillhouse.analysis.conditions import Condition
from stillhouse.analysis.intervals import FEWEST_ITEMS, Floats, Scores, score_interval
from stillhouse.analysis.statistics import DIGITS, Columns
from stillhouse.params.benchmark import ScoreKind

EMPTY = dict.fromkeys(("low", "high", "standard_error", "seed_sd", "seed_share"))
SCORES: tuple[ScoreKind, ...] = ("strict", "lenient", "finished")


def score_rows(
    samples: Mapping[Condition, Columns],
    tasks: Sequence[str],
    decides: ScoreKind,
    *,
    confidence: float,
) -> list[dict[str, Any]]:
    """Return one row per task, teacher and student: pass@1 with interval, and how the answers ran.

    Args:
        samples: the columns `answered.SAMPLE_COLUMNS` by condition.
        tasks: the benchmarks of the run, in the order to print.
        decides: which score has the interval.
        confidence: mass of the interval, such as 0.95.

    Returns:
        Rows of task, teacher, student; score (the deciding one, a mean over seeds), low, high, standard_error, items,
        seeds (trainings), seed_sd (standard deviation of the score between trainings) and seed_share (of the variance
        of the score), without_interval (the reason, where low and high are null); side by side the scores strict,
        lenient and finished, and finished_items; samples, mean_tokens, and the shares of answers truncated and unread.
        Two or more tasks add a row `mean_of_benchmarks`; two or more students add rows with student `all`.
    """
    rows = []
    by_kind = {kind: answered(samples, tasks, kind) for kind in SCORES}
    for (teacher, student), one in by_kind[decides].items():
        for task, places in places_of(tasks).items():
            (scores,) = shared([one], places)
            beside = {
                kind: shared([one_kind[teacher, student]], places)[0]
                for kind, one_kind in by_kind.items()
            }
            rows.append(
                {
                    "task": task,
                    "teacher": teacher,
                    "student": student,
                    **_score(scores, confidence),
                    **{str(kind): _mean(own) for kind, own in beside.items()},
                    "finished_items": _items(beside["finished"]),
                    **_how_it_ran(samples, task, tasks, teacher, student),
                }
            )
    return rows


def without_interval(conditions: Sequence[Scores]) -> str | None:
    """Return why no interval can be given, or None."""
    arrays = [array for scores in conditions for array in scores.benchmarks]
    if any(array.size == 0 for array in arrays):
        return "no valid score"
    if any(np.isnan(array).any() for array in arrays):
        return "an answer without a score"
    if any(array.shape[-1] < FEWEST_ITEMS for array in arrays):
        return f"fewer than {FEWEST_ITEMS} items"
    return None


def rounded(value: float | Floats) -> float:
    """Return the value as it is printed and compared: 0 and not -0."""
    return round(float(value), DIGITS) + 0.0


def share(part: float, whole: float) -> float | None:
    """Return a part of a variance; None without any."""
    return rounded(part / whole) if whole > 0 else None


def _score(scores: Scores, confidence: float) -> dict[str, Any]:
    reason = without_interval([scores])
    seeds = len(scores.seeds)
    row: dict[str, Any] = {
        "score": _mean(scores),
        **EMPTY,
        "items": _items(scores),
        "seeds": seeds,
        "without_interval": reason,
    }
    if reason is None:
        found = score_interval(scores, confidence)
        item, seed = float(found.item), float(found.seed)
        row |= {
            "low": rounded(found.low),
            "high": rounded(found.high),
            "standard_error": rounded(math.sqrt(item + seed)),
        }
        if seeds > 1:
            row |= {
                "seed_sd": rounded(math.sqrt(seed * seeds)),
                "seed_share": share(seed, item + seed),
            }
    return row


def _mean(scores: Scores) -> float | None:
    """Return the mean over benchmarks; None where one has no item, or a NaN."""
    if any(array.size == 0 or np.isnan(array).any() for array in scores.benchmarks):
        return None
    means = [math.fsum(array.ravel()) / array.size for array in scores.benchmarks]
    return rounded(math.fsum(means) / len(means))


def _items(scores: Scores) -> int:
    return sum(array.shape[-1] for array in scores.benchmarks)


def _how_it_ran(
    samples: Mapping[Condition, Columns],
    task: str,
    tasks: Sequence[str],
    teacher: str,
    student: str,
) -> dict[str, Any]:
    """Return samples, mean_tokens, truncated and unread; for the mean row the mean over tasks, as for its score."""
    keys = [
        key for key in samples if key.teacher == teacher and student in (key.student, ALL_STUDENTS)
    ]
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
