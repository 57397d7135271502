"""Intervals and paired differences for benchmarks of few items that are each answered several times.

The k answers to one item are one cluster: they share the item's difficulty and are not independent. All functions
therefore use item means, and resample items, never answers. pass@1 is the mean over items of the share of right answers
to that item.

An answer has three scores, and one decides (`benchmark.score`). `strict` and `lenient` count every answer. `finished`
leaves out answers cut at the token limit: an item's mean is over its finished answers, an item without any is left out,
and `items` counts the remaining items. A paired difference is then over the items that both students finished.

What cannot be estimated is `None`. There is no interval from one item, from scores with a NaN, or if all items have the
same mean (a bootstrap would claim certainty); but if all means are 0, or all are 1, the interval is an exact bound.

Sources: clustering of eval scores, Miller 2024 (arXiv 2411.00640, sections 2 and 3); percentile bootstrap, Efron and
Tibshirani 1993, chapter 13; exact bound, Clopper and Pearson 1934.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.params import ScoreKind
from stillhouse.records import content_hash

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
ItemMeans = dict[str, float]

MEAN_TASK = "mean_of_benchmarks"
ALL_STUDENTS = "all"
SAMPLE_COLUMNS = [
    *("task", "item_id", "score_strict", "score_lenient", "unread"),
    *("completion_tokens", "finish_reason"),
]
SCORES: tuple[ScoreKind, ...] = ("strict", "lenient", "finished")
DIGITS = 6  # the last bits of sums differ between processors; rounded figures do not
_TIE = 1e-9
_DRAWS_AT_ONCE = 4_000_000  # 32 MB of indices


@dataclass(frozen=True)
class Estimate:
    """A score in 0..1 with its interval and clustered standard error; `items` counts clusters."""

    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    items: int


@dataclass(frozen=True)
class Difference:
    """First minus second over the items that both answered, and the share of resamples that favours each.

    The two shares leave out ties, so their sum may be below 1.
    """

    value: float | None
    low: float | None
    high: float | None
    favours_first: float | None
    favours_second: float | None
    items: int


def item_means(item_ids: Iterable[str], scores: Iterable[float]) -> ItemMeans:
    """Return the mean score of each item, in the order of the ids; a NaN score makes its item NaN."""
    sums: dict[str, list[float]] = {}
    for item, score in zip(item_ids, scores, strict=True):
        sums.setdefault(str(item), []).append(float(score))
    return {item: math.fsum(sums[item]) / len(sums[item]) for item in sorted(sums)}


def clustered_standard_error(strata: Sequence[ItemMeans]) -> float | None:
    """Return the standard error of the mean over strata (benchmarks) of the mean over items.

    For one stratum of G items with means m_g it is sqrt(sum (m_g - m)^2 / (G (G - 1))). With k answers to every item
    that is the cluster-robust error sqrt(sum_g (sum_i (s_gi - m))^2) / (G k) of Miller 2024, times the small-sample
    factor sqrt(G / (G - 1)). Strata are independent, so their variances add.

    Returns:
        None if a stratum has fewer than two items or a NaN, or if all items have the same mean.
    """
    groups = _groups(strata)
    if not groups or any(len(group) < 2 or np.isnan(group).any() for group in groups):
        return None
    variance = math.fsum(float(np.var(group, ddof=1)) / len(group) for group in groups)
    if variance < _TIE**2:
        return None
    return round(math.sqrt(variance) / len(groups), DIGITS)


def estimate(
    strata: Sequence[ItemMeans], *, resamples: int, confidence: float, seed: int
) -> Estimate:
    """Return the mean over strata of the mean over items, with a percentile bootstrap over items.

    Items are resampled with replacement inside each stratum. One stratum gives the score of one benchmark; several give
    the unweighted mean of their scores.

    Args:
        strata: item means of each benchmark.
        resamples: number of bootstrap resamples.
        confidence: mass of the interval, such as 0.95.
        seed: seed of the resampling.
    """
    groups = _groups(strata)
    items = sum(len(group) for group in groups)
    value = _mean_of_means(groups)
    if value is None:
        return Estimate(None, None, None, None, items)
    low, high = _interval(groups, resamples=resamples, confidence=confidence, seed=seed)
    if low is None and len(groups) == 1:
        low, high = _exact_bound(groups[0], confidence)
    return Estimate(value, low, high, clustered_standard_error(strata), items)


def difference(
    first: Sequence[ItemMeans],
    second: Sequence[ItemMeans],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Return the paired difference first minus second, over the items that both answered.

    Pairing removes the difficulty of the items from the comparison: only the variance of the differences by item is
    left (Miller 2024, section 4).

    Args:
        first: item means of each benchmark.
        second: the same benchmarks in the same order.
        resamples: as in `estimate`.
        confidence: as in `estimate`.
        seed: as in `estimate`.

    Raises:
        ValueError: the two have different numbers of benchmarks.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} strata against {len(second)}: they are matched by position")
    groups = []
    for one, other in zip(first, second, strict=True):
        common = [item for item in one if item in other]
        groups.append(np.array([one[item] - other[item] for item in common], dtype=float))
    items = sum(len(group) for group in groups)
    value = _mean_of_means(groups)
    if value is None:
        return Difference(None, None, None, None, None, items)
    low, high = _interval(groups, resamples=resamples, confidence=confidence, seed=seed)
    if low is None:
        return Difference(value, None, None, None, None, items)
    drawn = _resampled(groups, resamples, seed)
    return Difference(
        value,
        low,
        high,
        round(float((drawn > _TIE).mean()), DIGITS),
        round(float((drawn < -_TIE).mean()), DIGITS),
        items,
    )


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
                kind: _mean_of_means(_groups(strata_of[task])) for kind, strata_of in beside.items()
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


def box(values: NDArray[Any]) -> dict[str, Any]:
    """Return rows, mean, p5, p25, p50, p75, p95 and max of the finite values; None where there are none.

    Quantiles interpolate linearly (Hyndman and Fan 1996, type 7).
    """
    finite = np.sort(values[np.isfinite(values)].astype(float))
    names = ("p5", "p25", "p50", "p75", "p95")
    if len(finite) == 0:
        return {"rows": 0, "mean": None, **dict.fromkeys(names), "max": None}
    quantiles = np.quantile(finite, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {
        "rows": len(finite),
        "mean": round(math.fsum(finite) / len(finite), DIGITS),
        **{name: round(float(q), DIGITS) for name, q in zip(names, quantiles, strict=True)},
        "max": round(float(finite[-1]), DIGITS),
    }


def _groups(strata: Sequence[ItemMeans]) -> list[Floats]:
    return [np.array(list(stratum.values()), dtype=float) for stratum in strata]


def _mean_of_means(groups: Sequence[Floats]) -> float | None:
    """Return the mean over groups of the mean over items; null where a group has none, or a NaN."""
    if not groups or any(len(group) == 0 or np.isnan(group).any() for group in groups):
        return None
    value = math.fsum(math.fsum(group) / len(group) for group in groups) / len(groups)
    return round(value, DIGITS)


def _interval(
    groups: Sequence[Floats], *, resamples: int, confidence: float, seed: int
) -> tuple[float | None, float | None]:
    if any(len(group) < 2 for group in groups) or all(np.ptp(group) < _TIE for group in groups):
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(_resampled(groups, resamples, seed), [tail, 1 - tail])
    # A bound that is 0 in exact arithmetic must print, and be judged, as 0 and not as -0.0 or 1e-17.
    return round(float(low), DIGITS) + 0.0, round(float(high), DIGITS) + 0.0


def _resampled(groups: Sequence[Floats], resamples: int, seed: int) -> Floats:
    """Return the mean over groups of the mean of each group resampled with replacement."""
    rng = np.random.default_rng(seed)
    total = np.zeros(resamples)
    for group in groups:
        at_once = max(1, _DRAWS_AT_ONCE // len(group))
        for start in range(0, resamples, at_once):
            stop = min(resamples, start + at_once)
            drawn = rng.integers(0, len(group), size=(stop - start, len(group)))
            total[start:stop] += group[drawn].mean(axis=1)
    return total / len(groups)


def _exact_bound(group: Floats, confidence: float) -> tuple[float | None, float | None]:
    """Return the Clopper-Pearson interval of n items that are all 0 or all 1, each item counted as one trial.

    With x = 0 the upper bound is 1 - (alpha / 2)^(1 / n); with x = n the lower bound is its mirror image. Counting an
    item once gives a wider interval if it was answered several times.
    """
    if len(group) < 2:
        return None, None
    reach = round(1 - ((1 - confidence) / 2) ** (1 / len(group)), DIGITS)
    if np.all(group == 0):
        return 0.0, reach
    if np.all(group == 1):
        return round(1 - reach, DIGITS), 1.0
    return None, None


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
