"""Figures of the parallel set over small tables whose right values are worked out by hand."""

from pathlib import Path

import pytest

from stillhouse import layout
from stillhouse.filter.align import align
from stillhouse.filter.parallel_set import parallel_set_figures
from stillhouse.filter.survivors import add_teacher, read_queries, survivors, without_each
from stillhouse.records import (
    Category,
    Check,
    Example,
    Message,
    Query,
    Response,
    State,
    Verdict,
    example_id,
    query_id,
    response_id,
)
from stillhouse.tables.streams import JoinError
from stillhouse.tables.write import write_table

AUDIT = {"math_rule": {"cases": 300, "right_answers": 100, "false_accepts": 2, "false_rejects": 0}}
JUDGE_AUDIT = {"reward": {"right": 40, "accepted_right": 36, "wrong": 50, "accepted_wrong": 10}}


def query(name: str, category: Category = "math", source: str = "a", truth: str | None = "4"):
    messages = [Message(role="user", content=name)]
    return Query(
        id=query_id(messages),
        category=category,
        source=source,
        license="cc0-1.0",
        messages=messages,
        ground_truth=truth,
    )


# Four queries; the attempts of each teacher: (state, tokens, kept), by query.
SUM = query("What is 2 + 2?")
PRODUCT = query("What is 2 * 2?", source="b")
ROOT = query("What is the root of 16?", source="b")
POEM = query("Write a poem.", category="other", source="c", truth=None)
QUERIES = [SUM, PRODUCT, ROOT, POEM]
Tries = dict[str, list[tuple[State, int, bool]]]
STEADY: Tries = {
    SUM.id: [("pass", 10, True)],
    PRODUCT.id: [("fail", 20, False), ("pass", 40, True)],
    ROOT.id: [("pass", 30, True)],
    POEM.id: [("pass", 100, True)],
}
SHAKY: Tries = {
    SUM.id: [("pass", 12, True)],
    PRODUCT.id: [("fail", 30, False), ("fail", 30, False), ("fail", 30, False)],
    ROOT.id: [("ungradable", 50, False)],
    POEM.id: [("fail", 80, False), ("pass", 120, True)],
}
ANSWERS = {"steady": "Two and two make 4. The answer is 4.", "shaky": r"So it is \boxed{4}."}


def write(teacher: str, tries: Tries, answers: dict[str, str] | None = None) -> None:
    """Write the tables of a teacher: responses, verdicts, and the kept examples."""
    responses, verdicts, examples = [], [], []
    for own in QUERIES:
        verifier = "math_rule" if own.category == "math" else "judge_reward"
        for number, (state, tokens, kept) in enumerate(tries.get(own.id, ())):
            answer = (answers or {}).get(own.id, ANSWERS.get(teacher, "It is 4."))
            found = Response(
                id=response_id(own.id, teacher, number, answer),
                query_id=own.id,
                teacher=teacher,
                attempt=number,
                seed=number,
                think="",
                answer=answer,
                frame=["", ""],
                finish_reason="stop",
                prompt_tokens=10 * (1 + QUERIES.index(own)),
                completion_tokens=tokens,
                fingerprint="f",
            )
            responses.append(found)
            score = {"pass": 1.0, "fail": 0.0, "ungradable": None}[state]
            check = Check(verifier=verifier, version="1", state=state, score=score)
            verdicts.append(
                Verdict(
                    response_id=found.id,
                    query_id=own.id,
                    state=state,
                    score=score,
                    reason=None,
                    verifier=verifier,
                    checks=[check],
                )
            )
            if kept:
                examples.append(example(own, found, verifier))
    write_table(layout.attempts(teacher), Response, responses)
    write_table(layout.verdicts(teacher), Verdict, verdicts)
    write_table(layout.accepted(teacher), Example, examples)


