"""Intervals and paired differences for benchmarks of few items that are each answered several times.

The k answers to one item are one cluster: they share the item's difficulty and are not independent. All functions
therefore use item means, and resample items, never answers. pass@1 is the mean over items of the share of right answers
to that item.

What cannot be estimated is `None`. There is no interval from one item, from scores with a NaN, or if all items have the
same mean (a bootstrap would claim certainty); but if all means are 0, or all are 1, the interval is an exact bound.

Sources: clustering of eval scores, Miller 2024 (arXiv 2411.00640, sections 2 and 3); percentile bootstrap, Efron and
Tibshirani 1993, chapter 13; exact bound, Clopper and Pearson 1934.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]
ItemMeans = dict[str, float]

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


def mean_of_means(strata: Sequence[ItemMeans]) -> float | None:
    """Return the mean over strata of the mean over items; None if a stratum has no item, or has a NaN."""
    return _mean_of_means(_groups(strata))


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
