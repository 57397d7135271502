from collections import Counter

import numpy as np
import pytest

from stillhouse.filter.wrong_rows import (
    Errors,
    errors_of,
    estimate,
    exact,
    measured_errors,
    wrong_rows,
    wrong_share,
)

AUDIT = {
    "math_rule": {"cases": 786, "right_answers": 400, "false_accepts": 0, "false_rejects": 4},
    "ifeval": {"cases": 200, "right_answers": 100, "false_accepts": 1, "false_rejects": 0},
}
JUDGE = {
    "math": {"right": 31, "accepted_right": 4, "wrong": 38, "accepted_wrong": 8},
    "demand": {"right": 16, "accepted_right": 12, "wrong": 20, "accepted_wrong": 5},
}


@pytest.mark.parametrize(
    ("a", "b", "q", "expected"),
    [
        # 1,000 answers, 600 right: a passes 40 of the 400 wrong, b loses 120 of the 600 right; 40 of 520 are wrong.
        (0.1, 0.2, 0.52, 40 / 520),
        (0.0, 0.3, 0.2, 0.0),  # nothing wrong is accepted
        (0.1, 0.0, 1.0, 0.0),  # all pass: all are right
        (0.1, 0.0, 0.1, 1.0),  # no more pass than wrong ones would
        (0.1, 0.0, 0.05, 1.0),  # even fewer: p is 0 and no less
        (0.1, 0.3, 0.9, 0.0),  # more than right ones would: p is 1 and no more
        (0.5, 0.5, 0.5, None),  # a coin
        (0.21, 0.87, 0.4, None),  # worse than a coin
    ],
)
def test_the_share_of_wrong_answers_among_the_accepted(a, b, q, expected):
    assert wrong_share(a, b, q) == pytest.approx(expected)


def test_the_formula_is_what_happens():
    rng = np.random.default_rng(5)
    right = rng.random(400_000) < 0.6
    accepted = np.where(right, rng.random(400_000) > 0.2, rng.random(400_000) < 0.1)
    assert wrong_share(0.1, 0.2, accepted.mean()) == pytest.approx(
        (accepted & ~right).sum() / accepted.sum(), abs=0.004
    )


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 386, 0.0, 1 - 0.025 ** (1 / 386)),  # closed form where nothing was found
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (1, 10, 0.00253, 0.44502),  # Clopper and Pearson's table
    ],
)
def test_exact_intervals(successes, trials, low, high):
    found = exact(successes, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_without_cases_nothing_is_known():
    assert exact(0, 0) == (None, 0.0, 1.0)
    assert estimate(Errors(0, 0, 10, 1), 5, 10) == (None, 0.0, 1.0)
    assert estimate(None, 5, 10) == (None, 0.0, 1.0)


def test_no_false_accept_still_has_an_upper_bound_that_grows_for_a_weaker_teacher():
    errors = Errors(wrong=386, accepted_wrong=0, right=400, rejected_right=0)
    strong, weak = estimate(errors, 900, 1000), estimate(errors, 200, 1000)
    assert strong.share == weak.share == 0.0
    assert 0 < strong.high < 0.005
    # By hand, each interval at 1 - .05/3: a <= 1 - (.05/6)^(1/386) = .01233, b >= 0, q >= .1702 of 200 in 1,000.
    assert weak.high == pytest.approx(0.01233 * (1 - 0.1702) / (0.1702 * (1 - 0.01233)), rel=0.01)


def test_a_judge_that_may_be_a_coin_bounds_nothing():
    found = estimate(Errors(wrong=15, accepted_wrong=3, right=10, rejected_right=4), 30, 100)
    assert found.share == pytest.approx(wrong_share(0.2, 0.4, 0.3))
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_bounds_cover_the_truth():
    """95 % of runs at least: golden cases and attempts drawn anew, with known a, b and p."""
    rng = np.random.default_rng(11)
    for a, b, p in ((0.02, 0.05, 0.6), (0.1, 0.2, 0.3), (0.005, 0.01, 0.95)):
        truth = a * (1 - p) / (a * (1 - p) + p * (1 - b))
        passed = a * (1 - p) + p * (1 - b)
        covered = 0
        for _ in range(300):
            errors = Errors(300, rng.binomial(300, a), 300, rng.binomial(300, b))
            found = estimate(errors, rng.binomial(500, passed), 500)
            covered += found.low <= truth <= found.high
        assert covered / 300 >= 0.95


def test_errors_of_rules_judges_and_both():
    assert errors_of("math_rule", AUDIT, JUDGE) == (386, 0, 400, 4)
    assert errors_of("judge_math", AUDIT, JUDGE) == (38, 8, 31, 27)
    assert errors_of("judge_math", AUDIT, None) is None
    assert errors_of("reward_model", AUDIT, JUDGE) is None
    assert errors_of("ifeval+judge_demands", AUDIT, JUDGE) == (
        20,
        5,
        16,
        4,
    )  # the weaker of the two
    assert errors_of("ifeval+judge_demands", AUDIT, None) is None


def test_rows_by_category_add_up_and_the_unmeasured_are_apart():
    rows = Counter(
        {("math", "math_rule"): 90, ("math", "judge_math"): 10, ("other", "own_rule"): 5}
    )
    said = Counter(
        {
            ("math", "math_rule", "pass"): 100,
            ("math", "math_rule", "fail"): 100,
            ("math", "math_rule", "ungradable"): 40,
            ("math", "judge_math", "pass"): 12,
            ("math", "judge_math", "fail"): 28,
        }
    )
    audit = {"math_rule": AUDIT["math_rule"] | {"false_accepts": 8}}
    found = wrong_rows(rows, said, audit, JUDGE)
    # Rule: a = 8/386, b = 4/400, q = 1/2; wrong = a(1-b-q) / (q(1-a-b)) = .02072 * .49 / (.5 * .96927) = .02095.
    # The judge accepts 8 of 38 wrong and rejects 27 of 31 right answers: a + b > 1, so its 10 rows are unknown.
    math = found["by_category"]["math"]
    assert math["expected"] == pytest.approx(90 * 0.02095, abs=0.01)
    assert (math["rows"], math["judge_alone"], math["unknown"]) == (100, 10, 10)
    assert math["high"] > 10
    other = found["by_category"]["other"]
    assert (other["expected"], other["low"], other["high"], other["unknown"]) == (None, 0, 5, 5)
    assert found["rows"] == 105
    assert found["expected"] == math["expected"]
    assert found["high"] == pytest.approx(math["high"] + 5)
    assert measured_errors({"own_rule"}, audit, JUDGE) == {"own_rule": None}
