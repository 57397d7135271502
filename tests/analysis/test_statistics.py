import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.analysis.scores import ALL_STUDENTS, MEAN_TASK, paired_rows, score_rows
from stillhouse.analysis.statistics import (
    box,
    clustered_standard_error,
    difference,
    estimate,
    item_means,
)

BOOTSTRAP = {"resamples": 2000, "confidence": 0.95, "seed": 11}


def items(*means):
    return {f"i{n}": value for n, value in enumerate(means)}


def columns(task, scores, tokens=10, truncated=0, lenient=None):
    """One task; `scores` is a list of items, each a list of strict scores; the first answers are truncated."""
    flat = [(f"i{n}", score) for n, answers in enumerate(scores) for score in answers]
    strict = np.array([score for _, score in flat], dtype=float)
    counted = [score for answers in lenient or scores for score in answers]
    return {
        "task": np.array([task] * len(flat), dtype=object),
        "item_id": np.array([item for item, _ in flat], dtype=object),
        "score_strict": strict,
        "score_lenient": np.array(counted, dtype=float),
        "unread": np.array([n == 0 for n in range(len(flat))]),
        "completion_tokens": np.full(len(flat), tokens),
        "finish_reason": np.array(
            ["length"] * truncated + ["stop"] * (len(flat) - truncated), dtype=object
        ),
    }


def test_item_means_weigh_items_equally_however_many_answers_each_has():
    assert item_means(["b", "a", "a", "a"], [1, 0, 0, 0.3]) == pytest.approx({"a": 0.1, "b": 1.0})


def test_standard_error_equals_the_cluster_formula_when_all_items_have_k_answers():
    answers = {"a": [1, 1, 0, 1], "b": [0, 0, 0, 1], "c": [1, 1, 1, 1]}
    every = [score for scores in answers.values() for score in scores]
    mean = sum(every) / len(every)
    of_clusters = sum(sum(s - mean for s in scores) ** 2 for scores in answers.values())
    expected = math.sqrt(3 / 2) * math.sqrt(of_clusters) / len(every)
    means = {item: sum(scores) / 4 for item, scores in answers.items()}
    assert clustered_standard_error([means]) == pytest.approx(expected, abs=1e-6)


def test_interval_agrees_with_the_normal_approximation_on_many_items():
    rng = np.random.default_rng(0)
    found = estimate([items(*rng.random(400))], **BOOTSTRAP)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.standard_error, rel=0.1)
    assert found.low < found.value < found.high


def test_more_answers_per_item_do_not_narrow_an_interval_that_items_decide():
    few = [[1] * 2, [0] * 2] * 10
    many = [[1] * 64, [0] * 64] * 10
    rows = [
        score_rows({("t", "s"): columns("m", scores)}, ["m"], "strict", **BOOTSTRAP)[0]
        for scores in (few, many)
    ]
    assert (rows[0]["low"], rows[0]["high"]) == (rows[1]["low"], rows[1]["high"])
    assert (rows[0]["samples"], rows[1]["samples"]) == (40, 1280)


@pytest.mark.parametrize(
    ("strata", "value"),
    [
        ([], None),
        ([{}], None),
        ([items(0.5, float("nan"))], None),
        ([items(0.5, 1.0), {}], None),
        ([items(0.25)], 0.25),
        ([items(0.5, 0.5, 0.5)], 0.5),
    ],
    ids=["no_task", "no_item", "nan", "one_task_without_items", "one_item", "all_alike"],
)
def test_what_cannot_be_estimated_is_none(strata, value):
    found = estimate(strata, **BOOTSTRAP)
    assert found.value == value
    assert (found.low, found.high, found.standard_error) == (None, None, None)


def test_only_zeros_and_only_ones_have_the_exact_binomial_bound():
    zeros = estimate([items(*[0.0] * 30)], **BOOTSTRAP)
    ones = estimate([items(*[1.0] * 30)], **BOOTSTRAP)
    assert (zeros.low, zeros.high) == (0.0, pytest.approx(0.1157, abs=1e-4))
    assert (ones.low, ones.high) == (pytest.approx(0.8843, abs=1e-4), 1.0)