def example(own: Query, found: Response, verifier: str) -> Example:
    return Example(
        id=example_id(own.id, found.id),
        query_id=own.id,
        category=own.category,
        source=own.source,
        source_license=own.license,
        messages=own.messages,
        ground_truth=own.ground_truth,
        language=None,
        setup=None,
        entry_point=None,
        tests=[],
        constraints=[],
        teacher=found.teacher,
        model="m",
        model_revision="r",
        attempt=found.attempt,
        seed=0,
        finish_reason="stop",
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        think=found.think,
        answer=found.answer,
        verify_score=1.0,
        verifier=verifier,
        perplexity=2.0,
        fingerprint="f",
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_table(layout.CURATED_QUERIES, Query, QUERIES)
    write("steady", STEADY)
    write("shaky", SHAKY)
    return ["steady", "shaky"]


def counts(rows: list[dict]) -> dict[str, tuple[int, int]]:
    return {row["group"]: (row["queries"], row["parallel"]) for row in rows}


def test_survivors_by_source_difficulty_and_length(run):
    queries = read_queries(run)
    for teacher in run:
        add_teacher(queries, teacher)
    found = survivors(queries)
    # Parallel: the sum and the poem.
    assert counts(found["source"]) == {"a": (1, 1), "b": (2, 0), "c": (1, 1)}
    # passed of graded: sum 2 of 2, product 1 of 5, root 1 of 1 (one ungradable), poem 2 of 3.
    assert counts(found["pass_rate"]) == {
        "over 0 to 25 %": (1, 0),
        "over 50 to 75 %": (1, 1),
        "100 %": (2, 1),
    }
    # Attempts of two teachers: 2, 5, 2 and 3.
    assert counts(found["attempts"]) == {
        "up to 1": (2, 1),
        "over 1 to 2": (1, 1),
        "over 2 to 3": (1, 0),
    }
    # Mean tokens of an attempt: 11, 30, 40 and 100, one in each quarter; of a prompt 10, 20, 30 and 40.
    assert counts(found["answer_tokens"]) == {
        "11 to 11": (1, 1),
        "30 to 30": (1, 0),
        "40 to 40": (1, 0),
        "100 to 100": (1, 1),
    }
    assert counts(found["prompt_tokens"])["40 to 40"] == (1, 1)
    assert found["source"][0]["share"] == 1.0


def test_queries_that_nobody_was_asked_are_a_group_of_their_own(run):
    write("steady", {SUM.id: STEADY[SUM.id]})
    write("shaky", {})
    queries = read_queries(run)
    for teacher in run:
        add_teacher(queries, teacher)
    found = survivors(queries)
    assert counts(found["pass_rate"]) == {"100 %": (1, 0), "none graded": (3, 0)}
    assert counts(found["attempts"]) == {"none": (3, 0), "up to 1": (1, 0)}
    assert counts(found["answer_tokens"]) == {"10 to 10": (1, 0), "no attempt": (3, 0)}


def test_the_size_without_each_teacher(run):
    write("third", {SUM.id: STEADY[SUM.id], ROOT.id: STEADY[ROOT.id]})
    teachers = [*run, "third"]
    queries = read_queries(teachers)
    for teacher in teachers:
        add_teacher(queries, teacher)
    # steady keeps all 4, shaky the sum and the poem, third the sum and the root: parallel is the sum alone.
    assert without_each(queries) == {
        "parallel": {"steady": 1, "shaky": 2, "third": 2},
        "costliest": ["shaky", "third"],
    }


def test_without_a_second_teacher_there_is_no_size_without_one(run):
    queries = read_queries(["steady"])
    add_teacher(queries, "steady")
    assert without_each(queries) == {"parallel": {}, "costliest": []}
    assert queries.parallel.sum() == 4


def test_an_attempt_at_no_query_is_refused(run):
    write_table(layout.CURATED_QUERIES, Query, [SUM, POEM])
    with pytest.raises(JoinError, match="dvc repro"):
        add_teacher(read_queries(run), "steady")


def test_all_figures_of_a_run(run):
    align(run, run)
    found = parallel_set_figures(run, AUDIT, JUDGE_AUDIT)
    (pair,) = found["agreement"]
    # The sum: both equal to the reference 4 by a rule. The poem: other words, so no agreement.
    assert pair["pair"] == run
    assert (pair["compared"], pair["same_answer"], pair["by_reference"]) == (2, 1, 1)
    assert (pair["identical"], pair["similarity_mean"]) == (0, 0.0)
    steady = found["wrong_rows"]["steady"]
    assert (steady["rows"], steady["judge_alone"], steady["unknown"]) == (2, 1, 0)
    # Maths: a = 2/200 = .01, b = 0, q = 3/4: p = .74/.99, wrong = .01 * .25/.99 / .75 = .00337 of one row.
    assert steady["by_category"]["math"]["expected"] == 0.0
    # The judge on shaky's poem: a = 10/50 = .2, b = 4/40 = .1, q = 1/2: p = .3/.7, wrong = .2 * (4/7) / .5 = .2286.
    shaky = found["wrong_rows"]["shaky"]["by_category"]["other"]
    assert shaky["expected"] == 0.23
    assert 0.0 <= shaky["low"] < 0.23 < shaky["high"] <= 1.0
    assert found["verifier_errors"]["judge_reward"]["false_accept"]["share"] == 0.2
    assert found["verifier_errors"]["math_rule"]["false_reject"]["found"] == 0
    assert found["verifier_errors"]["math_rule"]["false_reject"]["high"] > 0.03  # 0 of 100 is not 0


def test_what_was_not_measured_is_unknown(run):
    align(run, run)
    found = parallel_set_figures(run, None, None)
    steady = found["wrong_rows"]["steady"]
    assert (steady["expected"], steady["low"], steady["high"], steady["unknown"]) == (None, 0, 2, 2)
    assert found["verifier_errors"] == {"judge_reward": None, "math_rule": None}


def test_an_empty_parallel_set_has_figures(run):
    write("shaky", {})
    align(run, run)
    found = parallel_set_figures(run, AUDIT, JUDGE_AUDIT)
    assert found["agreement"][0]["compared"] == 0
    assert found["agreement"][0]["similarity_mean"] is None
    assert found["wrong_rows"]["steady"]["rows"] == 0
    assert found["wrong_rows"]["steady"]["expected"] == 0


def test_agreement_of_texts(run):
    same = "Roses are red , violets are blue"
    write("steady", STEADY, {POEM.id: same})
    write("shaky", SHAKY, {POEM.id: f"{same} , my dear"})
    align(run, run)
    (pair,) = parallel_set_figures(run, AUDIT, JUDGE_AUDIT)["agreement"]
    # 7 tokens have 3 5-grams; 10 tokens have 6, which hold these 3: 3/6. The sums share none: the mean is .25.
    assert pair["similarity_mean"] == 0.25
    assert (pair["same_answer"], pair["by_reference"]) == (1, 1)
    write("shaky", SHAKY, {POEM.id: same})
    align(run, run)
    (pair,) = parallel_set_figures(run, AUDIT, JUDGE_AUDIT)["agreement"]
    assert (pair["same_answer"], pair["by_reference"], pair["identical"]) == (2, 1, 1)
    assert pair["similarity_median"] == 0.5
