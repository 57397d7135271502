"""The aligned rows of the committed default run, held against their references by a reading of its own.

The default's references are plain numbers and single letters or words, so a few lines that share no code with the
verifiers can read an answer's result.
"""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from stillhouse.records import Example
from stillhouse.tables.read import read_table

ALIGNED = Path(__file__).resolve().parents[2] / "data/aligned"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def contradicts(reference: str, answer: str) -> bool:
    """Whether the result that an answer ends with is another one than the reference."""
    result = (re.findall(r"\\boxed\{([^{}]*)\}", answer) or [answer])[-1].replace("−", "-")
    if NUMBER.fullmatch(reference):
        numbers = NUMBER.findall(result.replace(",", ""))
        return not numbers or Fraction(numbers[-1]) != Fraction(reference)
    return reference.casefold() not in re.findall(r"\w+", result.casefold())


def test_a_contradiction_is_seen():
    assert contradicts("6", "The final answer to this arithmetic problem is 1.")
    assert contradicts("12", "6 + 1 = 7")
    assert contradicts("C", "The answer is B.")
    assert not contradicts("-5", r"So it is \boxed{−5}.")
    assert not contradicts("C", "C. Because of the heat.")


@pytest.mark.skipif(not ALIGNED.is_dir(), reason="the default run has not been made here")
def test_no_maths_or_science_row_contradicts_its_reference():
    teachers = sorted(path for path in ALIGNED.iterdir() if path.is_dir())
    rows = [
        row
        for teacher in teachers
        for row in read_table(teacher, Example)
        if row.category in ("math", "science") and row.ground_truth is not None
    ]
    assert rows
    wrong = [
        f"{row.teacher} {row.id}: {row.ground_truth!r} against {row.answer!r}"
        for row in rows
        if contradicts(str(row.ground_truth), row.answer)
    ]
    assert wrong == []