def test_pairing_sees_a_small_steady_lead_that_single_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.random(60) * 0.8
    first = items(*(hard + 0.05 + 0.02 * rng.random(60)))
    second = items(*hard)
    apart = [estimate([means], **BOOTSTRAP) for means in (first, second)]
    assert apart[1].high > apart[0].low
    found = difference([first], [second], **BOOTSTRAP)
    assert found.low > 0
    assert (found.favours_first, found.favours_second) == (1.0, 0.0)


def test_difference_uses_the_items_that_both_answered_and_nothing_else():
    found = difference([{"a": 1, "b": 0, "x": 1}], [{"a": 0, "b": 1, "y": 0}], **BOOTSTRAP)
    assert (found.items, found.value) == (2, 0)
    assert difference([{"a": 1}], [{"b": 1}], **BOOTSTRAP).value is None


def test_equal_answers_on_every_item_give_no_interval():
    same = items(0.0, 1.0, 0.5)
    found = difference([same], [same], **BOOTSTRAP)
    assert (found.value, found.low, found.favours_first) == (0.0, None, None)


def test_a_difference_of_unmatched_strata_is_a_defect():
    with pytest.raises(ValueError, match="matched by position"):
        difference([items(1)], [], **BOOTSTRAP)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_a_difference_turned_round_is_its_negative(pairs):
    first, second = (items(*side) for side in zip(*pairs, strict=True))
    there = difference([first], [second], resamples=200, confidence=0.9, seed=5)
    back = difference([second], [first], resamples=200, confidence=0.9, seed=5)
    assert there.value == pytest.approx(-back.value, abs=2e-6)
    if there.low is not None:
        assert there.low == pytest.approx(-back.high, abs=2e-6)
        assert there.favours_first == back.favours_second


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 9))
def test_an_interval_stays_inside_the_scores_and_repeats(scores, seed):
    found = estimate([items(*scores)], resamples=100, confidence=0.95, seed=seed)
    assert found == estimate([items(*scores)], resamples=100, confidence=0.95, seed=seed)
    if found.low is not None:
        assert 0 <= found.low <= found.high <= 1


def test_rows_hold_the_mean_over_tasks_and_over_students():
    samples = {}
    for student, extra in (("s1", 0), ("s2", 1)):
        parts = [
            columns("easy", [[1, 1], [1, 0]], tokens=10),
            columns("hard", [[0, 0], [extra, 0], [0, 0]], tokens=40, truncated=3),
        ]
        samples["t", student] = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
    rows = {
        (row["task"], row["student"]): row
        for row in score_rows(samples, ["easy", "hard"], "strict", **BOOTSTRAP)
    }
    assert len(rows) == 9
    assert rows[MEAN_TASK, "s1"]["score"] == pytest.approx(0.375)
    assert rows["hard", ALL_STUDENTS]["score"] == pytest.approx(1 / 12, abs=1e-6)
    assert rows["hard", ALL_STUDENTS]["samples"] == 12
    assert rows["hard", "s1"]["truncated"] == 0.5
    assert rows[MEAN_TASK, "s2"]["mean_tokens"] == 25


def test_a_row_does_not_depend_on_which_other_tasks_and_teachers_exist():
    one = columns("m", [[1, 0], [0, 0], [1, 1], [0, 1]])
    alone = score_rows({("t", "s"): one}, ["m"], "strict", **BOOTSTRAP)[0]
    among = score_rows({("u", "s"): one, ("t", "s"): one}, ["m", "n"], "strict", **BOOTSTRAP)
    assert alone in among


def test_a_task_without_answers_is_none_and_not_zero():
    row = score_rows({("t", "s"): columns("m", [[1]])}, ["n"], "strict", **BOOTSTRAP)[0]
    assert (row["score"], row["items"], row["mean_tokens"]) == (None, 0, None)


