"""Intervals of scores and of paired differences, for few items, several answers to each, and several trainings.

An error has an item part (other items would give another score) and a seed part (another training would). Each part
has its own t quantile, and the squares of the half widths add:

    half^2 = t(item df)^2 * item variance + t(seed df)^2 * seed variance

This is the method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27:1693; for t limits
Graybill and Wang 1980, JASA 75:869). It is wider than one t quantile with Satterthwaite's degrees of freedom, which
covered as little as 86 % where three seeds decide the error (docs/reference/statistics.md).

From one or two seeds no seed part can be estimated: their interval is about these trained students.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

POWER = 0.8
FEWEST_ITEMS = 8  # the simulation starts here
FEWEST_SEEDS = 3  # from which an interval is about another training too
PSEUDO_ITEMS = 0.5  # weight of one item always right, and of one always wrong
PSEUDO_SQUARES = 0.25  # of one answer; see `paired_difference`


@dataclass(frozen=True)
class Scores:
    """The scores of one condition on each benchmark of a mean; the benchmarks weigh equally.

    `benchmarks` are arrays (..., seeds, items): a cell is the mean over the answers of the student trained with one
    seed to one item. Leading axes are independent repetitions, which only a simulation uses. `answers` is for each
    benchmark the number of answers of one cell. `seeds` are the training seeds, in the order of the axis.
    """

    benchmarks: Sequence[Floats]
    answers: Sequence[float]
    seeds: Sequence[int]


class Variance(NamedTuple):
    """A variance of a mean and the degrees of freedom of its estimate; both have the leading axes of the scores."""

    value: Floats
    df: Floats


class ScoreInterval(NamedTuple):
    """A score in 0..1, its limits, and the item part and seed part of its variance."""

    value: Floats
    low: Floats
    high: Floats
    item: Floats
    seed: Floats


class PairedDifference(NamedTuple):
    """First minus second. `parts` are the parts of its variance that the interval counts, the item part first.

    `seed` is the seed part, also where it rests on two seeds only and is not counted.
    """

    value: Floats
    parts: Sequence[Variance]
    seed: Floats

    def half_width(self, level: float) -> Floats:
        """Return the half width of the two-sided interval with this error probability (0.05 for 95 %)."""
        return half_width(self.parts, level)

    def detectable(self, level: float) -> Floats:
        """Return the true difference that is told from 0 with 80 % power, if the error is as estimated."""
        return detectable(self.parts, level)


def t_quantile(level: float, df: Floats | float) -> Floats:
    """Return the t quantile of a two-sided interval with the error probability `level`."""
    return np.asarray(special.stdtrit(df, 1 - level / 2), dtype=float)


def half_width(parts: Sequence[Variance], level: float) -> Floats:
    """Return the root of the sum of t(df)^2 times variance over independent parts (module docstring)."""
    return np.sqrt(_total([t_quantile(level, part.df) ** 2 * part.value for part in parts]))


def detectable(parts: Sequence[Variance], level: float) -> Floats:
    """Return half width plus z(.8) standard errors: the difference that the interval tells from 0 with 80 % power."""
    error = np.sqrt(_total([part.value for part in parts]))
    return half_width(parts, level) + float(special.ndtri(POWER)) * error


def score_interval(scores: Scores, confidence: float) -> ScoreInterval:
    """Return the mean over benchmarks of the mean over items, with its interval.

    The item part of a benchmark is Wilson's interval (1927, JASA 22:209) for an effective number of items, with a t
    quantile. The effective number is c (1 - c) / v, where c and v are the mean and the variance of the mean after
    adding half an item that is always right and half an item that is always wrong. It is the number of items where
    each scores 0 or 1, and grows as the items become alike. The upper limit is never below that of no right answer at
    all, and the lower one never above that of only right answers. The limits of several benchmarks are combined by
    their distances from the score (Zou and Donner 2008), so a benchmark without any right answer contributes the
    distance to its upper limit.

    Args:
        scores: arrays of at least two items each.
        confidence: such as 0.95.
    """
    count = len(scores.benchmarks)
    means = [one.mean((-2, -1)) for one in scores.benchmarks]
    value = _total(means) / count
    below, above, item = (np.zeros(np.shape(value)) for _ in range(3))
    for one, mean in zip(scores.benchmarks, means, strict=True):
        low, high, variance = _wilson(one, mean, confidence)
        below = below + ((mean - low) / count) ** 2
        above = above + ((high - mean) / count) ** 2
        item = item + variance / count**2
    seed = _between(_by_seed(scores))
    of_seeds = np.zeros(np.shape(value))
    if len(scores.seeds) >= FEWEST_SEEDS:
        of_seeds = half_width([seed], 1 - confidence) ** 2
    return ScoreInterval(
        value,
        np.maximum(value - np.sqrt(below + of_seeds), 0.0),
        np.minimum(value + np.sqrt(above + of_seeds), 1.0),
        item,
        seed.value,
    )


def paired_difference(first: Scores, second: Scores) -> PairedDifference:
    """Return the difference of two conditions over the same items.

    The item part is the variance of the item-level differences (Miller 2024, arXiv 2411.00640, section 4), written as
    v1 + v2 - 2 r sqrt(v1 v2). v1 and v2 are the variances with the half items of `score_interval`, so that complete
    separation (all right against all wrong) has a finite error. r is the correlation of the item means, with a quarter
    of one answer, 1 / (4 answers seeds), added to both sums of squares, so that equal answers to few items are no proof
    of equal students. Where the plain variance of the differences is larger, it counts. Benchmarks are strata: their
    variances add, with the degrees of freedom of Satterthwaite (1946, Biometrics Bulletin 2:110).

    The seed part is the variance over seeds of the difference of the two trainings with one seed. Conditions with
    different seeds have two parts, one of each.

    Args:
        first: scores of one condition.
        second: scores of the other, with the same benchmarks, and in each the same items in the same order.
    """
    count = len(first.benchmarks)
    pairs = list(zip(first.benchmarks, second.benchmarks, strict=True))
    value = _total([a.mean((-2, -1)) - b.mean((-2, -1)) for a, b in pairs]) / count
    items = [_difference_variance(first, second, place) for place in range(count)]
    item = _sum([Variance(part.value / count**2, part.df) for part in items])
    if tuple(first.seeds) == tuple(second.seeds):
        seeds = [(len(first.seeds), _between(_by_seed(first) - _by_seed(second)))]
    else:
        seeds = [(len(side.seeds), _between(_by_seed(side))) for side in (first, second)]
    counted = [part for number, part in seeds if number >= FEWEST_SEEDS]
    return PairedDifference(value, [item, *counted], _total([part.value for _, part in seeds]))


def item_variance(items: Floats) -> tuple[Floats, Variance]:
    """Return the mean and the variance of the mean of item means (..., items), with the two half items added."""
    weight = items.shape[-1] + 2 * PSEUDO_ITEMS
    mean = (items.sum(-1) + PSEUDO_ITEMS) / weight
    squares = ((items - mean[..., None]) ** 2).sum(-1)
    squares = squares + PSEUDO_ITEMS * ((1 - mean) ** 2 + mean**2)
    return mean, Variance(squares / (weight - 1) / weight, np.full(mean.shape, weight - 1))


def seed_variance(scores: Scores) -> Variance:
    """Return the variance between trainings of the mean score: s^2 of the seeds' scores over their number.

    It includes the chance in the answers of one training, which the item part includes too: slightly too wide rather
    than too narrow. It is 0 for a single seed.
    """
    return _between(_by_seed(scores))


def _by_seed(scores: Scores) -> Floats:
    """Return the mean over benchmarks and items of each seed, (..., seeds)."""
    return _total([one.mean(-1) for one in scores.benchmarks]) / len(scores.benchmarks)


def _between(by_seed: Floats) -> Variance:
    *shape, seeds = by_seed.shape
    if seeds < 2:
        return Variance(np.zeros(shape), np.ones(shape))
    return Variance(np.var(by_seed, axis=-1, ddof=1) / seeds, np.full(shape, float(seeds - 1)))


def _wilson(one: Floats, mean: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return the limits of one benchmark over its items, and the item variance."""
    centre, variance = item_variance(one.mean(-2))
    effective = centre * (1 - centre) / variance.value
    q = t_quantile(1 - confidence, variance.df) ** 2 / effective
    middle = (mean + q / 2) / (1 + q)
    half = np.sqrt(q * (mean * (1 - mean) + q / 4)) / (1 + q)
    none = _highest_without_success(one.shape[-1], confidence)
    low = np.minimum(np.minimum(middle - half, mean), 1 - none)
    return low, np.maximum(np.maximum(middle + half, mean), none), variance.value


