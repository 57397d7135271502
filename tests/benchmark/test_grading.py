import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.benchmark.grading import answer_part, extract, score


@pytest.mark.parametrize(
    ("text", "finish_reason", "graded"),
    [
        ("It is 4.", "stop", "It is 4."),
        ("<think>2 and 2</think>\n\nIt is 4.", "stop", "It is 4."),
        ("2 and 2</think>It is 4.", "stop", "It is 4."),  # the template opened the block
        ("<think>maybe \\boxed{4}", "stop", ""),
        ("<think>a</think>b<think>\\boxed{4}", "stop", ""),
        ("It is \\boxed{4}", "length", ""),
        ("", "stop", ""),
    ],
)
def test_only_a_finished_answer_is_graded(text: str, finish_reason: str, graded: str) -> None:
    assert answer_part(text, finish_reason) == graded


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("3 + 4 = 7, so \\boxed{7}.", "7", 1),
        ("first \\boxed{6}, no: \\boxed{7}", "7", 1),
        ("\\boxed{7}, not 8", "7", 1),  # a box wins over a later number
        ("\\boxed{\\text{7}}", "7", 1),
        ("\\boxed{\\frac{1}{2}} 7", "7", 0),
        ("3 + 4 is 7.", "7", 1),
        ("7 is 3 + 4", "7", 0),
        ("It costs $1,200.00", "1200", 1),
        ("3/4", "0.75", 1),
        ("minus -7", "-7", 1),
        ("7", "-7", 0),
        ("1/0", "7", 0),
        ("The answer is (B).", "B", 1),
        ("A or B? I say B", "A", 0),
        ("Bananas", "B", 0),
        ("Some words.\nAnswer: The Moon.", "the moon", 1),
        ("The answer is: the  moon", "The Moon", 1),
        ("the sun", "the moon", 0),
        ("no idea", "7", 0),
        ("", "7", 0),
    ],
)
def test_score(answer: str, gold: str, right: int) -> None:
    assert score(answer, gold) == right


@settings(deadline=None)  # the first parse imports sympy
@given(st.integers(-(10**12), 10**12), st.text(alphabet="abc .\n", max_size=30))
def test_a_boxed_number_is_found_in_any_words(number: int, words: str) -> None:
    assert score(f"{words}\\boxed{{{number}}}{words}", str(number)) == 1.0
    assert score(f"{words}\\boxed{{{number + 1}}}{words}", str(number)) == 0.0


@settings(deadline=None)  # the first parse imports sympy
@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_the_grader(answer: str, gold: str) -> None:
    assert score(answer, gold) in (0.0, 1.0)
    assert extract(answer, gold) is None or isinstance(extract(answer, gold), str)