def test_paired_rows_tell_apart_only_what_the_interval_tells_apart():
    good, bad = [[1, 1]] * 15 + [[0, 1]] * 5, [[0, 0]] * 15 + [[0, 1]] * 5
    samples = {(t, "s"): columns("m", s) for t, s in (("a", good), ("b", bad), ("c", good))}
    significant = {
        (row["first"], row["second"]): row["significant"]
        for row in paired_rows(samples, ["m"], "strict", **BOOTSTRAP)
    }
    assert significant == {("a", "b"): True, ("a", "c"): False, ("b", "c"): True}


def test_the_three_scores_stand_side_by_side_and_one_decides():
    """Item i0: both answers cut, one of them marked already; i1: one cut, the other right; i2 and i3: finished."""
    found = columns(
        "m",
        [[0, 0], [0, 1], [1, 1], [0, 1]],
        truncated=3,
        lenient=[[1, 0], [0, 1], [1, 1], [0, 1]],
    )
    beside = {"strict": 0.5, "lenient": 0.625, "finished": pytest.approx(2.5 / 3, abs=1e-6)}
    for decides, items_of in (("strict", 4), ("lenient", 4), ("finished", 3)):
        (row,) = score_rows({("t", "s"): found}, ["m"], decides, **BOOTSTRAP)
        assert row["score"] == beside[decides]
        assert row["low"] < row["score"]
        assert (row["items"], row["finished_items"]) == (items_of, 3)
        assert {kind: row[kind] for kind in beside} == beside
        assert (row["truncated"], row["unread"]) == (0.375, 0.125)


def test_finished_answers_are_paired_on_the_items_that_both_finished():
    """Teacher a has cut item i0, teacher b nothing."""
    a = columns("m", [[0], [1], [1], [0]], truncated=1)
    b = columns("m", [[1], [1], [0], [0]])
    samples = {("a", "s"): a, ("b", "s"): b}
    (strict,) = paired_rows(samples, ["m"], "strict", **BOOTSTRAP)
    (finished,) = paired_rows(samples, ["m"], "finished", **BOOTSTRAP)
    assert (strict["items"], strict["difference"]) == (4, 0.0)
    assert (finished["items"], finished["difference"]) == (3, pytest.approx(1 / 3, abs=1e-6))


def test_a_benchmark_without_a_finished_answer_has_no_finished_score():
    cut = columns("m", [[0, 0], [0, 0]], truncated=4)
    other = columns("n", [[1, 0], [1, 1]])
    samples = {
        (t, s): {key: np.concatenate([cut[key], other[key]]) for key in cut}
        for t in ("a", "b")
        for s in ("s1", "s2")
    }
    rows = score_rows(samples, ["m", "n"], "finished", **BOOTSTRAP)
    found = {(row["task"], row["student"]): row for row in rows if row["teacher"] == "a"}
    for student in ("s1", "s2", ALL_STUDENTS):
        row = found["m", student]
        assert (row["score"], row["low"], row["items"], row["strict"]) == (None, None, 0, 0.0)
        assert found["n", student]["score"] == 0.75
        assert found[MEAN_TASK, student]["score"] is None
        assert found[MEAN_TASK, student]["strict"] == 0.375
    pairs = paired_rows(samples, ["m", "n"], "finished", **BOOTSTRAP)
    assert {p["task"]: p["difference"] for p in pairs} == {"m": None, "n": 0.0, MEAN_TASK: None}


def test_box_leaves_out_what_is_not_finite_and_is_none_when_nothing_is_left():
    found = box(np.array([1.0, 2.0, 3.0, np.inf, np.nan]))
    assert (found["rows"], found["mean"], found["p50"], found["max"]) == (3, 2.0, 2.0, 3.0)
    assert box(np.array([np.nan]))["mean"] is None
