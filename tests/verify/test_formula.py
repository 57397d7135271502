"""The reader of formulas on any text: it reads all of it or says so, in bounded time."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.verify.formula import FormulaError, TooComplexError, UnreadError, compare, parse
from stillhouse.verify.rules.math import check_math
from stillhouse.verify.rules.notation import clean
from tests.verify.verify_builder import golden

PIECES = st.sampled_from(
    str.split(
        r"1 2 37 0.5 1,200 x y n i e \pi \frac \sqrt \sin \ln \log _ ^ { } ( ) [ ] \{ \} | + - * / \cdot = < \le \in "
        r"\cup \pm ! % ' , ; : \text{cm} \text{and} \mathrm{e} \begin{pmatrix} \end{pmatrix} & \\ "
        r"\infty \emptyset \ldots "
        r"\mathbb{R} \binom \boxed { cm apples or ABC \angle \bar \circ \pmod \int $ \$ 9^{9^{9}} 99!"
    )
)
SLOW_SECONDS = 5.0  # of processor time: far above what a bounded text takes


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join))
def test_any_two_texts_get_a_verdict_in_bounded_time(reference: str, result: str) -> None:
    started = time.process_time()
    for answer in (f"So $\\boxed{{{result}}}$.", result, f"The answer is {result}"):
        assert check_math(reference, answer).state in ("pass", "fail", "ungradable")
    assert time.process_time() - started < SLOW_SECONDS


def test_a_reference_that_is_read_equals_itself() -> None:
    read = 0
    for case in golden("math"):
        try:
            tree = parse(clean(case["reference"]))
            same = compare(tree, tree)
        except FormulaError:
            continue
        read += 1
        assert same, case["reference"]
    assert read >= 500


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FormulaError):
        parse(clean(text))


@pytest.mark.parametrize(
    "text", ["3 \\oplus 4", "2 @ 3", "\\int x", "1 2", "x2", "(1", "1)", "\\frac{1}", "a \\"]
)
def test_what_is_not_in_the_grammar_is_unread(text: str) -> None:
    with pytest.raises(UnreadError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 30 + "1" + ")" * 30,
        "7" * 500,
        "9999999999!x",
        "9^{99999999}x",
        "\\sqrt{2}^{9^{9}}",
        "1e9999",
    ],
)
def test_what_is_out_of_bounds_is_too_complex(text: str) -> None:
    with pytest.raises(TooComplexError):
        compare(parse("x"), parse(text))
