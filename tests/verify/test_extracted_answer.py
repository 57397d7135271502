"""The part of an answer that a rule compared is in the check, apart from the evidence."""

import pytest

from stillhouse.verify.rules.ifeval import check_constraints
from stillhouse.verify.rules.math import check_math
from stillhouse.verify.rules.science import check_science
from tests.verify.verify_builder import golden


@pytest.mark.parametrize(
    ("reference", "answer", "extracted"),
    [
        ("7", "It is 7.", "7"),
        ("7", "It is 8.", "8"),
        ("7", "7", "7"),
        (r"\frac12", r"So $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\frac12", r"So $\boxed{0.4}$.", "0.4"),
        ("B", "The answer is (B).", "B"),
        ("B", "The answer is (C).", "C"),
        ("7", "I do not know it.", None),
        ("", "It is 7.", None),
        ("7", r"\boxed{" + "9+" * 2000 + "9}", None),  # too long to be read
        ("blue", r"\boxed{Blue}", "Blue"),
        ("blue", r"\boxed{red}", "red"),
    ],
)
def test_math(reference, answer, extracted):
    assert check_math(reference, answer).answer == extracted


@pytest.mark.parametrize(
    ("reference", "answer", "extracted"),
    [
        ("B", "The answer is (B).", "B"),
        ("B", "The answer is (A).", "A"),
        ("B", "I do not know.", None),
        ("3.5 m", "It is 3.5 m.", "3.5 m"),
        ("3.5 m", r"\boxed{4 m}", "4 m"),
        ("yes", "No, it is not so.", "no"),
        ("yes", "Perhaps.", None),
        ("the moon", "The moon", "The moon"),
    ],
)
def test_science(reference, answer, extracted):
    check = check_science(reference, answer)
    assert check is not None
    assert check.answer == extracted


def test_constraints_have_none():
    assert check_constraints([], "No comma here").answer is None


def test_every_verdict_that_compared_something_names_it():
    cases = [case for case in golden("math") if case["form"] != "hostile"]
    checks = [
        check_math(case["reference"], case["output"], case.get("prompt", "")) for case in cases
    ]
    accepted = [check for check in checks if check.state == "pass"]
    assert len(accepted) > 100
    assert all(check.answer and check.answer.strip() for check in accepted)
    assert {check.answer for check in checks if check.reason == "no_final_answer"} <= {None}
