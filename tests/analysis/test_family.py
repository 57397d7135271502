import numpy as np
import pytest

from stillhouse.analysis.family import chance_of_best, pair_level
from stillhouse.analysis.intervals import Scores


def test_the_level_of_a_pair_is_between_bonferroni_s_and_none():
    assert pair_level(2, 0.95) == pytest.approx(0.05)
    for teachers in (3, 5, 11):
        pairs = teachers * (teachers - 1) / 2
        assert 0.05 / pairs < pair_level(teachers, 0.95) < 0.05
    assert pair_level(3, 0.95) == pytest.approx(0.0191, abs=1e-4)  # Tukey's 3.314 for three means


def of(*items, seeds=1):
    return Scores([np.array([items] * seeds, dtype=float)], [1], list(range(seeds)))


def test_chances_add_to_one_and_equal_teachers_share_them():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 40)
    chances = chance_of_best({"a": of(*one), "b": of(*one), "c": of(*np.zeros(40))}, 4000, 1)
    assert sum(chances.values()) == pytest.approx(1)
    assert chances["a"] == pytest.approx(0.5, abs=0.03)
    assert chances["c"] == 0
    assert chances == chance_of_best(
        {"a": of(*one), "b": of(*one), "c": of(*np.zeros(40))}, 4000, 1
    )


def test_teachers_without_any_right_answer_share_the_chance():
    chances = chance_of_best({"a": of(*np.zeros(12)), "b": of(*np.zeros(12))}, 4000, 1)
    assert chances["a"] == pytest.approx(0.5, abs=0.03)


def test_trainings_that_differ_make_the_best_less_sure():
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    better = [np.clip(hard * by, 0, 1) for by in (0.6, 1.0, 1.4)]
    steady = Scores([np.array([hard * 0.9] * 3)], [1], [1, 2, 3])
    moving = Scores([np.array(better)], [1], [1, 2, 3])
    assert 0.5 < chance_of_best({"moving": moving, "steady": steady}, 4000, 1)["moving"] < 0.8
