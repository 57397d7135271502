import numpy as np
import pytest

from stillhouse.analysis.family import pair_level
from stillhouse.analysis.intervals import Scores, paired_difference
from stillhouse.analysis.power import BenchmarkSize, detectable_difference


def test_seeds_set_a_floor_that_items_do_not_lower():
    few, many = ([BenchmarkSize(items, 4)] for items in (500, 50_000))
    floor = detectable_difference(many, 3, 2, 0.02, 0.95)
    assert floor > 0.08
    assert detectable_difference(few, 3, 2, 0.02, 0.95) < 1.2 * floor
    assert detectable_difference(many, 5, 2, 0.02, 0.95) < 0.7 * floor
    assert detectable_difference(many, 1, 2, 0.02, 0.95) < 0.02


def test_more_teachers_need_a_larger_difference():
    found = [
        detectable_difference([BenchmarkSize(100, 4)], 1, teachers, 0, 0.95)
        for teachers in (2, 3, 11)
    ]
    assert found == sorted(found)
    assert found[2] > 1.3 * found[0]


@pytest.mark.parametrize(("items", "answers", "teachers"), [(30, 64, 2), (200, 1, 3)])
def test_the_promised_power_is_there(items, answers, teachers):
    """Students with the assumed items, and with the difference that the formula promises to find in 80 % of runs."""
    rng = np.random.default_rng(4)
    promised = detectable_difference([BenchmarkSize(items, answers)], 1, teachers, 0, 0.95)
    p = np.clip(rng.beta(1, 1, (2000, 1, items)), 0.2, 0.8)
    shift = rng.normal(promised, 0.1, p.shape)
    sides = [
        Scores([rng.binomial(answers, np.clip(rate, 0, 1)) / answers], [answers], [1])
        for rate in (p - shift / 2, p + shift / 2)
    ]
    found = paired_difference(sides[1], sides[0])
    power = float((found.value > found.half_width(pair_level(teachers, 0.95))).mean())
    assert 0.65 < power < 0.92
