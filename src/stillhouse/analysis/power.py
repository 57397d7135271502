"""The difference that a design can detect, before anything is spent."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stillhouse.analysis.family import pair_level
from stillhouse.analysis.intervals import FEWEST_SEEDS, Variance, detectable

RATE = 0.5  # the score at which the error is largest
CONCENTRATION = (
    2.0  # of the Beta distribution of the items' rates: a third of the variance is between items
)
INTERACTION = 0.1  # standard deviation over items of the true difference between two teachers


class BenchmarkSize(NamedTuple):
    """The items of a benchmark and the answers to each."""

    items: int
    samples: int


def detectable_difference(
    benchmarks: Sequence[BenchmarkSize],
    seeds: int,
    teachers: int,
    seed_sd: float,
    confidence: float,
) -> float:
    """Return the true difference of two scores that is significant with 80 % power, all pairs corrected together.

    The item variance of a benchmark's difference is (2 p (1 - p) f / (k s) + INTERACTION^2) / n, with p = RATE, the
    share f = CONCENTRATION / (CONCENTRATION + 1) of the variance within items, k answers, s seeds and n items. It has
    n - 1 degrees of freedom; benchmarks add with Satterthwaite's. The seed variance is 2 seed_sd^2 / s, which counts
    from `intervals.FEWEST_SEEDS` seeds on.
    Half width and power are those of `intervals.detectable`.

    Args:
        benchmarks: the benchmarks of the mean.
        seeds: trainings of each student.
        teachers: how many are ranked.
        seed_sd: standard deviation of a student's mean score between trainings, in 0..1.
        confidence: of all pairs together.
    """
    within = 2 * RATE * (1 - RATE) * CONCENTRATION / (CONCENTRATION + 1)
    variances = [
        (within / (one.samples * seeds) + INTERACTION**2) / one.items for one in benchmarks
    ]
    total = sum(variances)
    freedom = total**2 / sum(
        v**2 / max(one.items - 1, 1) for v, one in zip(variances, benchmarks, strict=True)
    )
    parts = [Variance(np.asarray(total / len(benchmarks) ** 2), np.asarray(freedom))]
    if seeds >= FEWEST_SEEDS:
        parts.append(Variance(np.asarray(2 * seed_sd**2 / seeds), np.asarray(seeds - 1.0)))
    return float(detectable(parts, pair_level(teachers, confidence)))
