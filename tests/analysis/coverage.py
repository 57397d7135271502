"""Simulation of the printed intervals: how often they hold the true value, how wide they are, and false leads.

    python -m tests.analysis.coverage   # prints the tables of docs/reference/statistics.md

An item is answered right with probability p, from a Beta distribution with mean `rate` and a concentration c: the
variance of p is rate (1 - rate) / (c + 1). A training changes it to p + (d + e) p (1 - p), so that the mean stays
`rate`: d is normal for each seed, within -0.7 to 0.7, and e uniform for each seed and item, from -0.3 to 0.3. Teachers
share the items' p. Another rate is p moved towards 0 or 1.
"""

import sys
import time
from collections.abc import Iterator
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from scipy import stats

from stillhouse.analysis.family import pair_level
from stillhouse.analysis.intervals import (
    FEWEST_SEEDS,
    Scores,
    paired_difference,
    score_interval,
    seed_variance,
)

OTHERS = (0.5, 8.0)  # concentrations; all else has 2
FEWER = {"items": (8, 12, 30, 100), "samples": (1, 64), "seeds": (1, 3, 5)}  # with these
OF_ITEMS = 0.3  # the range of e
SEED_NOISE = {
    "small": 0.03,
    "large": 0.3,
}  # of d; a score of .5 has a standard deviation of 0.5 and 5 points
RATES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
PAIRS = (
    *((0.02, 0.02), (0.02, 0.05), (0.02, 0.12), (0.1, 0.2), (0.5, 0.5), (0.5, 0.7)),
    *((0.85, 0.85), (0.85, 0.6), (0.95, 0.85), (0.95, 0.05)),
)
ITEMS = (8, 12, 30, 100, 500)
SAMPLES = (1, 4, 64)
SEEDS = (1, 2, 3, 5)
SHAPES = {  # benchmarks of (items, rate, samples)
    "12+12+8 items x 2": ((12, 0.4, 2), (12, 0.6, 2), (8, 0.05, 2)),
    "30x64, 30x64, 500x4, 167x16": ((30, 0.8, 64), (30, 0.6, 64), (500, 0.95, 4), (167, 0.6, 16)),
    "200 items x 1": ((200, 0.5, 1),),
}
RUNS, RUNS_OF_DOUBT, DOUBT = 1000, 10_000, 0.935
GOAL = 0.93


class Cell(NamedTuple):
    """What one cell showed: the share of intervals that hold the truth, and widths over those of a t interval."""

    kind: str
    rate: str
    items: str
    samples: int
    seeds: int
    noise: str
    concentration: float
    runs: int
    covered: float
    t_covered: float
    width: float

    @property
    def error(self) -> float:
        """The Monte Carlo error of `covered`."""
        return float(np.sqrt(self.covered * (1 - self.covered) / self.runs))


def draw(rng, shape, rates, noise, runs, seeds, concentration=2.0):
    """Return for each rate factor a list of score arrays, and the true means, of which a few seeds are part.

    Args:
        rng: the generator.
        shape: benchmarks of (items, rate, samples).
        rates: for each teacher the rate in place of that of the benchmark, or None.
        noise: the standard deviation of d.
        runs: the repetitions.
        seeds: trainings of each teacher.
        concentration: of the items' rates.
    """
    arrays = [[] for _ in rates]  # of teachers, of benchmarks
    truth = np.zeros((len(rates), runs))
    effects = rng.normal(0, noise, (len(rates), runs, seeds, 1)).clip(-0.7, 0.7)
    for items, rate, samples in shape:
        p = rng.beta(rate * concentration, (1 - rate) * concentration, (runs, 1, items))
        square = rate * (1 - rate) / (concentration + 1) + rate**2  # the mean of p^2
        for place, own in enumerate(rates):
            mean = rate if own is None else own
            if mean <= rate:
                by = mean / rate
                q, spread = p * by, by * rate - by**2 * square
            else:
                by = (1 - mean) / (1 - rate)
                q, spread = 1 - (1 - p) * by, by * (1 - rate) - by**2 * (1 - 2 * rate + square)
            e = rng.uniform(-OF_ITEMS, OF_ITEMS, (runs, seeds, items))
            chance = np.clip(q + (effects[place] + e) * q * (1 - q), 0, 1)
            arrays[place].append(rng.binomial(samples, chance) / samples)
            known = effects[place].mean((1, 2)) * spread if seeds < FEWEST_SEEDS else 0.0
            truth[place] += (mean + known) / len(shape)
    answers, ids = [samples for *_, samples in shape], range(seeds)
    return [Scores(own, answers, ids) for own in arrays], truth


