"""The reader of formulas on any text: it reads all of it or says so, in bounded time, and equality is reflexive."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.verify.formula import FormulaError, TooComplexError, UnreadError, compare, parse
from stillhouse.verify.math import check_math
from stillhouse.verify.notation import clean

PIECES = st.sampled_from(
    [r"1", r"2", r"37", r"0.5", r"1,200", r"x", r"y", r"n", r"i", r"e", r"\pi", r"\frac", r"\sqrt", r"\sin", r"\ln", r"\log", r"_", r"^", r"{", r"}", r"(", r")", r"[", r"]", r"\{", r"\}", r"|", r"+", r"-", r"*", r"/", r"\cdot", r"=", r"<", r"\le", r"\in", r"\cup", r"\pm", r"!", r"%", r"'", r",", r";", r":", r"\text{cm}", r"\text{and}", r"\mathrm{e}", r"\begin{pmatrix}", r"\end{pmatrix}", r"&", r"\\", r"\infty", r"\emptyset", r"\ldots", r"\mathbb{R}", r"\binom", r"\boxed", r"{", r"cm", r"apples", r"or", r"ABC", r"\angle", r"\bar", r"\circ", r"\pmod", r"\int", r"$", r"\$", r"9^{9^{9}}", r"99!"]
)
SLOW_SECONDS = 5.0  # of processor time: far above what a bounded text takes


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join))
def test_any_two_texts_get_a_verdict_in_bounded_time(reference: str, result: str) -> None:
    started = time.process_time()
    for answer in (f"So $\\boxed{{{result}}}$.", result, f"The answer is {result}"):
        assert check_math(reference, answer).state in ("pass", "fail", "ungradable")
    assert time.process_time() - started < SLOW_SECONDS


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_what_is_read_equals_itself(text: str) -> None:
    try:
        tree = parse(clean(text))
        assert compare(tree, tree) or "=" in text or "approx" in text or not _defined(tree)
    except FormulaError:
        pass


def _defined(tree: object) -> bool:
    """Whether a formula has a value: 1/0 equals nothing, nor does what has no value at the points that are tried."""
    return (
        False
        if any(
            word in repr(tree)
            for word in ("div", "fn", "pow", "fact", "infty", "setop", "dots", "pm")
        )
        else True
    )


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(clean(text))
    except FormulaError:
        pass


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
