import numpy as np
import pytest

from stillhouse.analysis.answered import ALL_STUDENTS, MEAN_TASK, answered, item_means, shared
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.analysis.family import pair_level
from stillhouse.analysis.intervals import Scores, paired_difference
from stillhouse.analysis.of_student import student_rows
from stillhouse.analysis.pairs import paired_rows
from stillhouse.analysis.scores import score_rows
from stillhouse.analysis.verdict import scope_of, verdicts

T = Condition("t", "s", 1)


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


def joined(*parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def paired(samples, tasks=("m",), decides="strict", ranked=("a", "b", "c"), controls=None):
    return paired_rows(
        samples, list(tasks), decides, confidence=0.95, ranked=ranked, controls=controls or {}
    )


def trained(rates, items=60, answers=4, seeds=(1,), spread=0.0):
    """Samples of teachers with these rates; trainings differ by `spread`."""
    rng = np.random.default_rng(5)
    p = rng.beta(2, 2, items)
    samples = {}
    for teacher, rate in rates.items():
        for place, seed in enumerate(seeds):
            moved = rate + spread * (place - (len(seeds) - 1) / 2)
            own = np.clip(p + moved - 0.5, 0, 1)
            scores = rng.binomial(1, own[:, None], (items, answers)).tolist()
            samples[Condition(teacher, "s", seed)] = columns("m", scores)
    return samples


def test_item_means_weigh_items_equally_however_many_answers_each_has():
    assert item_means(["b", "a", "a", "a"], [1, 0, 0, 0.3]) == pytest.approx({"a": 0.1, "b": 1.0})


def test_rows_hold_the_mean_over_tasks_and_over_students():
    samples = {}
    for student, extra in (("s1", 0), ("s2", 1)):
        parts = [
            columns("easy", [[1, 1], [1, 0]], tokens=10),
            columns("hard", [[0, 0], [extra, 0], [0, 0]], tokens=40, truncated=3),
        ]
        samples[Condition("t", student, 1)] = {
            key: np.concatenate([p[key] for p in parts]) for key in parts[0]
        }
    rows = {
        (row["task"], row["student"]): row
        for row in score_rows(samples, ["easy", "hard"], "strict", confidence=0.95)
    }
    assert len(rows) == 9
    assert rows[MEAN_TASK, "s1"]["score"] == pytest.approx(0.375)
    assert rows["hard", ALL_STUDENTS]["score"] == pytest.approx(1 / 12, abs=1e-6)
    assert rows["hard", ALL_STUDENTS]["samples"] == 12
    assert rows["hard", "s1"]["truncated"] == 0.5
    assert rows[MEAN_TASK, "s2"]["mean_tokens"] == 25


def test_a_row_does_not_depend_on_which_other_tasks_and_teachers_exist():
    one = columns("m", [[1, 0], [0, 0], [1, 1], [0, 1]])
    alone = score_rows({T: one}, ["m"], "strict", confidence=0.95)[0]
    among = score_rows({Condition("u", "s", 1): one, T: one}, ["m", "n"], "strict", confidence=0.95)
    assert alone in among


def test_a_task_without_answers_is_none_and_not_zero():
    row = score_rows({T: columns("m", [[1]])}, ["n"], "strict", confidence=0.95)[0]
    assert (row["score"], row["items"], row["mean_tokens"]) == (None, 0, None)


def test_the_three_scores_are_side_by_side_and_one_decides():
    """Item i0: both answers cut, one of them marked already; i1: one cut, the other right; the others: finished."""
    found = columns(
        "m",
        [[0, 0], [0, 1], [1, 1], [0, 1]] + [[1, 1]] * 5,
        truncated=3,
        lenient=[[1, 0], [0, 1], [1, 1], [0, 1]] + [[1, 1]] * 5,
    )
    beside = {"strict": 14 / 18, "lenient": 15 / 18, "finished": 7.5 / 8}
    for decides, items_of in (("strict", 9), ("lenient", 9), ("finished", 8)):
        (row,) = score_rows({T: found}, ["m"], decides, confidence=0.95)
        assert row["score"] == pytest.approx(beside[decides], abs=1e-6)
        assert row["low"] < row["score"] < row["high"]
        assert (row["items"], row["finished_items"]) == (items_of, 8)
        assert {kind: row[kind] for kind in beside} == pytest.approx(beside, abs=1e-6)
        assert (row["truncated"], row["unread"]) == pytest.approx((3 / 18, 1 / 18), abs=1e-6)


def test_what_has_no_interval_says_why():
    few = columns("m", [[1], [0]] * 3)
    (row,) = score_rows({T: few}, ["m"], "strict", confidence=0.95)
    assert (row["score"], row["low"], row["without_interval"]) == (0.5, None, "fewer than 8 items")
    broken = columns("m", [[1], [0]] * 4 + [[float("nan")]])
    (row,) = score_rows({T: broken}, ["m"], "strict", confidence=0.95)
    assert (row["score"], row["without_interval"]) == (None, "an answer without a score")
    samples = {Condition(t, "s", 1): few for t in "ab"}
    (pair,) = paired(samples, ranked=["a", "b"])
    assert (pair["difference"], pair["low"], pair["significant"]) == (0, None, False)
    assert pair["without_interval"] == "fewer than 8 items"


def test_finished_answers_are_paired_on_the_items_that_both_finished():
    """Teacher a has cut item i0, teacher b nothing."""
    a = columns("m", [[0], [1], [1], [0]], truncated=1)
    b = columns("m", [[1], [1], [0], [0]])
    samples = {Condition("a", "s", 1): a, Condition("b", "s", 1): b}
    (strict,) = paired(samples)
    (finished,) = paired(samples, decides="finished")
    assert (strict["items"], strict["difference"]) == (4, 0.0)
    assert (finished["items"], finished["difference"]) == (3, pytest.approx(1 / 3, abs=1e-6))


def test_a_benchmark_without_a_finished_answer_has_no_finished_score():
    cut = columns("m", [[0, 0], [0, 0]], truncated=4)
    other = columns("n", [[1, 0], [1, 1]])
    samples = {Condition(t, s, 1): joined(cut, other) for t in "ab" for s in ("s1", "s2")}
    rows = score_rows(samples, ["m", "n"], "finished", confidence=0.95)
    found = {(row["task"], row["student"]): row for row in rows if row["teacher"] == "a"}
    for student in ("s1", "s2", ALL_STUDENTS):
        row = found["m", student]
        assert (row["score"], row["low"], row["items"], row["strict"]) == (None, None, 0, 0.0)
        assert row["without_interval"] == "no valid score"
        assert found["n", student]["score"] == 0.75
        assert found[MEAN_TASK, student]["score"] is None
        assert found[MEAN_TASK, student]["strict"] == 0.375
    pairs = {p["task"]: p["difference"] for p in paired(samples, ["m", "n"], "finished")}
    assert pairs == {"m": None, "n": 0.0, MEAN_TASK: None}


def test_seeds_are_rows_of_the_array_and_students_are_averaged_seed_by_seed():
    samples = {
        Condition("t", student, seed): columns("m", [[right]] * 8)
        for student, seed, right in (
            ("a", 2, 0),
            ("a", 1, 1),
            ("b", 1, 0),
            ("b", 2, 0),
            ("b", 3, 1),
        )
    }
    found = answered(samples, ["m"], "strict")
    (scores,) = shared([found["t", "a"]], [0])
    assert (scores.seeds, scores.benchmarks[0][:, 0].tolist()) == ([1, 2], [1, 0])
    (every,) = shared([found["t", ALL_STUDENTS]], [0])
    assert (every.seeds, every.benchmarks[0][:, 0].tolist()) == ([1, 2], [0.5, 0])
    assert every.answers == [2]


def test_a_score_of_several_trainings_says_how_far_they_differ():
    samples = trained({"a": 0.5}, seeds=(1, 2, 3), spread=0.2)
    (row,) = score_rows(samples, ["m"], "strict", confidence=0.95)
    means = [c["score_strict"].mean() for c in samples.values()]
    assert row["score"] == pytest.approx(np.mean(means), abs=1e-6)
    assert row["seed_sd"] == pytest.approx(np.std(means, ddof=1), abs=1e-6)
    assert row["seed_share"] > 0.8
    assert (row["seeds"], row["items"], row["samples"]) == (3, 60, 720)


def test_pairs_of_teachers_are_corrected_together_and_controls_are_not_among_them():
    samples = trained({"a": 0.7, "b": 0.5, "c": 0.5, "b2": 0.5, "a_shuffled": 0.2, UNTRAINED: 0.3})
    rows = paired(samples, controls={"b2": "b", "a_shuffled": "a"})
    families = {}
    for row in rows:
        families.setdefault(row["family"], []).append((row["first"], row["second"]))
    assert families == {
        "teachers": [("a", "b"), ("a", "c"), ("b", "c")],
        UNTRAINED: [(t, UNTRAINED) for t in "abc"],
        "control": [("b2", "b"), ("a_shuffled", "a")],
    }
    levels = {row["family"]: row["level"] for row in rows}
    assert levels["teachers"] == pytest.approx(pair_level(3, 0.95))
    assert levels[UNTRAINED] == pytest.approx(0.05 / 3)
    assert levels["control"] == pytest.approx(0.05)
    significant = {(row["first"], row["second"]): row["significant"] for row in rows}
    assert significant["a", "b"]
    assert significant["a_shuffled", "a"]
    assert not significant["b2", "b"]
    first = next(row for row in rows if row["family"] == "teachers")
    a, b = (samples[Condition(t, "s", 1)]["score_strict"].reshape(1, 60, 4).mean(-1) for t in "ab")
    order = np.argsort([f"i{n}" for n in range(60)])
    one, other = (Scores([x[:, order]], [4], [1]) for x in (a, b))
    half = paired_difference(one, other).half_width(levels["teachers"])
    assert first["high"] - first["difference"] == pytest.approx(half, abs=2e-6)


@pytest.mark.parametrize(
    ("seeds", "scope"),
    [(1, "students"), (2, "students"), (3, "tentative"), (4, "tentative"), (5, "teacher")],
)
def test_what_a_comparison_covers_depends_on_its_trainings(seeds, scope):
    assert scope_of(seeds) == scope


def verdict(samples, ranked=("a", "b", "c")):
    rows = paired(samples, ranked=ranked)
    (found,) = verdicts(samples, ["m"], "strict", ranked=ranked, paired=rows, draws=2000, seed=1)
    return found


def test_the_best_set_has_the_teachers_that_cannot_be_told_from_the_best():
    clear = verdict(trained({"a": 0.5, "b": 0.8, "c": 0.5}))
    assert clear.best_set == ["b"]
    assert clear.chance["b"] > 0.99
    two = verdict(trained({"a": 0.2, "b": 0.7, "c": 0.72}))
    assert set(two.best_set) == {"b", "c"}
    assert two.chance["a"] < 0.01
    assert 0.05 < two.detectable < 0.25
    assert (two.scope, two.seeds) == ("students", 1)


def test_three_trainings_that_differ_take_the_lead_back():
    rates = {"a": 0.5, "b": 0.7}
    assert verdict(trained(rates), ["a", "b"]).best_set == ["b"]
    moving = trained({"b": 0.7}, seeds=(1, 2, 3), spread=0.25)
    steady = trained({"a": 0.5}, seeds=(1, 2, 3))
    found = verdict(moving | steady, ["a", "b"])
    assert found.best_set == ["b", "a"]
    assert found.scope == "tentative"


def test_there_is_no_verdict_where_a_teacher_has_no_scores():
    samples = trained({"a": 0.5, "b": 0.7})
    rows = paired(samples)
    assert (
        verdicts(samples, ["m"], "strict", ranked=["a", "b", "c"], paired=rows, draws=9, seed=1)
        == []
    )


def test_the_card_has_the_published_training_all_trainings_and_the_gain():
    samples = trained({"a": 0.6}, seeds=(1, 2, 3), spread=0.1) | {
        Condition(UNTRAINED, "s", 0): trained({"u": 0.3})[Condition("u", "s", 1)]
    }
    published = Condition("a", "s", 1)
    (row,) = student_rows(samples, ["m"], "strict", published=published, confidence=0.95)
    mean = samples[published]["score_strict"].mean()
    assert row["score"] == pytest.approx(mean, abs=1e-6)
    assert row["trainings"]["seeds"] == 3
    assert row["trainings"]["score"] > row["score"]
    untrained = samples[Condition(UNTRAINED, "s", 0)]["score_strict"].mean()
    assert row["gain"]["difference"] == pytest.approx(mean - untrained, abs=1e-6)
    assert row["gain"]["low"] > 0
    (alone,) = student_rows(
        {published: samples[published]}, ["m"], "strict", published=published, confidence=0.95
    )
    assert (alone["trainings"], alone["gain"]) == (None, None)