def t_half_width(values, seed):
    """Return the half width of the t interval: Satterthwaite's degrees of freedom, nothing done at the edges."""
    item = [v.var(-1, ddof=1) / v.shape[-1] / len(values) ** 2 for v in values]
    below = sum(i**2 / (v.shape[-1] - 1) for i, v in zip(item, values, strict=True))
    total = sum(item)
    if seed is not None:
        total = total + seed.value
        below = below + seed.value**2 / seed.df
    df = np.maximum(np.divide(total**2, below, out=np.ones_like(total), where=below > 0), 1)
    return stats.t.ppf(0.975, df) * np.sqrt(total)


def score_cell(shape, seeds, noise, concentration, runs, rng) -> tuple[float, float, float]:
    ((own,), (truth,)) = draw(rng, shape, [None], noise, runs, seeds, concentration)
    found = score_interval(own, 0.95)
    half = t_half_width(
        [x.mean(-2) for x in own.benchmarks], seed_variance(own) if seeds >= FEWEST_SEEDS else None
    )
    covered = (found.low - 1e-12 <= truth) & (truth <= found.high + 1e-12)
    by_t = np.abs(found.value - truth) <= half + 1e-12
    width = (found.high - found.low).mean() / (2 * half.mean())
    return float(covered.mean()), float(by_t.mean()), float(width)


def pair_cell(shape, rates, seeds, noise, concentration, runs, rng) -> tuple[float, float, float]:
    (first, second), truth = draw(rng, shape, rates, noise, runs, seeds, concentration)
    found = paired_difference(first, second)
    own = found.half_width(0.05)
    both = zip(first.benchmarks, second.benchmarks, strict=True)
    differences = [a.mean(-2) - b.mean(-2) for a, b in both]
    half = t_half_width(differences, found.parts[1] if seeds >= FEWEST_SEEDS else None)
    off = np.abs(found.value - (truth[0] - truth[1]))
    return (
        float((off <= own + 1e-12).mean()),
        float((off <= half + 1e-12).mean()),
        float(own.mean() / half.mean()),
    )


