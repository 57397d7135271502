"""The one table of units, as science and the math rule read it."""

from fractions import Fraction

import pytest

from stillhouse.verify.formula.words import _DAILY, dimension, known_unit
from stillhouse.verify.rules.units import read_unit


def test_every_unit_of_daily_life_is_in_the_table() -> None:
    assert [name for name in _DAILY if known_unit(name) is None] == []


@pytest.mark.parametrize(
    ("left", "right", "ratio"),
    [
        ("ml", "cm^3", 1),
        ("liters", "cubic meters", Fraction(1, 1000)),
        ("mph", "miles per hour", 1),
        ("kmph", "km/h", 1),
        ("feet", "inches", 12),
        ("pounds", "oz", 16),
        ("gallon", "cups", 16),
        ("decades", "years", 10),
        ("USD", "cents", 100),
        ("week", "days", 7),
        ("inch", "cm", Fraction(254, 100)),
    ],
)
def test_units_of_one_kind_have_a_fixed_ratio(left: str, right: str, ratio: Fraction) -> None:
    first, second = dimension(left), dimension(right)
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert first[1] / second[1] == ratio


@pytest.mark.parametrize("name", ["MN", "PA", "T", "pm", "mol", "cat", "Co"])
def test_other_units_are_words_or_variables_of_a_formula(name: str) -> None:
    assert known_unit(name) is None


@pytest.mark.parametrize("text", ["in total", "pt", "dollars", "cups", "years", "cat"])
def test_science_does_not_read_words_of_a_text_as_units(text: str) -> None:
    assert read_unit(text) is None


def test_a_unit_knows_whether_it_is_metric() -> None:
    for text, metric in (("km/h", True), ("miles per hour", False), ("J/mol", True)):
        read = read_unit(text)
        assert read is not None
        assert read[0].metric is metric
        assert read[1] == len(text)
