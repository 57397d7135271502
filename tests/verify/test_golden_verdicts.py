"""Our own cases: what each verifier says about an output, and why.

`verdict` is what is right. `said`, where it stands, is what the verifier says today: a known error, counted below.
"""

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.models.engine import Completion
from stillhouse.verify.checks import Reason
from stillhouse.verify.code.check import check_code, extract_code
from stillhouse.verify.demands import parse_demands
from stillhouse.verify.judge import parse_score, parse_word
from stillhouse.verify.rules.ifeval import check_constraints
from stillhouse.verify.rules.math import check_math
from stillhouse.verify.rules.science import check_science
from tests.verify.verify_builder import LIMITS, code_query, constraints, golden

SLOW_SECONDS = 5.0  # of processor time: far above what any of the cases takes, far below what an unbounded one would
SHORT = LIMITS.model_copy(update={"test_seconds": 1.0})
FORMS = {"right", "wrong", "other_form", "tricky", "malformed", "hostile"}
GRADED = ("math", "science", "if", "code")
MOST_FALSE_REJECTS = 0.02


def ids(case: dict[str, str]) -> str:
    return case["why"]


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Import the symbolic engine, so that no case is charged for it."""
    check_math("1", "\\boxed{\\frac{1}{3}}")


def test_the_cases_cover_all_forms_and_have_few_known_errors() -> None:
    for name in GRADED:
        assert {case["form"] for case in golden(name)} == FORMS, name
        whys = [case["why"] for case in golden(name)]
        assert len(whys) == len(set(whys))
    cases = [case for name in GRADED for case in golden(name)]
    reasons = {str(reason) for kind in get_args(Reason) for reason in get_args(kind)}
    assert {case["reason"] for case in cases if case["reason"]} <= reasons
    assert len(cases) >= 250
    known = [case for case in cases if "said" in case]
    assert all((case["verdict"], case["said"]) == ("pass", "fail") for case in known)
    assert len(known) < MOST_FALSE_REJECTS * sum(case["verdict"] == "pass" for case in cases)


@pytest.mark.parametrize("case", golden("math"), ids=ids)
def test_math(case: dict[str, str]) -> None:
    started = time.process_time()
    check = check_math(case["reference"], case["output"], case.get("prompt", ""))
    said = case.get("said", case["verdict"])
    assert (check.state, check.reason) == (said, case["reason"]), check.evidence
    assert time.process_time() - started < SLOW_SECONDS


@pytest.mark.parametrize("case", golden("science"), ids=ids)
def test_science(case: dict[str, str]) -> None:
    check = check_science(case["reference"], case["output"], case["prompt"])
    if case["verdict"] == "judge":
        assert check is None
    else:
        assert check is not None
        assert (check.state, check.reason) == (case["verdict"], case["reason"]), check.evidence


@pytest.mark.parametrize("case", golden("if"), ids=ids)
def test_if(case: dict[str, str], no_network: None) -> None:
    check = check_constraints(constraints(case), case["output"])
    assert (check.state, check.score, check.reason) == (
        case["verdict"],
        case["score"],
        case["reason"],
    ), check.evidence


@pytest.mark.parametrize("case", golden("judge"), ids=lambda case: repr(case["reply"]))
def test_judge_reply(case: dict[str, str]) -> None:
    if case["kind"] == "demands":
        reply = Completion(
            text=case["reply"], finish_reason="stop", prompt_tokens=1, completion_tokens=1
        )
        assert parse_demands(reply) == case["mark"]
    elif case["kind"] == "math":
        assert parse_word(case["reply"], ("yes", "no")) == case["mark"]
    else:
        assert parse_score(case["reply"], 4 if case["kind"] == "reward" else 5) == case["mark"]


@pytest.mark.parametrize("case", golden("code"), ids=ids)
def test_code(case: dict[str, str], sandboxed: None) -> None:
    # A program that sleeps for ever takes all the time that it is given.
    limits = SHORT if case["why"].startswith("time:") else LIMITS
    check = check_code(code_query(case), case["output"], limits)
    assert (check.state, check.score, check.reason) == (
        case["verdict"],
        case["score"],
        case["reason"],
    ), check.evidence


def test_only_the_first_tests_are_run(sandboxed: None) -> None:
    case = next(case for case in golden("code") if case["why"] == "half right")
    first = LIMITS.model_copy(update={"max_tests": 1})
    check = check_code(code_query(case), case["output"], first)
    assert check.score == 0.0
    assert check.evidence is not None
    assert "test 1 (assert 'assert add(2, 3) == 5'): wrong" in check.evidence


@given(st.text())
def test_an_extracted_program_is_part_of_the_answer(answer: str) -> None:
    for language in ("python", "cpp"):
        code = extract_code(answer, language)
        assert code is None or all(line in answer for line in code.splitlines())


@given(st.integers(-(10**12), 10**12))
def test_a_whole_number_equals_itself_and_no_other(number: int) -> None:
    assert check_math(str(number), f"So it is \\boxed{{{number}}}.").state == "pass"
    assert check_math(str(number), f"So it is \\boxed{{{number + 1}}}.").state == "fail"