def settled(cell, *args, rng, runs=RUNS):
    """Return the figures of a cell; a cell in doubt is run again, ten times as often."""
    found = cell(*args, runs, rng)
    if found[0] >= DOUBT or runs != RUNS:
        return runs, *found
    parts = [cell(*args, RUNS, rng) for _ in range(RUNS_OF_DOUBT // RUNS)]
    return RUNS_OF_DOUBT, *(float(np.mean(figures)) for figures in zip(*parts, strict=True))


def cells(
    items=ITEMS,
    samples=SAMPLES,
    seeds=SEEDS,
    rates=RATES,
    pairs=PAIRS,
    shapes=SHAPES,
    concentration=2.0,
    runs=RUNS,
) -> Iterator[Cell]:
    """Yield all cells: scores of one benchmark, differences, and means of benchmarks.

    Args:
        items: numbers of items.
        samples: numbers of answers to an item.
        seeds: numbers of trainings.
        rates: rates of scores.
        pairs: rates of the two sides of a difference.
        shapes: sets of benchmarks, by name.
        concentration: of the items' rates.
        runs: repetitions; with another number than `RUNS` no cell is run again.
    """
    rng = np.random.default_rng(20_25 if concentration == 2.0 else [20_25, int(10 * concentration)])
    designs = [
        (many, *noise)
        for many in seeds
        for noise in list(SEED_NOISE.items())[0 if many >= FEWEST_SEEDS else 1 :]
    ]
    for many, noise, size in designs:
        of = (many, noise, concentration)
        how = {"rng": rng, "runs": runs}
        for n, k, rate in product(items, samples, rates):
            figures = settled(score_cell, [(n, rate, k)], many, size, concentration, **how)
            yield Cell("score", f"{rate}", f"{n}", k, *of, *figures)
        for n, k, (a, b) in product(items, samples, pairs):
            figures = settled(pair_cell, [(n, a, k)], [None, b], many, size, concentration, **how)
            yield Cell("difference", f"{a} against {b}", f"{n}", k, *of, *figures)
        for name, shape in shapes.items():
            figures = settled(score_cell, shape, many, size, concentration, **how)
            yield Cell("mean of benchmarks", "", name, 0, *of, *figures)
            figures = settled(pair_cell, shape, [None, None], many, size, concentration, **how)
            yield Cell("difference of means", "equal", name, 0, *of, *figures)


def false_headlines(shape, teachers, seeds, noise, runs, rng) -> float:
    """Return the share of runs in which the best of equal teachers is said to lead another."""
    level = pair_level(teachers, 0.95)
    claims = 0
    for _ in range(-(-runs // 100)):
        arrays, _ = draw(rng, shape, [None] * teachers, noise, 100, seeds)
        scores = sum(
            np.stack([a.benchmarks[place].mean((-2, -1)) for a in arrays])
            for place in range(len(shape))
        )
        best = scores.argmax(0)
        claimed = np.zeros(100, bool)
        for one, other in combinations(range(teachers), 2):
            found = paired_difference(arrays[one], arrays[other])
            apart = np.abs(found.value) > found.half_width(level)
            claimed |= apart & ((best == one) | (best == other))
        claims += int(claimed.sum())
    return claims / (100 * -(-runs // 100))


def headline_rows(
    runs=RUNS, counts=(2, 3, 5, 11), shapes=SHAPES
) -> Iterator[tuple[str, int, int, str, float, float]]:
    """Yield shape, teachers, seeds, noise, share of false headlines, and its Monte Carlo error.

    Args:
        runs: repetitions.
        counts: numbers of teachers.
        shapes: sets of benchmarks, by name.
    """
    rng = np.random.default_rng(11)
    for name, shape in shapes.items():
        for seeds, noise in ((1, None), (3, "small"), (3, "large"), (5, "large")):
            for teachers in counts:
                size = SEED_NOISE[noise] if noise else 0.0
                share = false_headlines(shape, teachers, seeds, size, runs, rng)
                yield (
                    name,
                    teachers,
                    seeds,
                    noise or "none",
                    share,
                    float(np.sqrt(0.05 * 0.95 / runs)),
                )


def all_cells() -> Iterator[Cell]:
    """Yield the cells of the page: the whole grid, and a smaller one with other concentrations."""
    yield from cells()
    for concentration in OTHERS:
        yield from cells(**FEWER, concentration=concentration)


def summary(found: list[Cell]) -> Iterator[str]:
    """Yield the lines of the table: cells by kind, seeds and seed noise."""
    yield "| c | interval | trainings | seed noise | cells | lowest coverage | where | below 93 % | t covers | wider than 1.3 t of these | median width / t | widest |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    groups = dict.fromkeys((c.concentration, c.kind, c.seeds, c.noise) for c in found)
    for group in groups:
        own = [c for c in found if (c.concentration, c.kind, c.seeds, c.noise) == group]
        concentration, kind, seeds, noise = group
        low = min(own, key=lambda c: c.covered)
        fair = [c.width for c in own if c.t_covered >= GOAL] or [float("nan")]
        where = f"{low.rate} {low.items}" + (f" x {low.samples}" if low.samples else "")
        below, fairly = sum(c.covered < GOAL for c in own), sum(c.t_covered >= GOAL for c in own)
        yield (
            f"| {concentration:g} | {kind} | {seeds} | {noise if seeds > 2 else '-'} | {len(own)} | "
            f"{low.covered:.3f} ± {low.error:.3f} | {where} | {below} | {fairly} | "
            f"{sum(width > 1.3 for width in fair)} | {np.median(fair):.2f} | {max(fair):.2f} |"
        )


def main() -> None:
    """Print the tables."""
    begun = time.process_time()
    found = []
    for cell in all_cells():
        found.append(cell)
        if cell.covered < GOAL:
            print("below", cell, file=sys.stderr, flush=True)
    print(*summary(found), sep="\n", flush=True)
    print(
        "\n| teachers, all equal | benchmarks | trainings | seed noise | false headlines |\n|---|---|---|---|---|"
    )
    for name, teachers, seeds, noise, share, error in headline_rows():
        print(
            f"| {teachers} | {name} | {seeds} | {noise} | {100 * share:.1f} ± {100 * error:.1f} % |",
            flush=True,
        )
    print(f"\n{time.process_time() - begun:.0f} s of CPU", file=sys.stderr)


if __name__ == "__main__":
    main()