def _highest_without_success(items: int, confidence: float) -> float:
    """Return the upper limit of a benchmark without any right answer: q / (1 + q), q = t^2 / items."""
    q = t_quantile(1 - confidence, items) ** 2 / items
    return float(q / (1 + q))


def _difference_variance(first: Scores, second: Scores, place: int) -> Variance:
    centred, squares, parts = [], [], []
    for side in (first, second):
        items = side.benchmarks[place].mean(-2)
        centred.append(items - items.mean(-1)[..., None])
        added = PSEUDO_SQUARES / (side.answers[place] * len(side.seeds))
        squares.append((centred[-1] ** 2).sum(-1) + added)
        parts.append(item_variance(items)[1])
    r = (centred[0] * centred[1]).sum(-1) / np.sqrt(squares[0] * squares[1])
    one, other = parts
    value = one.value + other.value - 2 * r * np.sqrt(one.value * other.value)
    items = centred[0].shape[-1]
    plain = ((centred[0] - centred[1]) ** 2).sum(-1) / (items - 1) / items
    return Variance(np.maximum(value, plain), np.full(value.shape, items - 1.0))


def _sum(parts: Sequence[Variance]) -> Variance:
    """Return the sum of independent variances, with Satterthwaite's degrees of freedom."""
    value = _total([part.value for part in parts])
    return Variance(value, value**2 / _total([part.value**2 / part.df for part in parts]))


def _total(parts: Sequence[Floats]) -> Floats:
    return np.asarray(np.sum(parts, axis=0), dtype=float)
