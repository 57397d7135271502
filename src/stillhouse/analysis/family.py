"""Several teachers at once: the level that their pairs are compared at, the best set, and the chance of being best."""

from collections.abc import Mapping

import numpy as np

from stillhouse.analysis.intervals import FEWEST_SEEDS, Scores, item_variance, seed_variance


def pair_level(teachers: int, confidence: float) -> float:
    """Return the error probability of one pair at which all pairs of `teachers` together keep `confidence`.

    It is that of the largest of all standardised differences between `teachers` equal means: the studentised range
    (Tukey 1953), with the degrees of freedom of each pair in its own t quantile, after Games and Howell (1976, Journal
    of Educational Statistics 1:113). For pairs that share items it is conservative (Hayter 1984, Annals of
    Statistics 12:61). For two teachers it is 1 - confidence; for three 0.019, for eleven 0.0013, where Bonferroni
    and the first step of Holm have 0.017 and 0.0009.
    """
    from scipy import stats  # slower to import than all else that `plan` needs

    if teachers < 3:
        return 1 - confidence
    q = stats.studentized_range.ppf(confidence, teachers, np.inf)
    return float(2 * stats.norm.sf(q / np.sqrt(2)))


def chance_of_best(conditions: Mapping[str, Scores], draws: int, seed: int) -> dict[str, float]:
    """Return for each teacher the share of draws in which its score is the highest; ties count in parts.

    A draw adds to each score an error of the items, with the covariance of the teachers' item means and scaled as a t
    variable, and from `intervals.FEWEST_SEEDS` seeds on an error of the training, drawn for each teacher by itself.
    Read as a posterior probability under flat priors (Jeffreys; for two parts Behrens and Fisher).

    Args:
        conditions: the scores of each teacher's students; the items are shared.
        draws: how many.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    every = list(conditions.values())
    count = len(every[0].benchmarks)
    total = np.tile([np.mean([one.mean() for one in s.benchmarks]) for s in every], (draws, 1))
    for place in range(count):
        items = np.array([scores.benchmarks[place].mean(-2) for scores in every])
        centred = items - items.mean(1, keepdims=True)
        size = np.sqrt((centred**2).sum(1, keepdims=True))
        alike = (
            size[:, 0] < 1e-12
        )  # all items score the same: the error has no direction, and is drawn by itself
        directions = centred / np.where(alike[:, None], 1.0, size)
        error = rng.standard_normal((draws, items.shape[1])) @ directions.T
        error[:, alike] = rng.standard_normal((draws, int(alike.sum())))
        variance = item_variance(items)[1]
        df = variance.df[0]
        error *= np.sqrt(df / rng.chisquare(df, (draws, 1)))
        total += error * np.sqrt(variance.value) / count
    for column, scores in enumerate(every):
        if len(scores.seeds) >= FEWEST_SEEDS:
            part = seed_variance(scores)
            total[:, column] += rng.standard_t(float(part.df), draws) * np.sqrt(float(part.value))
    best = total >= total.max(1, keepdims=True) - 1e-12
    return dict(zip(conditions, (best / best.sum(1, keepdims=True)).mean(0).tolist(), strict=True))
