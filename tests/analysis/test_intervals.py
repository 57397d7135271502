import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stillhouse.analysis.intervals import (
    FEWEST_SEEDS,
    Scores,
    paired_difference,
    score_interval,
    seed_variance,
)


def scores(*items, answers=1, seeds=None):
    """One benchmark: each argument has the item means of one training."""
    array = np.array(items, dtype=float)
    return Scores([array], [answers], list(seeds or range(len(array))))


def limits(one):
    found = score_interval(one, 0.95)
    return float(found.low), float(found.high)


def apart(first, second):
    found = paired_difference(first, second)
    return abs(found.value) > found.half_width(0.05)


@pytest.mark.parametrize("right", range(13))
def test_one_answer_per_item_has_wilson_s_interval_with_a_t_quantile(right):
    n, p = 12, right / 12
    q = stats.t.ppf(0.975, n) ** 2 / n
    middle, half = (p + q / 2) / (1 + q), np.sqrt(q * (p * (1 - p) + q / 4)) / (1 + q)
    assert limits(scores([1] * right + [0] * (n - right))) == pytest.approx(
        (max(middle - half, 0), min(middle + half, 1)), abs=1e-12
    )


def test_many_alike_answers_narrow_the_interval_and_many_different_items_do_not():
    mixed = scores([0.0, 1.0] * 15, answers=64)
    alike = scores([0.45, 0.55] * 15, answers=64)
    assert limits(mixed) == limits(scores([0.0, 1.0] * 15))
    assert limits(alike)[1] - limits(alike)[0] < 0.3 * (limits(mixed)[1] - limits(mixed)[0])


def test_with_many_items_it_is_the_t_interval():
    items = np.random.default_rng(0).beta(1, 1, 2000)
    half = stats.t.ppf(0.975, 1999) * items.std(ddof=1) / np.sqrt(2000)
    assert limits(scores(items)) == pytest.approx(
        (items.mean() - half, items.mean() + half), abs=5e-4
    )


@pytest.mark.parametrize("answers", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("items", [8, 12, 30, 100])
def test_more_right_answers_do_not_lower_a_limit_near_the_edges(items, answers):
    """From no right answer to a quarter of the items, answer by answer, and the mirror image from the other edge.

    The upper limit may fall by 1 % of itself between two whole items, as their spread becomes known.
    """
    found = []
    for right in range(items // 4 * answers + 1):
        full, part = divmod(right, answers)
        own = np.zeros(items)
        own[:full] = 1
        if part:
            own[full] = part / answers
        found.append(limits(scores(own)))
        assert limits(scores(1 - own)) == pytest.approx((1 - found[-1][1], 1 - found[-1][0]))
    low, high = np.array(found).T
    assert (np.diff(low) >= -1e-12).all()
    assert (high >= high[0] - 1e-12).all()
    assert (high >= 0.99 * np.maximum.accumulate(high)).all()


def test_all_right_against_all_wrong_is_a_difference():
    for answers in (1, 64):
        right, wrong = scores([1.0] * 8, answers=answers), scores([0.0] * 8, answers=answers)
        assert apart(right, wrong)
        assert paired_difference(right, wrong).half_width(0.05) > 0.15
    assert apart(scores([0.5] * 30), scores([0.0] * 30))


def test_equal_answers_to_few_items_prove_nothing():
    same = scores([1, 1, 1, 0, 1, 1, 1, 1])
    found = paired_difference(same, same)
    assert found.value == 0
    assert found.half_width(0.05) > 0.1


def test_a_benchmark_without_a_right_answer_does_not_shrink_the_mean_s_interval():
    normal = np.array([[0.0, 1.0] * 6])
    nothing = np.zeros((1, 12))
    of = score_interval(Scores([normal, nothing], [1, 1], [1]), 0.95)
    alone_low, alone_high = limits(Scores([normal], [1], [1]))
    zero_high = limits(Scores([nothing], [1], [1]))[1]
    assert zero_high > 0.2
    assert of.high - of.value == pytest.approx(np.hypot(alone_high - 0.5, zero_high) / 2)
    assert of.value - of.low == pytest.approx((0.5 - alone_low) / 2)


def test_pairing_finds_a_small_steady_lead_that_single_intervals_hide():
    hard = np.random.default_rng(1).random(60) * 0.8
    first, second = scores(hard + 0.05, answers=64), scores(hard, answers=64)
    assert limits(second)[1] > limits(first)[0]
    assert apart(first, second)


def test_from_three_seeds_the_spread_of_trainings_widens_the_interval():
    hard = np.random.default_rng(1).random(100)
    items = np.clip([hard * by for by in (0.4, 0.8, 1.2)], 0, 1)
    other = scores(*[hard * 0.5] * 3, answers=16)
    two, three = scores(*items[:2], answers=16), scores(*items, answers=16)
    assert FEWEST_SEEDS == 3
    assert limits(three)[1] - limits(three)[0] > 3 * (limits(two)[1] - limits(two)[0])
    assert apart(scores(*items[1:], answers=16), scores(*[hard * 0.5] * 2, answers=16))
    assert not apart(three, other)
    found = paired_difference(three, other)
    item, seed = found.parts
    assert seed.df == 2
    half = stats.t.ppf(0.975, 2) ** 2 * seed.value + stats.t.ppf(0.975, 99) ** 2 * item.value
    assert found.half_width(0.05) == pytest.approx(np.sqrt(half))


def test_shared_seeds_are_paired_and_others_add():
    hard = np.random.default_rng(2).random(50) * 0.5
    by_seed = [hard + by for by in (0.1, 0.2, 0.3)]
    first, second = scores(*by_seed), scores(*[row + 0.1 for row in by_seed])
    assert paired_difference(first, second).seed == pytest.approx(0, abs=1e-12)
    elsewhere = scores(*[row + 0.1 for row in by_seed], seeds=[7, 8, 9])
    found = paired_difference(first, elsewhere)
    assert len(found.parts) == 3
    assert found.seed == pytest.approx(2 * float(seed_variance(first).value))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=8, max_size=20))
def test_limits_hold_the_score_and_a_difference_turned_round_is_its_negative(pairs):
    first, second = (scores(side) for side in zip(*pairs, strict=True))
    low, high = limits(first)
    assert 0 <= low <= first.benchmarks[0].mean() + 1e-12
    assert first.benchmarks[0].mean() <= high + 1e-12
    assert high <= 1
    there, back = paired_difference(first, second), paired_difference(second, first)
    assert there.value == pytest.approx(-back.value)
    assert there.half_width(0.05) == pytest.approx(back.half_width(0.05), abs=1e-9)
    assert there.half_width(0.01) >= there.half_width(0.05)
